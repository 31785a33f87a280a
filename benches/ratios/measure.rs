//! One measurement: the service, a peer, pgbench or COPY under load for some seconds.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::case::Case;
use crate::client::Connection;
use crate::database::{Database, execute};
use crate::dataset::Dataset;
use crate::load::{self, Counted, Meter, Window};
use crate::merge::Watch;
use crate::options::Options;
use crate::process::{Memory, forget_peak, memory, own_cpu, tree_cpu};
use crate::service::{Pages, Service};
use crate::workload::Workload;
use crate::{copy, pgbench};

/// HTTP/2 connections of the load.
const CONNECTIONS: usize = 2;
/// The same where peers are compared: some spread their work over processes by connection.
const PEER_CONNECTIONS: usize = 16;
/// More deletions a second than any disk here makes durable; so many are prepared.
const DELETIONS_PER_SECOND: i64 = 15_000;

/// Everything that a measurement needs.
pub struct Bench {
    // Before its database: what is dropped first.
    service: Option<Service>,
    pub options: Options,
    pub dataset: Dataset,
    pub database: Database,
    pub token: String,
    /// Where logs and results go.
    pub output: PathBuf,
    /// Measurements begun: each has its own seed, and its own messages to delete.
    runs: Cell<u32>,
    copied: Rc<Cell<i64>>,
}

/// What one measurement gave. CPU is in microseconds for each operation, or row where operations store several.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub per_second: f64,
    /// Of an operation; pgbench tells the mean only.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub mean_ms: f64,
    pub client_us: f64,
    /// Of the service or the peer.
    pub service_us: Option<f64>,
    pub postgres_us: f64,
    pub resident_mib: Option<u64>,
    pub peak_mib: Option<u64>,
}

/// CPU times so far: of the load, of what it loads, and of the database.
struct Cpu {
    client: Duration,
    service: Option<Duration>,
    postgres: Duration,
}

impl Bench {
    pub fn new(options: Options, dataset: Dataset, database: Database, token: String, output: PathBuf) -> Self {
        Self { service: None, options, dataset, database, token, output, runs: Cell::new(0), copied: Rc::default() }
    }

    /// How long each measurement takes.
    fn window(&self) -> Window {
        let measured = Duration::from_secs(self.options.seconds().into());
        Window { warm_up: measured / 6, measured }
    }

    /// The service, started anew when it runs with the other setting.
    async fn service(&mut self, pages: Pages) -> anyhow::Result<(SocketAddr, u32)> {
        if let Some(service) = &self.service
            && service.pages == pages
        {
            return Ok((service.address, service.pid()));
        }
        self.stop_service().await?;
        let service = Service::start(&self.database, pages, &self.output, &self.token).await?;
        let known = (service.address, service.pid());
        self.service = Some(service);
        Ok(known)
    }

    pub async fn stop_service(&mut self) -> anyhow::Result<()> {
        match self.service.take() {
            Some(service) => service.stop().await,
            None => Ok(()),
        }
    }

    fn next_run(&self) -> u32 {
        self.runs.set(self.runs.get() + 1);
        self.runs.get()
    }

    /// Measures the service.
    pub async fn ours(&mut self, case: &Case) -> anyhow::Result<Sample> {
        let (address, pid) = self.service(case.pages).await?;
        let run = self.prepare(case).await?;
        let before = self.effect(case).await?;
        let workload = case.workload(self.dataset, run);
        let meter = Meter::new(case.per_second())?;
        let counted = self.server(&meter, address, pid, workload, case.in_flight, CONNECTIONS).await?;
        self.ensure_done(case, before, counted.done).await?;
        sample(&counted, case.rows(), Some(memory(pid)?))
    }

    /// Measures the service while the database passes over what is to become an entry of the log's tree. A trigger does so, which costs
    /// about as much as a hundredth of a deletion.
    pub async fn without_tree(&mut self, case: &Case) -> anyhow::Result<Sample> {
        let mut connection = self.database.connection().await?;
        let pass_over = "create function pass_over() returns trigger language plpgsql as 'begin return null; end';
            create trigger pass_over before insert on pending_leaves for each row execute function pass_over()";
        execute(&mut connection, pass_over).await?;
        let sample = self.ours(case).await;
        execute(&mut connection, "drop function pass_over cascade").await?;
        sample
    }

    /// Measures how long deletions wait for the log's tree, those of the warm-up too: the latencies are these waits.
    pub async fn merge(&mut self, case: &Case) -> anyhow::Result<Sample> {
        self.service(case.pages).await?;
        let connection = self.database.connection().await?;
        let mut watch = Watch::begin(connection, self.database.application_key).await?;
        let sample = watch.during(self.ours(case)).await?;
        let waits = watch.delays().await?;
        Ok(Sample {
            p50_ms: Some(milliseconds(&waits, 0.5)?),
            p99_ms: Some(milliseconds(&waits, 0.99)?),
            mean_ms: waits.mean() / 1e3,
            ..sample
        })
    }

    /// Measures the service beside peers, as they are measured.
    pub async fn ours_as_peer(&mut self, case: &Case) -> anyhow::Result<Sample> {
        let (address, pid) = self.service(case.pages).await?;
        self.peer(case, address, pid).await
    }

