//! Lists of tickets: of all that there are, by key, and of those that a filter chooses.
//!
//! The list of all names the highest id that there can be as its end: see [`place`](crate::storage::list_milestone::place).

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::deletion_log::{start_of_day, start_of_next_day};
use crate::domain::ids::{ApplicationKey, TicketId};
use crate::domain::ticket::{CustomField, Group, Ticket, TicketFilter, TicketStatus};
use crate::error::Error;
use crate::storage::ticket::Row;
use crate::storage::{Instrument, from_sqlx, named};

/// Lists all tickets ascending by id: at most `limit` of those after the id `after`. The cost does not depend on where that is. Only for
/// tickets that are held are the holds looked into at all.
///
/// # Errors
/// When the database is away.
pub async fn all(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: TicketId,
    limit: i64,
) -> Result<Vec<Ticket>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select t.id, t.version, t.message_count, t.status, t.priority, t.channel_type, t.channel_url, t.channel_name, t.customer_id,
            t.customer_sendbird_id, t.customer_display_name, t.agent as "agent: Json<Agent>", t.agent_group as "agent_group: Json<Group>",
            t.info, t.custom_fields as "custom_fields: Json<Vec<CustomField>>", t.related_channels, t.create_time, t.issue_time,
            t.close_time, t.close_status, t.close_comment, m.message as "last_message?", t.hold_id, h.create_time as "hold_time?",
            h.reason as "hold_reason?", h.requested_by as "hold_requested_by?: Json<Agent>", h.token_id as "hold_token_id?"
        from (
            select *
            from tickets
            where application_key = $1 and id > $2 and id <= 9007199254740991
            order by id
            limit $3
        ) t
        left join lateral (
            select message
            from chat_messages
            where application_key = $1 and ticket_id = t.id and message_id = t.message_count
            limit 1
        ) m on true
        left join lateral (
            select create_time, reason, requested_by, token_id
            from holds
            where t.hold_id is not null and application_key = $1 and ticket_id = t.id and id = t.hold_id
            limit 1
        ) h on true
        order by t.id
        "#,
        application.0,
        after.0,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("ticket.list.all"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::ticket).collect()
}

/// Lists the tickets that a filter chooses ascending by id: at most `limit` of those after the id `after`, passing over `skip`.
///
/// # Errors
/// When the database is away.
pub async fn chosen(
    connection: &mut PgConnection,
    application: ApplicationKey,
    filter: &TicketFilter,
    after: TicketId,
    skip: i64,
    limit: i64,
) -> Result<Vec<Ticket>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select t.id, t.version, t.message_count, t.status, t.priority, t.channel_type, t.channel_url, t.channel_name, t.customer_id,
            t.customer_sendbird_id, t.customer_display_name, t.agent as "agent: Json<Agent>", t.agent_group as "agent_group: Json<Group>",
            t.info, t.custom_fields as "custom_fields: Json<Vec<CustomField>>", t.related_channels, t.create_time, t.issue_time,
            t.close_time, t.close_status, t.close_comment, m.message as "last_message?", t.hold_id, h.create_time as "hold_time?",
            h.reason as "hold_reason?", h.requested_by as "hold_requested_by?: Json<Agent>", h.token_id as "hold_token_id?"
        from tickets t
        left join chat_messages m
            on m.application_key = t.application_key and m.ticket_id = t.id and m.message_id = t.message_count
        left join holds h on h.application_key = t.application_key and h.ticket_id = t.id and h.id = t.hold_id
        where t.application_key = $1
            and t.id > $2
            and ($3::text is null or t.status = $3)
            and ($4::bigint is null or (t.agent ->> 'id')::bigint = $4)
            and ($5::text is null or t.customer_sendbird_id = $5)
            and ($6::text is null or t.channel_url = $6)
            and ($7::text is null or strpos(lower(t.channel_name), lower($7)) > 0 or strpos(lower(t.customer_display_name), lower($7)) > 0)
            and ($8::timestamptz is null or t.create_time >= $8)
            and ($9::timestamptz is null or t.create_time < $9)
        order by t.id
        limit $11
        offset $10
        "#,
        application.0,
        after.0,
        filter.status.map(TicketStatus::as_str),
        filter.agent_id,
        filter.sendbird_id,
        filter.channel_url,
        filter.query,
        filter.start_date.map(start_of_day),
        filter.end_date.map(start_of_next_day),
        skip,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("ticket.list.chosen"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::ticket).collect()
}

/// Counts the tickets that a filter chooses.
///
/// # Errors
/// When the database is away.
pub async fn count(connection: &mut PgConnection, application: ApplicationKey, filter: &TicketFilter) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from tickets t
        where t.application_key = $1
            and ($2::text is null or t.status = $2)
            and ($3::bigint is null or (t.agent ->> 'id')::bigint = $3)
            and ($4::text is null or t.customer_sendbird_id = $4)
            and ($5::text is null or t.channel_url = $5)
            and ($6::text is null or strpos(lower(t.channel_name), lower($6)) > 0 or strpos(lower(t.customer_display_name), lower($6)) > 0)
            and ($7::timestamptz is null or t.create_time >= $7)
            and ($8::timestamptz is null or t.create_time < $8)
        "#,
        application.0,
        filter.status.map(TicketStatus::as_str),
        filter.agent_id,
        filter.sendbird_id,
        filter.channel_url,
        filter.query,
        filter.start_date.map(start_of_day),
        filter.end_date.map(start_of_next_day),
    )
    .fetch_one(connection)
    .instrument(named("ticket.list.count"))
    .await
    .map_err(from_sqlx)
}
