//! Lanes: connections owned by worker tasks. Calls that wait for a lane at the same time share a statement; none waits for company.
//!
//! A connection that a call borrows from a pool is pinged before and after, and costs a round trip for each call. A lane has its connection
//! for good: while it waits for one statement's answer, the calls that arrive are the next statement.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use crate::app::connection::Canceller;
use crate::app::queue::{Job, Queue, Waiting};
use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::measures::{CALLS, Connections, Counted, LaneMeasures};
use crate::storage::{from_sqlx, session};

/// How long a connection may have been idle before it is asked whether it still is one. Under load none is.
const IDLE: Duration = Duration::from_secs(1);
/// How long a lane waits before it tries to connect again, while its calls may wait.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// How long a shared write waits for a row that another transaction holds. Its calls then write one by one, each on a pooled connection,
/// so that one held ticket does not hold up others.
const LOCK_TIMEOUT: &str = "100ms";
/// What the database's list of sessions calls a lane.
const SESSION_NAME: &str = "deskledger lane";

/// What lanes of one kind do for a call.
pub(super) trait Work: Send + Sync + Sized + 'static {
    /// What the call gets.
    type Answer: Send;
    /// What its lanes are called where they are measured.
    const NAME: &'static str;
    /// How much weight one statement takes.
    const CAPACITY: usize;
    /// Whether it only reads: then it may be run again when the connection breaks.
    const READS: bool;

    /// The weight of this call.
    fn weight(&self) -> usize;

    /// Whether it may share a statement with another of the same application.
    fn may_join(&self, other: &Self) -> bool;

    /// Does the work of several calls of one application, and answers in their order.
    fn run(
        connection: &mut PgConnection,
        application: ApplicationKey,
        works: &[Self],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Error>> + Send;
}

/// The lanes of one kind of work, and the queue before them. They end with this value.
pub(super) struct Lanes<W: Work> {
    queue: Arc<Queue<W>>,
    wait: Duration,
    count: u16,
    measures: LaneMeasures,
}

impl<W: Work> Lanes<W> {
    /// Starts `count` lanes, which connect when they are first needed. A call waits for one at most as long as `wait`.
    pub(super) fn start(
        options: &PgConnectOptions,
        count: u16,
        wait: Duration,
        canceller: &Canceller,
        measures: &LaneMeasures,
    ) -> Self {
        let queue = Arc::new(Queue::new());
        for _ in 0..count {
            let (options, canceller) = (tuned(options, W::READS), canceller.clone());
            let mut lane = Lane { options, wait, canceller, session: None, idle: false, used: Instant::now() };
            let (queue, measures) = (queue.clone(), measures.clone());
            tokio::spawn(async move {
                while let Some(jobs) = queue.take().await {
                    measures.calls.observe(f64::from(u32::try_from(jobs.len()).unwrap_or(u32::MAX)));
                    for job in &jobs {
                        measures.wait.observe(job.asked.elapsed().as_secs_f64());
                    }
                    let _busy = Counted::in_gauge(&measures.busy);
                    let span = span_of(&jobs);
                    lane.serve(jobs).instrument(span).await;
                }
            });
        }
        Self { queue, wait, count, measures: measures.clone() }
    }

    /// Has the work done. Writes that met another one, or shared a statement that failed, are answered [`Error::WriteConflict`] and have
    /// done nothing.
    pub(super) async fn ask(&self, application: ApplicationKey, work: W) -> Result<W::Answer, Error> {
        let span = tracing::info_span!(target: CALLS, "lane.ask", deskledger.lane = W::NAME);
        let (answer, receiver) = oneshot::channel();
        let job = Job { application, work, answer, asked: Instant::now(), span: span.clone() };
        self.wait_for(job, receiver).instrument(span).await
    }

    async fn wait_for(&self, job: Job<W>, mut answer: oneshot::Receiver<Result<W::Answer, Error>>) -> Result<W::Answer, Error> {
        let mut waiting = Waiting::new(&self.queue, job);
        let answered = match tokio::time::timeout(self.wait, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if waiting.take_back() => {
                self.measures.timeouts.inc();
                return Err(from_sqlx(sqlx::Error::PoolTimedOut));
            }
            // A lane is at it.
            Err(_) => answer.await,
        };
        waiting.done();
        answered.unwrap_or_else(|_| Err(Error::internal("a lane gave no answer")))
    }

    /// How the lanes are used at the moment.
    pub(super) fn connections(&self) -> Connections {
        let (max, used) = (i64::from(self.count), self.measures.busy.get());
        let pending = i64::try_from(self.queue.waiting()).unwrap_or(i64::MAX);
        Connections { name: W::NAME, max, used, idle: max - used, pending }
    }
}

