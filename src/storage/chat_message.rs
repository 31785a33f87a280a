//! Chat messages.

use futures_util::TryStreamExt;
use sqlx::PgConnection;

use crate::domain::chat_message::ChatMessage;
use crate::domain::ids::{ApplicationKey, ChatMessageId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::message_row::MessageRow;
use crate::storage::{Instrument, named, place_of, required};

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

/// A ticket as a statement found it.
#[derive(Debug, Clone, Copy)]
pub struct TicketFound {
    /// The ticket's version.
    pub version: i64,
    /// How many messages the ticket has, tombstones included.
    pub message_count: i64,
}

/// Reads pages of tickets' messages, in one statement and so from one moment. Answers what the tickets are like in the order asked; `None` where
/// there is no such ticket. `take` is given each message with the place of its page among those asked for, the messages of a page ascending by
/// number, and none where the asker has the page.
///
/// # Errors
/// When the database is away.
pub async fn pages(
    connection: &mut PgConnection,
    application: ApplicationKey,
    asked: &[PageAsked],
    mut take: impl FnMut(usize, ChatMessage<&str>) + Send,
) -> Result<Vec<Option<TicketFound>>, Error> {
    let ticket_ids: Vec<i64> = asked.iter().map(|page| page.ticket_id.0).collect();
    let afters: Vec<i64> = asked.iter().map(|page| page.after.0).collect();
    let lasts: Vec<i64> = asked.iter().map(|page| page.after.0.saturating_add(page.size)).collect();
    let known_versions: Vec<Option<i64>> = asked.iter().map(|page| page.known_version).collect();
    let statement = sqlx::query!(
        r#"
        -- What is the same in all rows of a page stands in its first, as one value: what a row holds is what sending it costs.
        select m.id, m.message_id, null::bigint as ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
            m.requested_from, m.requested_by, m.message, m.data,
            case when jsonb_array_length(m.files) > 0 then m.files end as files, m.external_id,
            case
                when m.message_id is null or m.message_id - 1 = asked.after
                then array[asked.ordinal, t.version, t.message_count]
            end as page
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
    let mut found: Vec<Option<TicketFound>> = asked.iter().map(|_| None).collect();
    let mut at = None;
    let mut rows = MessageRow::fetch(connection, statement);
    // Not entered, which the driver would do twice for each row.
    let _span = named("chat_message.pages");
    // The rows of a page come one after the other: the statement joins page by page.
    while let Some(row) = rows.try_next().await? {
        if let Some([ordinal, version, message_count]) = row.page()? {
            let place = place_of(ordinal, asked.len())?;
            found[place] = Some(TicketFound { version, message_count });
            at = Some(place);
        }
        let at = required("page", at)?;
        if row.has_message()? {
            take(at, row.message_of(asked[at].ticket_id)?);
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
        select m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time, m.requested_from,
            m.requested_by, m.message, m.data, case when jsonb_array_length(m.files) > 0 then m.files end as files, m.external_id,
            asked.ordinal
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
        let at = place_of(row.ordinal()?, asked.len())?;
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
        select id, message_id, ticket_id, user_sendbird_id, user_type, create_time, delete_time, requested_from, requested_by, message, data,
            case when jsonb_array_length(files) > 0 then files end as files, external_id
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
