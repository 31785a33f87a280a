//! Running a write again that met another one.

use std::time::Duration;

use crate::domain::random;
use crate::error::Error;

/// How often a write is run at most.
const MAX_RUNS: u32 = 6;
/// How long the first wait is at most; each one after is up to twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(5);

/// Counts the runs of one call.
pub(super) struct Retry {
    runs: u32,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { runs: 0 }
    }

    /// Whether to run again: after a write conflict, a bounded number of times, each after a random wait.
    pub(super) async fn again<T>(&mut self, outcome: &Result<T, Error>) -> bool {
        self.runs += 1;
        if !matches!(outcome, Err(Error::WriteConflict)) || self.runs >= MAX_RUNS {
            return false;
        }
        // Jitter: what met once must not wait equally long and meet again.
        let jitter = u32::from(u16::from_be_bytes(random::bytes()));
        tokio::time::sleep(FIRST_WAIT * 2_u32.pow(self.runs - 1) * jitter / u32::from(u16::MAX)).await;
        true
    }
}
