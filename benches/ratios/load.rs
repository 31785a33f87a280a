//! Load in a closed loop: workers that each do one thing after another, a warm-up, and a time in which what they do is counted.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until, timeout};

use crate::client::{Connection, Target};
use crate::workload::Workload;

/// Latencies are counted up to this, in microseconds, to three digits.
const LONGEST_US: u64 = 60_000_000;
/// How long the last operations may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of so many answers one is decoded and compared with what was asked.
const CHECKED: u64 = 1000;

/// A worker: goes on until the meter says stop.
pub type Worker = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// What the workers share.
pub struct Meter {
    counting: Cell<bool>,
    stopped: Cell<bool>,
    done: Cell<u64>,
    latencies: RefCell<Histogram<u64>>,
    pace: Option<Pace>,
}

/// When operations begin that do not begin as soon as they can.
struct Pace {
    begin: Instant,
    each: Duration,
    next: Cell<u32>,
}

/// How long to load.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What was counted.
pub struct Counted<S> {
    /// Operations in the measured time.
    pub operations: u64,
    /// All operations, those of the warm-up and of the end too.
    pub done: u64,
    pub elapsed: Duration,
    pub latencies: Histogram<u64>,
    /// What the probe said at the beginning and at the end of the measured time.
    pub probes: [S; 2],
}

impl Meter {
    /// At most so many operations begin in a second, where that is given.
    pub fn new(per_second: Option<u32>) -> anyhow::Result<Rc<Self>> {
        let pace = |per_second| Pace { begin: Instant::now(), each: Duration::from_secs(1) / per_second, next: Cell::new(0) };
        Ok(Rc::new(Self {
            counting: Cell::new(false),
            stopped: Cell::new(false),
            done: Cell::new(0),
            latencies: RefCell::new(Histogram::new_with_bounds(1, LONGEST_US, 3)?),
            pace: per_second.map(pace),
        }))
    }

    /// Waits until the next operation may begin.
    async fn turn(&self) {
        if let Some(Pace { begin, each, next }) = &self.pace {
            let turn = next.replace(next.get() + 1);
            sleep_until((*begin + *each * turn).into()).await;
        }
    }

    pub fn stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Counts an operation that began then and has ended.
    pub fn count(&self, begin: Instant) {
        self.done.set(self.done.get() + 1);
        if self.counting.get() {
            let latency = u64::try_from(begin.elapsed().as_micros()).unwrap_or(LONGEST_US);
            self.latencies.borrow_mut().saturating_record(latency);
        }
    }
}

/// Lets the workers work, and counts.
pub async fn count<S>(
    meter: &Meter,
    workers: Vec<Worker>,
    window: Window,
    probe: impl Fn() -> anyhow::Result<S>,
) -> anyhow::Result<Counted<S>> {
    let local = LocalSet::new();
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn_local_on(worker, &local);
    }
    local
        .run_until(async {
            undisturbed(&mut running, window.warm_up).await?;
            let (begin, first) = (Instant::now(), probe()?);
            meter.counting.set(true);
            undisturbed(&mut running, window.measured).await?;
            meter.counting.set(false);
            let (elapsed, last) = (begin.elapsed(), probe()?);
            meter.stopped.set(true);
            let all = async {
                while let Some(ended) = running.join_next().await {
                    ended??;
                }
                anyhow::Ok(())
            };
            timeout(PATIENCE, all).await.context("the last operations did not end")??;
            let latencies = meter.latencies.borrow().clone();
            Ok(Counted { operations: latencies.len(), done: meter.done.get(), elapsed, latencies, probes: [first, last] })
        })
        .await
}

/// Waits so long; a worker that ends before has failed.
async fn undisturbed(running: &mut JoinSet<anyhow::Result<()>>, time: Duration) -> anyhow::Result<()> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = running.join_next() => {
            ended??;
            bail!("a worker ended before its time");
        }
    }
}

/// Workers that call a service over gRPC, spread over its connections.
pub fn callers(meter: &Rc<Meter>, connections: &[Connection], workload: Workload, in_flight: usize) -> anyhow::Result<Vec<Worker>> {
    let method = workload.method;
    let next = Rc::new(RefCell::new(workload.next));
    let connections: Vec<(Connection, Target)> =
        connections.iter().map(|connection| Ok((connection.clone(), connection.target(method)?))).collect::<anyhow::Result<_>>()?;
    let caller = |(connection, target): (Connection, Target)| -> Worker {
        let (meter, next) = (meter.clone(), next.clone());
        Box::pin(async move {
            while !meter.stopped() {
                meter.turn().await;
                let asked = (next.borrow_mut())();
                let begin = Instant::now();
                let answer = connection.call(&target, asked.message).await?;
                meter.count(begin);
                if meter.done.get() % CHECKED == 1 {
                    asked.expected.check(answer.message())?;
                }
            }
            Ok(())
        })
    };
    Ok(connections.into_iter().cycle().take(in_flight).map(caller).collect())
}
