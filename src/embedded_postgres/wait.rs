//! Waiting for what the operating system does not announce.

use std::thread::sleep;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Asks again, every 0.5 to 5 ms, until there is an answer; None when `patience` ran out first.
pub(super) fn until<T, E>(patience: Duration, mut ask: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if start.elapsed() >= patience {
            return Ok(None);
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
