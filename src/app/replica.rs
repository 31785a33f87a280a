//! Reads that may be a bounded time old, on replicas of the database that are known to be fresh; else on the primary.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres};

use crate::app::App;
use crate::app::connection::{Canceller, Pooled};
use crate::domain::freshness::{History, Standing};
use crate::error::Error;
use crate::storage::{self, from_sqlx};

/// The replicas of the database, and what is known of how fresh they are.
pub struct Replicas {
    servers: Vec<Replica>,
    history: Mutex<History>,
    /// Takes turns.
    next: AtomicUsize,
    max_lag: Duration,
}

struct Replica {
    pool: PgPool,
    canceller: Canceller,
    /// Whether it was fresh when it was last looked at: else calls do not even try it, which may take long where a server is away.
    worth_a_try: AtomicBool,
}

impl Replicas {
    /// Reads go to one of these while it lacks nothing that was committed earlier than `max_lag` ago.
    #[must_use]
    pub fn new(pools: Vec<PgPool>, max_lag: Duration) -> Self {
        let replica = |pool: PgPool| {
            let options = PgConnectOptions::clone(&pool.connect_options());
            let canceller = Canceller::new(PgPoolOptions::new().max_connections(1).connect_lazy_with(options));
            Replica { pool, canceller, worth_a_try: AtomicBool::new(false) }
        };
        let servers = pools.into_iter().map(replica).collect();
        Self { servers, history: Mutex::new(History::new(max_lag)), next: AtomicUsize::new(0), max_lag }
    }

    /// No replicas: all reads go to the primary.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Vec::new(), Duration::ZERO)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// How many of them were fresh when they were last looked at.
    pub(super) fn fresh(&self) -> usize {
        self.servers.iter().filter(|server| server.worth_a_try.load(Ordering::Relaxed)).count()
    }

    /// How old the answer of a replica may be.
    #[must_use]
    pub fn max_lag(&self) -> Duration {
        self.max_lag
    }

    /// A connection to a replica that is fresh at this moment. It was asked on that very connection: behind one address there may be
    /// several servers.
    async fn connection(&self) -> Option<Pooled> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for turn in 0..self.servers.len() {
            let server = &self.servers[first.wrapping_add(turn) % self.servers.len()];
            if !server.worth_a_try.load(Ordering::Relaxed) {
                continue;
            }
            if let Ok((connection, Standing::Fresh)) = self.ask(server).await {
                return Some(connection);
            }
            server.worth_a_try.store(false, Ordering::Relaxed);
        }
        None
    }

    async fn ask(&self, server: &Replica) -> Result<(Pooled, Standing), Error> {
        let mut connection = Pooled::take(&server.pool, &server.canceller, || acquired(&server.pool)).await?;
        let replayed = storage::replica::replayed(&mut connection).await?;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((connection, history.judge(Instant::now(), replayed)))
    }
}

impl App {
    /// The same use cases, with replicas for the reads that may go there.
    #[must_use]
    pub fn with_replicas(self, replicas: Replicas) -> Self {
        Self { replicas, ..self }
    }

    /// The replicas that reads may go to.
    #[must_use]
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// Notes up to where the primary has written its journal. What replicas are compared with gets too old without it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn note_primary_position(&self) -> Result<(), Error> {
        let mut connection = self.probe.acquire().await.map_err(from_sqlx)?;
        // Before the question: what is committed while it is on its way may be in the answer or not.
        let asked = Instant::now();
        let position = storage::replica::primary_position(&mut connection).await?;
        self.replicas.history.lock().unwrap_or_else(PoisonError::into_inner).note(asked, position);
        Ok(())
    }

    /// Looks whether reads may go to a replica, by its number from 0 up.
    ///
    /// # Errors
    /// When the replica is away.
    pub async fn look_at_replica(&self, number: usize) -> Result<Standing, Error> {
        let Some(server) = self.replicas.servers.get(number) else { return Ok(Standing::Unknown) };
        let looked = self.replicas.ask(server).await.map(|(_, standing)| standing);
        server.worth_a_try.store(matches!(looked, Ok(Standing::Fresh)), Ordering::Relaxed);
        looked
    }

    /// Begins a read of what may be old by the bound.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading { app: self, asks_primary: false }
    }
}

/// One read: on a replica, or on the primary where none is fresh or the one that was asked fails. What a replica has not may be there by
/// now, so that the primary is asked then, too.
pub(super) struct Reading<'a> {
    app: &'a App,
    asks_primary: bool,
}

impl Reading<'_> {
    /// A connection to the server that is to be asked next.
    pub(super) async fn connection(&mut self) -> Result<Pooled, Error> {
        if !self.asks_primary
            && let Some(replica) = self.app.replicas.connection().await
        {
            return Ok(replica);
        }
        self.asks_primary = true;
        self.app.connection().await
    }

    /// Whether to ask again: after any error of a replica but that it took too long, as the primary would take.
    pub(super) fn again<T>(&mut self, outcome: &Result<T, Error>) -> bool {
        match outcome {
            Err(error) if !self.asks_primary && !matches!(error, Error::DeadlineExceeded) => {
                tracing::debug!(%error, "a replica failed: the primary is asked");
                self.asks_primary = true;
                true
            }
            _ => false,
        }
    }
}

async fn acquired(pool: &PgPool) -> Result<PoolConnection<Postgres>, Error> {
    pool.acquire().await.map_err(from_sqlx)
}
