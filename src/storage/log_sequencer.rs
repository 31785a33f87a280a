//! Growing the log's trees: who does it, what waits for it, and the writes of it. All in one transaction, but for the look at what there
//! is to do.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::ids::ApplicationKey;
use crate::domain::proof::entry::Entry;
use crate::domain::proof::growth::{Growth, Pending};
use crate::domain::proof::tree::Head;
use crate::error::Error;
use crate::storage::log_tree::bytes_32;
use crate::storage::{deletion_log, from_sqlx};

/// What there is to do, and whether this process may.
#[derive(Debug, Clone, Copy)]
pub struct Todo {
    /// Deletions wait to become entries.
    pub pending: bool,
    /// Nobody else grows the trees at present.
    pub free: bool,
    /// Heads wait to be signed by the given key.
    pub unsigned: bool,
}

/// Looks at what there is to do. Without a key no head waits.
///
/// # Errors
/// When the database is away.
pub async fn todo(connection: &mut PgConnection, holder: &str, key: Option<&str>) -> Result<Todo, Error> {
    sqlx::query_as!(
        Todo,
        r#"
        select exists (select from pending_leaves) as "pending!",
            s.holder = $1 or s.expire_time < clock_timestamp() as "free!",
            $2::text is not null
                and exists (select from log_heads where signed_size is distinct from size or signed_by is distinct from $2)
                as "unsigned!"
        from log_sequencer s
        "#,
        holder,
        key,
    )
    .fetch_one(connection)
    .await
    .map_err(from_sqlx)
}

/// Takes or keeps the place of the one who grows the trees, until the transaction ends and for some seconds after; `None` when another
/// one has it. Answers the fence.
///
/// # Errors
/// When the database is away.
pub async fn hold(connection: &mut PgConnection, holder: &str, seconds: f64) -> Result<Option<i64>, Error> {
    // A holder that stands still in the middle must not stop the others for good.
    sqlx::query!("set local idle_in_transaction_session_timeout = '10s'").execute(&mut *connection).await.map_err(from_sqlx)?;
    sqlx::query_scalar!(
        r#"
        update log_sequencer
        set holder = $1,
            fence = fence + case when holder = $1 then 0 else 1 end,
            expire_time = clock_timestamp() + make_interval(secs => $2)
        where only_row = (
            select only_row
            from log_sequencer
            where holder = $1 or expire_time < clock_timestamp()
            for no key update skip locked
        )
        returning fence
        "#,
        holder,
        seconds,
    )
    .fetch_optional(connection)
    .await
    .map_err(from_sqlx)
}

/// Gives the place up, so that another one need not wait.
///
/// # Errors
/// When the database is away.
pub async fn release(connection: &mut PgConnection, holder: &str) -> Result<(), Error> {
    sqlx::query!("update log_sequencer set expire_time = '-infinity' where holder = $1", holder)
        .execute(connection)
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// The applications with deletions that wait: their keys and public ids.
///
/// # Errors
/// When the database is away.
pub async fn waiting(connection: &mut PgConnection) -> Result<Vec<(ApplicationKey, String)>, Error> {
    let rows = sqlx::query!(
        r#"
        select a.key, a.id
        from applications a
        where exists (select from pending_leaves p where p.application_key = a.key)
        "#
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    Ok(rows.into_iter().map(|row| (ApplicationKey(row.key), row.id)).collect())
}

/// Takes an application's waiting deletions, the lowest ids first. A ticket's row is locked while its deletion is made, so that of two
/// in one ticket the lower id is never seen later.
///
/// # Errors
/// When the database is away.
pub async fn take(connection: &mut PgConnection, application: ApplicationKey, limit: i64) -> Result<Vec<Pending>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        with taken as (
            delete from pending_leaves
            where application_key = $1
                and deletion_log_id = any (
                    array(select deletion_log_id from pending_leaves where application_key = $1 order by deletion_log_id limit $2)
                )
            returning ticket_id, deletion_log_id
        )
        select l.id, l.ticket_id, l.chat_message_id, l.message_id, l.user_sendbird_id, l.user_type, l.create_time, l.delete_time,
            l.requested_from, l.requested_by as "requested_by: Json<Agent>", l.reason, l.reason_detail, l.token_id, l.content_digest,
            (
                select leaf.entry
                from log_leaves leaf
                where leaf.application_key = $1 and leaf.ticket_id = l.ticket_id
                order by leaf.deletion_log_id desc
                limit 1
            ) as previous
        from taken
        join deletion_logs l on l.application_key = $1 and l.ticket_id = taken.ticket_id and l.id = taken.deletion_log_id
        order by l.id
        "#,
        application.0,
        limit,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::pending).collect()
}

