//! Chat messages.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessage, File, NewChatMessage, Stored, UserType};
use crate::domain::deletion::{Deletion, RequestedFrom};
use crate::domain::ids::{ApplicationKey, ChatMessageId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::{from_sqlx, known, required};

/// Some messages of a ticket, and how many it has in all.
#[derive(Debug)]
pub struct Listed {
    /// Ascending by number.
    pub messages: Vec<ChatMessage>,
    /// Tombstones included.
    pub message_count: i64,
    /// The ticket's version.
    pub version: i64,
}

/// Lists at most `limit` messages after number `after`; `None` when there is no such ticket. Numbers are dense, so that `after` is also
/// how many are passed over: the cost does not depend on it.
///
/// # Errors
/// When the database is away.
pub async fn list(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    after: MessageId,
    limit: i64,
) -> Result<Option<Listed>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select t.version as "version?", t.message_count as "message_count?", m.id as "id?", m.message_id as "message_id?", m.ticket_id as "ticket_id?",
            m.user_sendbird_id as "user_sendbird_id?", m.user_type as "user_type?", m.create_time as "create_time?", m.delete_time,
            m.requested_from, m.requested_by as "requested_by: Json<Agent>", m.message as "message?", m.data as "data?",
            m.files as "files?: Json<Vec<File>>", m.external_id
        from tickets t
        left join lateral (
            select *
            from chat_messages
            where application_key = t.application_key and ticket_id = t.id and message_id > $3
            order by message_id
            limit $4
        ) m on true
        where t.application_key = $1 and t.id = $2
        order by m.message_id
        "#,
        application.0,
        ticket_id.0,
        after.0,
        limit,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    let Some((version, message_count)) = rows.first().and_then(|row| row.version.zip(row.message_count)) else { return Ok(None) };
    let messages: Result<Vec<ChatMessage>, Error> = rows.into_iter().filter(|row| row.id.is_some()).map(Row::message).collect();
    Ok(Some(Listed { messages: messages?, message_count, version }))
}

/// Reads messages of a ticket by id, ascending by number; ids that the ticket does not have are left out.
///
/// # Errors
/// When the database is away.
pub async fn find(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    ids: &[ChatMessageId],
) -> Result<Vec<ChatMessage>, Error> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select null::bigint as version, null::bigint as message_count, id as "id?", message_id as "message_id?", ticket_id as "ticket_id?",
            user_sendbird_id as "user_sendbird_id?", user_type as "user_type?", create_time as "create_time?", delete_time,
            requested_from, requested_by as "requested_by: Json<Agent>", message as "message?", data as "data?",
            files as "files?: Json<Vec<File>>", external_id
        from chat_messages
        where application_key = $1 and ticket_id = $2 and id = any ($3)
        order by message_id
        "#,
        application.0,
        ticket_id.0,
        &ids,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::message).collect()
}

/// Where an export stands: after this ticket's message of this number.
#[derive(Debug, Clone, Copy)]
pub struct ExportPosition {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The number within it.
    pub message_id: MessageId,
}

/// Reads at most `limit` messages of the whole application after a position, by ticket and number.
///
/// # Errors
/// When the database is away.
pub async fn export(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: ExportPosition,
    limit: i64,
) -> Result<Vec<ChatMessage>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select null::bigint as version, null::bigint as message_count, id as "id?", message_id as "message_id?", ticket_id as "ticket_id?",
            user_sendbird_id as "user_sendbird_id?", user_type as "user_type?", create_time as "create_time?", delete_time,
            requested_from, requested_by as "requested_by: Json<Agent>", message as "message?", data as "data?",
            files as "files?: Json<Vec<File>>", external_id
        from chat_messages
        where application_key = $1 and (ticket_id, message_id) > ($2, $3)
        order by ticket_id, message_id
        limit $4
        "#,
        application.0,
        after.ticket_id.0,
        after.message_id.0,
        limit,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::message).collect()
}

