//! The schema's own history.

use std::collections::HashSet;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Error;
use crate::storage::from_sqlx;

/// The migrations of this build. A database that has more, from a newer build, is fine: migrations only ever add (docs/decisions/0003).
pub static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!() };

/// Brings the schema up to this build.
///
/// # Errors
/// When a migration fails; it and those after it are not applied.
pub async fn run(connection: &mut PgConnection) -> Result<(), MigrateError> {
    MIGRATOR.run_direct(None, connection, false).await
}

/// Makes a database of this name where there is none.
///
/// # Errors
/// When the server refuses or is away.
pub async fn create_database(connection: &mut PgConnection, name: &str) -> Result<(), Error> {
    let exists = sqlx::query_scalar!(r#"select exists (select from pg_database where datname = $1) as "exists!""#, name)
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    if !exists {
        // A name cannot be a parameter; quoting it makes any name safe.
        let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await {
            // duplicate_database, or unique_violation where both looked at the same moment: somebody else was faster
            Err(sqlx::Error::Database(refused)) if matches!(refused.code().as_deref(), Some("42P04" | "23505")) => {}
            made => {
                made.map_err(from_sqlx)?;
            }
        }
    }
    Ok(())
}

/// Whether every migration of this build is applied.
///
/// # Errors
/// When the database is away.
pub async fn is_current(connection: &mut PgConnection) -> Result<bool, Error> {
    let applied: Result<Vec<i64>, _> =
        sqlx::query_scalar!("select version from _sqlx_migrations where success").fetch_all(connection).await;
    match applied {
        Ok(applied) => {
            let applied: HashSet<i64> = applied.into_iter().collect();
            Ok(MIGRATOR.iter().all(|migration| applied.contains(&migration.version)))
        }
        // undefined_table: nothing was ever applied
        Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some("42P01") => Ok(false),
        Err(error) => Err(from_sqlx(error)),
    }
}
