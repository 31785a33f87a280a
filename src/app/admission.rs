//! Admission: how many calls are worked on at a time. More are refused at once, so that those that are taken in are answered in time.
//!
//! The limit follows what is measured: while most calls take longer than the target, it falls to four fifths of what was in use; while it
//! is used up and calls are quick, it rises by its square root. Reads and writes have a limit each, because they wait for different lanes.

mod limiter;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::admission::limiter::Limiter;
use crate::domain::caller::Access;
use crate::error::Error;

tokio::task_local! {
    /// The call that the current task serves.
    static SLOT: Arc<Slot>;
}

/// How many calls may be worked on at a time.
pub struct Admission {
    reads: Arc<Limiter>,
    writes: Arc<Limiter>,
}

/// How busy the service is, for one kind of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How many calls may be worked on at a time, at this moment.
    pub limit: usize,
    /// How many are.
    pub in_flight: usize,
    /// How many have been refused since the start.
    pub refused: u64,
}

impl Admission {
    /// Admits `max` calls of each kind at most, fewer while half of them take longer than `target`.
    #[must_use]
    pub fn new(max: usize, target: Duration) -> Self {
        let limiter = || Arc::new(Limiter::new(max, target, Instant::now()));
        Self { reads: limiter(), writes: limiter() }
    }

    /// Takes a call in that has `patience` to be served.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn enter(&self, access: Access, patience: Duration) -> Result<Arc<Slot>, Error> {
        Slot::enter(self.limiter(access), patience)
    }

    /// How busy the service is.
    #[must_use]
    pub fn load(&self, access: Access) -> Load {
        let state = self.limiter(access).state();
        Load { limit: state.limit(), in_flight: state.in_flight, refused: state.refused }
    }

    fn limiter(&self, access: Access) -> &Arc<Limiter> {
        match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It got what it asked for.
    Served,
    /// It was refused, which tells nothing of how quickly calls are served.
    Refused,
    /// Its caller or its time limit gave it up.
    GivenUp,
}

/// The place of a call among those that are worked on.
pub struct Slot {
    limiter: Arc<Limiter>,
    begin: Instant,
    patience: Duration,
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    /// Since when it waits for something that is not the service's work.
    resting_since: Option<Instant>,
    rested: Duration,
    refused: bool,
    left: bool,
}

impl SlotState {
    fn awake(&mut self) {
        if let Some(since) = self.resting_since.take() {
            self.rested += since.elapsed();
        }
    }
}

impl Slot {
    fn enter(limiter: &Arc<Limiter>, patience: Duration) -> Result<Arc<Self>, Error> {
        let begin = Instant::now();
        if !limiter.state().enter() {
            return Err(Error::Overloaded);
        }
        Ok(Arc::new(Self { limiter: limiter.clone(), begin, patience, state: Mutex::default() }))
    }

    /// Makes this the slot of the call that `serving` serves.
    pub async fn scope<T>(self: Arc<Self>, serving: impl Future<Output = T>) -> T {
        SLOT.scope(self, serving).await
    }

    /// Gives the place to others while the call waits for its caller or for the clock; its time does not count.
    pub fn rest(&self) {
        let mut state = self.state();
        if !state.left && state.resting_since.is_none() {
            state.resting_since = Some(Instant::now());
            self.limiter.state().in_flight -= 1;
        }
    }

    /// Takes the place again.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none any more.
    pub fn resume(&self) -> Result<(), Error> {
        let mut state = self.state();
        if state.resting_since.is_some() && !self.limiter.state().enter() {
            state.refused = true;
            return Err(Error::Overloaded);
        }
        state.awake();
        Ok(())
    }

    /// Takes the place again though there be none: the call is as good as served.
    fn come_back(&self) {
        let mut state = self.state();
        if state.resting_since.is_some() {
            self.limiter.state().in_flight += 1;
        }
        state.awake();
    }

    /// Whether [`Self::resume`] refused.
    pub fn was_refused(&self) -> bool {
        self.state().refused
    }

    /// Ends the call. Only the first end counts.
    pub fn leave(&self, end: End) {
        let mut state = self.state();
        if std::mem::replace(&mut state.left, true) {
            return;
        }
        let is_resting = state.resting_since.is_some();
        state.awake();
        let now = Instant::now();
        let took = (now - self.begin).saturating_sub(state.rested);
        let mut limiter = self.limiter.state();
        if !is_resting {
            limiter.in_flight -= 1;
        }
        limiter.sample(now, self.begin, took, self.patience, end);
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave(End::GivenUp);
    }
}

/// Waits for something that is not the service's work, as a receipt is not: meanwhile the call's place is free for others.
pub(super) async fn resting<T>(waiting: impl Future<Output = T>) -> T {
    let slot = SLOT.try_with(Arc::clone).ok();
    if let Some(slot) = &slot {
        slot.rest();
    }
    let waited = waiting.await;
    if let Some(slot) = &slot {
        slot.come_back();
    }
    waited
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(30);

    #[test]
    fn a_call_that_rests_leaves_its_place_to_others_and_may_find_it_taken() {
        let admission = Admission::new(32, Duration::from_secs(1));
        let enter = || admission.enter(Access::Read, PATIENT);
        let slots: Vec<_> = (0..32).map(|_| enter().expect("a place")).collect();
        assert!(matches!(enter(), Err(Error::Overloaded)));
        assert_eq!(admission.load(Access::Read), Load { limit: 32, in_flight: 32, refused: 1 });
        assert!(admission.enter(Access::Write, PATIENT).is_ok(), "writes are counted apart");

        slots[0].rest();
        slots[0].rest();
        let other = enter().expect("the place of the one that rests");
        assert!(slots[0].resume().is_err() && slots[0].was_refused());
        drop(other);
        assert!(slots[0].resume().is_ok());
        slots[1].rest();
        drop(slots);
        assert_eq!(admission.load(Access::Read).in_flight, 0, "each leaves once");
    }
}
