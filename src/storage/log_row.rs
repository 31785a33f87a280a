//! The log's trees beside the rows that they are made of, for those who compare.

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::ids::{ApplicationKey, ChatMessageId, DeletionLogId, ErasureId, HoldEventId, TicketId};
use crate::domain::proof::act::{Act, ActId};
use crate::domain::proof::growth::Leaf;
use crate::error::Error;
use crate::storage::act_row::ActRow;
use crate::storage::{Instrument, from_sqlx, log_tree, named, required};

/// An entry with the act that it stands for, if its row is there.
#[derive(Debug)]
pub struct LeafRow {
    /// The entry.
    pub leaf: Leaf,
    /// The act.
    pub act: Option<Act>,
    /// The message is deleted whose deletion it is; of other acts it says nothing.
    pub has_tombstone: bool,
}

/// Reads entries with their rows in their order, from a place on.
///
/// # Errors
/// When the database is away.
pub async fn list(
    connection: &mut PgConnection,
    application: ApplicationKey,
    from: u64,
    limit: i64,
) -> Result<Vec<LeafRow>, Error> {
    let rows = sqlx::query_as!(
        ActRow,
        r#"
        select leaf.leaf_index as "leaf_index?", leaf.entry as "entry?", leaf.salt as "salt?", leaf.ticket_id as leaf_ticket_id,
            leaf.deletion_log_id as leaf_deletion_log_id, leaf.hold_id as leaf_hold_id,
            leaf.erasure_id as leaf_erasure_id, null::bytea as previous, l.id as "id?",
            l.ticket_id as "ticket_id?", l.chat_message_id as "chat_message_id?", l.message_id as "message_id?",
            l.user_sendbird_id as "user_sendbird_id?", l.user_type as "user_type?", l.create_time as "create_time?",
            l.delete_time as "delete_time?", l.requested_from as "requested_from?", l.requested_by as "requested_by: Json<Agent>", l.reason,
            l.reason_detail as "reason_detail?", l.token_id as "token_id?", l.content_digest as "content_digest?", l.erase_time,
            e.id as "erasure_id?", e.erase_time as "erasure_time?", e.older_than as "older_than?", e.cause as "cause?",
            e.leaf_indexes as "leaf_indexes?", e.remains_digest as "remains_digest?", h.id as "hold_id?",
            h.ticket_id as "hold_ticket_id?", h.action as "hold_action?", h.placed_id, h.create_time as "hold_time?",
            h.reason as "hold_reason?", h.requested_by as "hold_requested_by: Json<Agent>", h.token_id as "hold_token_id?",
            exists (
                select
                from chat_messages m
                where m.application_key = $1
                    and m.ticket_id = l.ticket_id
                    and m.message_id = l.message_id
                    and m.id = l.chat_message_id
                    and m.delete_time is not null
            ) as has_tombstone
        from log_leaves leaf
        left join deletion_logs l on l.application_key = $1 and l.ticket_id = leaf.ticket_id and l.id = leaf.deletion_log_id
        left join holds h on h.application_key = $1 and h.id = leaf.hold_id
        left join log_erasures e on e.application_key = $1 and e.id = leaf.erasure_id
        where leaf.application_key = $1 and leaf.leaf_index >= $2
        order by leaf.leaf_index
        limit $3
        "#,
        application.0,
        i64::try_from(from).map_err(Error::internal)?,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("log_row.list"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(leaf_row).collect()
}

/// Finds a log row, a placing or release, or an erasure that is neither in the tree nor waiting for it.
///
/// # Errors
/// When the database is away.
pub async fn find_lost(connection: &mut PgConnection, application: ApplicationKey) -> Result<Option<ActId>, Error> {
    let row = sqlx::query!(
        r#"
        (
            select l.ticket_id as "ticket_id?", l.id as "id!", false as "is_erasure!"
            from deletion_logs l
            where l.application_key = $1
                and not exists (
                    select
                    from log_leaves leaf
                    where leaf.application_key = $1 and leaf.ticket_id = l.ticket_id and leaf.deletion_log_id = l.id
                )
                and not exists (
                    select
                    from pending_leaves p
                    where p.application_key = $1 and p.ticket_id = l.ticket_id and p.deletion_log_id = l.id
                )
            order by l.id
            limit 1
        )
        union all
        (
            select null, h.id, false
            from holds h
            where h.application_key = $1
                and not exists (select from log_leaves leaf where leaf.application_key = $1 and leaf.hold_id = h.id)
                and not exists (select from pending_acts p where p.application_key = $1 and p.hold_id = h.id)
            order by h.id
            limit 1
        )
        union all
        (
            select null, e.id, true
            from log_erasures e
            where e.application_key = $1
                and not exists (select from log_leaves leaf where leaf.application_key = $1 and leaf.erasure_id = e.id)
                and not exists (select from pending_acts p where p.application_key = $1 and p.erasure_id = e.id)
            order by e.id
            limit 1
        )
        limit 1
        "#,
        application.0,
    )
    .fetch_optional(connection)
    .instrument(named("log_row.find_lost"))
    .await
    .map_err(from_sqlx)?;
    Ok(row.map(|row| match row.ticket_id {
        Some(ticket_id) => ActId::Deletion(TicketId(ticket_id), DeletionLogId(row.id)),
        None if row.is_erasure => ActId::Erasure(ErasureId(row.id)),
        None => ActId::Hold(HoldEventId(row.id)),
    }))
}

/// Looks at the next messages after one, at most `limit`, for the first that is deleted without a log row. Answers the last one that was
/// looked at, `None` when there was none, and the one found.
///
/// # Errors
/// When the database is away.
pub async fn find_unlogged(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: ChatMessageId,
    limit: i64,
) -> Result<(Option<ChatMessageId>, Option<(TicketId, ChatMessageId)>), Error> {
    let row = sqlx::query!(
        r#"
        with part as materialized (
            select ticket_id, id, delete_time
            from chat_messages
            where application_key = $1 and id > $2
            order by id
            limit $3
        )
        select (select max(id) from part) as last, found.ticket_id as "ticket_id?", found.id as "id?"
        from (select) as one
        left join (
            select part.ticket_id, part.id
            from part
            where part.delete_time is not null
                and not exists (
                    select
                    from deletion_logs l
                    where l.application_key = $1 and l.ticket_id = part.ticket_id and l.chat_message_id = part.id
                )
            order by part.id
            limit 1
        ) as found on true
        "#,
        application.0,
        after.0,
        limit,
    )
    .fetch_one(connection)
    .instrument(named("log_row.find_unlogged"))
    .await
    .map_err(from_sqlx)?;
    let found = row.ticket_id.zip(row.id).map(|(ticket_id, id)| (TicketId(ticket_id), ChatMessageId(id)));
    Ok((row.last.map(ChatMessageId), found))
}

fn leaf_row(mut row: ActRow) -> Result<LeafRow, Error> {
    let leaf = log_tree::Row {
        leaf_index: required("leaf_index", row.leaf_index)?,
        ticket_id: row.leaf_ticket_id,
        deletion_log_id: row.leaf_deletion_log_id,
        hold_id: row.leaf_hold_id,
        erasure_id: row.leaf_erasure_id,
        entry: required("entry", row.entry.take())?,
        salt: row.salt.take(),
    };
    let has_tombstone = row.has_tombstone.unwrap_or_default();
    Ok(LeafRow { leaf: leaf.leaf()?, act: row.act()?, has_tombstone })
}
