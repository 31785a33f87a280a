//! Use cases: what the service does, in the words of the domain. Every transaction begins and ends here; no SQL, no protocol.

mod admission;
mod append;
mod application;
mod application_message;
mod chat_message;
mod connection;
mod deletion;
mod deletion_log;
mod deletion_quota;
mod encoding;
mod ingest;
mod lane;
mod list_milestone;
mod log_erasure;
mod log_proof;
mod log_receipt;
mod log_sequencer;
mod log_signer;
mod log_verify;
mod page_cache;
mod queue;
mod rate_limit;
mod rejected_event;
mod replica;
mod request;
mod retry;
mod signed_heads;
mod ticket;
mod token;
mod webhook_key;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use governor::clock::MonotonicClock;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use crate::app::admission::{Admission, End, Load, Slot};
pub use crate::app::chat_message::{ExportPart, Listed, MessagePage};
use crate::app::connection::{Canceller, Pooled};
pub use crate::app::deletion::Deleted;
pub use crate::app::deletion_log::LogExportPart;
use crate::app::deletion_quota::DeletionQuota;
pub use crate::app::encoding::Encoding;
pub use crate::app::ingest::{Event, Outcome};
pub use crate::app::list_milestone::MilestoneKeeper;
pub use crate::app::log_proof::{Checkpoint, ConsistencyProof, InclusionProof};
pub use crate::app::log_receipt::MAX_RECEIPT_WAIT_SECONDS;
pub use crate::app::log_sequencer::LogSequencer;
pub use crate::app::log_signer::LogSigner;
pub use crate::app::log_verify::{Flaw, LogVerification};
use crate::app::page_cache::PageCache;
use crate::app::rate_limit::RateLimits;
pub use crate::app::rejected_event::RejectedEvent;
pub use crate::app::replica::Replicas;
pub use crate::app::token::{IssuedToken, NewToken};
pub use crate::app::webhook_key::Signing;
use crate::app::work::AllLanes;
use crate::domain::clock::Clock;
use crate::domain::deletion::ReasonRule;
use crate::error::Error;
use crate::measures::{Clients, Connections, Counted, Measures, Observed, POOL, PoolMeasures, seconds_of};
use crate::storage::{self, from_sqlx};

/// The service's use cases over one database.
pub struct App {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    /// One connection beside the calls, for readiness: a busy service is not one that cannot serve.
    probe: PgPool,
    /// Cancels on that connection what nobody waits for.
    canceller: Canceller,
    tokens: token::Cache,
    uses: token::Uses,
    rates: RateLimits,
    quota: DeletionQuota,
    /// The hot calls do not use the pool.
    lanes: AllLanes,
    pages: PageCache,
    /// For reads that need not be the newest.
    replicas: Replicas,
    reason_rule: ReasonRule,
    measures: Measures,
}

/// How the use cases are set up.
#[derive(Debug, Clone, Copy)]
pub struct AppSettings {
    /// When a token is looked up again: so long a revoked one lives on.
    pub token_cache_ttl: Duration,
    /// How many bytes of pages of messages are kept in memory; 0 for none.
    pub page_cache_bytes: u64,
    /// Connections beside the pool, on which calls share statements; at least 4.
    pub lane_connections: u16,
    /// Whether a deletion must say why.
    pub reason_rule: ReasonRule,
    /// Calls that read which a token may make in a minute; 0 is no limit.
    pub reads_per_minute: u32,
    /// Calls that write which a token may make in a minute; 0 is no limit.
    pub writes_per_minute: u32,
    /// Messages that a token may delete in an hour of the clock, at all processes together; 0 is no limit.
    pub deletions_per_hour: u32,
}

/// How many request ids the retention loop removes in one statement.
const FORGET_BATCH: i64 = 1000;

