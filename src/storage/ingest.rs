//! Bulk ingest: the tickets that messages belong to.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::{ApplicationKey, TicketId};
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// A customer's tickets, as far as messages without a channel need them.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfCustomer {
    /// The newest open ticket.
    pub open: Option<TicketId>,
    /// The newest ticket of any status.
    pub newest: Option<TicketId>,
}

/// A ticket to open for a message.
#[derive(Debug)]
pub struct Opening {
    /// The channel; `None`: made from the id.
    pub channel_url: Option<String>,
    /// The customer.
    pub customer_sendbird_id: String,
    /// The same for everybody who is about to open this ticket: one of them does.
    pub claim: Uuid,
}

/// Has the statements of this transaction planned for what they are given. A plan that was made for every case while the tables were small
/// reads all messages of a ticket for each message of a large batch, until the database next gathers statistics.
///
/// # Errors
/// When the database is away.
pub async fn plan_for_this_batch(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("set local plan_cache_mode = force_custom_plan")
        .execute(connection)
        .instrument(named("ingest.plan_for_this_batch"))
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// Finds the oldest ticket of each channel.
///
/// # Errors
/// When the database is away.
pub async fn tickets_of_channels(
    connection: &mut PgConnection,
    application: ApplicationKey,
    channel_urls: &[String],
) -> Result<HashMap<String, TicketId>, Error> {
    let rows = sqlx::query!(
        r#"
        select channel_url, min(id) as "id!"
        from tickets
        where application_key = $1 and channel_url = any ($2)
        group by channel_url
        "#,
        application.0,
        channel_urls,
    )
    .fetch_all(connection)
    .instrument(named("ingest.tickets_of_channels"))
    .await
    .map_err(from_sqlx)?;
    Ok(rows.into_iter().map(|row| (row.channel_url, TicketId(row.id))).collect())
}

/// Finds the tickets of each customer.
///
/// # Errors
/// When the database is away.
pub async fn tickets_of_customers(
    connection: &mut PgConnection,
    application: ApplicationKey,
    customer_sendbird_ids: &[String],
) -> Result<HashMap<String, OfCustomer>, Error> {
    let rows = sqlx::query!(
        r#"
        select customer_sendbird_id, max(id) filter (where status <> 'CLOSED') as open, max(id) as newest
        from tickets
        where application_key = $1 and customer_sendbird_id = any ($2)
        group by customer_sendbird_id
        "#,
        application.0,
        customer_sendbird_ids,
    )
    .fetch_all(connection)
    .instrument(named("ingest.tickets_of_customers"))
    .await
    .map_err(from_sqlx)?;
    let of_customer =
        |open: Option<i64>, newest: Option<i64>| OfCustomer { open: open.map(TicketId), newest: newest.map(TicketId) };
    Ok(rows.into_iter().map(|row| (row.customer_sendbird_id, of_customer(row.open, row.newest))).collect())
}

/// Finds messages by external id in their customers' tickets, the oldest ticket that has it. Both lists are of the same length.
///
/// # Errors
/// When the database is away.
pub async fn tickets_of_messages(
    connection: &mut PgConnection,
    application: ApplicationKey,
    customer_sendbird_ids: &[String],
    external_ids: &[String],
) -> Result<HashMap<(String, String), TicketId>, Error> {
    let rows = sqlx::query!(
        r#"
        select asked.customer_sendbird_id as "customer_sendbird_id!", asked.external_id as "external_id!", min(found.ticket_id) as "ticket_id!"
        from unnest($2::text[], $3::text[]) as asked (customer_sendbird_id, external_id)
        join tickets t on t.application_key = $1 and t.customer_sendbird_id = asked.customer_sendbird_id
        cross join lateral (
            select m.ticket_id
            from chat_messages m
            where m.application_key = $1 and m.ticket_id = t.id and m.external_id = asked.external_id
            limit 1
        ) found
        group by asked.customer_sendbird_id, asked.external_id
        "#,
        application.0,
        customer_sendbird_ids,
        external_ids,
    )
    .fetch_all(connection)
    .instrument(named("ingest.tickets_of_messages"))
    .await
    .map_err(from_sqlx)?;
    Ok(rows.into_iter().map(|row| ((row.customer_sendbird_id, row.external_id), TicketId(row.ticket_id))).collect())
}

/// Opens tickets, PENDING. One whose claim another transaction holds is left out, after waiting for it: look again.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn open_tickets(
    connection: &mut PgConnection,
    application: ApplicationKey,
    openings: &[Opening],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let channel_urls: Vec<Option<&str>> = openings.iter().map(|opening| opening.channel_url.as_deref()).collect();
    let customers: Vec<&str> = openings.iter().map(|opening| opening.customer_sendbird_id.as_str()).collect();
    let claims: Vec<Uuid> = openings.iter().map(|opening| opening.claim).collect();
    sqlx::query!(
        r#"
        with new as materialized (
            select nextval('ticket_ids') as id, asked.channel_url, asked.customer_sendbird_id, asked.claim
            from unnest($2::text[], $3::text[], $4::uuid[]) as asked (channel_url, customer_sendbird_id, claim)
        ),
        claimed as (
            insert into requests (application_key, request_id, digest, create_time, ticket_id)
            select $1, new.claim, sha256(uuid_send(new.claim)), $5, new.id
            from new
            order by new.claim
            on conflict (application_key, request_id) do nothing
            returning request_id
        )
        insert into tickets (
            application_key, id, status, priority, channel_type, channel_url, channel_name, customer_sendbird_id,
            customer_display_name, info, custom_fields, related_channels, create_time
        )
        select $1, new.id, 'PENDING', 'MEDIUM', 'SENDBIRD', coalesce(new.channel_url, 'desk_ticket_' || new.id), '',
            new.customer_sendbird_id, '', '', '[]', '[]', $5
        from new
        join claimed on claimed.request_id = new.claim
        "#,
        application.0,
        &channel_urls as _,
        &customers as _,
        &claims,
        now,
    )
    .execute(connection)
    .instrument(named("ingest.open_tickets"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}
