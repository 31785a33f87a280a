//! Events that could not be stored, kept until they are replayed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

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
    /// What is kept of it, as JSON text.
    pub event: String,
    /// What its message is known by, where that can be read.
    pub external_id: Option<String>,
}

/// Keeps events and answers them in their order; one that is kept already keeps its id and its time. No two may have the same digest.
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
    let external_ids: Vec<Option<&str>> = events.iter().map(|event| event.external_id.as_deref()).collect();
    let rows = sqlx::query_as!(
        RejectedEvent,
        r#"
        with kept as (
            insert into rejected_events (application_key, digest, receive_time, cause, event, external_id)
            select $1, asked.digest, $6, asked.cause, asked.event, asked.external_id
            from unnest($2::bytea[], $3::text[], $4::text[], $5::text[])
                with ordinality as asked (digest, cause, event, external_id, ordinal)
            order by asked.ordinal
            on conflict (application_key, digest) do update
                set cause = excluded.cause, event = excluded.event, external_id = excluded.external_id
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
        &external_ids as _,
        now,
    )
    .fetch_all(connection)
    .instrument(named("rejected_event.insert"))
    .await
    .map_err(from_sqlx)?;
    Ok(rows)
}

/// Lists events oldest first: at most `limit` of those after the id `after`, fewer where they would pass `max_bytes`, and whether there are
/// more.
///
/// # Errors
/// When the database is away.
pub async fn list(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: i64,
    limit: i64,
    max_bytes: i64,
) -> Result<(Vec<RejectedEvent>, bool), Error> {
    let rows = sqlx::query!(
        r#"
        select id, receive_time, cause, event, found as "found!"
        from (
            select *, row_number() over (order by id) as number, sum(octet_length(event)) over (order by id) as bytes,
                count(*) over () as found
            from (
                select id, receive_time, cause, event
                from rejected_events
                where application_key = $1 and id > $2
                order by id
                limit $3::bigint + 1
            ) page
        ) page
        where number = 1 or number <= $3 and bytes <= $4
        order by id
        "#,
        application.0,
        after,
        limit,
        max_bytes,
    )
    .fetch_all(connection)
    .instrument(named("rejected_event.list"))
    .await
    .map_err(from_sqlx)?;
    let found = rows.first().map_or(0, |row| row.found);
    let events: Vec<RejectedEvent> = rows
        .into_iter()
        .map(|row| RejectedEvent { id: row.id, receive_time: row.receive_time, cause: row.cause, event: row.event })
        .collect();
    let more = usize::try_from(found).is_ok_and(|found| found > events.len());
    Ok((events, more))
}

/// Reads an event and what identifies it, and locks it until the transaction ends.
///
/// # Errors
/// When the database is away.
pub async fn lock(
    connection: &mut PgConnection,
    application: ApplicationKey,
    id: i64,
) -> Result<Option<(RejectedEvent, Vec<u8>)>, Error> {
    let row = sqlx::query!(
        r#"
        select id, receive_time, cause, event, digest
        from rejected_events
        where application_key = $1 and id = $2
        for update
        "#,
        application.0,
        id,
    )
    .fetch_optional(connection)
    .instrument(named("rejected_event.lock"))
    .await
    .map_err(from_sqlx)?;
    Ok(row
        .map(|row| (RejectedEvent { id: row.id, receive_time: row.receive_time, cause: row.cause, event: row.event }, row.digest)))
}

/// Removes the events of messages that are known by these external ids.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn erase(connection: &mut PgConnection, application: ApplicationKey, external_ids: &[String]) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from rejected_events where application_key = $1 and external_id = any ($2)"#,
        application.0,
        external_ids,
    )
    .execute(connection)
    .instrument(named("rejected_event.erase"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Writes the new reason of an event that was rejected again.
///
/// # Errors
/// When the database is away.
pub async fn update_cause(connection: &mut PgConnection, application: ApplicationKey, id: i64, cause: &str) -> Result<(), Error> {
    sqlx::query!(r#"update rejected_events set cause = $3 where application_key = $1 and id = $2"#, application.0, id, cause)
        .execute(connection)
        .instrument(named("rejected_event.update_cause"))
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
        .instrument(named("rejected_event.delete"))
        .await
        .map_err(from_sqlx)?;
    Ok(())
}
