//! The log of deletions. It is only read here: rows are written by the statement that deletes.

pub mod place;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::chat_message::UserType;
use crate::domain::deletion::{DeletionReason, RequestedFrom};
use crate::domain::deletion_log::{DayRange, DeletionLog, DeletionLogFilter, Stretch};
use crate::domain::ids::{ApplicationKey, ChatMessageId, DeletionLogId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, known, named};

/// Reads an entry.
///
/// # Errors
/// When the database is away.
pub async fn find(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    id: DeletionLogId,
) -> Result<Option<DeletionLog>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
            requested_by as "requested_by: Json<Agent>", reason, reason_detail, token_id, content_digest, erase_time
        from deletion_logs
        where application_key = $1 and ticket_id = $2 and id = $3
        "#,
        application.0,
        ticket_id.0,
        id.0,
    )
    .fetch_optional(connection)
    .instrument(named("deletion_log.find"))
    .await
    .map_err(from_sqlx)?;
    row.map(Row::deletion_log).transpose()
}

/// Reads the entries of some messages of a ticket.
///
/// # Errors
/// When the database is away.
pub async fn find_of_messages(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    ids: &[ChatMessageId],
) -> Result<Vec<DeletionLog>, Error> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
            requested_by as "requested_by: Json<Agent>", reason, reason_detail, token_id, content_digest, erase_time
        from deletion_logs
        where application_key = $1 and ticket_id = $2 and chat_message_id = any ($3)
        "#,
        application.0,
        ticket_id.0,
        &ids,
    )
    .fetch_all(connection)
    .instrument(named("deletion_log.find_of_messages"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::deletion_log).collect()
}

/// Lists the entries of a stretch that a filter chooses, newest first; the others count for nothing.
///
/// # Errors
/// When the database is away.
pub async fn list(
    connection: &mut PgConnection,
    application: ApplicationKey,
    filter: &DeletionLogFilter,
    stretch: Stretch,
) -> Result<Vec<DeletionLog>, Error> {
    let Stretch { range, after, skip, limit } = stretch;
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
            requested_by as "requested_by: Json<Agent>", reason, reason_detail, token_id, content_digest, erase_time
        from deletion_logs
        where application_key = $1
            and delete_time >= $2
            and (delete_time, id) < ($3, $4)
            and ($5::bigint is null or ticket_id = $5)
            and ($6::bigint is null or (requested_by ->> 'id')::bigint = $6)
            and ($7::text is null or requested_by ->> 'sendbird_id' = $7)
            and ($8::text is null or requested_from = $8)
            and ($9::text is null or reason = $9)
        order by delete_time desc, id desc
        limit $11
        offset $10
        "#,
        application.0,
        range.from(),
        after.delete_time,
        after.id.0,
        filter.ticket_id.map(|id| id.0),
        filter.requested_by_id,
        filter.requested_by_sendbird_id,
        filter.requested_from.map(RequestedFrom::as_str),
        filter.reason.map(DeletionReason::as_str),
        skip,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("deletion_log.list"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::deletion_log).collect()
}

/// Lists the entries of a stretch, newest first, without a filter: a statement of its own, which is always planned as a walk along the
/// index by time. So that it is, the planner must not know how few rows are wanted: without statistics it takes a range for about as few,
/// and would rather read and sort all of it.
///
/// # Errors
/// When the database is away.
pub async fn list_all(
    connection: &mut PgConnection,
    application: ApplicationKey,
    stretch: Stretch,
) -> Result<Vec<DeletionLog>, Error> {
    let Stretch { range, after, skip, limit } = stretch;
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
            requested_by as "requested_by: Json<Agent>", reason, reason_detail, token_id, content_digest, erase_time
        from deletion_logs
        where application_key = $1 and delete_time >= $2 and (delete_time, id) < ($3, $4)
        order by delete_time desc, id desc
        offset (select $5::bigint)
        limit (select $6::bigint)
        "#,
        application.0,
        range.from(),
        after.delete_time,
        after.id.0,
        skip,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("deletion_log.list_all"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::deletion_log).collect()
}

