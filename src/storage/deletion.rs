//! Deletion: one statement that erases and logs.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessage, UserType};
use crate::domain::deletion::{Deletion, DeletionReason, Order, TicketState};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::{ApplicationKey, ChatMessageId, DeletionLogId, MessageId, TicketId};
use crate::domain::request::RequestKey;
use crate::domain::ticket::{ChannelType, TicketStatus};
use crate::error::Error;
use crate::storage::{Instrument, deletion_of, from_sqlx, known, named, place_of};

/// One message to delete.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Where, when, on whose account and why.
    pub order: &'a Order,
    /// The message.
    pub id: ChatMessageId,
    /// Salts the digest of its content; random.
    pub salt: [u8; 32],
    /// Claims this request id for the deletion. What is refused claims nothing.
    pub key: Option<&'a RequestKey>,
}

/// What became of one message: with a log it is deleted, without one it is as it was.
#[derive(Debug)]
pub struct Attempt {
    /// The tombstone, or the message as the statement found it; the content is left out either way.
    pub message: ChatMessage,
    /// What the ticket was like under the lock.
    pub ticket: TicketState,
    /// The ticket's version, after the deletion if it was carried out.
    pub version: i64,
    /// The log entry, when the message was deleted.
    pub log: Option<DeletionLog>,
}

