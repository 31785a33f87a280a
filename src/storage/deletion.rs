//! Deletion: one statement that erases and logs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::chat_message::ChatMessage;
use crate::domain::deletion::{Deletion, DeletionReason, Order};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::{ApplicationKey, ChatMessageId, DeletionLogId, TicketId};
use crate::domain::ticket::{ChannelType, TicketStatus};
use crate::error::Error;
use crate::storage::{chat_message, from_sqlx, known};

/// What became of one message: with a log it is deleted, without one it is as it was.
#[derive(Debug)]
pub struct Attempt {
    /// The tombstone, or the message as the statement found it; the content is left out either way.
    pub message: ChatMessage,
    /// The ticket's status under the lock.
    pub status: TicketStatus,
    /// The ticket's channel type.
    pub channel_type: ChannelType,
    /// The log entry, when the message was deleted.
    pub log: Option<DeletionLog>,
}

/// Deletes those of a ticket's messages that the rules allow ([`crate::domain::deletion::judge`] in SQL): erases the content, writes the
/// log, bumps the ticket's version. Each message takes a salt for the digest of its content. Messages that the ticket does not have are
/// left out of the answer; the others come in the order of `ids`.
///
/// The ticket's row is locked first, which decides every race with closing, reopening and other deletions. An attempt that was neither
/// carried out nor is refused by the rules has lost such a race: the same statement run again sees why. The order's time was taken before
/// the lock, so a close that went first may be dated later: then the deletion takes the time of the close, or it would seem to precede it.
///
/// # Errors
/// When the database is away or the write meets another one.
#[expect(clippy::too_many_lines, reason = "the statement is long, and is read best in one piece")]
pub async fn delete(
    connection: &mut PgConnection,
    application: ApplicationKey,
    order: &Order,
    ids: &[ChatMessageId],
    salts: &[Vec<u8>],
) -> Result<Vec<Attempt>, Error> {
    let asked: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        with ticket as materialized (
            select id, status, channel_type, close_time
            from tickets
            where application_key = $1 and id = $2
            for no key update
        ),
        message as materialized (
            select m.*, asked.salt, asked.ordinal
            from ticket
            cross join unnest($3::bigint[], $4::bytea[]) with ordinality as asked (id, salt, ordinal)
            join chat_messages m on m.application_key = $1 and m.ticket_id = $2 and m.id = asked.id
        ),
        erased as (
            update chat_messages m
            set delete_time = greatest($5, ticket.close_time), requested_from = $6, requested_by = $7, message = '', data = '', files = '[]'
            from ticket
            cross join message
            where m.application_key = $1
                and m.ticket_id = $2
                and m.message_id = message.message_id
                and m.delete_time is null
                and (
                    $11
                    or m.user_type <> 'EVENT'
                        and ticket.status = 'CLOSED'
                        and ticket.channel_type in ('SENDBIRD', 'SENDBIRD_IOS', 'SENDBIRD_ANDROID', 'SENDBIRD_JAVASCRIPT')
                )
            returning m.message_id, m.delete_time
        ),
        logged as (
            insert into deletion_logs (
                application_key, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time,
                requested_from, requested_by, reason, reason_detail, token_id, content_salt, content_digest
            )
            select $1, $2, message.id, message.message_id, message.user_sendbird_id, message.user_type, message.create_time, erased.delete_time,
                $6, $7, $8, $9, $10, message.salt,
                sha256(
                    message.salt
                    || int8send(octet_length(message.message)) || convert_to(message.message, 'UTF8')
                    || int8send(octet_length(message.data)) || convert_to(message.data, 'UTF8')
                    || int8send(octet_length(message.files::text)) || convert_to(message.files::text, 'UTF8')
                )
            from erased
            join message on message.message_id = erased.message_id
            order by message.ordinal
            returning id, message_id, delete_time, content_digest
        ),
        bumped as (
            update tickets
            set version = version + 1
            where application_key = $1 and id = $2 and exists (select from erased)
        )
        select ticket.status, ticket.channel_type, message.id as "id!", message.message_id as "message_id!", message.user_sendbird_id,
            message.user_type, message.create_time, message.delete_time, message.requested_from,
            message.requested_by as "requested_by: Json<Agent>", message.external_id, logged.id as "log_id?",
            logged.delete_time as "log_time?", logged.content_digest as "content_digest?"
        from ticket
        cross join message
        left join logged on logged.message_id = message.message_id
        order by message.ordinal
        "#,
        application.0,
        order.ticket_id.0,
        &asked,
        salts,
        order.time,
        order.requested_from.as_str(),
        order.requested_by.as_ref().map(Json) as _,
        order.reason.map(DeletionReason::as_str),
        order.reason_detail,
        order.token_id,
        order.upstream,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(|row| row.attempt_of(order)).collect()
}

