//! A session with the database as such: its number, the ends of its transactions, and cutting short what another session runs.

use sqlx::PgConnection;

use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// The number of the server's process behind this connection.
///
/// # Errors
/// When the database is away.
pub async fn number(connection: &mut PgConnection) -> Result<i32, Error> {
    sqlx::query_scalar!(r#"select pg_backend_pid() as "number!""#)
        .fetch_one(connection)
        .instrument(named("session.number"))
        .await
        .map_err(from_sqlx)
}

/// Cancels the statement that the session of this number runs, if it runs one.
///
/// # Errors
/// When the database is away.
pub async fn cancel(connection: &mut PgConnection, number: i32) -> Result<(), Error> {
    sqlx::query_scalar!(r#"select pg_cancel_backend($1) as "is_told!""#, number)
        .fetch_one(connection)
        .instrument(named("session.cancel"))
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// Begins a transaction at the database's isolation level.
///
/// # Errors
/// When the database is away.
pub async fn begin(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql("begin").execute(connection).instrument(named("session.begin")).await.map_err(from_sqlx)?;
    Ok(())
}

/// Begins a transaction of which each statement sees what was committed before it, whatever the database's default is.
///
/// # Errors
/// When the database is away.
pub async fn begin_read_committed(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql("begin isolation level read committed")
        .execute(connection)
        .instrument(named("session.begin_read_committed"))
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// Ends a transaction and keeps its effects.
///
/// # Errors
/// When another transaction was in the way, or the database is away: then what became of it is not known.
pub async fn commit(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql("commit").execute(connection).instrument(named("session.commit")).await.map_err(from_sqlx)?;
    Ok(())
}

/// Ends a transaction without effects.
///
/// # Errors
/// When the database is away.
pub async fn rollback(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql("rollback").execute(connection).instrument(named("session.rollback")).await.map_err(from_sqlx)?;
    Ok(())
}
