//! Chat messages of a whole application, for the one list that is not of a ticket.
//!
//! The list of all names the highest id that there can be as its end: see [`place`](crate::storage::list_milestone::place).

use sqlx::PgConnection;

use crate::domain::chat_message::{ApplicationFilter, ChatMessage};
use crate::domain::ids::{ApplicationKey, ChatMessageId};
use crate::domain::ticket::ChannelType;
use crate::error::Error;
use crate::storage::message_row::MessageRow;
use crate::storage::{Instrument, from_sqlx, named};

/// Lists all messages ascending by id: at most `limit` of those after the id `after`. The cost does not depend on where that is.
///
/// # Errors
/// When the database is away.
pub async fn all(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: ChatMessageId,
    limit: i64,
) -> Result<Vec<ChatMessage>, Error> {
    let statement = sqlx::query!(
        r#"
        select m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time, m.requested_from,
            m.requested_by, m.message, m.data, case when jsonb_array_length(m.files) > 0 then m.files end as files, m.external_id
        from chat_messages m
        where m.application_key = $1 and m.id > $2 and m.id <= 9007199254740991
        order by m.id
        limit $3
        "#,
        application.0,
        after.0,
        limit,
    );
    let rows = MessageRow::fetch_all(connection, statement).instrument(named("application_message.all")).await?;
    rows.iter().map(MessageRow::owned_message).collect()
}

/// Lists the messages that a filter chooses ascending by id: at most `limit` of those after the id `after`, passing over `skip`.
///
/// # Errors
/// When the database is away.
pub async fn chosen(
    connection: &mut PgConnection,
    application: ApplicationKey,
    filter: &ApplicationFilter,
    after: ChatMessageId,
    skip: i64,
    limit: i64,
) -> Result<Vec<ChatMessage>, Error> {
    let statement = sqlx::query!(
        r#"
        select m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time, m.requested_from,
            m.requested_by, m.message, m.data, case when jsonb_array_length(m.files) > 0 then m.files end as files, m.external_id
        from chat_messages m
        where m.application_key = $1
            and m.id > $2
            and ($3::timestamptz is null or m.create_time >= $3)
            and ($4::timestamptz is null or m.create_time <= $4)
            and ($5::text is null or exists (
                select
                from tickets t
                where t.application_key = $1 and t.id = m.ticket_id and t.channel_type = $5
            ))
        order by m.id
        limit $7
        offset $6
        "#,
        application.0,
        after.0,
        filter.from,
        filter.to,
        filter.channel_type.map(ChannelType::as_str),
        skip,
        limit,
    );
    let rows = MessageRow::fetch_all(connection, statement).instrument(named("application_message.chosen")).await?;
    rows.iter().map(MessageRow::owned_message).collect()
}

/// Counts the messages that a filter chooses.
///
/// # Errors
/// When the database is away.
pub async fn count(connection: &mut PgConnection, application: ApplicationKey, filter: &ApplicationFilter) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from chat_messages m
        where m.application_key = $1
            and ($2::timestamptz is null or m.create_time >= $2)
            and ($3::timestamptz is null or m.create_time <= $3)
            and ($4::text is null or exists (
                select
                from tickets t
                where t.application_key = $1 and t.id = m.ticket_id and t.channel_type = $4
            ))
        "#,
        application.0,
        filter.from,
        filter.to,
        filter.channel_type.map(ChannelType::as_str),
    )
    .fetch_one(connection)
    .instrument(named("application_message.count"))
    .await
    .map_err(from_sqlx)
}