/// Reads what [`delete`] would decide by, and changes nothing.
///
/// # Errors
/// When the database is away.
pub async fn preview(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    ids: &[ChatMessageId],
) -> Result<Vec<Attempt>, Error> {
    let asked: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select t.status, t.channel_type, m.id as "id!", m.message_id as "message_id!", m.user_sendbird_id, m.user_type, m.create_time,
            m.delete_time, m.requested_from, m.requested_by as "requested_by: Json<Agent>", m.external_id, null::bigint as log_id,
            null::timestamptz as log_time, null::bytea as content_digest
        from tickets t
        cross join unnest($3::bigint[]) with ordinality as asked (id, ordinal)
        join chat_messages m on m.application_key = $1 and m.ticket_id = $2 and m.id = asked.id
        where t.application_key = $1 and t.id = $2
        order by asked.ordinal
        "#,
        application.0,
        ticket_id.0,
        &asked,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(|row| row.attempt(ticket_id)).collect()
}

struct Row {
    status: String,
    channel_type: String,
    id: i64,
    message_id: i64,
    user_sendbird_id: String,
    user_type: String,
    create_time: DateTime<Utc>,
    delete_time: Option<DateTime<Utc>>,
    requested_from: Option<String>,
    requested_by: Option<Json<Agent>>,
    external_id: Option<String>,
    log_id: Option<i64>,
    log_time: Option<DateTime<Utc>>,
    content_digest: Option<Vec<u8>>,
}

impl Row {
    fn attempt_of(mut self, order: &Order) -> Result<Attempt, Error> {
        let logged = self.log_id.zip(self.log_time).zip(self.content_digest.take());
        let mut attempt = self.attempt(order.ticket_id)?;
        if let Some(((id, time), content_digest)) = logged {
            attempt.message.deletion =
                Some(Deletion { time, requested_from: order.requested_from, requested_by: order.requested_by.clone() });
            attempt.log = Some(log_of(&attempt.message, order, time, DeletionLogId(id), content_digest));
        }
        Ok(attempt)
    }

    fn attempt(self, ticket_id: TicketId) -> Result<Attempt, Error> {
        let message = chat_message::Row {
            version: None,
            message_count: None,
            id: Some(self.id),
            message_id: Some(self.message_id),
            ticket_id: Some(ticket_id.0),
            user_sendbird_id: Some(self.user_sendbird_id),
            user_type: Some(self.user_type),
            create_time: Some(self.create_time),
            delete_time: self.delete_time,
            requested_from: self.requested_from,
            requested_by: self.requested_by,
            message: Some(String::new()),
            data: Some(String::new()),
            files: Some(Json(Vec::new())),
            external_id: self.external_id,
        };
        Ok(Attempt {
            message: message.message()?,
            status: known(&TicketStatus::ALL, TicketStatus::as_str, "status", &self.status)?,
            channel_type: known(&ChannelType::ALL, ChannelType::as_str, "channel_type", &self.channel_type)?,
            log: None,
        })
    }
}

fn log_of(message: &ChatMessage, order: &Order, time: DateTime<Utc>, id: DeletionLogId, content_digest: Vec<u8>) -> DeletionLog {
    DeletionLog {
        id,
        ticket_id: message.ticket_id,
        chat_message_id: message.id,
        message_id: message.message_id,
        user_sendbird_id: message.user_sendbird_id.clone(),
        user_type: message.user_type,
        create_time: message.create_time,
        delete_time: time,
        requested_from: order.requested_from,
        requested_by: order.requested_by.clone(),
        reason: order.reason,
        reason_detail: order.reason_detail.clone(),
        token_id: order.token_id.clone(),
        content_digest,
    }
}
