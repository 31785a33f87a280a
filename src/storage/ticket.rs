//! Tickets.

pub mod list;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::hold::Hold;
use crate::domain::ids::{ApplicationKey, HoldEventId, TicketId};
use crate::domain::ticket::{
    ChannelType, Closing, CustomField, Customer, Group, NewTicket, Ticket, TicketChange, TicketPriority, TicketStatus,
};
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, known, named};

/// What a change of a ticket is decided by, under the lock on its row.
#[derive(Debug, Clone, Copy)]
pub struct Locked {
    /// The current version.
    pub version: i64,
    /// The current status.
    pub status: TicketStatus,
    /// Whether it is under a legal hold.
    pub is_held: bool,
}

/// Opens a ticket.
///
/// # Errors
/// When the database is away.
pub async fn insert(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket: &NewTicket,
    now: DateTime<Utc>,
) -> Result<TicketId, Error> {
    let closing = ticket.closing.as_ref();
    let id = sqlx::query_scalar!(
        r#"
        insert into tickets (
            application_key, id, status, priority, channel_type, channel_url, channel_name, customer_id, customer_sendbird_id,
            customer_display_name, agent, agent_group, info, custom_fields, related_channels, create_time, close_time, close_status,
            close_comment
        )
        select $1, new.id, $2, $3, $4, coalesce($5, 'desk_ticket_' || new.id), $6, $7, $8,
            $9, $10, $11, $12, $13, $14, $15, $16, $17,
            $18
        from (select nextval('ticket_ids') as id) as new
        returning id
        "#,
        application.0,
        ticket.status.as_str(),
        ticket.priority.as_str(),
        ticket.customer.channel_type.as_str(),
        ticket.channel_url.as_deref(),
        ticket.channel_name,
        ticket.customer.id,
        ticket.customer.sendbird_id,
        ticket.customer.display_name,
        ticket.agent.as_ref().map(Json) as _,
        ticket.group.as_ref().map(Json) as _,
        ticket.info,
        Json(&ticket.custom_fields) as _,
        ticket.related_channels,
        ticket.create_time.unwrap_or(now),
        closing.map(|closing| closing.time),
        closing.map(|closing| closing.status.as_str()),
        closing.map(|closing| closing.comment.as_str()),
    )
    .fetch_one(connection)
    .instrument(named("ticket.insert"))
    .await
    .map_err(from_sqlx)?;
    Ok(TicketId(id))
}

/// Reads a ticket.
///
/// # Errors
/// When the database is away.
pub async fn find(connection: &mut PgConnection, application: ApplicationKey, id: TicketId) -> Result<Option<Ticket>, Error> {
    let row = sqlx::query_as!(
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
        where t.application_key = $1 and t.id = $2
        "#,
        application.0,
        id.0,
    )
    .fetch_optional(connection)
    .instrument(named("ticket.find"))
    .await
    .map_err(from_sqlx)?;
    row.map(Row::ticket).transpose()
}

/// Finds the oldest ticket of a channel.
///
/// # Errors
/// When the database is away.
pub async fn find_by_channel_url(
    connection: &mut PgConnection,
    application: ApplicationKey,
    channel_url: &str,
) -> Result<Option<TicketId>, Error> {
    let id = sqlx::query_scalar!(
        r#"select id from tickets where application_key = $1 and channel_url = $2 order by id limit 1"#,
        application.0,
        channel_url,
    )
    .fetch_optional(connection)
    .instrument(named("ticket.find_by_channel_url"))
    .await
    .map_err(from_sqlx)?;
    Ok(id.map(TicketId))
}

/// Whether the application has the ticket.
///
/// # Errors
/// When the database is away.
pub async fn exists(connection: &mut PgConnection, application: ApplicationKey, id: TicketId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from tickets where application_key = $1 and id = $2) as "found!""#,
        application.0,
        id.0,
    )
    .fetch_one(connection)
    .instrument(named("ticket.exists"))
    .await
    .map_err(from_sqlx)?;
    Ok(found)
}

/// Locks a ticket's row until the transaction ends.
///
/// # Errors
/// When the database is away.
pub async fn lock(connection: &mut PgConnection, application: ApplicationKey, id: TicketId) -> Result<Option<Locked>, Error> {
    let row = sqlx::query!(
        r#"
        select version, status, hold_id is not null as "is_held!"
        from tickets
        where application_key = $1 and id = $2
        for no key update
        "#,
        application.0,
        id.0,
    )
    .fetch_optional(connection)
    .instrument(named("ticket.lock"))
    .await
    .map_err(from_sqlx)?;
    row.map(|row| {
        let status = known(&TicketStatus::ALL, TicketStatus::as_str, "status", &row.status)?;
        Ok(Locked { version: row.version, status, is_held: row.is_held })
    })
    .transpose()
}