    /// Measures a peer.
    pub async fn peer(&self, case: &Case, address: SocketAddr, pid: u32) -> anyhow::Result<Sample> {
        let workload = case.workload(self.dataset, self.next_run());
        let meter = Meter::new(None)?;
        let counted = self.server(&meter, address, pid, workload, case.in_flight, PEER_CONNECTIONS).await?;
        sample(&counted, case.rows(), Some(memory(pid)?))
    }

    /// Measures a server that speaks gRPC.
    async fn server(
        &self,
        meter: &Rc<Meter>,
        address: SocketAddr,
        pid: u32,
        workload: Workload,
        in_flight: usize,
        connections: usize,
    ) -> anyhow::Result<Counted<Cpu>> {
        let mut opened = Vec::new();
        for _ in 0..connections.min(in_flight) {
            opened.push(Connection::open(address, &self.token).await?);
        }
        let workers = load::callers(meter, &opened, workload, in_flight)?;
        forget_peak(pid)?;
        load::count(meter, workers, self.window(), || self.cpu(Some(pid))).await
    }

    /// Measures COPY of so many rows at a time.
    pub async fn copy(&self, case: &Case, rows: usize, target: copy::Target) -> anyhow::Result<Sample> {
        self.prepare(case).await?;
        let meter = Meter::new(None)?;
        let workers = copy::workers(&meter, &self.database, case.clients, rows, target, &self.copied).await?;
        let counted = load::count(&meter, workers, self.window(), || self.cpu(None)).await?;
        sample(&counted, u32::try_from(rows)?, None)
    }

    /// Measures pgbench.
    pub async fn pgbench(&self, case: &Case) -> anyhow::Result<Sample> {
        let run = self.prepare(case).await?;
        let before = self.effect(case).await?;
        let variables = case.variables(&self.dataset, self.database.application_key, run);
        let log = self.output.join("pgbench.log");
        let run =
            pgbench::Run { script: case.script(), variables: &variables, clients: case.clients, seconds: self.options.seconds() };
        let outcome = pgbench::run(&self.database, &run, &log).await?;
        self.ensure_done(case, before, outcome.transactions).await?;
        let rows = f64::from(case.rows());
        let each = |time: Duration| time.as_secs_f64() * 1e6 / outcome.counted / rows;
        Ok(Sample {
            per_second: outcome.per_second * rows,
            p50_ms: None,
            p99_ms: None,
            mean_ms: outcome.latency_ms,
            client_us: each(outcome.client),
            service_us: None,
            postgres_us: each(outcome.postgres),
            resident_mib: None,
            peak_mib: None,
        })
    }

    /// Begins a measurement: what writes gets its messages, and a log of the database that was just begun anew.
    async fn prepare(&self, case: &Case) -> anyhow::Result<u32> {
        let run = self.next_run();
        if case.effect().is_some() {
            let mut connection = self.database.connection().await?;
            if case.deletes() {
                // Beside the measured time: the warm-up, and what pgbench adds.
                let per_second = case.per_second().map_or(DELETIONS_PER_SECOND, i64::from);
                let at_least = per_second * (i64::from(self.options.seconds()) + 2) * 7 / 6;
                for statement in self.dataset.make_deletable(self.database.application_key, run, at_least) {
                    execute(&mut connection, &statement).await?;
                }
            }
            execute(&mut connection, "checkpoint").await?;
        }
        Ok(run)
    }

    async fn effect(&self, case: &Case) -> anyhow::Result<i64> {
        let Some(statement) = case.effect() else { return Ok(0) };
        let mut connection = self.database.connection().await?;
        Ok(sqlx::query_scalar(statement).fetch_one(&mut connection).await?)
    }

    /// Fails where less was stored or deleted than was answered.
    async fn ensure_done(&self, case: &Case, before: i64, operations: u64) -> anyhow::Result<()> {
        if case.effect().is_some() {
            let (done, told) = (self.effect(case).await? - before, i64::try_from(operations)? * i64::from(case.rows()));
            ensure!(done == told, "{}: {told} were answered, and {done} done", case.name);
        }
        Ok(())
    }

    fn cpu(&self, service: Option<u32>) -> anyhow::Result<Cpu> {
        Ok(Cpu { client: own_cpu()?, service: service.map(tree_cpu).transpose()?, postgres: self.database.cpu()? })
    }
}

fn sample(counted: &Counted<Cpu>, rows: u32, memory: Option<Memory>) -> anyhow::Result<Sample> {
    ensure!(counted.operations > 0, "nothing was done in the measured time");
    let rows = u32::try_from(counted.operations).map(|operations| f64::from(operations) * f64::from(rows))?;
    let [before, after] = &counted.probes;
    let each = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / rows;
    Ok(Sample {
        per_second: rows / counted.elapsed.as_secs_f64(),
        p50_ms: Some(milliseconds(&counted.latencies, 0.5)?),
        p99_ms: Some(milliseconds(&counted.latencies, 0.99)?),
        mean_ms: counted.latencies.mean() / 1e3,
        client_us: each(before.client, after.client),
        service_us: before.service.zip(after.service).map(|(before, after)| each(before, after)),
        postgres_us: each(before.postgres, after.postgres),
        resident_mib: memory.map(|memory| memory.resident),
        peak_mib: memory.map(|memory| memory.peak),
    })
}

fn milliseconds(latencies: &Histogram<u64>, quantile: f64) -> anyhow::Result<f64> {
    let microseconds = u32::try_from(latencies.value_at_quantile(quantile)).context("a latency is out of bounds")?;
    Ok(f64::from(microseconds) / 1e3)
}
