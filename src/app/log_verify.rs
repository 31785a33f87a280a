//! Verifying a log: the whole tree is made again from the rows and compared with what is stored and signed.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::app::App;
use crate::domain::proof::Hash;
use crate::domain::proof::ProofError;
use crate::domain::proof::act::{ActId, Chain};
use crate::domain::proof::checkpoint;
use crate::domain::proof::entry::{Entry, Opening};
use crate::domain::proof::key::VerifierKey;
use crate::domain::proof::record::Record;
use crate::domain::proof::tile::{TILE_WIDTH, TileId, tile_width};
use crate::domain::proof::tree::{Head, Tiles};
use crate::error::Error;
use crate::storage;
use crate::storage::application::Application;
use crate::storage::log_row::LeafRow;

/// How many entries are read at once.
const PART: u64 = 2000;

/// The first thing in a log that is not as it should be.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the data of the fact that the variant's text states")]
pub enum Flaw {
    /// The tree has no entry at this place.
    NoLeaf { index: u64 },
    /// The entry's row is gone.
    NoRow { index: u64, act: ActId },
    /// The row, its salt, or the act before it in the ticket is not what the entry was made of.
    OtherRow { index: u64, act: ActId },
    /// A stored tile is not that of the entries.
    OtherTile { id: TileId },
    /// The entries do not make the stored or the signed root.
    OtherRoot { size: u64 },
    /// The checkpoint is not good.
    Checkpoint(ProofError),
    /// An act is neither in the tree nor waiting for it.
    NoEntry { act: ActId },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeaf { index } => write!(f, "entry {index} is not in the table of leaves"),
            Self::NoRow { index, act } => write!(f, "entry {index}: {act} is not there"),
            Self::OtherRow { index, act } => write!(f, "entry {index}: {act} is not what the entry was made of"),
            Self::OtherTile { id } => write!(f, "the tile {}/{} is not that of the entries", id.level, id.index),
            Self::OtherRoot { size } => write!(f, "the first {size} entries do not make the root"),
            Self::Checkpoint(error) => error.fmt(f),
            Self::NoEntry { act } => write!(f, "{act} is neither in the tree nor waiting for it"),
        }
    }
}

/// A verification in progress.
pub struct LogVerification<'a> {
    app: &'a App,
    application: &'a Application,
    /// What is verified: the log as it was when this began.
    pub head: Head,
    signed: Option<Head>,
    done: u64,
    tiles: Tiles,
    newest: HashMap<Chain, Entry>,
}

impl App {
    /// Begins to verify an application's log, its checkpoint with a key.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn verify_log<'a>(
        &'a self,
        application: &'a Application,
        key: Option<&VerifierKey>,
    ) -> Result<Result<LogVerification<'a>, Flaw>, Error> {
        let mut connection = self.connection().await?;
        // Before the head, so that it is not of a later one.
        let text = storage::log_tree::checkpoint(&mut connection, application.key).await?;
        let head = storage::log_tree::head(&mut connection, application.key).await?;
        let open = |text: String| match key {
            Some(key) => checkpoint::open(&text, key),
            None => checkpoint::head_of(&text),
        };
        let signed = match text.map(open).transpose() {
            Ok(signed) => signed,
            Err(error) => return Ok(Err(Flaw::Checkpoint(error))),
        };
        let (tiles, newest) = (Tiles::default(), HashMap::new());
        Ok(match signed.filter(|signed| signed.size > head.size) {
            Some(signed) => Err(Flaw::OtherRoot { size: signed.size }),
            None => Ok(LogVerification { app: self, application, head, signed, done: 0, tiles, newest }),
        })
    }
}

impl LogVerification<'_> {
    /// Verifies the next entries, and answers how many are done; `None` when all are good.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next(&mut self) -> Result<Option<Result<u64, Flaw>>, Error> {
        if self.done == self.head.size {
            return Ok(self.end().await?.map(Err));
        }
        // A part ends where the signed tree ends, to see its root.
        let ends = [self.head.size, self.signed.map_or(u64::MAX, |signed| signed.size), self.done + PART];
        let end = ends.into_iter().filter(|end| *end > self.done).min().unwrap_or(self.head.size);
        let mut connection = self.app.connection().await?;
        let limit = i64::try_from(end - self.done).map_err(Error::internal)?;
        let rows = storage::log_row::list(&mut connection, self.application.key, self.done, limit).await?;
        let leaves = match self.leaves(rows, end) {
            Ok(leaves) => leaves,
            Err(flaw) => return Ok(Some(Err(flaw))),
        };
        let changed = self.tiles.append(self.done, &leaves).map_err(Error::log_corrupt)?;
        self.done = end;
        if let Some(signed) = self.signed.filter(|signed| signed.size == end)
            && self.tiles.root(end) != Ok(signed.root)
        {
            return Ok(Some(Err(Flaw::OtherRoot { size: end })));
        }
        // Tiles at the edge are compared at the end, when they are as wide as they will be.
        let full = changed.into_iter().filter(|id| tile_width(end, *id) == TILE_WIDTH).collect();
        let flaw = self.compare(full).await?;
        Ok(Some(flaw.map_or(Ok(end), Err)))
    }

    /// The hashes of entries that follow those that are done, each made again from its row.
    fn leaves(&mut self, rows: Vec<LeafRow>, end: u64) -> Result<Vec<Hash>, Flaw> {
        let mut leaves = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter();
        for index in self.done..end {
            let LeafRow { leaf, act } = rows.next().filter(|row| row.leaf.index == index).ok_or(Flaw::NoLeaf { index })?;
            let act = act.ok_or(Flaw::NoRow { index, act: leaf.act })?;
            let record = Record::of(&self.application.id, &act, self.newest.get(&act.chain()));
            if (Opening { salt: leaf.salt, record }).entry() != leaf.entry {
                return Err(Flaw::OtherRow { index, act: leaf.act });
            }
            self.newest.insert(act.chain(), leaf.entry);
            leaves.push(leaf.entry.leaf_hash());
        }
        Ok(leaves)
    }

    async fn end(&mut self) -> Result<Option<Flaw>, Error> {
        let size = self.head.size;
        if self.tiles.root(size) != Ok(self.head.root) {
            return Ok(Some(Flaw::OtherRoot { size }));
        }
        if let Some(flaw) = self.compare(self.tiles.ids()).await? {
            return Ok(Some(flaw));
        }
        let mut connection = self.app.connection().await?;
        let lost = storage::log_row::find_lost(&mut connection, self.application.key).await?;
        Ok(lost.map(|act| Flaw::NoEntry { act }))
    }

    /// Compares tiles with the stored ones, and forgets them. A stored one may have grown since.
    async fn compare(&mut self, ids: BTreeSet<TileId>) -> Result<Option<Flaw>, Error> {
        let mut connection = self.app.connection().await?;
        let stored = storage::log_tree::tiles(&mut connection, self.application.key, &ids).await?;
        for id in ids {
            let made = self.tiles.get(id).unwrap_or_default();
            if !stored.get(id).unwrap_or_default().starts_with(made) {
                return Ok(Some(Flaw::OtherTile { id }));
            }
            if tile_width(self.done, id) == TILE_WIDTH {
                self.tiles.remove(id);
            }
        }
        Ok(None)
    }
}
