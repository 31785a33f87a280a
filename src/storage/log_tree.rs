//! The log's trees as they are read, and the checkpoints of their heads.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::domain::ids::{ApplicationKey, DeletionLogId, ErasureId, HoldEventId, TicketId};
use crate::domain::proof::Hash;
use crate::domain::proof::act::{Act, ActId};
use crate::domain::proof::entry::Entry;
use crate::domain::proof::growth::Leaf;
use crate::domain::proof::tile::TileId;
use crate::domain::proof::tree::{Head, Tiles};
use crate::error::Error;
use crate::storage::{Inconsistent, Instrument, from_sqlx, named, required};

/// The head of an application's tree.
///
/// # Errors
/// When the database is away.
pub async fn head(connection: &mut PgConnection, application: ApplicationKey) -> Result<Head, Error> {
    let row = sqlx::query!(r#"select size, root from log_heads where application_key = $1"#, application.0)
        .fetch_one(connection)
        .instrument(named("log_tree.head"))
        .await
        .map_err(from_sqlx)?;
    head_of(row.size, &row.root)
}

/// The newest checkpoint of an application's tree; `None` until one is signed.
///
/// # Errors
/// When the database is away.
pub async fn checkpoint(connection: &mut PgConnection, application: ApplicationKey) -> Result<Option<String>, Error> {
    let checkpoint = sqlx::query_scalar!(r#"select checkpoint from log_heads where application_key = $1"#, application.0);
    Ok(checkpoint.fetch_optional(connection).instrument(named("log_tree.checkpoint")).await.map_err(from_sqlx)?.flatten())
}

/// A head that the key has not signed yet.
#[derive(Debug)]
pub struct Unsigned {
    /// The application's internal key.
    pub application: ApplicationKey,
    /// Its public id.
    pub application_id: String,
    /// The head to sign.
    pub head: Head,
    /// The last checkpoint by the same key.
    pub checkpoint: Option<String>,
}

/// The heads that this key has not signed yet.
///
/// # Errors
/// When the database is away.
pub async fn unsigned(connection: &mut PgConnection, key: &str) -> Result<Vec<Unsigned>, Error> {
    let rows = sqlx::query!(
        r#"
        select h.application_key, a.id, h.size, h.root,
            case when h.signed_by = $1 then h.checkpoint end as checkpoint
        from log_heads h
        join applications a on a.key = h.application_key
        where h.signed_size is distinct from h.size or h.signed_by is distinct from $1
        "#,
        key,
    )
    .fetch_all(connection)
    .instrument(named("log_tree.unsigned"))
    .await
    .map_err(from_sqlx)?;
    let unsigned = rows.into_iter().map(|row| {
        Ok(Unsigned {
            application: ApplicationKey(row.application_key),
            application_id: row.id,
            head: head_of(row.size, &row.root)?,
            checkpoint: row.checkpoint,
        })
    });
    unsigned.collect()
}

/// Publishes the checkpoint of a head, unless one of a later head is there.
///
/// # Errors
/// When the database is away.
pub async fn publish(
    connection: &mut PgConnection,
    application: ApplicationKey,
    key: &str,
    size: u64,
    checkpoint: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"
        update log_heads
        set signed_size = $3, signed_by = $2, checkpoint = $4
        where application_key = $1 and (signed_size is null or signed_size < $3 or signed_by <> $2)
        "#,
        application.0,
        key,
        i64::try_from(size).map_err(Error::internal)?,
        checkpoint,
    )
    .execute(connection)
    .instrument(named("log_tree.publish"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Reads tiles. Those that are not there are left out.
///
/// # Errors
/// When the database is away.
pub async fn tiles(connection: &mut PgConnection, application: ApplicationKey, ids: &BTreeSet<TileId>) -> Result<Tiles, Error> {
    let mut tiles = Tiles::default();
    if ids.is_empty() {
        return Ok(tiles);
    }
    let levels: Vec<i16> = ids.iter().map(|id| i16::from(id.level)).collect();
    let indexes = ids.iter().map(|id| i64::try_from(id.index).map_err(Error::internal)).collect::<Result<Vec<i64>, Error>>()?;
    let rows = sqlx::query!(
        r#"
        select t.level, t.tile_index, t.hashes
        from unnest($2::smallint[], $3::bigint[]) as asked (level, tile_index)
        join log_tiles t on t.application_key = $1 and t.level = asked.level and t.tile_index = asked.tile_index
        "#,
        application.0,
        &levels,
        &indexes,
    )
    .fetch_all(connection)
    .instrument(named("log_tree.tiles"))
    .await
    .map_err(from_sqlx)?;
    for row in rows {
        let level = u8::try_from(row.level).map_err(Error::internal)?;
        tiles.insert(TileId { level, index: size_of(row.tile_index)? }, row.hashes);
    }
    Ok(tiles)
}

/// Finds the entry of an act; `None` while it waits.
///
/// # Errors
/// When the database is away.
pub async fn find_leaf(connection: &mut PgConnection, application: ApplicationKey, act: ActId) -> Result<Option<Leaf>, Error> {
    let ActColumns { ticket_id, deletion_log_id, hold_id, erasure_id } = ActColumns::of(act);
    let row = sqlx::query_as!(
        Row,
        r#"
        select leaf_index, ticket_id, deletion_log_id, hold_id, erasure_id, entry, salt
        from log_leaves
        where application_key = $1 and (ticket_id = $2 and deletion_log_id = $3 or hold_id = $4 or erasure_id = $5)
        "#,
        application.0,
        ticket_id,
        deletion_log_id,
        hold_id,
        erasure_id,
    )
    .fetch_optional(connection)
    .instrument(named("log_tree.find_leaf"))
    .await
    .map_err(from_sqlx)?;
    row.map(Row::leaf).transpose()
}

/// Finds the entry of the act before one in its chain.
///
/// # Errors
/// When the database is away.
pub async fn find_previous(connection: &mut PgConnection, application: ApplicationKey, act: &Act) -> Result<Option<Entry>, Error> {
    let entry = match act {
        Act::Deletion(log) => sqlx::query_scalar!(
            r#"
            select leaf.entry
            from log_leaves leaf
            where leaf.application_key = $1
                and leaf.deletion_log_id = (
                    select before.id
                    from deletion_logs before
                    where before.application_key = $1 and before.ticket_id = $2 and before.id < $3
                    order by before.id desc
                    limit 1
                )
            "#,
            application.0,
            log.ticket_id.0,
            log.id.0,
        )
        .fetch_optional(connection),
        Act::Erasure(_) => return Ok(None),
        Act::Hold(event) => sqlx::query_scalar!(
            r#"
            select leaf.entry
            from holds before
            join log_leaves leaf on leaf.application_key = $1 and leaf.hold_id = before.id
            where before.application_key = $1 and before.ticket_id = $2 and before.id < $3
            order by before.id desc
            limit 1
            "#,
            application.0,
            event.ticket_id.0,
            event.id.0,
        )
        .fetch_optional(connection),
    };
    let entry = entry.instrument(named("log_tree.find_previous")).await.map_err(from_sqlx)?;
    entry.map(|entry| bytes_32("entry", &entry).map(Entry)).transpose()
}

/// Reads entries in their order, from a place on.
///
/// # Errors
/// When the database is away.
pub async fn entries(
    connection: &mut PgConnection,
    application: ApplicationKey,
    from: u64,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let entries = sqlx::query_scalar!(
        r#"
        select entry
        from log_leaves
        where application_key = $1 and leaf_index >= $2
        order by leaf_index
        limit $3
        "#,
        application.0,
        i64::try_from(from).map_err(Error::internal)?,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("log_tree.entries"))
    .await
    .map_err(from_sqlx)?;
    entries.into_iter().map(|entry| bytes_32("entry", &entry).map(Entry)).collect()
}

/// An act as the columns of an entry name it.
#[expect(clippy::struct_field_names, reason = "they are named as the columns")]
pub(super) struct ActColumns {
    pub(super) ticket_id: Option<i64>,
    pub(super) deletion_log_id: Option<i64>,
    pub(super) hold_id: Option<i64>,
    pub(super) erasure_id: Option<i64>,
}

impl ActColumns {
    pub(super) fn of(act: ActId) -> Self {
        let none = Self { ticket_id: None, deletion_log_id: None, hold_id: None, erasure_id: None };
        match act {
            ActId::Deletion(ticket_id, id) => Self { ticket_id: Some(ticket_id.0), deletion_log_id: Some(id.0), ..none },
            ActId::Hold(id) => Self { hold_id: Some(id.0), ..none },
            ActId::Erasure(id) => Self { erasure_id: Some(id.0), ..none },
        }
    }
}

pub(super) struct Row {
    pub(super) leaf_index: i64,
    pub(super) ticket_id: Option<i64>,
    pub(super) deletion_log_id: Option<i64>,
    pub(super) hold_id: Option<i64>,
    pub(super) erasure_id: Option<i64>,
    pub(super) entry: Vec<u8>,
    pub(super) salt: Option<Vec<u8>>,
}

impl Row {
    pub(super) fn leaf(self) -> Result<Leaf, Error> {
        let act = match (self.ticket_id.zip(self.deletion_log_id), self.hold_id, self.erasure_id) {
            (Some((ticket_id, id)), _, _) => ActId::Deletion(TicketId(ticket_id), DeletionLogId(id)),
            (None, Some(id), _) => ActId::Hold(HoldEventId(id)),
            (None, None, id) => ActId::Erasure(ErasureId(required("erasure_id", id)?)),
        };
        Ok(Leaf {
            index: size_of(self.leaf_index)?,
            act,
            entry: Entry(bytes_32("entry", &self.entry)?),
            salt: self.salt.map(|salt| bytes_32("salt", &salt)).transpose()?,
        })
    }
}

fn head_of(size: i64, root: &[u8]) -> Result<Head, Error> {
    Ok(Head { size: size_of(size)?, root: Hash(bytes_32("root", root)?) })
}

fn size_of(size: i64) -> Result<u64, Error> {
    u64::try_from(size).map_err(Error::internal)
}

pub(super) fn bytes_32(column: &'static str, bytes: &[u8]) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| Error::internal(Inconsistent { column, value: format!("{} bytes", bytes.len()) }))
}
