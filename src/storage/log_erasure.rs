//! Erasing old entries of the deletion log, and what tells of it. The one statement that erases is a function of the database, so that a role
//! that may not change the log may do this to it: `migrations/0012_erasing_the_log.sql`.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::deletion_log::Position;
use crate::domain::erasure::{Erasure, ErasureCause};
use crate::domain::ids::{ApplicationKey, DeletionLogId, ErasureId};
use crate::error::Error;
use crate::storage::log_tree::bytes_32;
use crate::storage::{Instrument, from_sqlx, known, named};

/// What a step of erasing came to.
#[derive(Debug, Clone, Copy)]
pub struct Erased {
    /// How many entries were erased.
    pub count: u64,
    /// The last entry that was looked at; `None` when there was none.
    pub last: Option<Position>,
}

/// Looks at the next entries after a place, oldest first, and erases those that may be: of deletions before `older_than`, at least 30 days
/// old by the database's clock, in the tree, and in tickets under no legal hold.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn erase(
    connection: &mut PgConnection,
    application: ApplicationKey,
    older_than: DateTime<Utc>,
    now: DateTime<Utc>,
    cause: ErasureCause,
    after: Option<Position>,
    limit: i32,
) -> Result<Erased, Error> {
    let row = sqlx::query!(
        r#"
        select erased as "erased!", last_time, last_id
        from erase_deletion_logs($1, $2, $3, $4, $5, $6, $7)
        "#,
        application.0,
        older_than,
        now,
        cause.as_str(),
        after.map(|after| after.delete_time),
        after.map(|after| after.id.0),
        limit,
    )
    .fetch_one(connection)
    .instrument(named("log_erasure.erase"))
    .await
    .map_err(from_sqlx)?;
    let last = row.last_time.zip(row.last_id).map(|(delete_time, id)| Position { delete_time, id: DeletionLogId(id) });
    Ok(Erased { count: u64::try_from(row.erased).map_err(Error::internal)?, last })
}

/// Reads an erasure.
///
/// # Errors
/// When the database is away.
pub async fn find(connection: &mut PgConnection, application: ApplicationKey, id: ErasureId) -> Result<Option<Erasure>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, erase_time, older_than, cause, leaf_indexes, remains_digest
        from log_erasures
        where application_key = $1 and id = $2
        "#,
        application.0,
        id.0,
    )
    .fetch_optional(connection)
    .instrument(named("log_erasure.find"))
    .await
    .map_err(from_sqlx)?;
    row.map(Row::erasure).transpose()
}

/// Lists erasures, oldest first: at most `limit` of those after the id `after`.
///
/// # Errors
/// When the database is away.
pub async fn list(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: ErasureId,
    limit: i64,
) -> Result<Vec<Erasure>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, erase_time, older_than, cause, leaf_indexes, remains_digest
        from log_erasures
        where application_key = $1 and id > $2
        order by id
        limit $3
        "#,
        application.0,
        after.0,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("log_erasure.list"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::erasure).collect()
}

/// Reads the erasures that are not among the first `size` entries of the tree.
///
/// # Errors
/// When the database is away.
pub async fn after(connection: &mut PgConnection, application: ApplicationKey, size: u64) -> Result<Vec<Erasure>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select e.id, e.erase_time, e.older_than, e.cause, e.leaf_indexes, e.remains_digest
        from log_erasures e
        where e.application_key = $1
            and not exists (
                select
                from log_leaves leaf
                where leaf.application_key = $1 and leaf.erasure_id = e.id and leaf.leaf_index < $2
            )
        order by e.id
        "#,
        application.0,
        i64::try_from(size).map_err(Error::internal)?,
    )
    .fetch_all(connection)
    .instrument(named("log_erasure.after"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::erasure).collect()
}

pub(super) struct Row {
    pub(super) id: i64,
    pub(super) erase_time: DateTime<Utc>,
    pub(super) older_than: DateTime<Utc>,
    pub(super) cause: String,
    pub(super) leaf_indexes: Vec<i64>,
    pub(super) remains_digest: Vec<u8>,
}

impl Row {
    pub(super) fn erasure(self) -> Result<Erasure, Error> {
        let indexes: Result<Vec<u64>, _> = self.leaf_indexes.into_iter().map(u64::try_from).collect();
        Ok(Erasure {
            id: ErasureId(self.id),
            erase_time: self.erase_time,
            older_than: self.older_than,
            cause: known(&ErasureCause::ALL, ErasureCause::as_str, "cause", &self.cause)?,
            leaf_indexes: indexes.map_err(Error::internal)?,
            remains_digest: bytes_32("remains_digest", &self.remains_digest)?,
        })
    }
}
