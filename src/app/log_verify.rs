//! Verifying a log: the whole tree is made again from the rows and compared with what is stored and signed, and tombstones with log rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use sha2::{Digest, Sha256};

use crate::app::App;
use crate::domain::erasure::{Erasure, remains};
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::proof::Hash;
use crate::domain::proof::ProofError;
use crate::domain::proof::act::{Act, ActId, Chain};
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
/// How many messages are looked at at once.
const MESSAGES: i64 = 20_000;

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
    /// The message whose deletion the entry stands for is not there, or not deleted.
    NoTombstone { index: u64, act: ActId },
    /// The entry is erased, and no erasure tells of it.
    ErasedWithoutTrace { index: u64 },
    /// An erasure tells of an entry that is not erased.
    NotErased { index: u64, act: ActId },
    /// What stays of the rows that an erasure erased is not what stayed then.
    OtherRemains { act: ActId, first: u64, last: u64 },
    /// A stored tile is not that of the entries.
    OtherTile { id: TileId },
    /// The entries do not make the stored or the signed root.
    OtherRoot { size: u64 },
    /// The checkpoint is not good.
    Checkpoint(ProofError),
    /// An act is neither in the tree nor waiting for it.
    NoEntry { act: ActId },
    /// A message is deleted, and no log row tells of it.
    NoLog { ticket_id: TicketId, id: ChatMessageId },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeaf { index } => write!(f, "entry {index} is not in the table of leaves"),
            Self::NoRow { index, act } => write!(f, "entry {index}: {act} is not there"),
            Self::OtherRow { index, act } => write!(f, "entry {index}: {act} is not what the entry was made of"),
            Self::NoTombstone { index, act } => write!(f, "entry {index}: the message of {act} is not there, or not deleted"),
            Self::ErasedWithoutTrace { index } => write!(f, "entry {index} is erased, and no erasure tells of it"),
            Self::NotErased { index, act } => write!(f, "entry {index} is not erased, and {act} says that it is"),
            Self::OtherRemains { act, first, last } => {
                write!(f, "what stays of the entries {first} to {last} that {act} erased is not what stayed then")
            }
            Self::OtherTile { id } => write!(f, "the tile {}/{} is not that of the entries", id.level, id.index),
            Self::OtherRoot { size } => write!(f, "the first {size} entries do not make the root"),
            Self::Checkpoint(error) => error.fmt(f),
            Self::NoEntry { act } => write!(f, "{act} is neither in the tree nor waiting for it"),
            Self::NoLog { ticket_id, id } => {
                write!(f, "the message {id} of ticket {ticket_id} is deleted, and no log row tells of it")
            }
        }
    }
}

/// A verification in progress.
pub struct LogVerification<'a> {
    app: &'a App,
    application: &'a Application,
    /// What is verified: the log as it was when this began.
    pub head: Head,
    /// How many of the entries were found erased so far.
    pub erased: u64,
    signed: Option<Head>,
    done: u64,
    tiles: Tiles,
    newest: HashMap<Chain, Entry>,
    /// The erased entries that no erasure has told of yet, with what stays of them.
    untold: BTreeMap<u64, [u8; 32]>,
    /// The last message that was looked at; `None` when all were.
    messages: Option<ChatMessageId>,
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
        if let Some(signed) = signed.filter(|signed| signed.size > head.size) {
            return Ok(Err(Flaw::OtherRoot { size: signed.size }));
        }
        Ok(Ok(LogVerification {
            app: self,
            application,
            head,
            erased: 0,
            signed,
            done: 0,
            tiles: Tiles::default(),
            newest: HashMap::new(),
            untold: BTreeMap::new(),
            messages: Some(ChatMessageId(0)),
        }))
    }

    /// Verifies the logs of all applications, and answers the first flaw of each that has one, with the application's id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn check_logs(&self) -> Result<Vec<(String, Flaw)>, Error> {
        let mut flaws = Vec::new();
        for application in self.list_applications().await? {
            let flaw = match self.verify_log(&application, None).await? {
                Ok(verification) => verification.first_flaw().await?,
                Err(flaw) => Some(flaw),
            };
            flaws.extend(flaw.map(|flaw| (application.id, flaw)));
        }
        Ok(flaws)
    }
}

