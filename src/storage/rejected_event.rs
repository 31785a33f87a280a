//! Events that could not be stored, kept until they are replayed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::from_sqlx;

/// An event that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedEvent {
    /// The id.
    pub id: i64,
    /// When it was received.
    pub receive_time: DateTime<Utc>,
    /// Why it was rejected.
    pub cause: String,
    /// The event as it came, as JSON text.
    pub event: String,
}

/// An event to keep.
#[derive(Debug, Clone)]
pub struct NewRejectedEvent {
    /// What identifies it: the same event sent again is kept once.
    pub digest: [u8; 32],
    /// Why it was rejected.
    pub cause: String,
    /// The event as it came, as JSON text.
    pub event: String,
}

/// Keeps events and answers them in their order; one that is kept already is answered as it was. No two may have the same digest.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn insert(
    connection: &mut PgConnection,
    application: ApplicationKey,
    events: &[NewRejectedEvent],
    now: DateTime<Utc>,
) -> Result<Vec<RejectedEvent>, Error> {
    let digests: Vec<&[u8]> = events.iter().map(|event| event.digest.as_slice()).collect();
    let causes: Vec<&str> = events.iter().map(|event| event.cause.as_str()).collect();
    let texts: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    // The update changes nothing: it makes the row that is there one of those that are answered.
    let rows = sqlx::query_as!(
        RejectedEvent,
        r#"
        with kept as (
            insert into rejected_events (application_key, digest, receive_time, cause, event)
            select $1, asked.digest, $5, asked.cause, asked.event
            from unnest($2::bytea[], $3::text[], $4::text[]) with ordinality as asked (digest, cause, event, ordinal)
            order by asked.ordinal
            on conflict (application_key, digest) do update set cause = excluded.cause
            returning id, digest, receive_time, cause, event
        )
        select kept.id, kept.receive_time, kept.cause, kept.event
        from unnest($2) with ordinality as asked (digest, ordinal)
        join kept on kept.digest = asked.digest
        order by asked.ordinal
        "#,
        application.0,
        &digests as _,
        &causes as _,
        &texts as _,
        now,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    Ok(rows)
}

/// Lists events oldest first: at most `limit` of those after the id `after`.
///
/// # Errors
/// When the database is away.
pub async fn list(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: i64,
    limit: i64,
) -> Result<Vec<RejectedEvent>, Error> {
    sqlx::query_as!(
        RejectedEvent,
        r#"
        select id, receive_time, cause, event
        from rejected_events
        where application_key = $1 and id > $2
        order by id
        limit $3
        "#,
        application.0,
        after,
        limit,
    )
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)
}

/// Reads an event and locks it until the transaction ends.
///
/// # Errors
/// When the database is away.
pub async fn lock(connection: &mut PgConnection, application: ApplicationKey, id: i64) -> Result<Option<RejectedEvent>, Error> {
    sqlx::query_as!(
        RejectedEvent,
        r#"select id, receive_time, cause, event from rejected_events where application_key = $1 and id = $2 for update"#,
        application.0,
        id,
    )
    .fetch_optional(connection)
    .await
    .map_err(from_sqlx)
}

/// Writes the new reason of an event that was rejected again.
///
/// # Errors
/// When the database is away.
pub async fn update_cause(connection: &mut PgConnection, application: ApplicationKey, id: i64, cause: &str) -> Result<(), Error> {
    sqlx::query!(r#"update rejected_events set cause = $3 where application_key = $1 and id = $2"#, application.0, id, cause)
        .execute(connection)
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// Removes an event that was stored after all.
///
/// # Errors
/// When the database is away.
pub async fn delete(connection: &mut PgConnection, application: ApplicationKey, id: i64) -> Result<(), Error> {
    sqlx::query!(r#"delete from rejected_events where application_key = $1 and id = $2"#, application.0, id)
        .execute(connection)
        .await
        .map_err(from_sqlx)?;
    Ok(())
}
