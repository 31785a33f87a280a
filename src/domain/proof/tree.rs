//! The Merkle tree of RFC 6962 in the tiles of C2SP tlog-tiles: its growth, its root, and proofs out of its tiles.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tlog_tiles::{HASH_SIZE, HashReader, Tile};

use crate::domain::proof::tile::{HEIGHT, TILE_WIDTH, TileId, tile_width};
use crate::domain::proof::{Hash, ProofError};

/// The size of a tree with its root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// How many entries the tree has.
    pub size: u64,
    /// The root hash.
    pub root: Hash,
}

impl Eq for Head {}

impl Head {
    /// The head of the tree without entries.
    pub const EMPTY: Self = Self { size: 0, root: tlog_tiles::EMPTY_HASH };
}

/// Some of a tree's tiles: as many as a question needs.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<TileId, Vec<u8>>);

impl Tiles {
    /// Adds a tile: the hashes one after the other.
    pub fn insert(&mut self, id: TileId, hashes: Vec<u8>) {
        self.0.insert(id, hashes);
    }

    /// The tile's hashes one after the other.
    #[must_use]
    pub fn get(&self, id: TileId) -> Option<&[u8]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    /// Takes a tile out.
    pub fn remove(&mut self, id: TileId) {
        self.0.remove(&id);
    }

    /// The tiles that are there.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<TileId> {
        self.0.keys().copied().collect()
    }

    /// Appends leaves to a tree of `size` entries, and answers the tiles that changed. Needs [`tiles_of_root`].
    ///
    /// # Errors
    /// [`ProofError::TileMissing`]; then some of the leaves may have been appended.
    pub fn append(&mut self, size: u64, leaves: &[Hash]) -> Result<BTreeSet<TileId>, ProofError> {
        let mut changed = BTreeSet::new();
        for (leaf, at) in leaves.iter().zip(size..) {
            self.push(0, at, *leaf, &mut changed)?;
        }
        Ok(changed)
    }

    /// Appends a hash to a level that has `at` of them. A tile that this fills goes on into the level above.
    fn push(&mut self, level: u8, at: u64, hash: Hash, changed: &mut BTreeSet<TileId>) -> Result<(), ProofError> {
        let id = TileId { level, index: at >> HEIGHT };
        let width = usize::try_from(at % TILE_WIDTH as u64).unwrap_or_default();
        let tile = self.0.entry(id).or_default();
        if tile.len() != width * HASH_SIZE {
            return Err(ProofError::TileMissing { level, index: id.index });
        }
        tile.extend(hash.0);
        changed.insert(id);
        if width + 1 < TILE_WIDTH {
            return Ok(());
        }
        let root = Tile::subtree_hash(tile);
        self.push(level + 1, id.index, root, changed)
    }

    /// The root of the tree of `size` entries. Needs [`tiles_of_root`].
    ///
    /// # Errors
    /// [`ProofError::TileMissing`].
    pub fn root(&self, size: u64) -> Result<Hash, ProofError> {
        self.read(|reader| tlog_tiles::tree_hash(size, reader))
    }

    /// Proves that the entry `index` is in the tree of `size` entries: the hashes from the leaf's sibling up. Needs
    /// [`tiles_of_inclusion`].
    ///
    /// # Errors
    /// [`ProofError::OutOfTree`], [`ProofError::TileMissing`].
    pub fn inclusion(&self, size: u64, index: u64) -> Result<Vec<Hash>, ProofError> {
        if index >= size {
            return Err(ProofError::OutOfTree { size, asked: index });
        }
        self.read(|reader| tlog_tiles::prove_record(size, index, reader))
    }

    /// Proves that the tree of `new` entries begins with that of `old` entries. Every tree begins with the empty one, which needs no
    /// hashes. Needs [`tiles_of_consistency`].
    ///
    /// # Errors
    /// [`ProofError::OutOfTree`], [`ProofError::TileMissing`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
        match old {
            0 => Ok(vec![]),
            old if old > new => Err(ProofError::OutOfTree { size: new, asked: old }),
            old => self.read(|reader| tlog_tiles::prove_tree(new, old, reader)),
        }
    }

    /// Checks that all of these tiles are of the tree that the head is of. Needs [`tiles_of_root`], and above each full tile the one that
    /// holds its root.
    ///
    /// The library's own `TileHashReader` (0.2.0) is not for this: of a tree whose edge has fewer tiles than subtrees it leaves some
    /// full tiles unchecked.
    ///
    /// # Errors
    /// [`ProofError::OtherTile`], [`ProofError::TileMissing`].
    pub fn check(&self, head: Head) -> Result<(), ProofError> {
        let wrong = |id: TileId| ProofError::OtherTile { level: id.level, index: id.index };
        for (id, hashes) in &self.0 {
            let width = tile_width(head.size, *id);
            if width == 0 || hashes.len() != width * HASH_SIZE {
                return Err(wrong(*id));
            }
            if width == TILE_WIDTH {
                let above = tlog_tiles::stored_hash_index((id.level + 1) * HEIGHT, id.index);
                let root = self.read(|reader| reader.read_hashes(&[above]))?;
                if root != [Tile::subtree_hash(hashes)] {
                    return Err(wrong(*id));
                }
            }
        }
        // Every hash of a tile that is not full is a part of the root.
        if self.root(head.size)? == head.root { Ok(()) } else { Err(ProofError::OtherRoot { size: head.size }) }
    }

    fn read<T>(&self, question: impl FnOnce(&Reader<'_>) -> Result<T, tlog_tiles::Error>) -> Result<T, ProofError> {
        let reader = Reader { tiles: self, missing: RefCell::new(None) };
        question(&reader).map_err(|_| reader.missing.into_inner().unwrap_or(ProofError::Malformed("tree")))
    }
}

