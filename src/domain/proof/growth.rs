//! How a tree grows: pending deletions become entries, each naming the one before it in its ticket.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::{DeletionLogId, TicketId};
use crate::domain::proof::entry::{Entry, Opening};
use crate::domain::proof::record::Record;
use crate::domain::proof::tile::TileId;
use crate::domain::proof::tree::{Head, Tiles};
use crate::domain::proof::{Hash, ProofError};

/// A deletion that no tree holds yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The log's entry.
    pub log: DeletionLog,
    /// The tree's entry of the newest deletion in the same ticket that the tree holds.
    pub previous: Option<Entry>,
}

/// An entry of a tree, with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The place in the tree, from 0 up.
    pub index: u64,
    /// The ticket of the deletion.
    pub ticket_id: TicketId,
    /// The log's entry.
    pub deletion_log_id: DeletionLogId,
    /// The tree's entry.
    pub entry: Entry,
    /// What the entry is salted with.
    pub salt: [u8; 32],
}

/// What a tree becomes.
#[derive(Debug)]
pub struct Growth {
    /// The new entries.
    pub leaves: Vec<Leaf>,
    /// When their deletions were.
    pub delete_times: Vec<DateTime<Utc>>,
    /// The tiles that are new or have grown.
    pub tiles: Vec<(TileId, Vec<u8>)>,
    /// The new head.
    pub head: Head,
}

/// Appends deletions, which come in the order of their ids: within a ticket that is the order in which they were done. `edge` holds
/// [`super::tree::tiles_of_root`] of the old tree.
///
/// # Errors
/// [`ProofError::OtherRoot`], [`ProofError::TileMissing`] when the tiles are not those of the old head.
pub fn grow(application: &str, old: Head, mut edge: Tiles, pending: Vec<Pending>) -> Result<Growth, ProofError> {
    if edge.root(old.size)? != old.root {
        return Err(ProofError::OtherRoot { size: old.size });
    }
    let mut newest: HashMap<TicketId, Entry> = HashMap::new();
    let mut leaves = Vec::with_capacity(pending.len());
    let delete_times = pending.iter().map(|pending| pending.log.delete_time).collect();
    for (Pending { log, previous }, index) in pending.into_iter().zip(old.size..) {
        let previous = newest.get(&log.ticket_id).copied().or(previous);
        let opening = Opening::of(Record::of_deletion(application, &log, previous.as_ref()));
        let entry = opening.entry();
        newest.insert(log.ticket_id, entry);
        leaves.push(Leaf { index, ticket_id: log.ticket_id, deletion_log_id: log.id, entry, salt: opening.salt });
    }
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf.entry.leaf_hash()).collect();
    let changed = edge.append(old.size, &hashes)?;
    let size = old.size + hashes.len() as u64;
    let head = Head { size, root: edge.root(size)? };
    let tiles = changed.into_iter().filter_map(|id| edge.get(id).map(|hashes| (id, hashes.to_vec()))).collect();
    Ok(Growth { leaves, delete_times, tiles, head })
}