/// Stores messages at the end of their tickets, in their order. Each is answered, in the same order: stored, or the one that has its
/// external id already; `None` when there is no such ticket. No two messages of a ticket may have the same external id.
///
/// Numbers are taken from the tickets' rows under their locks, only for what goes in: so they have no gaps.
///
/// # Errors
/// [`Error::WriteConflict`] when another sender stores one of the external ids at the same time; when the database is away.
#[expect(clippy::too_many_lines, reason = "the statement is long, and is read best in one piece")]
pub async fn append(
    connection: &mut PgConnection,
    application: ApplicationKey,
    messages: &[(TicketId, NewChatMessage)],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Stored>>, Error> {
    let ticket_ids: Vec<i64> = messages.iter().map(|(ticket_id, _)| ticket_id.0).collect();
    let user_sendbird_ids: Vec<&str> = messages.iter().map(|(_, message)| message.user_sendbird_id.as_str()).collect();
    let user_types: Vec<&str> = messages.iter().map(|(_, message)| message.user_type.as_str()).collect();
    let create_times: Vec<DateTime<Utc>> = messages.iter().map(|(_, message)| message.create_time.unwrap_or(now)).collect();
    let contents: Vec<&str> = messages.iter().map(|(_, message)| message.message.as_str()).collect();
    let data: Vec<&str> = messages.iter().map(|(_, message)| message.data.as_str()).collect();
    let files: Vec<Json<&[File]>> = messages.iter().map(|(_, message)| Json(message.files.as_slice())).collect();
    let external_ids: Vec<Option<&str>> = messages.iter().map(|(_, message)| message.external_id.as_deref()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        with ticket as materialized (
            -- In one order for all, or two batches of the same tickets could lock each other out.
            select id, message_count
            from tickets
            where application_key = $1 and id = any ($2)
            order by id
            for no key update
        ),
        source as (
            select s.*, ticket.message_count + row_number() over (partition by s.ticket_id order by s.ordinal) as message_id
            from unnest($2, $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::jsonb[], $9::text[])
                with ordinality as s (ticket_id, user_sendbird_id, user_type, create_time, message, data, files, external_id, ordinal)
            join ticket on ticket.id = s.ticket_id
            where not exists (
                select
                from chat_messages m
                where m.application_key = $1 and m.ticket_id = s.ticket_id and m.external_id = s.external_id
            )
        ),
        inserted as (
            insert into chat_messages (
                application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files, external_id
            )
            select $1, s.ticket_id, s.message_id, s.user_sendbird_id, s.user_type, s.create_time, s.message, s.data, s.files,
                s.external_id
            from source s
            order by s.ordinal
            returning *
        ),
        counted as (
            update tickets t
            set version = t.version + 1,
                message_count = t.message_count + stored.count,
                issue_time = coalesce(t.issue_time, stored.first_of_customer)
            from (
                select ticket_id, count(*) as count, min(create_time) filter (where user_type = 'CUSTOMER') as first_of_customer
                from inserted
                group by ticket_id
            ) stored
            where t.application_key = $1 and t.id = stored.ticket_id
        ),
        known as materialized (
            -- Message by message, once: joined freely, a planner that knows little reads the whole application for each ticket.
            select found.*
            from unnest($2, $9) as asked (ticket_id, external_id)
            cross join lateral (
                select *
                from chat_messages m
                where m.application_key = $1 and m.ticket_id = asked.ticket_id and m.external_id = asked.external_id
                limit 1
            ) found
        )
        select null::bigint as version, ticket.message_count as "message_count?", m.id as "id?", m.message_id as "message_id?",
            m.ticket_id as "ticket_id?", m.user_sendbird_id as "user_sendbird_id?", m.user_type as "user_type?",
            m.create_time as "create_time?", m.delete_time, m.requested_from, m.requested_by as "requested_by: Json<Agent>",
            m.message as "message?", m.data as "data?", m.files as "files?: Json<Vec<File>>", m.external_id
        from ticket
        join (
            select *
            from inserted
            union all
            select *
            from known
        ) m on m.ticket_id = ticket.id
        order by m.ticket_id, m.message_id
        "#,
        application.0,
        &ticket_ids,
        &user_sendbird_ids as _,
        &user_types as _,
        &create_times,
        &contents as _,
        &data as _,
        &files as _,
        &external_ids as _,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    in_order_of(messages, rows)
}

/// Brings the answer of [`append`] into the order of what was asked. What has a number above its ticket's count before was stored, in the
/// order asked; the rest was there.
fn in_order_of(asked: &[(TicketId, NewChatMessage)], rows: Vec<Row>) -> Result<Vec<Option<Stored>>, Error> {
    let mut stored: HashMap<TicketId, VecDeque<ChatMessage>> = HashMap::new();
    let mut known: HashMap<(TicketId, Option<String>), ChatMessage> = HashMap::new();
    for row in rows {
        let count_before = required("message_count", row.message_count)?;
        let message = row.message()?;
        if message.message_id.0 > count_before {
            stored.entry(message.ticket_id).or_default().push_back(message);
        } else {
            known.insert((message.ticket_id, message.external_id.clone()), message);
        }
    }
    let answer_to = |(ticket_id, message): &(TicketId, NewChatMessage)| {
        if let Some(message) = known.remove(&(*ticket_id, message.external_id.clone())) {
            return Some(Stored { message, duplicate: true });
        }
        let message = stored.get_mut(ticket_id)?.pop_front()?;
        Some(Stored { message, duplicate: false })
    };
    Ok(asked.iter().map(answer_to).collect())
}

/// A message as a statement answers it; the statements that join it to a ticket may have none.
pub(super) struct Row {
    /// The ticket's version and count as the statement saw them, where it reads the ticket.
    pub version: Option<i64>,
    pub message_count: Option<i64>,
    pub id: Option<i64>,
    pub message_id: Option<i64>,
    pub ticket_id: Option<i64>,
    pub user_sendbird_id: Option<String>,
    pub user_type: Option<String>,
    pub create_time: Option<DateTime<Utc>>,
    pub delete_time: Option<DateTime<Utc>>,
    pub requested_from: Option<String>,
    pub requested_by: Option<Json<Agent>>,
    pub message: Option<String>,
    pub data: Option<String>,
    pub files: Option<Json<Vec<File>>>,
    pub external_id: Option<String>,
}

impl Row {
    pub(super) fn message(self) -> Result<ChatMessage, Error> {
        let deletion = match (self.delete_time, self.requested_from) {
            (None, _) => None,
            (Some(time), requested_from) => {
                let requested_from = required("requested_from", requested_from)?;
                Some(Deletion {
                    time,
                    requested_from: known(&RequestedFrom::ALL, RequestedFrom::as_str, "requested_from", &requested_from)?,
                    requested_by: self.requested_by.map(|Json(agent)| agent),
                })
            }
        };
        Ok(ChatMessage {
            id: ChatMessageId(required("id", self.id)?),
            message_id: MessageId(required("message_id", self.message_id)?),
            ticket_id: TicketId(required("ticket_id", self.ticket_id)?),
            user_sendbird_id: required("user_sendbird_id", self.user_sendbird_id)?,
            user_type: known(&UserType::ALL, UserType::as_str, "user_type", &required("user_type", self.user_type)?)?,
            create_time: required("create_time", self.create_time)?,
            deletion,
            message: required("message", self.message)?,
            data: required("data", self.data)?,
            files: required("files", self.files)?.0,
            external_id: self.external_id,
        })
    }
}
