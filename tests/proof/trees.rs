//! Our trees are those of RFC 6962: each root and each proof is compared with the crate `ct-merkle`, which shares no code with ours.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use deskledger::domain::proof::tile::{TileId, tile_width};
use deskledger::domain::proof::tree::{
    Head, Tiles, check_consistency, check_inclusion, tiles_of_consistency, tiles_of_inclusion, tiles_of_root,
};
use deskledger::domain::proof::{Hash, ProofError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::Sha256;

/// How large the compared tree becomes: its tiles have three levels.
const LARGEST: u64 = 66_000;
const INCLUSIONS: u64 = 10_000;
const CONSISTENCIES: u64 = 1_000;

fn leaf(index: u64) -> Vec<u8> {
    format!("leaf{index}").into_bytes()
}

fn hash_of(index: u64) -> Hash {
    tlog_tiles::record_hash(&leaf(index))
}

/// Those of a tree's tiles that a question needs, and no others.
fn only(tiles: &Tiles, needed: impl IntoIterator<Item = TileId>) -> Tiles {
    let mut some = Tiles::default();
    for id in needed {
        some.insert(id, tiles.get(id).expect("the tile is in the tree").to_vec());
    }
    some
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

/// The compared tree, grown a random number of leaves at a time in both libraries.
struct Grown {
    tiles: Tiles,
    heads: BTreeMap<u64, Head>,
}

fn grow(random: &mut StdRng) -> Grown {
    let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut grown = Grown { tiles: Tiles::default(), heads: BTreeMap::from([(0, Head::EMPTY)]) };
    let mut size = 0;
    // Around every boundary of a tile, and anywhere between.
    let mut sizes: Vec<u64> = (0..140).map(|_| random.random_range(1..LARGEST)).collect();
    sizes.extend([1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, LARGEST]);
    sizes.extend(4..40);
    sizes.sort_unstable();
    for next in sizes {
        // As the sequencer grows it: from the tiles at the edge only.
        let mut edge = only(&grown.tiles, tiles_of_root(size));
        let leaves: Vec<Hash> = (size..next).map(hash_of).collect();
        for id in edge.append(size, &leaves).expect("the edge is enough") {
            grown.tiles.insert(id, edge.get(id).expect("a changed tile").to_vec());
        }
        (size..next).for_each(|index| oracle.push(leaf(index)));
        size = next;
        let root = only(&grown.tiles, tiles_of_root(size)).root(size).expect("the edge is enough");
        assert_eq!(root.0, <[u8; 32]>::from(*oracle.root().as_bytes()), "the root of {size}");
        grown.heads.insert(size, Head { size, root });
    }
    grown
}

fn oracles(head: Head) -> RootHash<Sha256> {
    RootHash::new(head.root.0.into(), head.size)
}

#[test]
fn random_proofs_of_random_trees_are_good_to_another_library_too() {
    let mut random = StdRng::seed_from_u64(20_261_121);
    let Grown { tiles, heads } = grow(&mut random);
    let heads: Vec<Head> = heads.into_values().collect();
    for _ in 0..INCLUSIONS {
        let head = heads[random.random_range(1..heads.len())];
        let index = random.random_range(0..head.size);
        let proof = only(&tiles, tiles_of_inclusion(head.size, index)).inclusion(head.size, index).expect("these tiles are enough");
        check_inclusion(&proof, head, index, hash_of(index)).expect("a good proof");
        let theirs = InclusionProof::<Sha256>::try_from_bytes(bytes(&proof)).expect("whole hashes");
        oracles(head).verify_inclusion(&leaf(index), index, &theirs).expect("good to another library");
    }
    for _ in 0..CONSISTENCIES {
        let new = random.random_range(1..heads.len());
        let (old, new) = (heads[random.random_range(0..=new)], heads[new]);
        let needed = tiles_of_consistency(old.size, new.size);
        let proof = only(&tiles, needed).consistency(old.size, new.size).expect("these tiles are enough");
        check_consistency(&proof, new, old).expect("a good proof");
        // It has no proof from the empty tree.
        if old.size > 0 {
            let theirs = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&proof)).expect("whole hashes");
            oracles(new).verify_consistency(&oracles(old), &theirs).expect("good to another library");
        }
    }
}

#[test]
fn the_tree_of_a_hundred_leaves_has_the_known_root() {
    let mut tiles = Tiles::default();
    let leaves: Vec<Hash> = (0..100).map(hash_of).collect();
    tiles.append(0, &leaves).expect("an empty tree needs no tiles");
    assert_eq!(tiles.root(100).expect("its tile").to_string(), "KC928QxkNebRehIfNRGBp7EOkkH4CZ1ZBBa9HOFYYRE=");
}

#[test]
fn the_empty_tree_has_the_hash_of_nothing_and_every_tree_begins_with_it() {
    let mut tiles = Tiles::default();
    assert_eq!(tiles.root(0), Ok(Head::EMPTY.root));
    assert_eq!(tiles_of_root(0).len(), 0);
    tiles.append(0, &[hash_of(0)]).expect("an empty tree needs no tiles");
    let one = Head { size: 1, root: hash_of(0) };
    assert_eq!(tiles.consistency(0, 1), Ok(vec![]));
    assert_eq!(check_consistency(&[], one, Head::EMPTY), Ok(()));
    let forged = Head { size: 0, root: hash_of(0) };
    assert_eq!(check_consistency(&[], one, forged), Err(ProofError::NotConsistent { old: 0, new: 1 }));
    assert_eq!(check_consistency(&[hash_of(0)], one, Head::EMPTY), Err(ProofError::NotConsistent { old: 0, new: 1 }));
}

#[test]
fn what_is_not_in_the_tree_is_not_proved() {
    let mut tiles = Tiles::default();
    tiles.append(0, &[hash_of(0), hash_of(1), hash_of(2)]).expect("an empty tree needs no tiles");
    assert_eq!(tiles.inclusion(3, 3), Err(ProofError::OutOfTree { size: 3, asked: 3 }));
    assert_eq!(tiles.consistency(3, 2), Err(ProofError::OutOfTree { size: 2, asked: 3 }));
    let head = Head { size: 3, root: tiles.root(3).expect("its tile") };
    assert_eq!(check_inclusion(&[], head, 3, hash_of(2)), Err(ProofError::OutOfTree { size: 3, asked: 3 }));
    assert_eq!(tiles_of_inclusion(3, 3).len() + tiles_of_consistency(3, 2).len(), 0);
}

#[test]
fn a_tile_that_is_missing_or_too_short_is_named() {
    let mut whole = Tiles::default();
    let leaves: Vec<Hash> = (0..600).map(hash_of).collect();
    whole.append(0, &leaves).expect("an empty tree needs no tiles");
    let missing = |level, index| ProofError::TileMissing { level, index };
    assert_eq!(only(&whole, [TileId { level: 0, index: 2 }]).root(600), Err(missing(1, 0)));
    let last = TileId { level: 0, index: 2 };
    assert_eq!(tile_width(600, last), 88);
    let mut short = whole.clone();
    short.insert(last, whole.get(last).expect("the tile")[..87 * 32].to_vec());
    assert_eq!(short.root(600), Err(missing(0, 2)));
    assert_eq!(short.append(600, &[hash_of(600)]), Err(missing(0, 2)));
    assert_eq!(short.inclusion(600, 598), Err(missing(0, 2)));
    assert!(whole.append(600, &[hash_of(600)]).is_ok());
}
