//! Chat messages.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessage, File, UserType};
use crate::domain::ids::{ApplicationKey, ChatMessageId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::text::Text;
use crate::storage::{deletion_of, from_sqlx, known, place_of, required};

/// A page to read.
#[derive(Debug, Clone, Copy)]
pub struct PageAsked {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The number after which the page begins. Numbers are dense, so that this is also how many messages are passed over: the cost does
    /// not depend on it.
    pub after: MessageId,
    /// How many messages at most.
    pub size: i64,
    /// A version of the ticket that the asker has this page of: then it is not read.
    pub known_version: Option<i64>,
}

/// A ticket as a statement found it, with the page asked for, unless the asker has it.
pub struct PageFound {
    /// The ticket's version.
    pub version: i64,
    /// How many messages the ticket has, tombstones included.
    pub message_count: i64,
    rows: Vec<Row>,
}

impl PageFound {
    /// The messages, ascending by number.
    pub fn messages(&self) -> impl Iterator<Item = Result<ChatMessage<&str>, Error>> {
        self.rows.iter().map(Row::message)
    }
}

/// Reads pages of tickets' messages, in one statement and so from one moment, and answers them in the order asked; `None` where there is
/// no such ticket.
///
/// # Errors
/// When the database is away.
pub async fn pages(
    connection: &mut PgConnection,
    application: ApplicationKey,
    asked: &[PageAsked],
) -> Result<Vec<Option<PageFound>>, Error> {
    let ticket_ids: Vec<i64> = asked.iter().map(|page| page.ticket_id.0).collect();
    let afters: Vec<i64> = asked.iter().map(|page| page.after.0).collect();
    let lasts: Vec<i64> = asked.iter().map(|page| page.after.0.saturating_add(page.size)).collect();
    let known_versions: Vec<Option<i64>> = asked.iter().map(|page| page.known_version).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select asked.ordinal as "ordinal?", t.version as "version?", t.message_count as "message_count?", m.id as "id?",
            m.message_id as "message_id?", t.id as "ticket_id?", m.user_sendbird_id as "user_sendbird_id?: Text",
            m.user_type as "user_type?: Text", m.create_time as "create_time?", m.delete_time, m.requested_from as "requested_from?: Text",
            m.requested_by as "requested_by: Json<Agent>", m.message as "message?: Text", m.data as "data?: Text",
            nullif(m.files, '[]') as "files?: Json<Vec<File>>", m.external_id as "external_id?: Text"
        from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
            with ordinality as asked (ticket_id, after, last, known_version, ordinal)
        join tickets t on t.application_key = $1 and t.id = asked.ticket_id
        left join lateral (
            select *
            from chat_messages
            where application_key = $1
                and ticket_id = t.id
                and message_id > asked.after
                and message_id <= asked.last
                and t.version is distinct from asked.known_version
            order by message_id
        ) m on true
        "#,
        application.0,
        &ticket_ids,
        &afters,
        &lasts,
        &known_versions as _,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    let mut found: Vec<Option<PageFound>> = asked.iter().map(|_| None).collect();
    for row in rows {
        let (version, message_count) = (required("version", row.version)?, required("message_count", row.message_count)?);
        let page = place_of(row.ordinal, &mut found)?.get_or_insert_with(|| PageFound { version, message_count, rows: Vec::new() });
        if row.id.is_some() {
            page.rows.push(row);
        }
    }
    Ok(found)
}

/// A message as a statement found it.
pub struct Found(Row);

impl Found {
    /// The message.
    ///
    /// # Errors
    /// When the row holds what no statement writes.
    pub fn message(&self) -> Result<ChatMessage<&str>, Error> {
        self.0.message()
    }
}

/// Reads messages by ticket and id and answers them in the order asked; `None` where the ticket does not have the message.
///
/// # Errors
/// When the database is away.
pub async fn find(
    connection: &mut PgConnection,
    application: ApplicationKey,
    asked: &[(TicketId, ChatMessageId)],
) -> Result<Vec<Option<Found>>, Error> {
    let (ticket_ids, ids): (Vec<i64>, Vec<i64>) = asked.iter().map(|(ticket_id, id)| (ticket_id.0, id.0)).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select asked.ordinal as "ordinal?", null::bigint as version, null::bigint as message_count, m.id as "id?",
            m.message_id as "message_id?", m.ticket_id as "ticket_id?", m.user_sendbird_id as "user_sendbird_id?: Text",
            m.user_type as "user_type?: Text", m.create_time as "create_time?", m.delete_time, m.requested_from as "requested_from?: Text",
            m.requested_by as "requested_by: Json<Agent>", m.message as "message?: Text", m.data as "data?: Text",
            nullif(m.files, '[]') as "files?: Json<Vec<File>>", m.external_id as "external_id?: Text"
        from unnest($2::bigint[], $3::bigint[]) with ordinality as asked (ticket_id, id, ordinal)
        join chat_messages m on m.application_key = $1 and m.ticket_id = asked.ticket_id and m.id = asked.id
        "#,
        application.0,
        &ticket_ids,
        &ids,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    let mut found: Vec<Option<Found>> = asked.iter().map(|_| None).collect();
    for row in rows {
        let place = place_of(row.ordinal, &mut found)?;
        *place = Some(Found(row));
    }
    Ok(found)
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
        select null::bigint as ordinal, null::bigint as version, null::bigint as message_count, id as "id?", message_id as "message_id?",
            ticket_id as "ticket_id?", user_sendbird_id as "user_sendbird_id?: Text", user_type as "user_type?: Text",
            create_time as "create_time?", delete_time, requested_from as "requested_from?: Text",
            requested_by as "requested_by: Json<Agent>", message as "message?: Text", data as "data?: Text",
            nullif(files, '[]') as "files?: Json<Vec<File>>", external_id as "external_id?: Text"
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
    rows.iter().map(|row| row.message().map(ChatMessage::into_owned)).collect()
}

/// A message as a statement answers it; the statements that join it to a ticket may have none.
pub(super) struct Row {
    /// The place among what was asked, from 1, where the statement answers several.
    pub ordinal: Option<i64>,
    /// The ticket's version and count as the statement saw them, where it reads the ticket.
    pub version: Option<i64>,
    pub message_count: Option<i64>,
    pub id: Option<i64>,
    pub message_id: Option<i64>,
    pub ticket_id: Option<i64>,
    pub user_sendbird_id: Option<Text>,
    pub user_type: Option<Text>,
    pub create_time: Option<DateTime<Utc>>,
    pub delete_time: Option<DateTime<Utc>>,
    pub requested_from: Option<Text>,
    pub requested_by: Option<Json<Agent>>,
    pub message: Option<Text>,
    pub data: Option<Text>,
    /// Null where there are none, which is nearly always.
    pub files: Option<Json<Vec<File>>>,
    pub external_id: Option<Text>,
}

impl Row {
    pub(super) fn message(&self) -> Result<ChatMessage<&str>, Error> {
        let requested_from = self.requested_from.as_ref().map(Text::as_str).transpose()?;
        let requested_by = self.requested_by.as_ref().map(|Json(agent)| agent.clone());
        let deletion = deletion_of(self.delete_time, requested_from, requested_by)?;
        let (id, message_id, ticket_id) = self.ids()?;
        Ok(ChatMessage {
            id,
            message_id,
            ticket_id,
            user_sendbird_id: text("user_sendbird_id", self.user_sendbird_id.as_ref())?,
            user_type: known(&UserType::ALL, UserType::as_str, "user_type", text("user_type", self.user_type.as_ref())?)?,
            create_time: required("create_time", self.create_time)?,
            deletion,
            message: text("message", self.message.as_ref())?,
            data: text("data", self.data.as_ref())?,
            files: self.files.as_ref().map_or_else(Vec::new, |Json(files)| files.clone()),
            external_id: self.external_id.as_ref().map(Text::as_str).transpose()?,
        })
    }

    pub(super) fn ids(&self) -> Result<(ChatMessageId, MessageId, TicketId), Error> {
        Ok((
            ChatMessageId(required("id", self.id)?),
            MessageId(required("message_id", self.message_id)?),
            TicketId(required("ticket_id", self.ticket_id)?),
        ))
    }
}

fn text<'a>(column: &'static str, value: Option<&'a Text>) -> Result<&'a str, Error> {
    required(column, value)?.as_str()
}
