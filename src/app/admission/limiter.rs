//! The limit of one kind of calls, which follows what is measured.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::admission::End;

/// The limit never falls below this: what the lanes of the database can work on together.
const MIN_LIMIT: usize = 32;
/// How many calls are looked at before the limit moves, and for how long at least.
const MIN_SAMPLES: u32 = 16;
const MIN_WINDOW: Duration = Duration::from_millis(50);
/// After this time fewer calls will do.
const MAX_WINDOW: Duration = Duration::from_secs(1);

/// The limit of one kind of calls.
pub(super) struct Limiter(Mutex<State>);

pub(super) struct State {
    max: usize,
    target: Duration,
    limit: f64,
    pub(super) in_flight: usize,
    pub(super) refused: u64,
    /// Calls that were taken in before count no more: they ran under another limit.
    counted_from: Instant,
    window_begin: Instant,
    /// The most calls in flight, and whether one was refused, in this window.
    peak: usize,
    full: bool,
    samples: u32,
    slow: u32,
}

impl Limiter {
    pub(super) fn new(max: usize, target: Duration, now: Instant) -> Self {
        // Begins at the most: a burst is no overload until calls become slow.
        #[expect(clippy::cast_precision_loss, reason = "a limit is far below 2^52")]
        let limit = max as f64;
        Self(Mutex::new(State {
            max,
            target,
            limit,
            in_flight: 0,
            refused: 0,
            counted_from: now,
            window_begin: now,
            peak: 0,
            full: false,
            samples: 0,
            slow: 0,
        }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between MIN_LIMIT and max")]
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    pub(super) fn enter(&mut self) -> bool {
        if self.in_flight >= self.limit() {
            self.refused += 1;
            self.full = true;
            return false;
        }
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        true
    }

    pub(super) fn sample(&mut self, now: Instant, begin: Instant, took: Duration, patience: Duration, end: End) {
        // A caller in a hurry does not make the service slow; one who waits for about as long as the target and gives up has seen that it is.
        let bound = if patience * 4 >= self.target { self.target.min(patience.mul_f64(0.9)) } else { self.target };
        let slow = took > if end == End::GivenUp { bound } else { self.target };
        // What is refused or given up quickly says nothing.
        if begin >= self.counted_from && (slow || end == End::Served) {
            self.samples += 1;
            self.slow += u32::from(slow);
        }
        let window = now.saturating_duration_since(self.window_begin);
        if (self.samples >= MIN_SAMPLES && window >= MIN_WINDOW) || (self.samples > 0 && window >= MAX_WINDOW) {
            self.adjust(now);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a limit is far below 2^52")]
    fn adjust(&mut self, now: Instant) {
        let (min, max) = (MIN_LIMIT.min(self.max) as f64, self.max as f64);
        if self.slow * 2 > self.samples {
            // A few slow calls on an idle service are slow by themselves.
            if self.peak >= MIN_LIMIT {
                self.limit = (self.limit.min(self.peak as f64) * 0.8).max(min);
                self.counted_from = now;
            }
        } else if self.full || self.peak as f64 >= self.limit * 0.8 {
            self.limit = (self.limit + self.limit.sqrt()).min(max);
        }
        (self.window_begin, self.peak, self.full) = (now, self.in_flight, false);
        (self.samples, self.slow) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(250);
    const PATIENT: Duration = Duration::from_secs(30);

    /// A limiter, and the time that it is told.
    struct Bench(State, Instant);

    impl Bench {
        fn new(max: usize) -> Self {
            let now = Instant::now();
            let limiter = Limiter::new(max, TARGET, now);
            Self(limiter.0.into_inner().expect("nobody panicked"), now)
        }

        /// Fills the limit, lets so many milliseconds pass, and ends all calls.
        fn round(&mut self, millis: u64, end: End) {
            let begin = self.1;
            while self.0.enter() {}
            self.1 += Duration::from_millis(millis);
            let took = Duration::from_millis(millis);
            for _ in 0..self.0.in_flight {
                self.0.in_flight -= 1;
                self.0.sample(self.1, begin, took, PATIENT, end);
            }
        }

        fn limit(&self) -> usize {
            self.0.limit()
        }
    }

    #[test]
    fn the_limit_falls_while_calls_are_slow_but_never_below_what_the_lanes_can_do() {
        let mut bench = Bench::new(1000);
        bench.round(300, End::Served);
        assert_eq!(bench.limit(), 800);
        for _ in 0..100 {
            bench.round(300, End::Served);
        }
        assert_eq!(bench.limit(), MIN_LIMIT);
    }

    #[test]
    fn the_limit_rises_while_calls_are_quick_and_it_is_used_up_but_never_above_the_setting() {
        let mut bench = Bench::new(1000);
        for _ in 0..100 {
            bench.round(300, End::Served);
        }
        bench.round(100, End::Served);
        assert!((MIN_LIMIT + 5..MIN_LIMIT + 7).contains(&bench.limit()), "{}", bench.limit());
        for _ in 0..100 {
            bench.round(100, End::Served);
        }
        assert_eq!(bench.limit(), 1000);
    }

    #[test]
    fn a_limit_that_is_not_used_stays_where_it_is() {
        let mut bench = Bench::new(1000);
        bench.round(300, End::Served);
        let mut limits = Vec::new();
        for _ in 0..100 {
            assert!(bench.0.enter());
            bench.0.in_flight -= 1;
            let begin = bench.1;
            bench.1 += Duration::from_millis(10);
            bench.0.sample(bench.1, begin, Duration::from_millis(10), PATIENT, End::Served);
            limits.push(bench.limit());
        }
        // The first of these end the window in which it was in use.
        assert_eq!(limits[50..], [limits[50]; 50]);
    }

    #[test]
    fn a_flood_of_quick_refusals_does_not_hide_that_calls_are_slow() {
        let mut bench = Bench::new(1000);
        let begin = bench.1;
        while bench.0.enter() {}
        for _ in 0..100_000 {
            bench.0.sample(bench.1, begin, Duration::ZERO, PATIENT, End::Refused);
        }
        bench.1 += Duration::from_millis(300);
        for _ in 0..20 {
            bench.0.sample(bench.1, begin, Duration::from_millis(300), PATIENT, End::Served);
        }
        assert_eq!(bench.limit(), 800);
    }

    #[test]
    fn a_call_that_its_caller_gives_up_is_slow_unless_the_caller_was_in_a_hurry() {
        for (patience, took, falls) in [(30_000, 300, true), (100, 95, true), (20, 20, false), (30_000, 100, false)] {
            let mut bench = Bench::new(1000);
            let begin = bench.1;
            while bench.0.enter() {}
            bench.1 += Duration::from_millis(took);
            for _ in 0..20 {
                let (took, patience) = (Duration::from_millis(took), Duration::from_millis(patience));
                bench.0.sample(bench.1, begin, took, patience, End::GivenUp);
            }
            assert_eq!(bench.limit() < 1000, falls, "{patience} {took}");
        }
    }

    #[test]
    fn slow_calls_on_an_idle_service_change_nothing() {
        let mut bench = Bench::new(1000);
        for _ in 0..100 {
            assert!(bench.0.enter());
            bench.0.in_flight -= 1;
            let begin = bench.1;
            bench.1 += Duration::from_secs(3);
            bench.0.sample(bench.1, begin, Duration::from_secs(3), PATIENT, End::Served);
        }
        assert_eq!(bench.limit(), 1000);
    }
}
