//! Legal holds: the rows that tell of each placing and release, and the ticket's mark of the one in force.

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::hold::HoldOrder;
use crate::domain::ids::{ApplicationKey, TicketId};
use crate::error::Error;
use crate::storage::from_sqlx;

/// Places a hold on a ticket whose row is locked and that is not held.
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
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Releases the hold on a ticket whose row is locked and that is held. The release is not dated before the placing, which another process
/// may have dated by its own clock.
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
            returning ticket_id
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
    .await
    .map_err(from_sqlx)?;
    Ok(())
}
