//! How a tree grows: pending acts become entries, each naming the one before it in its ticket.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::domain::proof::act::{Act, ActId, Chain};
use crate::domain::proof::entry::{Entry, Opening};
use crate::domain::proof::record::Record;
use crate::domain::proof::tile::TileId;
use crate::domain::proof::tree::{Head, Tiles};
use crate::domain::proof::{Hash, ProofError};

/// An act that no tree holds yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// What was done.
    pub act: Act,
    /// The tree's entry of the newest act in the same chain that the tree holds.
    pub previous: Option<Entry>,
}

/// An entry of a tree, with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The place in the tree, from 0 up.
    pub index: u64,
    /// What it stands for.
    pub act: ActId,
    /// The tree's entry.
    pub entry: Entry,
    /// What the entry is salted with; `None` once it is erased.
    pub salt: Option<[u8; 32]>,
}

/// What a tree becomes.
#[derive(Debug)]
pub struct Growth {
    /// The new entries.
    pub leaves: Vec<Leaf>,
    /// When the deletions among them were.
    pub delete_times: Vec<DateTime<Utc>>,
    /// The tiles that are new or have grown.
    pub tiles: Vec<(TileId, Vec<u8>)>,
    /// The new head.
    pub head: Head,
}

/// Appends acts in their order: within a ticket that is the order in which they were done. `edge` holds [`super::tree::tiles_of_root`] of
/// the old tree.
///
/// # Errors
/// [`ProofError::OtherRoot`], [`ProofError::TileMissing`] when the tiles are not those of the old head.
pub fn grow(application: &str, old: Head, mut edge: Tiles, pending: Vec<Pending>) -> Result<Growth, ProofError> {
    if edge.root(old.size)? != old.root {
        return Err(ProofError::OtherRoot { size: old.size });
    }
    let mut newest: HashMap<Chain, Entry> = HashMap::new();
    let mut leaves = Vec::with_capacity(pending.len());
    let mut delete_times = Vec::with_capacity(pending.len());
    for (Pending { act, previous }, index) in pending.into_iter().zip(old.size..) {
        let previous = act.chain().and_then(|chain| newest.get(&chain).copied()).or(previous);
        let opening = Opening::of(Record::of(application, &act, previous.as_ref()));
        let entry = opening.entry();
        newest.extend(act.chain().map(|chain| (chain, entry)));
        leaves.push(Leaf { index, act: act.id(), entry, salt: Some(opening.salt) });
        if let Act::Deletion(log) = act {
            delete_times.push(log.delete_time);
        }
    }
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf.entry.leaf_hash()).collect();
    let changed = edge.append(old.size, &hashes)?;
    let size = old.size + hashes.len() as u64;
    let head = Head { size, root: edge.root(size)? };
    let tiles = changed.into_iter().filter_map(|id| edge.get(id).map(|hashes| (id, hashes.to_vec()))).collect();
    Ok(Growth { leaves, delete_times, tiles, head })
}
