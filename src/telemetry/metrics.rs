//! The registry of all metrics, and the texts in which they are read. `docs/OPERATIONS.md` has a row for each.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::measures::{Admitted, CacheMeasures, Connections, LANES, LogMeasures, Measures, Observed, POOL, Seconds};
use crate::telemetry::measured::CallMetrics;
use crate::telemetry::process;
use crate::telemetry::statements::StatementMetrics;

/// What the Prometheus server asks for when it can read it.
const OPENMETRICS: &str = "application/openmetrics-text";
/// The label that tells the pool and the lanes of each kind apart.
const POOL_NAME: &str = "db_client_connection_pool_name";

/// Where metrics come from.
pub struct Sources<'a> {
    /// What the use cases count.
    pub measures: &'a Measures,
    /// What is as it is at the moment.
    pub observe: Box<dyn Fn() -> Observed + Send + Sync>,
    /// The calls of both doors.
    pub calls: &'a CallMetrics,
    /// The statements.
    pub statements: &'a StatementMetrics,
}

/// All metrics of a process.
pub struct Metrics(Registry);

impl Metrics {
    /// Brings the sources together.
    #[must_use]
    pub fn new(sources: Sources<'_>) -> Self {
        let Sources { measures, observe, calls, statements } = sources;
        let mut registry = Registry::default();
        registry.register("deskledger_build", "The build that runs", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("deskledger_ready", "1 while calls can be served, else 0", measures.ready.clone());
        calls.register(&mut registry);
        statements.register(&mut registry);
        register_connections(&mut registry, measures);
        register_caches(&mut registry, measures);
        register_log(&mut registry, measures);
        register_loops(&mut registry, measures);
        registry.register_collector(Box::new(Moment(observe)));
        process::register(&mut registry);
        Self(registry)
    }

    /// The metrics as text with its media type: `OpenMetrics` for who accepts it, else the text format of Prometheus.
    ///
    /// # Errors
    /// None; writing to a text cannot fail.
    pub fn encode(&self, accept: &str) -> Result<(&'static str, String), fmt::Error> {
        let mut encoded = String::new();
        if accept.contains(OPENMETRICS) {
            text::encode(&mut encoded, &self.0)?;
            Ok(("application/openmetrics-text; version=1.0.0; charset=utf-8", encoded))
        } else {
            prometheus_text::encode(&mut encoded, &self.0)?;
            Ok(("text/plain; version=0.0.4; charset=utf-8", encoded))
        }
    }
}

/// Metrics of one name that differ in one label, whose values are known.
#[derive(Debug)]
struct Labelled<M> {
    label: &'static str,
    metrics: Vec<(&'static str, M)>,
}

impl<M> Labelled<M> {
    fn new(label: &'static str, metrics: impl IntoIterator<Item = (&'static str, M)>) -> Self {
        Self { label, metrics: metrics.into_iter().collect() }
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Labelled<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (value, metric) in &self.metrics {
            metric.encode(encoder.encode_family(&[(self.label, *value)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

fn register_connections(registry: &mut Registry, measures: &Measures) {
    let Measures { pool, lanes, .. } = measures;
    let lanes = [&lanes.pages, &lanes.messages, &lanes.appends, &lanes.deletions];
    let named = || LANES.into_iter().zip(lanes);
    let waits = [(POOL, pool.wait.clone())].into_iter().chain(named().map(|(name, lane)| (name, lane.wait.clone())));
    let help = "Time that calls waited for a connection of the pool, or for a lane";
    registry.register("db_client_connection_wait_time_seconds", help, Labelled::new(POOL_NAME, waits));
    let timeouts = [(POOL, pool.timeouts.clone())].into_iter().chain(named().map(|(name, lane)| (name, lane.timeouts.clone())));
    let help = "Calls that waited in vain for a connection of the pool, or for a lane";
    registry.register("db_client_connection_timeouts", help, Labelled::new(POOL_NAME, timeouts));
    let shared = Labelled::new(POOL_NAME, named().map(|(name, lane)| (name, lane.calls.clone())));
    registry.register("deskledger_lane_statement_calls", "How many calls shared each statement of a lane", shared);
}

fn register_caches(registry: &mut Registry, measures: &Measures) {
    let caches = [("pages", &measures.pages), ("tokens", &measures.tokens)];
    let counted =
        |of: fn(&CacheMeasures) -> &Counter| Labelled::new("cache", caches.map(|(name, cache)| (name, of(cache).clone())));
    registry.register("deskledger_cache_hits", "Look-ups that found what they looked for", counted(|cache| &cache.hits));
    registry.register("deskledger_cache_misses", "Look-ups that did not", counted(|cache| &cache.misses));
    let help = "What was taken out to make room, or because it was old";
    registry.register("deskledger_cache_evictions", help, counted(|cache| &cache.evictions));
}

fn register_log(registry: &mut Registry, measures: &Measures) {
    let LogMeasures { merge_delay, pending, oldest_pending, unsigned, damaged, flaws } = &measures.log;
    let help = "Time from a deletion to its entry in the tree, of the entries that this process made";
    registry.register("deskledger_log_merge_delay_seconds", help, merge_delay.clone());
    let help = "Deletions, holds, releases and erasures without an entry in a tree";
    registry.register("deskledger_log_pending_acts", help, pending.clone());
    let help = "For how long the oldest of these has waited";
    registry.register("deskledger_log_oldest_pending_seconds", help, oldest_pending.clone());
    registry.register("deskledger_log_unsigned_entries", "Entries that no signed head covers", unsigned.clone());
    registry.register("deskledger_log_damaged_trees", "Trees whose tiles do not make their roots", damaged.clone());
    let help = "Logs that were not as they should be when they were last verified";
    registry.register("deskledger_log_flaws", help, flaws.clone());
}

/// Loops, and when they last did their work. Those that do not run have no series.
#[derive(Debug)]
struct Loops {
    always: [(&'static str, Seconds); 6],
    some: [(&'static str, Seconds); 4],
}

impl EncodeMetric for Loops {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let running = self.some.iter().filter(|(_, time)| time.get() > 0.0);
        for (name, time) in self.always.iter().chain(running) {
            time.encode(encoder.encode_family(&[("loop", *name)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Seconds::TYPE
    }
}

fn register_loops(registry: &mut Registry, measures: &Measures) {
    let loops = measures.loops.clone();
    let always = [
        ("list_milestones", loops.list_milestones),
        ("log_backlog", loops.log_backlog),
        ("log_sequencer", loops.log_sequencer),
        ("readiness", loops.readiness),
        ("request_retention", loops.request_retention),
        ("token_uses", loops.token_uses),
    ];
    let some = [
        ("embedded_postgres", loops.embedded_postgres),
        ("log_check", loops.log_check),
        ("log_retention", loops.log_retention),
        ("replicas", loops.replicas),
    ];
    let help = "When a loop last did its work, in seconds since 1970; 0 before the first time";
    registry.register("deskledger_loop_last_success_timestamp_seconds", help, Loops { always, some });
    let forgotten = measures.request_ids_forgotten.clone();
    registry.register(
        "deskledger_request_ids_forgotten",
        "Request ids that were forgotten at the end of their retention",
        forgotten,
    );
}

/// What is read when metrics are.
struct Moment(Box<dyn Fn() -> Observed + Send + Sync>);

impl fmt::Debug for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Moment")
    }
}

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let observed = (self.0)();
        encode_refusals(&mut encoder, &observed)?;
        let Observed { connections, page_bytes, page_tickets, tokens, replicas, fresh_replicas, clients, .. } = observed;
        let mut gauge = |name, help, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        let each = |of: fn(&Connections) -> i64| {
            Labelled::new(POOL_NAME, connections.iter().map(|connections| (connections.name, ConstGauge::new(of(connections)))))
        };
        gauge("db_client_connection_max", "Connections that there may be.", &each(|connections| connections.max))?;
        gauge(
            "db_client_connection_pending_requests",
            "Calls that wait for a connection.",
            &each(|connections| connections.pending),
        )?;
        gauge("deskledger_database_connections", "Connections that there are, by what they do.", &States(&connections))?;
        let entries = Labelled::new("cache", [("pages", ConstGauge::new(page_tickets)), ("tokens", ConstGauge::new(tokens))]);
        gauge("deskledger_cache_entries", "Tickets with pages in memory; tokens in memory.", &entries)?;
        gauge("deskledger_page_cache_bytes", "Bytes of pages in memory, about.", &ConstGauge::new(page_bytes))?;
        gauge("deskledger_replicas", "Replicas of the database that reads may go to.", &ConstGauge::new(replicas))?;
        gauge(
            "deskledger_replicas_fresh",
            "Those that were fresh when they were last looked at.",
            &ConstGauge::new(fresh_replicas),
        )?;
        gauge("deskledger_client_connections", "Connections of clients that are open.", &ConstGauge::new(clients.open))?;
        let events = [
            ("accepted", clients.accepted),
            ("refused", clients.refused),
            ("handshake_failed", clients.handshakes_failed),
            ("retired", clients.retired),
            ("cut_off", clients.cut_off),
            ("stream_stalled", clients.streams_stalled),
        ];
        let events = Labelled::new("event", events.map(|(event, count)| (event, ConstCounter::new(count))));
        let help = "What happened to connections of clients.";
        events.encode(encoder.encode_descriptor("deskledger_client_connection_events", help, None, MetricType::Counter)?)
    }
}

/// How many calls are let in, and how many calls and deletions are refused.
fn encode_refusals(encoder: &mut DescriptorEncoder<'_>, observed: &Observed) -> Result<(), fmt::Error> {
    let admission = |of: fn(&Admitted) -> u64| observed.admission.iter().map(move |admitted| (admitted.access, of(admitted)));
    let gauge = |of| Labelled::new("access", admission(of).map(|(access, value)| (access, ConstGauge::new(value))));
    let help = "Calls that may be worked on at a time, at this moment.";
    let limit = gauge(|admitted| admitted.limit);
    limit.encode(encoder.encode_descriptor("deskledger_admission_limit", help, None, MetricType::Gauge)?)?;
    let in_flight = gauge(|admitted| admitted.in_flight);
    let help = "Calls that are worked on.";
    in_flight.encode(encoder.encode_descriptor("deskledger_admission_calls", help, None, MetricType::Gauge)?)?;
    let mut counter =
        |name, help, metric: &dyn EncodeMetric| metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?);
    let refused = admission(|admitted| admitted.refused).map(|(access, count)| (access, ConstCounter::new(count)));
    let help = "Calls that were refused because the service was busy.";
    counter("deskledger_admission_refused_calls", help, &Labelled::new("access", refused))?;
    let help = "Calls that were refused because their token made too many.";
    counter("deskledger_rate_limited_calls", help, &ConstCounter::new(observed.rate_limited))?;
    let audited = observed.refusals.iter().map(|(kind, count)| (*kind, ConstCounter::new(*count)));
    let help = "What the audit has seen refused, whether there was a line for it or not.";
    counter("deskledger_audit_refusals", help, &Labelled::new("kind", audited))
}

/// Connections by what they do.
struct States<'a>(&'a [Connections]);

impl EncodeMetric for States<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for connections in self.0 {
            for (state, count) in [("used", connections.used), ("idle", connections.idle)] {
                let labels = [(POOL_NAME, connections.name), ("db_client_connection_state", state)];
                ConstGauge::new(count).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
