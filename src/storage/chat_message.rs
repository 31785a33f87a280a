//! Chat messages.

use sqlx::PgConnection;
use tracing::Instrument;

use crate::domain::chat_message::ChatMessage;
use crate::domain::ids::{ApplicationKey, ChatMessageId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::message_row::MessageRow;
use crate::storage::{named, place_of, required};

/// A page to read.
#[derive(Debug, Clone, Copy)]
pub struct PageAsked {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The number after which the page begins, 0 or more. Numbers are dense, so that this is also how many messages are passed over: the cost does
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
    ticket_id: TicketId,
    rows: Vec<MessageRow>,
}

impl PageFound {
    /// The messages, ascending by number.
    pub fn messages(&self) -> impl Iterator<Item = Result<ChatMessage<&str>, Error>> {
        self.rows.iter().map(|row| row.message_of(self.ticket_id))
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
    let statement = sqlx::query!(
        r#"
        -- What is the same in all rows of a page stands in its first: a third of what a row holds, and of what sending it costs.
        select case when m.message_id is null or m.message_id - 1 = asked.after then asked.ordinal end as ordinal,
            case when m.message_id is null or m.message_id - 1 = asked.after then t.version end as version,
            case when m.message_id is null or m.message_id - 1 = asked.after then t.message_count end as message_count,
            m.id, m.message_id, null::bigint as ticket_id, m.user_sendbird_id,
            m.user_type, m.create_time, m.delete_time, m.requested_from, m.requested_by, m.message, m.data,
            nullif(m.files, '[]') as files, m.external_id
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
    );
    let rows = MessageRow::fetch_all(connection, statement).instrument(named("chat_message.pages")).await?;
    let mut found: Vec<Option<PageFound>> = asked.iter().map(|_| None).collect();
    let mut at = 0;
    // The rows of a page come one after the other: the statement joins page by page.
    for row in rows {
        if let Some(ordinal) = row.ordinal()? {
            let (version, message_count) = (row.version()?, row.message_count()?);
            at = place_of(ordinal, asked.len())?;
            found[at] = Some(PageFound { ticket_id: asked[at].ticket_id, version, message_count, rows: Vec::new() });
        }
        let page = required("ordinal", found.get_mut(at).and_then(Option::as_mut))?;
        if row.has_message()? {
            page.rows.push(row);
        }
    }
    Ok(found)
}

/// A message as a statement found it.
pub struct Found(MessageRow);

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
    let statement = sqlx::query!(
        r#"
        select asked.ordinal, null::bigint as version, null::bigint as message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id,
            m.user_type, m.create_time, m.delete_time, m.requested_from, m.requested_by, m.message, m.data,
            nullif(m.files, '[]') as files, m.external_id
        from unnest($2::bigint[], $3::bigint[]) with ordinality as asked (ticket_id, id, ordinal)
        join chat_messages m on m.application_key = $1 and m.ticket_id = asked.ticket_id and m.id = asked.id
        "#,
        application.0,
        &ticket_ids,
        &ids,
    );
    let rows = MessageRow::fetch_all(connection, statement).instrument(named("chat_message.find")).await?;
    let mut found: Vec<Option<Found>> = asked.iter().map(|_| None).collect();
    for row in rows {
        let at = place_of(required("ordinal", row.ordinal()?)?, asked.len())?;
        found[at] = Some(Found(row));
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
    let statement = sqlx::query!(
        r#"
        select null::bigint as ordinal, null::bigint as version, null::bigint as message_count, id, message_id,
            ticket_id, user_sendbird_id, user_type, create_time, delete_time, requested_from, requested_by, message, data,
            nullif(files, '[]') as files, external_id
        from chat_messages
        where application_key = $1 and (ticket_id, message_id) > ($2, $3)
        order by ticket_id, message_id
        limit $4
        "#,
        application.0,
        after.ticket_id.0,
        after.message_id.0,
        limit,
    );
    let rows = MessageRow::fetch_all(connection, statement).instrument(named("chat_message.export")).await?;
    rows.iter().map(MessageRow::owned_message).collect()
}
