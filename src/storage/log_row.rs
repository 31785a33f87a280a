//! The log's trees beside the rows that they are made of, for those who compare.

use sqlx::PgConnection;
use sqlx::types::Json;
use tracing::Instrument;

use crate::domain::agent::Agent;
use crate::domain::ids::{ApplicationKey, DeletionLogId, HoldEventId, TicketId};
use crate::domain::proof::act::{Act, ActId};
use crate::domain::proof::growth::Leaf;
use crate::error::Error;
use crate::storage::act_row::ActRow;
use crate::storage::{from_sqlx, log_tree, named, required};

/// An entry with the act that it stands for, if its row is there.
#[derive(Debug)]
pub struct LeafRow {
    /// The entry.
    pub leaf: Leaf,
    /// The act.
    pub act: Option<Act>,
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
            leaf.deletion_log_id as leaf_deletion_log_id, leaf.hold_id as leaf_hold_id, null::bytea as previous, l.id as "id?",
            l.ticket_id as "ticket_id?", l.chat_message_id as "chat_message_id?", l.message_id as "message_id?",
            l.user_sendbird_id as "user_sendbird_id?", l.user_type as "user_type?", l.create_time as "create_time?",
            l.delete_time as "delete_time?", l.requested_from as "requested_from?", l.requested_by as "requested_by: Json<Agent>", l.reason,
            l.reason_detail as "reason_detail?", l.token_id as "token_id?", l.content_digest as "content_digest?", h.id as "hold_id?",
            h.ticket_id as "hold_ticket_id?", h.action as "hold_action?", h.placed_id, h.create_time as "hold_time?",
            h.reason as "hold_reason?", h.requested_by as "hold_requested_by: Json<Agent>", h.token_id as "hold_token_id?"
        from log_leaves leaf
        left join deletion_logs l on l.application_key = $1 and l.ticket_id = leaf.ticket_id and l.id = leaf.deletion_log_id
        left join holds h on h.application_key = $1 and h.id = leaf.hold_id
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

/// Finds a log row, a placing or a release that is neither in the tree nor waiting for it.
///
/// # Errors
/// When the database is away.
pub async fn find_lost(connection: &mut PgConnection, application: ApplicationKey) -> Result<Option<ActId>, Error> {
    let row = sqlx::query!(
        r#"
        (
            select l.ticket_id as "ticket_id?", l.id as "id!"
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
            select null, h.id
            from holds h
            where h.application_key = $1
                and not exists (select from log_leaves leaf where leaf.application_key = $1 and leaf.hold_id = h.id)
                and not exists (select from pending_acts p where p.application_key = $1 and p.hold_id = h.id)
            order by h.id
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
        None => ActId::Hold(HoldEventId(row.id)),
    }))
}

fn leaf_row(mut row: ActRow) -> Result<LeafRow, Error> {
    let leaf = log_tree::Row {
        leaf_index: required("leaf_index", row.leaf_index)?,
        ticket_id: row.leaf_ticket_id,
        deletion_log_id: row.leaf_deletion_log_id,
        hold_id: row.leaf_hold_id,
        entry: required("entry", row.entry.take())?,
        salt: required("salt", row.salt.take())?,
    };
    Ok(LeafRow { leaf: leaf.leaf()?, act: row.act()? })
}
