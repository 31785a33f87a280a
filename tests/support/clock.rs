//! A clock that tests set.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use deskledger::domain::clock::Clock;

/// Starts at noon of 2026-03-15 UTC and goes on by a millisecond with every look at it.
pub struct TestClock {
    micros: AtomicI64,
    step: AtomicI64,
}

impl TestClock {
    pub fn new() -> Self {
        let noon: DateTime<Utc> = "2026-03-15T12:00:00Z".parse().expect("a time");
        Self { micros: AtomicI64::new(noon.timestamp_micros()), step: AtomicI64::new(1000) }
    }

    pub fn set(&self, time: &str) {
        let time: DateTime<Utc> = time.parse().expect("a time");
        self.micros.store(time.timestamp_micros(), Ordering::SeqCst);
    }

    pub fn advance(&self, by: TimeDelta) {
        self.micros.fetch_add(by.num_microseconds().expect("a span that fits"), Ordering::SeqCst);
    }

    /// From now on every look sees the same time.
    pub fn freeze(&self) {
        self.step.store(0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        let micros = self.micros.fetch_add(self.step.load(Ordering::SeqCst), Ordering::SeqCst);
        DateTime::from_timestamp_micros(micros).expect("a time in range")
    }
}
