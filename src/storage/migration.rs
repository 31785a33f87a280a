//! The schema's own history.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Error;
use crate::storage::from_sqlx;

/// The migrations of this build. A database that has more, from a newer build, is fine: migrations only ever add (docs/decisions/0003).
/// Who runs them takes the lock on them first, as [`run`] does.
pub static MIGRATOR: Migrator = Migrator { ignore_missing: true, locking: false, ..sqlx::migrate!() };

/// Why the schema was not brought up to this build.
#[derive(Debug, thiserror::Error)]
pub enum NotMigrated {
    /// Another session holds a lock that a migration needs.
    #[error(
        "a migration waited {} s for a lock that another session holds{}; it has changed nothing, those before it are done. Wait for the other's \
         end, or end it, and run this again",
        waited.as_secs(),
        oldest.as_ref().map_or_else(String::new, |oldest| format!(": perhaps {oldest}"))
    )]
    Locked {
        /// How long the migration waited.
        waited: Duration,
        /// The session whose transaction is open for longest, where there is one to be seen.
        oldest: Option<OpenTransaction>,
    },
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] MigrateError),
}

/// A transaction that another session has begun in this database and not ended.
#[derive(Debug)]
pub struct OpenTransaction {
    process: i32,
    program: String,
    seconds: i64,
}

impl fmt::Display for OpenTransaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, program, seconds } = self;
        write!(formatter, "process {process} ({program:?}), in its transaction for {seconds} s")
    }
}

/// Brings the schema up to this build. Waits for others who migrate as long as it takes them, and for any other lock at most this long: who
/// wants to use a table waits behind a migration that waits for it.
///
/// # Errors
/// When a migration fails; it and those after it are not applied.
pub async fn run(connection: &mut PgConnection, lock_timeout: Duration) -> Result<(), NotMigrated> {
    connection.lock().await?;
    let applied = run_locked(connection, lock_timeout).await;
    connection.unlock().await?;
    applied
}

async fn run_locked(connection: &mut PgConnection, lock_timeout: Duration) -> Result<(), NotMigrated> {
    let setting = format!("{}ms", lock_timeout.as_millis());
    sqlx::query_scalar!(r#"select set_config('lock_timeout', $1, false) as "is_set!""#, setting)
        .fetch_one(&mut *connection)
        .await
        .map_err(MigrateError::Execute)?;
    match MIGRATOR.run_direct(None, connection, false).await {
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_lock_timeout(&error) => {
            let oldest = oldest_transaction(connection).await.map_err(MigrateError::Execute)?;
            Err(NotMigrated::Locked { waited: lock_timeout, oldest })
        }
        applied => Ok(applied?),
    }
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    // lock_not_available
    error.as_database_error().is_some_and(|refused| refused.code().as_deref() == Some("55P03"))
}

async fn oldest_transaction(connection: &mut PgConnection) -> Result<Option<OpenTransaction>, sqlx::Error> {
    sqlx::query_as!(
        OpenTransaction,
        r#"
        select pid as "process!", application_name as "program!", extract(epoch from now() - xact_start)::bigint as "seconds!"
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
        order by xact_start
        limit 1
        "#
    )
    .fetch_optional(connection)
    .await
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

/// Whether the extension Citus is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Citus {
    /// The server does not have it.
    Missing,
    /// The server has it, this database does not.
    NotCreated,
    /// This database has it.
    Created,
}

/// Looks for the extension Citus.
///
/// # Errors
/// When the database is away.
pub async fn citus(connection: &mut PgConnection) -> Result<Citus, Error> {
    let found = sqlx::query!(
        r#"
        select exists (select from pg_available_extensions where name = 'citus') as "is_available!",
            exists (select from pg_extension where extname = 'citus') as "is_created!"
        "#
    )
    .fetch_one(connection)
    .await
    .map_err(from_sqlx)?;
    Ok(match (found.is_available, found.is_created) {
        (_, true) => Citus::Created,
        (true, false) => Citus::NotCreated,
        (false, false) => Citus::Missing,
    })
}
