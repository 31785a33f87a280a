//! The memory of mutating calls: what a request id led to, kept in the transaction of its effect.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::ids::{ApplicationKey, ChatMessageId, TicketId};
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named, required};

/// What a call led to: ids only, the answer is built again from the rows.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The ticket that was made or changed, or whose messages were.
    pub ticket_id: TicketId,
    /// The messages made or deleted, in the order of the answer.
    pub chat_message_ids: Vec<ChatMessageId>,
    /// Which of them were duplicates; as long, or empty where there can be none.
    pub duplicates: Vec<bool>,
}

/// What a request id is to its call.
#[derive(Debug)]
pub enum Claim {
    /// It is new: carry the call out, then [`record`] its effect.
    New,
    /// It came before with the same request, but for the content of messages, and led to this.
    Repeat {
        /// What it led to.
        effect: Effect,
        /// When.
        first_use_time: DateTime<Utc>,
    },
    /// It came before with another request.
    Reused {
        /// When.
        first_use_time: DateTime<Utc>,
    },
}

/// Claims a request id. A second call with the same id waits here until the first one's transaction ends.
///
/// # Errors
/// When the database is away or the write meets another one.
pub async fn claim(
    connection: &mut PgConnection,
    application: ApplicationKey,
    key: &RequestKey,
    now: DateTime<Utc>,
) -> Result<Claim, Error> {
    let inserted = sqlx::query!(
        r#"
        insert into requests (application_key, request_id, digest, create_time)
        values ($1, $2, $3, $4)
        on conflict (application_key, request_id) do nothing
        "#,
        application.0,
        key.id.0,
        &key.digest,
        now,
    )
    .execute(&mut *connection)
    .instrument(named("request.claim"))
    .await
    .map_err(from_sqlx)?;
    if inserted.rows_affected() == 1 {
        return Ok(Claim::New);
    }
    let row = sqlx::query!(
        r#"
        select digest, create_time, ticket_id, chat_message_ids, duplicates
        from requests
        where application_key = $1 and request_id = $2
        "#,
        application.0,
        key.id.0,
    )
    .fetch_optional(connection)
    .instrument(named("request.claim"))
    .await
    .map_err(from_sqlx)?;
    // Gone in between: the retention loop took it. Running again claims it anew.
    let row = row.ok_or(Error::WriteConflict)?;
    if row.digest != key.digest {
        return Ok(Claim::Reused { first_use_time: row.create_time });
    }
    let effect = Effect {
        ticket_id: TicketId(required("ticket_id", row.ticket_id)?),
        chat_message_ids: row.chat_message_ids.into_iter().map(ChatMessageId).collect(),
        duplicates: row.duplicates,
    };
    Ok(Claim::Repeat { effect, first_use_time: row.create_time })
}

/// Keeps what a claimed call led to.
///
/// # Errors
/// When the database is away.
pub async fn record(
    connection: &mut PgConnection,
    application: ApplicationKey,
    key: &RequestKey,
    effect: &Effect,
) -> Result<(), Error> {
    let chat_message_ids: Vec<i64> = effect.chat_message_ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        r#"
        update requests
        set ticket_id = $3, chat_message_ids = $4, duplicates = $5
        where application_key = $1 and request_id = $2
        "#,
        application.0,
        key.id.0,
        effect.ticket_id.0,
        &chat_message_ids,
        &effect.duplicates,
    )
    .execute(connection)
    .instrument(named("request.record"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Removes request ids that were first used before `oldest`, at most `limit` of them, and says how many. The one statement on a tenant's
/// table without an application: age is all that counts.
///
/// # Errors
/// When the database is away.
pub async fn forget(connection: &mut PgConnection, oldest: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"
        delete from requests
        where ctid = any (array(select ctid from requests where create_time < $1 order by create_time limit $2))
        "#,
        oldest,
        limit,
    )
    .execute(connection)
    .instrument(named("request.forget"))
    .await
    .map_err(from_sqlx)?;
    Ok(done.rows_affected())
}
