//! SQL, and nothing else: free functions from a connection and an application to domain values. The only room that knows sqlx's rows.

mod act_row;
pub mod append;
pub mod application;
pub mod application_message;
pub mod chat_message;
pub mod deletion;
pub mod deletion_log;
pub mod deletion_quota;
pub mod hold;
pub mod ingest;
pub mod list_milestone;
pub mod log_adoption;
pub mod log_erasure;
pub mod log_row;
pub mod log_sequencer;
pub mod log_tree;
mod message_row;
pub mod migration;
pub mod privilege;
pub mod rejected_event;
pub mod replica;
pub mod request;
pub mod session;
pub mod ticket;
pub mod token;
pub mod webhook_key;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use sqlx::error::DatabaseError;
use tracing::Span;

use crate::domain::agent::Agent;
use crate::domain::deletion::{Deletion, RequestedFrom};
use crate::error::Error;
use crate::measures::STATEMENTS;

/// A row holds what no statement of this service writes.
#[derive(Debug, thiserror::Error)]
#[error("the database holds an unexpected {column}: {value:?}")]
struct Inconsistent {
    column: &'static str,
    value: String,
}

/// The only reader of driver errors: what the caller can act on becomes an error of its own, the rest is internal.
#[must_use]
pub fn from_sqlx(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(refused) => match classify(refused.as_ref()) {
            Class::Conflict => Error::WriteConflict,
            Class::TimedOut => Error::DeadlineExceeded,
            Class::Away => Error::DatabaseUnavailable(Box::new(error)),
            Class::Unexpected => Error::internal(error),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::DatabaseUnavailable(Box::new(error)),
        _ => Error::internal(error),
    }
}

enum Class {
    Conflict,
    TimedOut,
    Away,
    Unexpected,
}

fn classify(refused: &dyn DatabaseError) -> Class {
    // Two senders of the same new external_id or request_id at once: the second sees what the first did when it runs again.
    if matches!(refused.constraint(), Some("chat_messages_external_id_key" | "requests_pkey")) {
        return Class::Conflict;
    }
    match refused.code().as_deref() {
        // serialization_failure, deadlock_detected, lock_not_available
        Some("40001" | "40P01" | "55P03") => Class::Conflict,
        // query_canceled, by statement_timeout
        Some("57014") => Class::TimedOut,
        // read_only_sql_transaction: a standby, until it is promoted. invalid_catalog_name: the database is not there yet.
        // idle_in_transaction_session_timeout: an operator ended the session.
        Some("25006" | "25P03" | "3D000") => Class::Away,
        // connection_exception, invalid_authorization, insufficient_resources, operator_intervention
        Some(code) if ["08", "28", "53", "57"].iter().any(|class| code.starts_with(class)) => Class::Away,
        _ => Class::Unexpected,
    }
}

/// The span of a statement, named after the function that holds it: traces show it, and metrics sum up how long it takes.
fn named(summary: &'static str) -> Span {
    tracing::info_span!(
        target: STATEMENTS,
        "statement",
        otel.name = summary,
        otel.kind = "client",
        db.system.name = "postgresql",
        db.query.summary = summary,
    )
}

/// As the trait of this name in `tracing`, but for that the span is not entered, each time anew that the statement is looked at: nothing is
/// told within it, so that it only has to begin and to end.
trait Instrument: Future + Sized {
    /// Keeps the span until the statement has its answer.
    fn instrument(self, span: Span) -> impl Future<Output = Self::Output> {
        self.map(move |answer| {
            drop(span);
            answer
        })
    }
}

impl<F: Future> Instrument for F {}

/// Finds the value that is stored under this name.
fn known<T: Copy>(all: &[T], name: fn(T) -> &'static str, column: &'static str, value: &str) -> Result<T, Error> {
    let found = all.iter().copied().find(|known| name(*known) == value);
    found.ok_or_else(|| Error::internal(Inconsistent { column, value: value.to_owned() }))
}

/// Takes a column that the join may leave null but a row that is there may not.
fn required<T>(column: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::internal(Inconsistent { column, value: "null".to_owned() }))
}

/// When and by whom a message was deleted, if it was.
fn deletion_of(
    delete_time: Option<DateTime<Utc>>,
    requested_from: Option<&str>,
    requested_by: Option<Agent>,
) -> Result<Option<Deletion>, Error> {
    let Some(time) = delete_time else { return Ok(None) };
    let name = required("requested_from", requested_from)?;
    let requested_from = known(&RequestedFrom::ALL, RequestedFrom::as_str, "requested_from", name)?;
    Ok(Some(Deletion { time, requested_from, requested_by }))
}

/// The place of an ordinal, from 1, among `count` that were asked for.
fn place_of(ordinal: i64, count: usize) -> Result<usize, Error> {
    let place = usize::try_from(ordinal).ok().and_then(|ordinal| ordinal.checked_sub(1)).filter(|place| *place < count);
    place.ok_or_else(|| Error::internal(Inconsistent { column: "ordinal", value: ordinal.to_string() }))
}