impl LogVerification<'_> {
    /// Verifies the next part, and answers how many entries are done; `None` when all is good.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next(&mut self) -> Result<Option<Result<u64, Flaw>>, Error> {
        if self.done < self.head.size {
            return Ok(Some(self.next_entries().await?));
        }
        match self.messages {
            Some(after) => Ok(Some(self.next_messages(after).await?)),
            None => Ok(self.end().await?.map(Err)),
        }
    }

    /// Verifies all that is left.
    async fn first_flaw(mut self) -> Result<Option<Flaw>, Error> {
        while let Some(part) = self.next().await? {
            if let Err(flaw) = part {
                return Ok(Some(flaw));
            }
        }
        Ok(None)
    }

    async fn next_entries(&mut self) -> Result<Result<u64, Flaw>, Error> {
        // A part ends where the signed tree ends, to see its root.
        let ends = [self.head.size, self.signed.map_or(u64::MAX, |signed| signed.size), self.done + PART];
        let end = ends.into_iter().filter(|end| *end > self.done).min().unwrap_or(self.head.size);
        let mut connection = self.app.connection().await?;
        let limit = i64::try_from(end - self.done).map_err(Error::internal)?;
        let rows = storage::log_row::list(&mut connection, self.application.key, self.done, limit).await?;
        drop(connection);
        let leaves = match self.leaves(rows, end) {
            Ok(leaves) => leaves,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let changed = self.tiles.append(self.done, &leaves).map_err(Error::log_corrupt)?;
        self.done = end;
        if let Some(signed) = self.signed.filter(|signed| signed.size == end)
            && self.tiles.root(end) != Ok(signed.root)
        {
            return Ok(Err(Flaw::OtherRoot { size: end }));
        }
        // Tiles at the edge are compared at the end, when they are as wide as they will be.
        let full = changed.into_iter().filter(|id| tile_width(end, *id) == TILE_WIDTH).collect();
        Ok(self.compare(full).await?.map_or(Ok(end), Err))
    }

    /// The hashes of entries that follow those that are done, each made again from its row.
    fn leaves(&mut self, rows: Vec<LeafRow>, end: u64) -> Result<Vec<Hash>, Flaw> {
        let mut leaves = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter();
        for index in self.done..end {
            let row = rows.next().filter(|row| row.leaf.index == index).ok_or(Flaw::NoLeaf { index })?;
            leaves.push(self.leaf(index, row)?);
        }
        Ok(leaves)
    }

    fn leaf(&mut self, index: u64, LeafRow { leaf, act, has_tombstone }: LeafRow) -> Result<Hash, Flaw> {
        let act = act.ok_or(Flaw::NoRow { index, act: leaf.act })?;
        match (leaf.salt, &act) {
            (Some(salt), _) => {
                let previous = act.chain().and_then(|chain| self.newest.get(&chain));
                let record = Record::of(&self.application.id, &act, previous);
                if (Opening { salt, record }).entry() != leaf.entry {
                    return Err(Flaw::OtherRow { index, act: leaf.act });
                }
            }
            (None, Act::Deletion(log)) if log.erase_time.is_some() => {
                self.untold.insert(index, remains(index, log));
                self.erased += 1;
            }
            (None, _) => return Err(Flaw::OtherRow { index, act: leaf.act }),
        }
        if matches!(act, Act::Deletion(_)) && !has_tombstone {
            return Err(Flaw::NoTombstone { index, act: leaf.act });
        }
        if let Act::Erasure(erasure) = &act {
            self.tell(erasure)?;
        }
        self.newest.extend(act.chain().map(|chain| (chain, leaf.entry)));
        Ok(leaf.entry.leaf_hash())
    }

    /// Takes an erasure's word for the entries that it names, if it is true.
    fn tell(&mut self, erasure: &Erasure) -> Result<(), Flaw> {
        let act = ActId::Erasure(erasure.id);
        let mut digest = Sha256::new();
        for index in &erasure.leaf_indexes {
            digest.update(self.untold.remove(index).ok_or(Flaw::NotErased { index: *index, act })?);
        }
        let mut ends = erasure.leaf_indexes.iter().copied();
        let (first, last) = (ends.next().unwrap_or_default(), ends.next_back());
        match digest.finalize()[..] == erasure.remains_digest {
            true => Ok(()),
            false => Err(Flaw::OtherRemains { act, first, last: last.unwrap_or(first) }),
        }
    }

    async fn next_messages(&mut self, after: ChatMessageId) -> Result<Result<u64, Flaw>, Error> {
        let mut connection = self.app.connection().await?;
        let (last, unlogged) = storage::log_row::find_unlogged(&mut connection, self.application.key, after, MESSAGES).await?;
        self.messages = last;
        Ok(unlogged.map_or(Ok(self.done), |(ticket_id, id)| Err(Flaw::NoLog { ticket_id, id })))
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
        // Erasures that wait, and those that came since this began: of entries that were read before they tell nothing.
        for erasure in storage::log_erasure::after(&mut connection, self.application.key, size).await? {
            if erasure.leaf_indexes.iter().all(|index| self.untold.contains_key(index)) {
                if let Err(flaw) = self.tell(&erasure) {
                    return Ok(Some(flaw));
                }
            } else {
                self.untold.retain(|index, _| erasure.leaf_indexes.binary_search(index).is_err());
            }
        }
        if let Some((index, _)) = self.untold.first_key_value() {
            return Ok(Some(Flaw::ErasedWithoutTrace { index: *index }));
        }
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