/// The tiles that [`Tiles::append`] to a tree of `size` entries and its [`Tiles::root`] need: of each level the last one, where it is
/// not full.
#[must_use]
pub fn tiles_of_root(size: u64) -> BTreeSet<TileId> {
    needed(|asked| tlog_tiles::tree_hash(size, asked).map(drop))
}

/// The tiles that [`Tiles::inclusion`] needs.
#[must_use]
pub fn tiles_of_inclusion(size: u64, index: u64) -> BTreeSet<TileId> {
    needed(|asked| tlog_tiles::prove_record(size, index, asked).map(drop))
}

/// The tiles that [`Tiles::consistency`] needs.
#[must_use]
pub fn tiles_of_consistency(old: u64, new: u64) -> BTreeSet<TileId> {
    needed(|asked| tlog_tiles::prove_tree(new, old, asked).map(drop))
}

/// Checks that a leaf is the entry `index` of the tree.
///
/// # Errors
/// [`ProofError::NotIncluded`], [`ProofError::OutOfTree`].
pub fn check_inclusion(proof: &[Hash], head: Head, index: u64, leaf: Hash) -> Result<(), ProofError> {
    if index >= head.size {
        return Err(ProofError::OutOfTree { size: head.size, asked: index });
    }
    tlog_tiles::check_record(&proof.to_vec(), head.size, head.root, index, leaf).map_err(|_| ProofError::NotIncluded)
}

/// Checks that the tree `new` begins with the tree `old`.
///
/// # Errors
/// [`ProofError::NotConsistent`].
pub fn check_consistency(proof: &[Hash], new: Head, old: Head) -> Result<(), ProofError> {
    let checked = match old.size {
        0 => old == Head::EMPTY && proof.is_empty(),
        _ => tlog_tiles::check_tree(&proof.to_vec(), new.size, new.root, old.size, old.root).is_ok(),
    };
    if checked { Ok(()) } else { Err(ProofError::NotConsistent { old: old.size, new: new.size }) }
}

fn id_of(tile: Tile) -> TileId {
    TileId { level: tile.level(), index: tile.level_index() }
}

/// Reads hashes out of tiles, and remembers the first tile that it did not find.
struct Reader<'a> {
    tiles: &'a Tiles,
    missing: RefCell<Option<ProofError>>,
}

impl HashReader for Reader<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let tile = Tile::from_index(HEIGHT, *index);
            let TileId { level, index: place } = id_of(tile);
            let hashes = self.tiles.get(TileId { level, index: place }).unwrap_or_default();
            tile.hash_at_index(hashes, *index).inspect_err(|_| {
                self.missing.borrow_mut().get_or_insert(ProofError::TileMissing { level, index: place });
            })
        };
        indexes.iter().map(read).collect()
    }
}

/// Asks a question of a tree without hashes, to see which tiles it reads. Questions out of the tree read none.
fn needed(question: impl FnOnce(&Asked) -> Result<(), tlog_tiles::Error>) -> BTreeSet<TileId> {
    let asked = Asked::default();
    match question(&asked) {
        Ok(()) => asked.tiles.into_inner(),
        Err(_) => BTreeSet::new(),
    }
}

#[derive(Default)]
struct Asked {
    tiles: RefCell<BTreeSet<TileId>>,
}

impl HashReader for Asked {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        self.tiles.borrow_mut().extend(indexes.iter().map(|index| id_of(Tile::from_index(HEIGHT, *index))));
        Ok(vec![tlog_tiles::EMPTY_HASH; indexes.len()])
    }
}
