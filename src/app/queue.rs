//! The queue before lanes: what waits, and which of it shares a statement.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};
use tracing::Span;

use crate::app::lane::Work;
use crate::domain::ids::ApplicationKey;
use crate::error::Error;

/// How far behind the first job others are looked for that may share its statement.
const LOOK_AHEAD: usize = 256;

/// A call that waits for a lane.
pub(super) struct Job<W: Work> {
    pub(super) application: ApplicationKey,
    pub(super) work: W,
    pub(super) answer: oneshot::Sender<Result<W::Answer, Error>>,
    /// Since when it waits.
    pub(super) asked: Instant,
    /// The span of the wait; disabled where the call is not traced.
    pub(super) span: Span,
}

/// Jobs in the order of their arrival.
pub(super) struct Queue<W: Work> {
    state: Mutex<State<W>>,
    arrived: Notify,
}

struct State<W: Work> {
    jobs: VecDeque<(u64, Job<W>)>,
    /// The number of the next job to arrive.
    next: u64,
    closed: bool,
}

impl<W: Work> Queue<W> {
    pub(super) fn new() -> Self {
        let state = State { jobs: VecDeque::new(), next: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Notify::new() }
    }

    /// Waits for a job, and takes it with all others that may share its statement; `None` when the queue is closed.
    pub(super) async fn take(&self) -> Option<Vec<Job<W>>> {
        loop {
            // Calls that can go on at this moment come first: those that are about to ask share the statement. When there are none this takes
            // no time.
            tokio::task::yield_now().await;
            {
                let mut state = self.state();
                if state.closed {
                    // Each lane tells the next.
                    self.arrived.notify_one();
                    return None;
                }
                if let Some(jobs) = state.take() {
                    if !state.jobs.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some(jobs);
                }
            }
            self.arrived.notified().await;
        }
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().jobs.len()
    }

    /// Ends the lanes; what waits is dropped.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.jobs.clear();
        self.arrived.notify_one();
    }

    fn push(&self, job: Job<W>) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.jobs.push_back((number, job));
        self.arrived.notify_one();
        number
    }

    /// Takes a job out that no lane has taken; false when one has.
    fn take_back(&self, number: u64) -> bool {
        let mut state = self.state();
        let found = state.jobs.binary_search_by_key(&number, |(number, _)| *number);
        found.is_ok_and(|at| state.jobs.remove(at).is_some())
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        // Nothing panics while it holds the lock, and a queue is as good after as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> State<W> {
    fn take(&mut self) -> Option<Vec<Job<W>>> {
        let (_, first) = self.jobs.pop_front()?;
        let mut weight = first.work.weight();
        let mut taken = vec![first];
        let mut at = 0;
        while at < self.jobs.len().min(LOOK_AHEAD) {
            let (_, job) = &self.jobs[at];
            let joins = job.application == taken[0].application
                && weight + job.work.weight() <= W::CAPACITY
                && taken.iter().all(|other| job.work.may_join(&other.work));
            if joins && let Some((_, job)) = self.jobs.remove(at) {
                weight += job.work.weight();
                taken.push(job);
            } else {
                at += 1;
            }
        }
        Some(taken)
    }
}

/// A job in the queue; dropped before it is done it is taken back, unless a lane has it.
pub(super) struct Waiting<'a, W: Work> {
    queue: &'a Queue<W>,
    number: u64,
    done: bool,
}

impl<'a, W: Work> Waiting<'a, W> {
    pub(super) fn new(queue: &'a Queue<W>, job: Job<W>) -> Self {
        Self { queue, number: queue.push(job), done: false }
    }

    /// Takes the job back; false when a lane has taken it.
    pub(super) fn take_back(&mut self) -> bool {
        self.done = true;
        self.queue.take_back(self.number)
    }

    /// The job is answered.
    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl<W: Work> Drop for Waiting<'_, W> {
    fn drop(&mut self) {
        if !self.done {
            self.queue.take_back(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgConnection;
    use tokio::sync::oneshot::Receiver;

    use super::*;

    /// A name and a weight; those of one name do not join.
    struct Parcel(&'static str, usize);

    impl Work for Parcel {
        type Answer = ();
        const NAME: &'static str = "parcels";
        const CAPACITY: usize = 10;
        const READS: bool = true;

        fn weight(&self) -> usize {
            self.1
        }

        fn may_join(&self, other: &Self) -> bool {
            self.0 != other.0
        }

        async fn run(_: &mut PgConnection, _: ApplicationKey, _: &[Self]) -> Result<Vec<()>, Error> {
            Ok(Vec::new())
        }
    }

    fn push(queue: &Queue<Parcel>, application: i32, name: &'static str, weight: usize) -> (u64, Receiver<Result<(), Error>>) {
        let (answer, receiver) = oneshot::channel();
        let (application, work) = (ApplicationKey(application), Parcel(name, weight));
        (queue.push(Job { application, work, answer, asked: Instant::now(), span: Span::none() }), receiver)
    }

    async fn take(queue: &Queue<Parcel>) -> Vec<&'static str> {
        queue.take().await.expect("it is open").iter().map(|job| job.work.0).collect()
    }

    #[tokio::test]
    async fn jobs_of_one_application_go_together_as_far_as_they_fit_and_the_first_to_come_goes_first() {
        let queue = Queue::new();
        let jobs = [(1, "a", 4), (2, "b", 1), (1, "c", 4), (1, "d", 4), (1, "e", 2), (2, "f", 1), (1, "g", 99)];
        let _receivers = jobs.map(|(application, name, weight)| push(&queue, application, name, weight));
        assert_eq!(take(&queue).await, ["a", "c", "e"], "d is too heavy, and e still fits");
        assert_eq!(take(&queue).await, ["b", "f"]);
        assert_eq!(take(&queue).await, ["d"]);
        assert_eq!(take(&queue).await, ["g"], "too heavy for any company, but not for itself");
    }

    #[tokio::test]
    async fn jobs_that_must_not_meet_go_one_after_the_other() {
        let queue = Queue::new();
        let _receivers = ["a", "a", "b", "a"].map(|name| push(&queue, 1, name, 1));
        assert_eq!(take(&queue).await, ["a", "b"]);
        assert_eq!(take(&queue).await, ["a"]);
        assert_eq!(take(&queue).await, ["a"]);
    }

    #[tokio::test]
    async fn a_job_can_be_taken_back_until_a_lane_has_it() {
        let queue = Queue::new();
        let [(a, _a), (b, _b), (c, _c)] = ["a", "b", "c"].map(|name| push(&queue, 1, name, 6));
        assert!(queue.take_back(b));
        assert!(!queue.take_back(b));
        assert_eq!(take(&queue).await, ["a"]);
        assert!(!queue.take_back(a));
        assert!(queue.take_back(c));
    }

    #[tokio::test]
    async fn a_closed_queue_ends_every_lane_and_drops_what_waits() {
        let queue = Queue::new();
        let (_, waiting) = push(&queue, 1, "a", 1);
        queue.close();
        assert!(waiting.await.is_err());
        for _ in 0..3 {
            assert!(queue.take().await.is_none());
        }
    }
}
