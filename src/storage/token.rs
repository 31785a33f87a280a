//! Tokens: the credentials of applications.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::caller::Scope;
use crate::domain::deletion::RequestedFrom;
use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, known, named};

/// A token as it is kept: its secret only as a digest.
#[derive(Debug, Clone)]
pub struct Token {
    /// The public id.
    pub id: String,
    /// The application it belongs to.
    pub application: ApplicationKey,
    /// That application's public id.
    pub application_id: String,
    /// What it is for, in words.
    pub name: String,
    /// SHA-256 of the secret part.
    pub secret_digest: Vec<u8>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// How a deletion is requested where its request does not say.
    pub requested_from: RequestedFrom,
    /// Who requests a deletion where its request does not say.
    pub requested_by: Option<Agent>,
    /// When it was made.
    pub create_time: DateTime<Utc>,
    /// From when on it is no good; `None` is never.
    pub expire_time: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoke_time: Option<DateTime<Utc>>,
    /// When it was used last, to about a minute.
    pub last_use_time: Option<DateTime<Utc>>,
}

/// Makes a token.
///
/// # Errors
/// When the database is away.
pub async fn insert(connection: &mut PgConnection, token: &Token) -> Result<(), Error> {
    let scopes: Vec<String> = token.scopes.iter().map(ToString::to_string).collect();
    sqlx::query!(
        r#"
        insert into tokens (
            id, application_key, name, secret_digest, scopes, requested_from, requested_by, create_time, expire_time
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        "#,
        token.id,
        token.application.0,
        token.name,
        token.secret_digest,
        &scopes,
        token.requested_from.as_str(),
        token.requested_by.as_ref().map(Json) as _,
        token.create_time,
        token.expire_time,
    )
    .execute(connection)
    .instrument(named("token.insert"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// Finds a token by its public id. The one look-up that has no application yet: it is where the application comes from.
///
/// # Errors
/// When the database is away.
pub async fn find(connection: &mut PgConnection, id: &str) -> Result<Option<Token>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select t.id, t.application_key, a.id as application_id, t.name, t.secret_digest, t.scopes, t.requested_from,
            t.requested_by as "requested_by: Json<Agent>", t.create_time, t.expire_time, t.revoke_time,
            t.last_use_time
        from tokens t
        join applications a on a.key = t.application_key
        where t.id = $1
        "#,
        id,
    )
    .fetch_optional(connection)
    .instrument(named("token.find"))
    .await
    .map_err(from_sqlx)?;
    row.map(Row::token).transpose()
}

/// Lists an application's tokens, oldest first.
///
/// # Errors
/// When the database is away.
pub async fn list(connection: &mut PgConnection, application: ApplicationKey) -> Result<Vec<Token>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select t.id, t.application_key, a.id as application_id, t.name, t.secret_digest, t.scopes, t.requested_from,
            t.requested_by as "requested_by: Json<Agent>", t.create_time, t.expire_time, t.revoke_time,
            t.last_use_time
        from tokens t
        join applications a on a.key = t.application_key
        where t.application_key = $1
        order by t.create_time, t.id
        "#,
        application.0,
    )
    .fetch_all(connection)
    .instrument(named("token.list"))
    .await
    .map_err(from_sqlx)?;
    rows.into_iter().map(Row::token).collect()
}

/// Revokes a token; false when there is none or it is revoked already.
///
/// # Errors
/// When the database is away.
pub async fn revoke(connection: &mut PgConnection, id: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let done = sqlx::query!(r#"update tokens set revoke_time = $2 where id = $1 and revoke_time is null"#, id, now)
        .execute(connection)
        .instrument(named("token.revoke"))
        .await
        .map_err(from_sqlx)?;
    Ok(done.rows_affected() == 1)
}

/// Writes down when tokens were used last, by their ids in ascending order. A later use that another process has written stays.
///
/// # Errors
/// When the database is away.
pub async fn record_uses(connection: &mut PgConnection, ids: &[String], times: &[DateTime<Utc>]) -> Result<(), Error> {
    sqlx::query!(
        r#"
        update tokens t
        set last_use_time = u.time
        from unnest($1::text[], $2::timestamptz[]) as u (id, time)
        where t.id = u.id
            and (t.last_use_time is null or t.last_use_time < u.time)
        "#,
        ids,
        times,
    )
    .execute(connection)
    .instrument(named("token.record_uses"))
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

struct Row {
    id: String,
    application_key: i32,
    application_id: String,
    name: String,
    secret_digest: Vec<u8>,
    scopes: Vec<String>,
    requested_from: String,
    requested_by: Option<Json<Agent>>,
    create_time: DateTime<Utc>,
    expire_time: Option<DateTime<Utc>>,
    revoke_time: Option<DateTime<Utc>>,
    last_use_time: Option<DateTime<Utc>>,
}

impl Row {
    fn token(self) -> Result<Token, Error> {
        // A scope of a newer build is one that this build has no method for.
        let scopes = self.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
        Ok(Token {
            id: self.id,
            application: ApplicationKey(self.application_key),
            application_id: self.application_id,
            name: self.name,
            secret_digest: self.secret_digest,
            scopes,
            requested_from: known(&RequestedFrom::ALL, RequestedFrom::as_str, "requested_from", &self.requested_from)?,
            requested_by: self.requested_by.map(|Json(agent)| agent),
            create_time: self.create_time,
            expire_time: self.expire_time,
            revoke_time: self.revoke_time,
            last_use_time: self.last_use_time,
        })
    }
}
