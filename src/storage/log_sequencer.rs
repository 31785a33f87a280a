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
use crate::storage::act_row::ActRow;
use crate::storage::log_tree::{ActColumns, bytes_32};
use crate::storage::{Inconsistent, Instrument, from_sqlx, named};

/// What there is to do, and whether this process may.
#[derive(Debug, Clone, Copy)]
pub struct Todo {
    /// Acts wait to become entries.
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
        select exists (select from pending_leaves) or exists (select from pending_acts) as "pending!",
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
    .instrument(named("log_sequencer.todo"))
    .await
    .map_err(from_sqlx)
}

/// How far trees and signatures are behind the deletions, of all applications.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Deletions, placings and releases of holds, and erasures that wait to become entries.
    pub pending: i64,
    /// When the first of them was made.
    pub oldest_time: Option<DateTime<Utc>>,
    /// Entries that no signed head covers.
    pub unsigned: i64,
}

/// Looks at how far trees and signatures are behind.
///
/// # Errors
/// When the database is away.
pub async fn backlog(connection: &mut PgConnection) -> Result<Backlog, Error> {
    sqlx::query_as!(
        Backlog,
        r#"
        select (select count(*) from pending_leaves) + (select count(*) from pending_acts) as "pending!",
            least(
                (select min(delete_time) from pending_leaves),
                (
                    select min(h.create_time)
                    from pending_acts p
                    join holds h on h.application_key = p.application_key and h.id = p.hold_id
                ),
                (
                    select min(e.erase_time)
                    from pending_acts p
                    join log_erasures e on e.application_key = p.application_key and e.id = p.erasure_id
                )
            ) as oldest_time,
            (select coalesce(sum(size - coalesce(signed_size, 0)), 0)::bigint from log_heads) as "unsigned!"
        "#
    )
    .fetch_one(connection)
    .instrument(named("log_sequencer.backlog"))
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
    sqlx::query!("set local idle_in_transaction_session_timeout = '10s'")
        .execute(&mut *connection)
        .instrument(named("log_sequencer.hold"))
        .await
        .map_err(from_sqlx)?;
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
    .instrument(named("log_sequencer.hold"))
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
        .instrument(named("log_sequencer.release"))
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// The applications with acts that wait: their keys and public ids.
///
/// # Errors
/// When the database is away.
pub async fn waiting(connection: &mut PgConnection) -> Result<Vec<(ApplicationKey, String)>, Error> {
    let rows = sqlx::query!(
        r#"
        select a.key, a.id
        from applications a
        where exists (select from pending_leaves p where p.application_key = a.key)
            or exists (select from pending_acts p where p.application_key = a.key)
        "#
    )
    .fetch_all(connection)
    .instrument(named("log_sequencer.waiting"))
    .await
    .map_err(from_sqlx)?;
    Ok(rows.into_iter().map(|row| (ApplicationKey(row.key), row.id)).collect())
}

/// Takes an application's waiting acts in their order. A ticket's row is locked while something is done in it and gets its number, and all
/// are looked for at one moment: so what is done later in a ticket is never seen earlier.
///
/// # Errors
/// When the database is away.
#[expect(clippy::too_many_lines, reason = "the statement is long, and is read best in one piece")]
pub async fn take(connection: &mut PgConnection, application: ApplicationKey, limit: i64) -> Result<Vec<Pending>, Error> {
    let rows = sqlx::query_as!(
        ActRow,
        r#"
        with waiting as materialized (
            (
                select deletion_log_id as number, ticket_id, deletion_log_id, null::bigint as hold_id, null::bigint as erasure_id
                from pending_leaves
                where application_key = $1
                order by deletion_log_id
                limit $2
            )
            union all
            (
                select number, null, null, hold_id, erasure_id
                from pending_acts
                where application_key = $1
                order by number
                limit $2
            )
            order by number
            limit $2
        ),
        taken_leaves as (
            delete from pending_leaves
            where application_key = $1 and deletion_log_id = any (array(select deletion_log_id from waiting))
        ),
        taken_acts as (
            delete from pending_acts
            where application_key = $1 and number = any (array(select number from waiting where deletion_log_id is null))
        )
        select null::bigint as leaf_index, null::bytea as entry, null::bytea as salt, waiting.ticket_id as leaf_ticket_id,
            waiting.deletion_log_id as leaf_deletion_log_id, waiting.hold_id as leaf_hold_id,
            waiting.erasure_id as leaf_erasure_id, l.id as "id?", l.ticket_id as "ticket_id?",
            l.chat_message_id as "chat_message_id?", l.message_id as "message_id?", l.user_sendbird_id as "user_sendbird_id?",
            l.user_type as "user_type?", l.create_time as "create_time?", l.delete_time as "delete_time?",
            l.requested_from as "requested_from?", l.requested_by as "requested_by: Json<Agent>", l.reason,
            l.reason_detail as "reason_detail?", l.token_id as "token_id?", l.content_digest as "content_digest?", l.erase_time,
            e.id as "erasure_id?", e.erase_time as "erasure_time?", e.older_than as "older_than?", e.cause as "cause?",
            e.leaf_indexes as "leaf_indexes?", e.remains_digest as "remains_digest?", h.id as "hold_id?",
            h.ticket_id as "hold_ticket_id?", h.action as "hold_action?", h.placed_id, h.create_time as "hold_time?",
            h.reason as "hold_reason?", h.requested_by as "hold_requested_by: Json<Agent>", h.token_id as "hold_token_id?",
            coalesce(
                (
                    -- Null where the deletion before it is taken here, too.
                    select leaf.entry
                    from log_leaves leaf
                    where leaf.application_key = $1
                        and leaf.deletion_log_id = (
                            select before.id
                            from deletion_logs before
                            where before.application_key = $1 and before.ticket_id = l.ticket_id and before.id < l.id
                            order by before.id desc
                            limit 1
                        )
                ),
                (
                    select leaf.entry
                    from holds before
                    join log_leaves leaf on leaf.application_key = $1 and leaf.hold_id = before.id
                    where before.application_key = $1 and before.ticket_id = h.ticket_id and before.id < h.id
                    order by before.id desc
                    limit 1
                )
            ) as previous,
            null::boolean as has_tombstone
        from waiting
        left join deletion_logs l
            on l.application_key = $1 and l.ticket_id = waiting.ticket_id and l.id = waiting.deletion_log_id
        left join holds h on h.application_key = $1 and h.id = waiting.hold_id
        left join log_erasures e on e.application_key = $1 and e.id = waiting.erasure_id
        order by waiting.number
        "#,
        application.0,
        limit,
    )
    .fetch_all(connection);
    let rows = rows.instrument(named("log_sequencer.take")).await.map_err(from_sqlx)?;
    rows.into_iter().map(pending).collect()
}

fn pending(mut row: ActRow) -> Result<Pending, Error> {
    let previous = row.previous.take().map(|entry| bytes_32("entry", &entry).map(Entry)).transpose()?;
    let act = row.act()?;
    let act = act.ok_or_else(|| Error::internal(Inconsistent { column: "pending act", value: "without its row".to_owned() }))?;
    Ok(Pending { act, previous })
}

/// Writes what a tree has become, and counts its deletions by time. The old head must still be the head, and no later fence may have been there.
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
    let acts: Vec<ActColumns> = leaves.iter().map(|leaf| ActColumns::of(leaf.act)).collect();
    let ticket_ids: Vec<Option<i64>> = acts.iter().map(|act| act.ticket_id).collect();
    let deletion_log_ids: Vec<Option<i64>> = acts.iter().map(|act| act.deletion_log_id).collect();
    let hold_ids: Vec<Option<i64>> = acts.iter().map(|act| act.hold_id).collect();
    let erasure_ids: Vec<Option<i64>> = acts.iter().map(|act| act.erasure_id).collect();
    let grown = sqlx::query!(
        r#"
        with grown as (
            update log_heads
            set size = $2, root = $3, fence = $4
            where application_key = $1 and size = $5 and root = $6 and fence <= $4
            returning application_key
        ),
        leaves as (
            insert into log_leaves (application_key, leaf_index, ticket_id, deletion_log_id, hold_id, erasure_id, entry, salt)
            select $1, leaf.*
            from unnest($7::bigint[], $8::bigint[], $9::bigint[], $16::bigint[], $17::bigint[], $10::bytea[], $11::bytea[]) as leaf
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
        &ticket_ids as _,
        &deletion_log_ids as _,
        &leaves.iter().map(|leaf| leaf.entry.0.to_vec()).collect::<Vec<_>>(),
        &leaves.iter().map(|leaf| leaf.salt.map(Vec::from)).collect::<Vec<_>>() as _,
        &tiles.iter().map(|(id, _)| i16::from(id.level)).collect::<Vec<i16>>(),
        &tile_indexes,
        &tiles.iter().map(|(_, hashes)| hashes.clone()).collect::<Vec<_>>(),
        &growth.delete_times,
        &hold_ids as _,
        &erasure_ids as _,
    )
    .fetch_optional(connection)
    .instrument(named("log_sequencer.grow"))
    .await
    .map_err(from_sqlx)?;
    grown.map(drop).ok_or(Error::WriteConflict)
}
