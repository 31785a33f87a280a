//! Time is an argument: only [`SystemClock`] asks the machine.

use chrono::{DateTime, Timelike, Utc};

/// Says what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC, cut to microseconds as the database keeps it.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    fn now(&self) -> DateTime<Utc> {
        cut_to_microseconds(Utc::now())
    }
}

/// Cuts off what the database does not keep, so that what was answered and what is read again are the same.
#[must_use]
pub fn cut_to_microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    let nanoseconds = time.nanosecond();
    // A smaller number of nanoseconds is always one that there is.
    time.with_nanosecond(nanoseconds - nanoseconds % 1000).unwrap_or(time)
}
