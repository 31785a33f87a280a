//! The log's trees beside the rows that they are made of, for those who compare.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::{ApplicationKey, DeletionLogId, TicketId};
use crate::domain::proof::growth::Leaf;
use crate::error::Error;
use crate::storage::{deletion_log, from_sqlx, log_tree, required};

/// An entry with the row that it stands for, if that is there.
#[derive(Debug)]
pub struct LeafRow {
    /// The entry.
    pub leaf: Leaf,
    /// The row.
    pub log: Option<DeletionLog>,
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
        Row,
        r#"
        select leaf.leaf_index, leaf.ticket_id, leaf.deletion_log_id, leaf.entry, leaf.salt, l.id as "id?", l.chat_message_id as "chat_message_id?",
            l.message_id as "message_id?", l.user_sendbird_id as "user_sendbird_id?", l.user_type as "user_type?",
            l.create_time as "create_time?", l.delete_time as "delete_time?", l.requested_from as "requested_from?",
            l.requested_by as "requested_by: Json<Agent>", l.reason, l.reason_detail as "reason_detail?", l.token_id as "token_id?",
            l.content_digest as "content_digest?"
        from log_leaves leaf
        left join deletion_logs l on l.application_key = $1 and l.ticket_id = leaf.ticket_id and l.id = leaf.deletion_log_id
        where leaf.application_key = $1 and leaf.leaf_index >= $2
        order by leaf.leaf_index
        limit $3
        "#,
        application.0,
        i64::try_from(from).map_err(Error::internal)?,
        limit,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::leaf_row).collect()
}

/// Finds a log row that is neither in the tree nor waiting for it.
///
/// # Errors
/// When the database is away.
pub async fn find_lost(
    connection: &mut PgConnection,
    application: ApplicationKey,
) -> Result<Option<(TicketId, DeletionLogId)>, Error> {
    let row = sqlx::query!(
        r#"
        select l.ticket_id, l.id
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
        "#,
        application.0,
    )
    .fetch_optional(connection)
    .await
    .map_err(from_sqlx)?;
    Ok(row.map(|row| (TicketId(row.ticket_id), DeletionLogId(row.id))))
}

struct Row {
    leaf_index: i64,
    ticket_id: i64,
    deletion_log_id: i64,
    entry: Vec<u8>,
    salt: Vec<u8>,
    id: Option<i64>,
    chat_message_id: Option<i64>,
    message_id: Option<i64>,
    user_sendbird_id: Option<String>,
    user_type: Option<String>,
    create_time: Option<DateTime<Utc>>,
    delete_time: Option<DateTime<Utc>>,
    requested_from: Option<String>,
    requested_by: Option<Json<Agent>>,
    reason: Option<String>,
    reason_detail: Option<String>,
    token_id: Option<String>,
    content_digest: Option<Vec<u8>>,
}

impl Row {
    fn leaf_row(self) -> Result<LeafRow, Error> {
        let Self { leaf_index, ticket_id, deletion_log_id, .. } = self;
        let log = match self.id {
            None => None,
            Some(id) => Some(deletion_log::Row {
                id,
                ticket_id,
                chat_message_id: required("chat_message_id", self.chat_message_id)?,
                message_id: required("message_id", self.message_id)?,
                user_sendbird_id: required("user_sendbird_id", self.user_sendbird_id)?,
                user_type: required("user_type", self.user_type)?,
                create_time: required("create_time", self.create_time)?,
                delete_time: required("delete_time", self.delete_time)?,
                requested_from: required("requested_from", self.requested_from)?,
                requested_by: self.requested_by,
                reason: self.reason,
                reason_detail: required("reason_detail", self.reason_detail)?,
                token_id: required("token_id", self.token_id)?,
                content_digest: required("content_digest", self.content_digest)?,
            }),
        };
        let leaf = log_tree::Row { leaf_index, ticket_id, deletion_log_id, entry: self.entry, salt: self.salt }.leaf()?;
        Ok(LeafRow { leaf, log: log.map(deletion_log::Row::deletion_log).transpose()? })
    }
}