impl<W: Work> Drop for Lanes<W> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The span of what is done for these calls, where one of them is traced: within the first such, with links to the others.
fn span_of<W: Work>(jobs: &[Job<W>]) -> Span {
    let mut traced = jobs.iter().map(|job| &job.span).filter(|span| !span.is_disabled());
    let Some(first) = traced.next() else { return Span::none() };
    let span =
        first.in_scope(|| tracing::info_span!(target: CALLS, "lane.run", deskledger.lane = W::NAME, deskledger.calls = jobs.len()));
    traced.for_each(|other| {
        span.follows_from(other);
    });
    span
}

/// Statements on lanes are few and have one good plan each, whatever the planner believes about tables that it has not analyzed yet.
fn tuned(options: &PgConnectOptions, reads: bool) -> PgConnectOptions {
    let options = options.clone().application_name(SESSION_NAME).disable_statement_logging().options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        // The rows of one answer come one after the other.
        ("max_parallel_workers_per_gather", "0"),
    ]);
    // Readers wait for no row.
    if reads { options } else { options.options([("lock_timeout", LOCK_TIMEOUT)]) }
}

struct Lane {
    options: PgConnectOptions,
    wait: Duration,
    canceller: Canceller,
    session: Option<Session>,
    /// Whether the session runs nothing. One in the middle of something is not used again.
    idle: bool,
    /// When the connection was last heard of.
    used: Instant,
}

impl Lane {
    async fn serve<W: Work>(&mut self, jobs: Vec<Job<W>>) {
        let Some(application) = jobs.first().map(|job| job.application) else { return };
        let (works, mut callers): (Vec<W>, Vec<_>) = jobs.into_iter().map(|job| (job.work, job.answer)).unzip();
        let run = AssertUnwindSafe(self.run(application, &works)).catch_unwind();
        let outcome = tokio::select! {
            outcome = run => outcome.unwrap_or_else(|_| Err(Error::internal("a lane panicked"))),
            () = all_left(&mut callers) => return self.abandon().await,
        };
        // Whoever has left in between does not want the answer.
        match outcome {
            Ok(answers) => {
                for (caller, answer) in callers.into_iter().zip(answers) {
                    let _ = caller.send(Ok(answer));
                }
            }
            Err(error) => {
                let shared = callers.len() > 1;
                let error = Arc::new(error);
                for caller in callers {
                    // What was wrong with one of them is no error of the others.
                    let alone = shared && !W::READS && !matches!(*error, Error::DatabaseUnavailable(_));
                    let _ = caller.send(Err(if alone { Error::WriteConflict } else { Error::shared(&error) }));
                }
            }
        }
    }

    /// Ends a statement that nobody waits for any more. The session is kept until the database was told, so that its number is its own.
    async fn abandon(&mut self) {
        if let Some(session) = self.session.take().filter(|_| !self.idle) {
            self.canceller.cancel(session.number).await;
        }
    }

    async fn run<W: Work>(&mut self, application: ApplicationKey, works: &[W]) -> Result<Vec<W::Answer>, Error> {
        let was_connected = self.session.is_some();
        let outcome = self.run_once(application, works).await;
        match outcome {
            Err(Error::DatabaseUnavailable(_)) if W::READS && was_connected => self.run_once(application, works).await,
            outcome => outcome,
        }
    }

    async fn run_once<W: Work>(&mut self, application: ApplicationKey, works: &[W]) -> Result<Vec<W::Answer>, Error> {
        let session = self.connect().await?;
        let outcome = W::run(&mut session.connection, application, works).await;
        self.idle = !matches!(outcome, Err(Error::DatabaseUnavailable(_) | Error::Internal(_)));
        self.used = Instant::now();
        if !self.idle {
            self.session = None;
        }
        outcome
    }

    /// The session, no longer idle.
    async fn connect(&mut self) -> Result<&mut Session, Error> {
        let was_idle = std::mem::take(&mut self.idle);
        let kept = match self.session.take() {
            Some(mut session) if was_idle => {
                let lives = self.used.elapsed() < IDLE || session.connection.ping().await.is_ok();
                lives.then_some(session)
            }
            _ => None,
        };
        let session = match kept {
            Some(session) => session,
            None => self.connect_anew().await?,
        };
        Ok(self.session.insert(session))
    }

    async fn connect_anew(&self) -> Result<Session, Error> {
        let begin = Instant::now();
        loop {
            match PgConnection::connect_with(&self.options).await {
                Ok(mut connection) => {
                    let number = session::number(&mut connection).await?;
                    return Ok(Session { connection, number });
                }
                Err(error) if begin.elapsed() < self.wait && may_be_starting(&error) => tokio::time::sleep(RECONNECT_PAUSE).await,
                Err(error) => return Err(from_sqlx(error)),
            }
        }
    }
}

/// A connection, and the number by which the database knows it.
struct Session {
    connection: PgConnection,
    number: i32,
}

/// Waits until nobody waits any more. Who leaves alone leaves the statement to the others.
async fn all_left<T>(callers: &mut [oneshot::Sender<T>]) {
    for caller in callers {
        caller.closed().await;
    }
}

/// Whether the server may be about to take connections: not there yet, starting up, or full at the moment.
fn may_be_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(refused) => matches!(refused.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}