/// Changes a ticket: what the change leaves out stays as it is.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn update(
    connection: &mut PgConnection,
    application: ApplicationKey,
    id: TicketId,
    change: &TicketChange,
) -> Result<(), Error> {
    sqlx::query!(
        r#"
        update tickets
        set version = version + 1,
            channel_name = coalesce($3, channel_name),
            status = coalesce($4, status),
            priority = coalesce($5, priority),
            agent = case when $6 then $7 else agent end,
            agent_group = case when $8 then $9 else agent_group end,
            info = coalesce($10, info),
            custom_fields = coalesce($11, custom_fields),
            related_channels = coalesce($12, related_channels)
        where application_key = $1 and id = $2
        "#,
        application.0,
        id.0,
        change.channel_name,
        change.status.map(TicketStatus::as_str),
        change.priority.map(TicketPriority::as_str),
        change.agent.is_some(),
        change.agent.as_ref().and_then(Option::as_ref).map(Json) as _,
        change.group.is_some(),
        change.group.as_ref().and_then(Option::as_ref).map(Json) as _,
        change.info,
        change.custom_fields.as_ref().map(Json) as _,
        change.related_channels,
    )
    .execute(connection)
    .instrument(named("ticket.update"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Closes a ticket.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn close(
    connection: &mut PgConnection,
    application: ApplicationKey,
    id: TicketId,
    closing: &Closing,
) -> Result<(), Error> {
    sqlx::query!(
        r#"
        update tickets
        set version = version + 1, status = 'CLOSED', close_time = $3, close_status = $4, close_comment = $5
        where application_key = $1 and id = $2
        "#,
        application.0,
        id.0,
        closing.time,
        closing.status,
        closing.comment,
    )
    .execute(connection)
    .instrument(named("ticket.close"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Reopens a ticket.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn reopen(connection: &mut PgConnection, application: ApplicationKey, id: TicketId) -> Result<(), Error> {
    sqlx::query!(
        r#"
        update tickets
        set version = version + 1, status = 'PENDING', close_time = null, close_status = null, close_comment = null
        where application_key = $1 and id = $2
        "#,
        application.0,
        id.0,
    )
    .execute(connection)
    .instrument(named("ticket.reopen"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

struct Row {
    id: i64,
    version: i64,
    message_count: i64,
    status: String,
    priority: String,
    channel_type: String,
    channel_url: String,
    channel_name: String,
    customer_id: Option<i64>,
    customer_sendbird_id: String,
    customer_display_name: String,
    agent: Option<Json<Agent>>,
    agent_group: Option<Json<Group>>,
    info: String,
    custom_fields: Json<Vec<CustomField>>,
    related_channels: String,
    create_time: DateTime<Utc>,
    issue_time: Option<DateTime<Utc>>,
    close_time: Option<DateTime<Utc>>,
    close_status: Option<String>,
    close_comment: Option<String>,
    last_message: Option<String>,
    hold_id: Option<i64>,
    hold_time: Option<DateTime<Utc>>,
    hold_reason: Option<String>,
    hold_requested_by: Option<Json<Agent>>,
    hold_token_id: Option<String>,
}

impl Row {
    fn ticket(self) -> Result<Ticket, Error> {
        let closing = self.close_time.map(|time| Closing {
            time,
            status: self.close_status.unwrap_or_default(),
            comment: self.close_comment.unwrap_or_default(),
        });
        let hold = self.hold_id.zip(self.hold_time).map(|(id, place_time)| Hold {
            id: HoldEventId(id),
            place_time,
            reason: self.hold_reason.unwrap_or_default(),
            requested_by: self.hold_requested_by.map(|Json(agent)| agent),
            token_id: self.hold_token_id.unwrap_or_default(),
        });
        Ok(Ticket {
            id: TicketId(self.id),
            version: self.version,
            status: known(&TicketStatus::ALL, TicketStatus::as_str, "status", &self.status)?,
            priority: known(&TicketPriority::ALL, TicketPriority::as_str, "priority", &self.priority)?,
            channel_url: self.channel_url,
            channel_name: self.channel_name,
            customer: Customer {
                id: self.customer_id,
                sendbird_id: self.customer_sendbird_id,
                channel_type: known(&ChannelType::ALL, ChannelType::as_str, "channel_type", &self.channel_type)?,
                display_name: self.customer_display_name,
            },
            agent: self.agent.map(|Json(agent)| agent),
            group: self.agent_group.map(|Json(group)| group),
            info: self.info,
            custom_fields: self.custom_fields.0,
            related_channels: self.related_channels,
            message_count: self.message_count,
            last_message: self.last_message.unwrap_or_default(),
            create_time: self.create_time,
            issue_time: self.issue_time,
            closing,
            hold,
        })
    }
}