/// Writes what a tree has become, and counts its entries by time. The old head must still be the head, and no later fence may have been there.
///
/// # Errors
/// [`Error::WriteConflict`] when it is not; when the database is away.
pub async fn grow(
    connection: &mut PgConnection,
    application: ApplicationKey,
    fence: i64,
    old: Head,
    growth: &Growth,
) -> Result<(), Error> {
    let number = |number: u64| i64::try_from(number).map_err(Error::internal);
    let Growth { leaves, tiles, head, .. } = growth;
    let indexes = leaves.iter().map(|leaf| number(leaf.index)).collect::<Result<Vec<i64>, Error>>()?;
    let tile_indexes = tiles.iter().map(|(id, _)| number(id.index)).collect::<Result<Vec<i64>, Error>>()?;
    let grown = sqlx::query!(
        r#"
        with grown as (
            update log_heads
            set size = $2, root = $3, fence = $4
            where application_key = $1 and size = $5 and root = $6 and fence <= $4
            returning application_key
        ),
        leaves as (
            insert into log_leaves (application_key, leaf_index, ticket_id, deletion_log_id, entry, salt)
            select $1, leaf.*
            from unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[], $11::bytea[]) as leaf
            where exists (select from grown)
        ),
        tiles as (
            insert into log_tiles (application_key, level, tile_index, hashes)
            select $1, tile.*
            from unnest($12::smallint[], $13::bigint[], $14::bytea[]) as tile
            where exists (select from grown)
            on conflict (application_key, level, tile_index) do update set hashes = excluded.hashes
        ),
        counted as (
            insert into deletion_log_counts (application_key, unit, start_time, count)
            select $1, unit.name, date_trunc(unit.name, entry.delete_time, 'UTC'), count(*)
            from unnest(array['day', 'hour', 'minute', 'second']) as unit (name)
            cross join unnest($15::timestamptz[]) as entry (delete_time)
            where exists (select from grown)
            group by 2, 3
            on conflict (application_key, unit, start_time) do update set count = deletion_log_counts.count + excluded.count
        )
        select application_key from grown
        "#,
        application.0,
        number(head.size)?,
        head.root.0.as_slice(),
        fence,
        number(old.size)?,
        old.root.0.as_slice(),
        &indexes,
        &leaves.iter().map(|leaf| leaf.ticket_id.0).collect::<Vec<i64>>(),
        &leaves.iter().map(|leaf| leaf.deletion_log_id.0).collect::<Vec<i64>>(),
        &leaves.iter().map(|leaf| leaf.entry.0.to_vec()).collect::<Vec<_>>(),
        &leaves.iter().map(|leaf| leaf.salt.to_vec()).collect::<Vec<_>>(),
        &tiles.iter().map(|(id, _)| i16::from(id.level)).collect::<Vec<i16>>(),
        &tile_indexes,
        &tiles.iter().map(|(_, hashes)| hashes.clone()).collect::<Vec<_>>(),
        &growth.delete_times,
    )
    .fetch_optional(connection)
    .await
    .map_err(from_sqlx)?;
    grown.map(drop).ok_or(Error::WriteConflict)
}

struct Row {
    id: i64,
    ticket_id: i64,
    chat_message_id: i64,
    message_id: i64,
    user_sendbird_id: String,
    user_type: String,
    create_time: DateTime<Utc>,
    delete_time: DateTime<Utc>,
    requested_from: String,
    requested_by: Option<Json<Agent>>,
    reason: Option<String>,
    reason_detail: String,
    token_id: String,
    content_digest: Vec<u8>,
    previous: Option<Vec<u8>>,
}

impl Row {
    fn pending(self) -> Result<Pending, Error> {
        let previous = self.previous.as_deref().map(|entry| bytes_32("entry", entry).map(Entry)).transpose()?;
        let log = deletion_log::Row {
            id: self.id,
            ticket_id: self.ticket_id,
            chat_message_id: self.chat_message_id,
            message_id: self.message_id,
            user_sendbird_id: self.user_sendbird_id,
            user_type: self.user_type,
            create_time: self.create_time,
            delete_time: self.delete_time,
            requested_from: self.requested_from,
            requested_by: self.requested_by,
            reason: self.reason,
            reason_detail: self.reason_detail,
            token_id: self.token_id,
            content_digest: self.content_digest,
        };
        Ok(Pending { log: log.deletion_log()?, previous })
    }
}
