//! Proofs out of the log's trees. What is answered has been checked: a damaged tree proves nothing rather than something wrong.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::ids::{ApplicationKey, DeletionLogId, TicketId};
use crate::domain::proof::Hash;
use crate::domain::proof::act::ActId;
use crate::domain::proof::checkpoint;
use crate::domain::proof::entry::Entry;
use crate::domain::proof::growth::Leaf;
use crate::domain::proof::tile::{TILE_WIDTH, TilePath, tile_width};
use crate::domain::proof::tree::{
    Head, check_consistency, check_inclusion, tiles_of_consistency, tiles_of_inclusion, tiles_of_root,
};
use crate::domain::violation::{FieldViolation, Rule};
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;

/// How many bytes a hash has.
const HASH_BYTES: usize = 32;

/// The proof that an entry is in a tree.
#[derive(Debug)]
pub struct InclusionProof {
    /// The entry's place in the tree.
    pub index: u64,
    /// How many entries the tree has.
    pub tree_size: u64,
    /// The entry.
    pub entry: Entry,
    /// The hashes from the leaf's sibling up.
    pub hashes: Vec<Hash>,
}

/// The proof that a tree begins with another.
#[derive(Debug)]
pub struct ConsistencyProof {
    /// How many entries the greater tree has.
    pub new_tree_size: u64,
    /// The hashes of the proof.
    pub hashes: Vec<Hash>,
}

/// A checkpoint as it was published, with the head that it signs.
#[derive(Debug)]
pub struct Checkpoint {
    /// The signed text.
    pub text: String,
    /// The head.
    pub head: Head,
}

impl App {
    /// Reads the newest checkpoint.
    ///
    /// # Errors
    /// [`Error::LogNotSigned`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_checkpoint(&self, caller: &Caller) -> Result<Checkpoint, Error> {
        self.log_checkpoint(caller.application).await
    }

    /// Reads the newest checkpoint of an application's log, for who may see its tree.
    ///
    /// # Errors
    /// [`Error::LogNotSigned`]; when the database is away.
    pub async fn log_checkpoint(&self, application: ApplicationKey) -> Result<Checkpoint, Error> {
        newest(&mut *self.connection().await?, application).await
    }

    /// Reads a tile of an application's signed tree, or a bundle of its entries, as C2SP tlog-tiles has them; `None` where the tree has
    /// not as many.
    ///
    /// # Errors
    /// [`Error::LogNotSigned`]; when the database is away.
    pub async fn log_tile(&self, application: ApplicationKey, path: TilePath) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.connection().await?;
        let signed = newest(&mut connection, application).await?.head;
        if path.width > tile_width(signed.size, path.id) {
            return Ok(None);
        }
        if !path.entries {
            let tiles = storage::log_tree::tiles(&mut connection, application, &BTreeSet::from([path.id])).await?;
            return Ok(tiles.get(path.id).and_then(|hashes| hashes.get(..path.width * HASH_BYTES)).map(<[u8]>::to_vec));
        }
        let limit = i64::try_from(path.width).map_err(Error::internal)?;
        let entries = storage::log_tree::entries(&mut connection, application, path.id.index * TILE_WIDTH as u64, limit).await?;
        // Each led by its length in two bytes.
        Ok((entries.len() == path.width).then(|| entries.iter().flat_map(|entry| [0, 32].into_iter().chain(entry.0)).collect()))
    }

    /// Proves that a deletion is in the tree of the given size, or of the newest checkpoint's.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a tree that has not the entry or is not signed yet, [`Error::DeletionLogNotFound`],
    /// [`Error::ReceiptNotReady`], [`Error::LogNotSigned`], [`Error::LogCorrupt`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_inclusion_proof(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        id: DeletionLogId,
        tree_size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let mut connection = self.connection().await?;
        let (leaf, checkpoint) = signed_deletion(&mut connection, caller.application, ticket_id, id).await?;
        let tree_size = between("tree_size", tree_size, leaf.index + 1, checkpoint.head.size)?;
        let hashes = included(&mut connection, caller.application, &leaf, tree_size, checkpoint.head).await?;
        Ok(InclusionProof { index: leaf.index, tree_size, entry: leaf.entry, hashes })
    }

    /// Proves that the tree of the given size, or of the newest checkpoint's, begins with a smaller one.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for trees that are not signed yet, [`Error::LogNotSigned`], [`Error::LogCorrupt`]; when the database is
    /// away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_consistency_proof(
        &self,
        caller: &Caller,
        old_tree_size: u64,
        new_tree_size: Option<u64>,
    ) -> Result<ConsistencyProof, Error> {
        let mut connection = self.connection().await?;
        let signed = newest(&mut connection, caller.application).await?.head;
        let new = between("new_tree_size", new_tree_size, 0, signed.size)?;
        let old = between("old_tree_size", Some(old_tree_size), 0, new)?;
        let mut needed = tiles_of_consistency(old, new);
        needed.extend(tiles_of_root(old).into_iter().chain(tiles_of_root(new)).chain(tiles_of_consistency(new, signed.size)));
        let tiles = storage::log_tree::tiles(&mut connection, caller.application, &needed).await?;
        let proved = || {
            let head = |size| Ok(Head { size, root: tiles.root(size)? });
            let (old, new) = (head(old)?, head(new)?);
            check_consistency(&tiles.consistency(new.size, signed.size)?, signed, new)?;
            let hashes = tiles.consistency(old.size, new.size)?;
            check_consistency(&hashes, new, old)?;
            Ok(ConsistencyProof { new_tree_size: new.size, hashes })
        };
        proved().map_err(Error::log_corrupt)
    }
}