impl App {
    /// Makes the use cases over a pool and, connected and waited for as the pool is, lanes beside it.
    ///
    /// # Panics
    /// Outside of a runtime, which runs the lanes.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, settings: AppSettings) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let measures = Measures::default();
        let wait = pool.options().get_acquire_timeout();
        let probe = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let canceller = Canceller::new(probe.clone());
        let lanes = AllLanes::start(&options, settings.lane_connections, wait, &canceller, &measures.lanes);
        let tokens = token::cache(settings.token_cache_ttl, &measures.tokens);
        let pages = PageCache::new(settings.page_cache_bytes, &measures.pages);
        Self {
            pool,
            clock,
            probe,
            canceller,
            tokens,
            uses: token::Uses::default(),
            rates: RateLimits::new(settings.reads_per_minute, settings.writes_per_minute, MonotonicClock),
            quota: DeletionQuota::new(settings.deletions_per_hour),
            lanes,
            pages,
            replicas: Replicas::none(),
            reason_rule: settings.reason_rule,
            measures,
        }
    }

    /// Whether calls can be served: the database is reachable and has every migration of this build.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_ready(&self) -> Result<bool, Error> {
        storage::migration::is_current(&mut *self.probe.acquire().await.map_err(from_sqlx)?).await
    }

    /// Whether the service works as a role that may change what was logged, which it never needs.
    ///
    /// # Errors
    /// When the database is away, or lacks migrations.
    pub async fn may_change_log(&self) -> Result<bool, Error> {
        storage::privilege::may_change_log(&mut *self.probe.acquire().await.map_err(from_sqlx)?).await
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
            self.measures.request_ids_forgotten.inc_by(batch);
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

    /// The service's time in seconds since 1970.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds_of(self.now())
    }

    /// What the use cases count.
    #[must_use]
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    /// How connections to the database and memory are used at the moment. Of clients, admission and the audit the use cases know nothing.
    #[must_use]
    pub fn observe(&self) -> Observed {
        let (size, idle) = (i64::from(self.pool.size()), i64::try_from(self.pool.num_idle()).unwrap_or(i64::MAX));
        let max = i64::from(self.pool.options().get_max_connections());
        let pool = Connections { name: POOL, max, used: (size - idle).max(0), idle, pending: self.measures.pool.pending.get() };
        let (page_bytes, page_tickets) = self.pages.size();
        Observed {
            connections: std::iter::once(pool).chain(self.lanes.connections()).collect(),
            page_bytes,
            page_tickets,
            tokens: self.tokens.entry_count(),
            replicas: self.replicas.count() as u64,
            fresh_replicas: self.replicas.fresh() as u64,
            clients: Clients::default(),
            admission: Vec::new(),
            rate_limited: self.rate_limited_calls(),
            refusals: Vec::new(),
        }
    }

    /// Whether a deletion must say why.
    #[must_use]
    pub fn reason_rule(&self) -> ReasonRule {
        self.reason_rule
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn connection(&self) -> Result<Pooled, Error> {
        let acquire = || async {
            let wait = PoolWait::begin(&self.measures.pool);
            wait.end(self.pool.acquire().await)
        };
        Box::pin(Pooled::take(&self.pool, &self.canceller, acquire)).await
    }
}

/// A call's wait for a connection of the pool.
struct PoolWait<'a> {
    measures: &'a PoolMeasures,
    asked: Instant,
    _pending: Counted,
}

impl<'a> PoolWait<'a> {
    fn begin(measures: &'a PoolMeasures) -> Self {
        Self { measures, asked: Instant::now(), _pending: Counted::in_gauge(&measures.pending) }
    }

    /// Measures how long it was.
    fn end<T>(self, given: Result<T, sqlx::Error>) -> Result<T, Error> {
        self.measures.wait.observe(self.asked.elapsed().as_secs_f64());
        if matches!(given, Err(sqlx::Error::PoolTimedOut)) {
            self.measures.timeouts.inc();
        }
        given.map_err(from_sqlx)
    }
}
