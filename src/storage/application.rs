//! Applications: the tenants.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// An application as an operator sees it.
#[derive(Debug, Clone)]
pub struct Application {
    /// The internal key.
    pub key: ApplicationKey,
    /// The public id.
    pub id: String,
    /// The name.
    pub name: String,
    /// When it was made.
    pub create_time: DateTime<Utc>,
}

/// Makes an application, with the empty tree of its log; `None` when the id is taken.
///
/// # Errors
/// When the database is away.
pub async fn insert(
    connection: &mut PgConnection,
    id: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<ApplicationKey>, Error> {
    let key = sqlx::query_scalar!(
        r#"
        with made as (
            insert into applications (id, name, create_time)
            values ($1, $2, $3)
            on conflict (id) do nothing
            returning key
        ),
        log as (
            insert into log_heads (application_key, size, root, fence)
            select key, 0, sha256(''), 0
            from made
        )
        select key from made
        "#,
        id,
        name,
        now,
    )
    .fetch_optional(connection)
    .instrument(named("application.insert"))
    .await
    .map_err(from_sqlx)?;
    Ok(key.map(ApplicationKey))
}

/// Finds an application by its public id.
///
/// # Errors
/// When the database is away.
pub async fn find(connection: &mut PgConnection, id: &str) -> Result<Option<Application>, Error> {
    let row = sqlx::query_as!(Row, r#"select key, id, name, create_time from applications where id = $1"#, id)
        .fetch_optional(connection)
        .instrument(named("application.find"))
        .await
        .map_err(from_sqlx)?;
    Ok(row.map(Application::from))
}

/// The public id of an application.
///
/// # Errors
/// When the database is away.
pub async fn id_of(connection: &mut PgConnection, application: ApplicationKey) -> Result<String, Error> {
    sqlx::query_scalar!(r#"select id from applications where key = $1"#, application.0)
        .fetch_one(connection)
        .instrument(named("application.id_of"))
        .await
        .map_err(from_sqlx)
}

/// Lists all applications by id.
///
/// # Errors
/// When the database is away.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<Application>, Error> {
    let rows = sqlx::query_as!(Row, r#"select key, id, name, create_time from applications order by id"#)
        .fetch_all(connection)
        .instrument(named("application.list"))
        .await
        .map_err(from_sqlx)?;
    Ok(rows.into_iter().map(Application::from).collect())
}

struct Row {
    key: i32,
    id: String,
    name: String,
    create_time: DateTime<Utc>,
}

impl From<Row> for Application {
    fn from(row: Row) -> Self {
        Self { key: ApplicationKey(row.key), id: row.id, name: row.name, create_time: row.create_time }
    }
}
