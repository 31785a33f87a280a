//! Use cases: what the service does, in the words of the domain. Every transaction begins and ends here; no SQL, no protocol.

mod append;
mod application;
mod chat_message;
mod deletion;
mod deletion_log;
mod ingest;
mod request;
mod retry;
mod ticket;
mod token;
mod webhook_key;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres};

pub use crate::app::chat_message::{ExportPart, MessagePage};
pub use crate::app::deletion::Deleted;
pub use crate::app::deletion_log::LogExportPart;
pub use crate::app::ingest::{Event, Outcome, RejectedEvent};
pub use crate::app::token::{IssuedToken, NewToken};
use crate::domain::clock::Clock;
use crate::error::Error;
use crate::storage::{self, from_sqlx};

/// The service's use cases over one database.
pub struct App {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    /// One connection for readiness alone: a busy service is not one that cannot serve.
    probe: PgPool,
    tokens: token::Cache,
}

/// How many request ids the retention loop removes in one statement.
const FORGET_BATCH: i64 = 1000;

impl App {
    /// Makes the use cases over a pool. A token is looked up again when `token_cache_ttl` has passed: so long a revoked one lives on.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, token_cache_ttl: Duration) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let probe = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        Self { pool, clock, probe, tokens: token::cache(token_cache_ttl) }
    }

    /// Whether calls can be served: the database is reachable and has every migration of this build.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_ready(&self) -> Result<bool, Error> {
        storage::migration::is_current(&mut *self.probe.acquire().await.map_err(from_sqlx)?).await
    }

    /// Forgets request ids that were first used longer than `retention` ago, and says how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_requests(&self, retention: TimeDelta) -> Result<u64, Error> {
        let oldest = self.now() - retention;
        let mut forgotten = 0;
        loop {
            let batch = storage::request::forget(&mut *self.connection().await?, oldest, FORGET_BATCH).await?;
            forgotten += batch;
            if batch < FORGET_BATCH.unsigned_abs() {
                return Ok(forgotten);
            }
        }
    }

    /// The service's time in milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(&self) -> i64 {
        self.now().timestamp_millis()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool.acquire().await.map_err(from_sqlx)
    }
}
