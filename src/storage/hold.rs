//! Legal holds: the rows that tell of each placing and release, and the ticket's mark of the one in force.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::hold::{HoldAction, HoldEvent, HoldOrder};
use crate::domain::ids::{ApplicationKey, HoldEventId, TicketId};
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, known, named};

/// Places a hold on a ticket whose row is locked and that is not held. The placing waits for its entry in the log's tree.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn place(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    order: &HoldOrder,
) -> Result<(), Error> {
    sqlx::query!(
        r#"
        with placed as (
            insert into holds (application_key, ticket_id, action, create_time, reason, requested_by, token_id)
            values ($1, $2, 'PLACED', $3, $4, $5, $6)
            returning id
        ),
        waiting as (
            insert into pending_acts (application_key, hold_id)
            select $1, id
            from placed
        )
        update tickets t
        set version = t.version + 1, hold_id = placed.id
        from placed
        where t.application_key = $1 and t.id = $2
        "#,
        application.0,
        ticket_id.0,
        order.time,
        order.reason,
        order.requested_by.as_ref().map(Json) as _,
        order.token_id,
    )
    .execute(connection)
    .instrument(named("hold.place"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Releases the hold on a ticket whose row is locked and that is held. The release is not dated before the placing, which another process
/// may have dated by its own clock. It waits for its entry in the log's tree.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn release(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    order: &HoldOrder,
) -> Result<(), Error> {
    sqlx::query!(
        r#"
        with released as (
            insert into holds (application_key, ticket_id, action, placed_id, create_time, reason, requested_by, token_id)
            select $1, $2, 'RELEASED', placed.id, greatest($3, placed.create_time), $4, $5, $6
            from tickets t
            join holds placed on placed.application_key = $1 and placed.ticket_id = $2 and placed.id = t.hold_id
            where t.application_key = $1 and t.id = $2
            returning id, ticket_id
        ),
        waiting as (
            insert into pending_acts (application_key, hold_id)
            select $1, id
            from released
        )
        update tickets t
        set version = t.version + 1, hold_id = null
        from released
        where t.application_key = $1 and t.id = released.ticket_id
        "#,
        application.0,
        ticket_id.0,
        order.time,
        order.reason,
        order.requested_by.as_ref().map(Json) as _,
        order.token_id,
    )
    .execute(connection)
    .instrument(named("hold.release"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Reads a placing or a release.
///
/// # Errors
/// When the database is away.
pub async fn find_event(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    id: HoldEventId,
) -> Result<Option<HoldEvent>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, action, placed_id, create_time, reason, requested_by as "requested_by: Json<Agent>", token_id
        from holds
        where application_key = $1 and ticket_id = $2 and id = $3
        "#,
        application.0,
        ticket_id.0,
        id.0,
    )
    .fetch_optional(connection)
    .instrument(named("hold.find_event"))
    .await
    .map_err(from_sqlx)?;
    row.map(Row::event).transpose()
}

/// Lists the placings and releases of a ticket, oldest first: at most `limit` of those after the id `after`.
///
/// # Errors
/// When the database is away.
pub async fn list_events(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: TicketId,
    after: HoldEventId,
    limit: i64,
) -> Result<Vec<HoldEvent>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, ticket_id, action, placed_id, create_time, reason, requested_by as "requested_by: Json<Agent>", token_id
        from holds
        where application_key = $1 and ticket_id = $2 and id > $3
        order by id
        limit $4
        "#,
        application.0,
        ticket_id.0,
        after.0,
        limit,
    )
    .fetch_all(connection)
    .instrument(named("hold.list_events"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::event).collect()
}

pub(super) struct Row {
    pub(super) id: i64,
    pub(super) ticket_id: i64,
    pub(super) action: String,
    pub(super) placed_id: Option<i64>,
    pub(super) create_time: DateTime<Utc>,
    pub(super) reason: String,
    pub(super) requested_by: Option<Json<Agent>>,
    pub(super) token_id: String,
}

impl Row {
    pub(super) fn event(self) -> Result<HoldEvent, Error> {
        Ok(HoldEvent {
            id: HoldEventId(self.id),
            ticket_id: TicketId(self.ticket_id),
            action: known(&HoldAction::ALL, HoldAction::as_str, "action", &self.action)?,
            placed_id: self.placed_id.map(HoldEventId),
            create_time: self.create_time,
            reason: self.reason,
            requested_by: self.requested_by.map(|Json(agent)| agent),
            token_id: self.token_id,
        })
    }
}