async fn newest(connection: &mut PgConnection, application: ApplicationKey) -> Result<Checkpoint, Error> {
    let text = storage::log_tree::checkpoint(connection, application).await?.ok_or(Error::LogNotSigned)?;
    let head = checkpoint::head_of(&text).map_err(Error::log_corrupt)?;
    Ok(Checkpoint { text, head })
}

/// The entry of a deletion, and the newest checkpoint, which covers it.
async fn signed_deletion(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    id: DeletionLogId,
) -> Result<(Leaf, Checkpoint), Error> {
    match signed_leaf(connection, application, ActId::Deletion(ticket_id, id)).await? {
        Some(signed) => Ok(signed),
        None if storage::deletion_log::find(connection, application, ticket_id, id).await?.is_none() => {
            Err(Error::DeletionLogNotFound { ticket_id, id })
        }
        None => Err(Error::ReceiptNotReady { ticket_id: Some(ticket_id), id: id.0 }),
    }
}

/// The entry of an act, and the newest checkpoint, where that covers it.
pub(super) async fn signed_leaf(
    connection: &mut PgConnection,
    application: ApplicationKey,
    act: ActId,
) -> Result<Option<(Leaf, Checkpoint)>, Error> {
    let Some(leaf) = storage::log_tree::find_leaf(connection, application, act).await? else { return Ok(None) };
    let checkpoint = newest(connection, application).await?;
    Ok((leaf.index < checkpoint.head.size).then_some((leaf, checkpoint)))
}

/// Proves that the entry is in the tree of a size up to the signed one.
pub(super) async fn included(
    connection: &mut PgConnection,
    application: ApplicationKey,
    leaf: &Leaf,
    size: u64,
    signed: Head,
) -> Result<Vec<Hash>, Error> {
    let mut needed = tiles_of_inclusion(size, leaf.index);
    needed.extend(tiles_of_root(size).into_iter().chain(tiles_of_consistency(size, signed.size)));
    let tiles = storage::log_tree::tiles(connection, application, &needed).await?;
    let proved = || {
        let head = Head { size, root: tiles.root(size)? };
        check_consistency(&tiles.consistency(size, signed.size)?, signed, head)?;
        let hashes = tiles.inclusion(size, leaf.index)?;
        check_inclusion(&hashes, head, leaf.index, leaf.entry.leaf_hash())?;
        Ok(hashes)
    };
    proved().map_err(Error::log_corrupt)
}

/// Takes the size of a tree; absent is the greatest.
fn between(field: &'static str, size: Option<u64>, min: u64, max: u64) -> Result<u64, Error> {
    match size {
        None => Ok(max),
        Some(size) if (min..=max).contains(&size) => Ok(size),
        Some(_) => {
            let end = |number| i64::try_from(number).unwrap_or(i64::MAX);
            Err(Error::InvalidFields(vec![FieldViolation::new(field, Rule::Between { min: end(min), max: end(max) })]))
        }
    }
}
