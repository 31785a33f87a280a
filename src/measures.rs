//! What the service counts of itself while it works, and the names under which it tells traces what it does. Whoever counts knows nothing
//! of who reads: metrics read these (`telemetry`).

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// The target of spans that show a call's way through the service. Logs do not show them.
pub const CALLS: &str = "deskledger::calls";
/// The target of the span of each statement.
pub const STATEMENTS: &str = "deskledger::statements";

/// What the pool of connections is called in metrics.
pub const POOL: &str = "pool";
/// What the lanes of each kind are called there.
pub const LANES: [&str; 4] = ["lane pages", "lane messages", "lane appends", "lane deletions"];

/// Bounds of histograms of seconds: from what a call takes at best to what it may take at most.
pub const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of histograms of how many share something.
const SHARES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// A gauge of seconds.
pub type Seconds = Gauge<f64, AtomicU64>;

/// What the use cases count. Copies count together.
#[derive(Debug, Default, Clone)]
pub struct Measures {
    /// Connections of the pool.
    pub pool: PoolMeasures,
    /// Lanes by the kind of their work.
    pub lanes: LanesMeasures,
    /// Pages of messages in memory.
    pub pages: CacheMeasures,
    /// Tokens in memory.
    pub tokens: CacheMeasures,
    /// The deletion log's trees.
    pub log: LogMeasures,
    /// Loops beside the calls.
    pub loops: LoopsMeasures,
    /// 1 while calls can be served, else 0.
    pub ready: Gauge,
    /// Request ids that were forgotten because their retention had passed.
    pub request_ids_forgotten: Counter,
}

/// The lanes of each kind.
#[derive(Debug, Default, Clone)]
#[expect(missing_docs, reason = "the kinds, named as where they are used")]
pub struct LanesMeasures {
    pub pages: LaneMeasures,
    pub messages: LaneMeasures,
    pub appends: LaneMeasures,
    pub deletions: LaneMeasures,
}

/// How calls get connections of the pool.
#[derive(Debug, Clone)]
pub struct PoolMeasures {
    /// Calls that wait for a connection.
    pub pending: Gauge,
    /// How long calls waited, in seconds.
    pub wait: Histogram,
    /// Calls that waited in vain.
    pub timeouts: Counter,
}

/// How calls get lanes of one kind.
#[derive(Debug, Clone)]
pub struct LaneMeasures {
    /// Lanes that are at work.
    pub busy: Gauge,
    /// How long calls waited for a lane, in seconds.
    pub wait: Histogram,
    /// Calls that waited in vain.
    pub timeouts: Counter,
    /// How many calls shared each statement.
    pub calls: Histogram,
}

/// What a cache was asked for.
#[derive(Debug, Default, Clone)]
pub struct CacheMeasures {
    /// What was there.
    pub hits: Counter,
    /// What was not.
    pub misses: Counter,
    /// What was taken out to make room, or because nobody had asked for it any more.
    pub evictions: Counter,
}

/// How far the deletion log's trees are behind the deletions.
#[derive(Debug, Clone)]
pub struct LogMeasures {
    /// From a deletion to its place in a tree, in seconds; of those that this process put there.
    pub merge_delay: Histogram,
    /// Deletions, holds, releases and erasures that wait for a place, of all applications, when it was last looked.
    pub pending: Gauge,
    /// For how long the first of them has waited.
    pub oldest_pending: Seconds,
    /// Entries of trees that no signed head covers yet, of all applications.
    pub unsigned: Gauge,
    /// Logs whose tiles do not make their roots: somebody has damaged them.
    pub damaged: Gauge,
    /// Logs that were not as they should be when they were last verified.
    pub flaws: Gauge,
}

/// When each loop last did what it is there for, in seconds since 1970; 0 before the first time. Of those that do not run in every process,
/// the last four, also when it began.
#[derive(Debug, Default, Clone)]
#[expect(missing_docs, reason = "the loops, named as their files in background/")]
pub struct LoopsMeasures {
    pub readiness: Seconds,
    pub request_retention: Seconds,
    pub list_milestones: Seconds,
    pub log_backlog: Seconds,
    pub log_sequencer: Seconds,
    pub token_uses: Seconds,
    pub embedded_postgres: Seconds,
    pub log_check: Seconds,
    pub log_retention: Seconds,
    pub replicas: Seconds,
}

/// What is as it is at the moment.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The pool, and the lanes of each kind.
    pub connections: Vec<Connections>,
    /// Bytes of pages in memory.
    pub page_bytes: u64,
    /// Tickets that have pages in memory.
    pub page_tickets: u64,
    /// Tokens in memory.
    pub tokens: u64,
    /// Replicas of the database that reads may go to, and those that were fresh when they were last looked at.
    pub replicas: u64,
    /// See above.
    pub fresh_replicas: u64,
    /// Connections of clients.
    pub clients: Clients,
    /// How many calls are worked on, for each kind.
    pub admission: Vec<Admitted>,
    /// Calls that were refused because their token made too many, since the start.
    pub rate_limited: u64,
    /// What the audit has seen refused since the start, by its kind.
    pub refusals: Vec<(&'static str, u64)>,
}

/// How many calls of one kind are worked on.
#[derive(Debug, Clone, Copy)]
pub struct Admitted {
    /// `read` or `write`.
    pub access: &'static str,
    /// How many may be worked on at a time, at this moment.
    pub limit: u64,
    /// How many are.
    pub in_flight: u64,
    /// How many have been refused since the start.
    pub refused: u64,
}

/// Connections of clients: those that are open, and since the start those that each thing happened to.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "server/connections.rs, which counts them, says what each is")]
pub struct Clients {
    pub open: u64,
    pub accepted: u64,
    pub refused: u64,
    pub handshakes_failed: u64,
    pub retired: u64,
    pub cut_off: u64,
    pub streams_stalled: u64,
}

/// Connections to the database that are used for one thing.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// What they are called.
    pub name: &'static str,
    /// How many there may be.
    pub max: i64,
    /// How many are at work.
    pub used: i64,
    /// How many are open and wait for work.
    pub idle: i64,
    /// How many calls wait for one.
    pub pending: i64,
}

impl Default for PoolMeasures {
    fn default() -> Self {
        Self { pending: Gauge::default(), wait: Histogram::new(SECONDS), timeouts: Counter::default() }
    }
}

impl Default for LaneMeasures {
    fn default() -> Self {
        let (wait, calls) = (Histogram::new(SECONDS), Histogram::new(SHARES));
        Self { busy: Gauge::default(), wait, timeouts: Counter::default(), calls }
    }
}

impl Default for LogMeasures {
    fn default() -> Self {
        Self {
            merge_delay: Histogram::new(SECONDS.into_iter().chain([60.0, 600.0])),
            pending: Gauge::default(),
            oldest_pending: Seconds::default(),
            unsigned: Gauge::default(),
            damaged: Gauge::default(),
            flaws: Gauge::default(),
        }
    }
}

impl CacheMeasures {
    /// Counts one look-up.
    pub fn looked_up(&self, hit: bool) {
        if hit {
            self.hits.inc()
        } else {
            self.misses.inc()
        };
    }
}

/// Seconds since 1970, as metrics tell times.
#[must_use]
pub fn seconds_of(time: DateTime<Utc>) -> f64 {
    Duration::from_micros(u64::try_from(time.timestamp_micros()).unwrap_or_default()).as_secs_f64()
}

/// Counts one as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Counts one in this gauge.
    #[must_use]
    pub fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
