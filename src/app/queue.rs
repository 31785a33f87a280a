//! The queue before lanes: what waits, and which of it shares a statement.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

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