/// Deletes those of the messages that the rules allow ([`crate::domain::deletion::judge`] in SQL): erases the content, writes the log, claims
/// the request id, bumps the ticket's version. Answers in the order asked; `None` where the ticket does not have the message. No message
/// may be asked for twice.
///
/// The tickets' rows are locked first, in the order of their ids, which decides every race with closing, reopening, holds and other deletions. An
/// attempt that was neither carried out nor is refused by the rules has lost such a race: the same statement run again sees why. The order's
/// time was taken before the lock, so a close that went first may be dated later: then the deletion takes the time of the close, or it
/// would seem to precede it.
///
/// # Errors
/// [`Error::WriteConflict`] also when a request id was claimed before; when the database is away.
#[expect(clippy::too_many_lines, reason = "the statement is long, and is read best in one piece")]
pub async fn delete(
    connection: &mut PgConnection,
    application: ApplicationKey,
    asked: &[Asked<'_>],
) -> Result<Vec<Option<Attempt>>, Error> {
    let ticket_ids: Vec<i64> = asked.iter().map(|asked| asked.order.ticket_id.0).collect();
    let ids: Vec<i64> = asked.iter().map(|asked| asked.id.0).collect();
    let salts: Vec<&[u8]> = asked.iter().map(|asked| asked.salt.as_slice()).collect();
    let times: Vec<DateTime<Utc>> = asked.iter().map(|asked| asked.order.time).collect();
    let requested_from: Vec<&str> = asked.iter().map(|asked| asked.order.requested_from.as_str()).collect();
    let requested_by: Vec<Option<Json<&Agent>>> = asked.iter().map(|asked| asked.order.requested_by.as_ref().map(Json)).collect();
    let reasons: Vec<Option<&str>> = asked.iter().map(|asked| asked.order.reason.map(DeletionReason::as_str)).collect();
    let reason_details: Vec<&str> = asked.iter().map(|asked| asked.order.reason_detail.as_str()).collect();
    let token_ids: Vec<&str> = asked.iter().map(|asked| asked.order.token_id.as_str()).collect();
    let upstream: Vec<bool> = asked.iter().map(|asked| asked.order.upstream).collect();
    let request_ids: Vec<Option<Uuid>> = asked.iter().map(|asked| asked.key.map(|key| key.id.0)).collect();
    let request_digests: Vec<Option<&[u8]>> = asked.iter().map(|asked| asked.key.map(|key| key.digest.as_slice())).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        with asked as materialized (
            select *
            from unnest(
                $2::bigint[], $3::bigint[], $4::bytea[], $5::timestamptz[], $6::text[], $7::jsonb[], $8::text[], $9::text[], $10::text[],
                $11::boolean[], $12::uuid[], $13::bytea[]
            ) with ordinality as asked (
                ticket_id, id, salt, order_time, order_from, order_by, reason, reason_detail, token_id,
                upstream, request_id, request_digest, ordinal
            )
        ),
        ticket as materialized (
            -- In one order for all, or two batches of the same tickets could lock each other out.
            select id, status, channel_type, close_time, version, hold_id is not null as is_held
            from tickets
            where application_key = $1 and id = any ($2)
            order by id
            for no key update
        ),
        message as materialized (
            select m.ticket_id, m.id, m.message_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time, m.requested_from,
                m.requested_by, m.external_id, m.message, m.data, m.files, ticket.status, ticket.channel_type, ticket.close_time,
                ticket.version, ticket.is_held, asked.salt, asked.order_time, asked.order_from, asked.order_by, asked.reason, asked.reason_detail,
                asked.token_id, asked.upstream, asked.request_id, asked.request_digest, asked.ordinal
            from asked
            join ticket on ticket.id = asked.ticket_id
            join chat_messages m on m.application_key = $1 and m.ticket_id = asked.ticket_id and m.id = asked.id
        ),
        erased as (
            update chat_messages m
            set delete_time = greatest(message.order_time, message.close_time),
                requested_from = message.order_from,
                requested_by = message.order_by,
                message = '',
                data = '',
                files = '[]'
            from message
            where m.application_key = $1
                and m.ticket_id = message.ticket_id
                and m.message_id = message.message_id
                and m.delete_time is null
                and not message.is_held
                and (
                    message.upstream
                    or m.user_type <> 'EVENT'
                        and message.status = 'CLOSED'
                        and message.channel_type in ('SENDBIRD', 'SENDBIRD_IOS', 'SENDBIRD_ANDROID', 'SENDBIRD_JAVASCRIPT')
                )
            returning message.*, m.delete_time as erase_time
        ),
        logged as (
            insert into deletion_logs (
                application_key, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time,
                requested_from, requested_by, reason, reason_detail, token_id, content_salt, content_digest
            )
            select $1, ticket_id, id, message_id, user_sendbird_id, user_type, create_time, erase_time,
                order_from, order_by, reason, reason_detail, token_id, salt,
                sha256(
                    salt
                    || int8send(octet_length(message)) || convert_to(message, 'UTF8')
                    || int8send(octet_length(data)) || convert_to(data, 'UTF8')
                    || int8send(octet_length(files::text)) || convert_to(files::text, 'UTF8')
                )
            from erased
            order by ordinal
            returning id, ticket_id, message_id, delete_time, content_digest
        ),
        waiting as (
            insert into pending_leaves (application_key, ticket_id, deletion_log_id, delete_time)
            select $1, ticket_id, id, delete_time
            from logged
        ),
        claimed as (
            insert into requests (application_key, request_id, digest, create_time, ticket_id, chat_message_ids)
            select $1, request_id, request_digest, order_time, ticket_id, array[id]
            from erased
            where request_id is not null
        ),
        bumped as (
            update tickets t
            set version = t.version + 1
            from (select distinct ticket_id from erased) changed
            where t.application_key = $1 and t.id = changed.ticket_id
        )
        select message.ordinal as "ordinal!", message.status as "status!", message.channel_type as "channel_type!",
            message.version as "version!", message.is_held as "is_held!", message.ticket_id as "ticket_id!", message.id as "id!", message.message_id as "message_id!",
            message.user_sendbird_id as "user_sendbird_id!", message.user_type as "user_type!", message.create_time as "create_time!",
            message.delete_time, message.requested_from, message.requested_by as "requested_by: Json<Agent>", message.external_id,
            logged.id as "log_id?", logged.delete_time as "log_time?", logged.content_digest as "content_digest?"
        from message
        left join logged on logged.ticket_id = message.ticket_id and logged.message_id = message.message_id
        "#,
        application.0,
        &ticket_ids,
        &ids,
        &salts as _,
        &times,
        &requested_from as _,
        &requested_by as _,
        &reasons as _,
        &reason_details as _,
        &token_ids as _,
        &upstream,
        &request_ids as _,
        &request_digests as _,
    )
    .fetch_all(connection)
    .instrument(named("deletion.delete"))
    .await
    .map_err(from_sqlx)?;
    // Every message of a ticket that is deleted here bumps its version, once for all of them.
    let mut attempts: Vec<Option<Attempt>> = asked.iter().map(|_| None).collect();
    let changed: HashSet<i64> = rows.iter().filter(|row| row.log_id.is_some()).map(|row| row.ticket_id).collect();
    for row in rows {
        let (at, bumps) = (place_of(row.ordinal, asked.len())?, i64::from(changed.contains(&row.ticket_id)));
        let mut attempt = row.attempt(Some(asked[at].order))?;
        attempt.version += bumps;
        attempts[at] = Some(attempt);
    }
    Ok(attempts)
}

