//! Keys that sign webhooks.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// A key with its secret.
#[derive(Clone)]
pub struct WebhookKey {
    /// What senders name.
    pub key: String,
    /// The application it belongs to.
    pub application: ApplicationKey,
    /// That application's public id.
    pub application_id: String,
    /// What signatures are made with.
    pub secret: String,
    /// What it is for, in words.
    pub name: String,
    /// When it was made.
    pub create_time: DateTime<Utc>,
    /// When it was revoked.
    pub revoke_time: Option<DateTime<Utc>>,
}

/// Makes a key; false when there is one of that name.
///
/// # Errors
/// When the database is away.
pub async fn insert(connection: &mut PgConnection, key: &WebhookKey) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"
        insert into webhook_keys (key, application_key, secret, name, create_time)
        values ($1, $2, $3, $4, $5)
        on conflict (key) do nothing
        "#,
        key.key,
        key.application.0,
        key.secret,
        key.name,
        key.create_time,
    )
    .execute(connection)
    .instrument(named("webhook_key.insert"))
    .await
    .map_err(from_sqlx)?;
    Ok(done.rows_affected() == 1)
}

/// Finds a key. As with tokens, this is where the application comes from.
///
/// # Errors
/// When the database is away.
pub async fn find(connection: &mut PgConnection, key: &str) -> Result<Option<WebhookKey>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select k.key, k.application_key, a.id as application_id, k.secret, k.name, k.create_time, k.revoke_time
        from webhook_keys k
        join applications a on a.key = k.application_key
        where k.key = $1
        "#,
        key,
    )
    .fetch_optional(connection)
    .instrument(named("webhook_key.find"))
    .await
    .map_err(from_sqlx)?;
    Ok(row.map(WebhookKey::from))
}

/// Lists an application's keys, oldest first.
///
/// # Errors
/// When the database is away.
pub async fn list(connection: &mut PgConnection, application: ApplicationKey) -> Result<Vec<WebhookKey>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select k.key, k.application_key, a.id as application_id, k.secret, k.name, k.create_time, k.revoke_time
        from webhook_keys k
        join applications a on a.key = k.application_key
        where k.application_key = $1
        order by k.create_time, k.key
        "#,
        application.0,
    )
    .fetch_all(connection)
    .instrument(named("webhook_key.list"))
    .await
    .map_err(from_sqlx)?;
    Ok(rows.into_iter().map(WebhookKey::from).collect())
}

/// Revokes a key; false when there is none or it is revoked already.
///
/// # Errors
/// When the database is away.
pub async fn revoke(connection: &mut PgConnection, key: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let done = sqlx::query!(r#"update webhook_keys set revoke_time = $2 where key = $1 and revoke_time is null"#, key, now)
        .execute(connection)
        .instrument(named("webhook_key.revoke"))
        .await
        .map_err(from_sqlx)?;
    Ok(done.rows_affected() == 1)
}

struct Row {
    key: String,
    application_key: i32,
    application_id: String,
    secret: String,
    name: String,
    create_time: DateTime<Utc>,
    revoke_time: Option<DateTime<Utc>>,
}

impl From<Row> for WebhookKey {
    fn from(row: Row) -> Self {
        Self {
            key: row.key,
            application: ApplicationKey(row.application_key),
            application_id: row.application_id,
            secret: row.secret,
            name: row.name,
            create_time: row.create_time,
            revoke_time: row.revoke_time,
        }
    }
}