/// Lists the entries of one reason in a stretch, as [`list_all`] does: a walk along the index by reason and time.
///
/// # Errors
/// When the database is away.
pub async fn list_of_reason(
    connection: &mut PgConnection,
    application: ApplicationKey,
    reason: DeletionReason,
    stretch: Stretch,
) -> Result<Vec<DeletionLog>, Error> {
    let Stretch { range, after, skip, limit } = stretch;
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
            requested_by as "requested_by: Json<Agent>", reason, reason_detail, token_id, content_digest, erase_time
        from deletion_logs
        where application_key = $1 and reason = $2 and delete_time >= $3 and (delete_time, id) < ($4, $5)
        order by delete_time desc, id desc
        offset (select $6::bigint)
        limit (select $7::bigint)
        "#,
        application.0,
        reason.as_str(),
        range.from(),
        after.delete_time,
        after.id.0,
        skip,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("deletion_log.list_of_reason"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::deletion_log).collect()
}

/// Counts the entries that a filter chooses.
///
/// # Errors
/// When the database is away.
pub async fn count(
    connection: &mut PgConnection,
    application: ApplicationKey,
    filter: &DeletionLogFilter,
    range: DayRange,
) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from deletion_logs
        where application_key = $1
            and delete_time >= $2
            and delete_time < $3
            and ($4::bigint is null or ticket_id = $4)
            and ($5::bigint is null or (requested_by ->> 'id')::bigint = $5)
            and ($6::text is null or requested_by ->> 'sendbird_id' = $6)
            and ($7::text is null or requested_from = $7)
            and ($8::text is null or reason = $8)
        "#,
        application.0,
        range.from(),
        range.until(),
        filter.ticket_id.map(|id| id.0),
        filter.requested_by_id,
        filter.requested_by_sendbird_id,
        filter.requested_from.map(RequestedFrom::as_str),
        filter.reason.map(DeletionReason::as_str),
    )
    .fetch_one(connection)
    .instrument(named("deletion_log.count"))
    .await
    .map_err(from_sqlx)
}

pub(super) struct Row {
    pub(super) id: i64,
    pub(super) ticket_id: i64,
    pub(super) chat_message_id: i64,
    pub(super) message_id: i64,
    pub(super) user_sendbird_id: String,
    pub(super) user_type: String,
    pub(super) create_time: DateTime<Utc>,
    pub(super) delete_time: DateTime<Utc>,
    pub(super) requested_from: String,
    pub(super) requested_by: Option<Json<Agent>>,
    pub(super) reason: Option<String>,
    pub(super) reason_detail: String,
    pub(super) token_id: String,
    pub(super) content_digest: Vec<u8>,
    pub(super) erase_time: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn deletion_log(self) -> Result<DeletionLog, Error> {
        let reason = |name: String| known(&DeletionReason::ALL, DeletionReason::as_str, "reason", &name);
        Ok(DeletionLog {
            id: DeletionLogId(self.id),
            ticket_id: TicketId(self.ticket_id),
            chat_message_id: ChatMessageId(self.chat_message_id),
            message_id: MessageId(self.message_id),
            user_sendbird_id: self.user_sendbird_id,
            user_type: known(&UserType::ALL, UserType::as_str, "user_type", &self.user_type)?,
            create_time: self.create_time,
            delete_time: self.delete_time,
            requested_from: known(&RequestedFrom::ALL, RequestedFrom::as_str, "requested_from", &self.requested_from)?,
            requested_by: self.requested_by.map(|Json(agent)| agent),
            reason: self.reason.map(reason).transpose()?,
            reason_detail: self.reason_detail,
            token_id: self.token_id,
            content_digest: self.content_digest,
            erase_time: self.erase_time,
        })
    }
}