/// Reads what [`delete`] would decide by, and changes nothing. Answers in the order of `ids`.
///
/// # Errors
/// When the database is away.
pub async fn preview(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    ids: &[ChatMessageId],
) -> Result<Vec<Option<Attempt>>, Error> {
    let asked: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select asked.ordinal as "ordinal!", t.status, t.channel_type, t.version, t.hold_id is not null as "is_held!", m.ticket_id, m.id as "id!", m.message_id as "message_id!", m.user_sendbird_id, m.user_type, m.create_time,
            m.delete_time, m.requested_from, m.requested_by as "requested_by: Json<Agent>", m.external_id, null::bigint as log_id,
            null::timestamptz as log_time, null::bytea as content_digest
        from tickets t
        cross join unnest($3::bigint[]) with ordinality as asked (id, ordinal)
        join chat_messages m on m.application_key = $1 and m.ticket_id = $2 and m.id = asked.id
        where t.application_key = $1 and t.id = $2
        "#,
        application.0,
        ticket_id.0,
        &asked,
    )
    .fetch_all(connection)
    .instrument(named("deletion.preview"))
    .await
    .map_err(from_sqlx)?;
    let mut attempts: Vec<Option<Attempt>> = ids.iter().map(|_| None).collect();
    for row in rows {
        let at = place_of(row.ordinal, ids.len())?;
        attempts[at] = Some(row.attempt(None)?);
    }
    Ok(attempts)
}

struct Row {
    ordinal: i64,
    status: String,
    channel_type: String,
    version: i64,
    is_held: bool,
    ticket_id: i64,
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
    /// `order` is what the message was deleted on, where it was.
    fn attempt(self, order: Option<&Order>) -> Result<Attempt, Error> {
        let requested_by = self.requested_by.map(|Json(agent)| agent);
        let deletion = deletion_of(self.delete_time, self.requested_from.as_deref(), requested_by)?;
        let mut message = ChatMessage {
            id: ChatMessageId(self.id),
            message_id: MessageId(self.message_id),
            ticket_id: TicketId(self.ticket_id),
            user_sendbird_id: self.user_sendbird_id,
            user_type: known(&UserType::ALL, UserType::as_str, "user_type", &self.user_type)?,
            create_time: self.create_time,
            deletion,
            message: String::new(),
            data: String::new(),
            files: Vec::new(),
            external_id: self.external_id,
        };
        let log = match (self.log_id.zip(self.log_time).zip(self.content_digest), order) {
            (Some(((id, time), content_digest)), Some(order)) => {
                message.deletion =
                    Some(Deletion { time, requested_from: order.requested_from, requested_by: order.requested_by.clone() });
                Some(log_of(&message, order, time, DeletionLogId(id), content_digest))
            }
            _ => None,
        };
        Ok(Attempt {
            message,
            ticket: TicketState {
                status: known(&TicketStatus::ALL, TicketStatus::as_str, "status", &self.status)?,
                channel_type: known(&ChannelType::ALL, ChannelType::as_str, "channel_type", &self.channel_type)?,
                is_held: self.is_held,
            },
            version: self.version,
            log,
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
        erase_time: None,
    }
}
