//! Calls that are repeated until they get through.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::refusal;
use crate::proto::ErrorReason;

/// How long to wait before the second attempt, where the service does not say; each further wait is twice as long, up to the greatest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const GREATEST_WAIT: Duration = Duration::from_secs(2);

/// Makes a call, and makes it again while it does not get through and no more time than `within` would pass before the next attempt. The last
/// failure is answered.
///
/// Repeated is what a repetition may help: the service or the connection was away or was lost, or the write met another one. Between
/// attempts it waits as long as the service asked in `RetryInfo`, or else a time that grows and has some chance in it.
///
/// A call that changes something must carry the same `request_id` in each attempt, from [`request_id`]: nobody knows what became of an attempt
/// whose answer was lost. A read needs none.
///
/// # Errors
/// What the last attempt answered.
pub async fn repeat<T, C>(within: Duration, mut call: impl FnMut() -> C) -> Result<Response<T>, Status>
where
    C: Future<Output = Result<Response<T>, Status>>,
{
    let end = Instant::now() + within;
    let mut growing = FIRST_WAIT;
    loop {
        let status = match call().await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let wait = asked.unwrap_or_else(|| growing.mul_f64(0.5 + chance() / 2.0));
        if !may_help(&status) || Instant::now() + wait >= end {
            return Err(status);
        }
        sleep(wait).await;
        growing = (growing * 2).min(GREATEST_WAIT);
    }
}

/// A new id for a request that changes something: to be made once for the request, and sent with each of its attempts.
#[must_use]
pub fn request_id() -> String {
    random().to_string()
}

/// Whether the same call may get through later.
fn may_help(status: &Status) -> bool {
    match refusal(status) {
        Some(_) => super::reason(status) == Some(ErrorReason::WriteConflict) || status.code() == Code::Unavailable,
        // Made on this side of the connection, which was refused or lost.
        None => status.code() == Code::Unavailable || status.source().is_some(),
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(random().as_fields().0) / f64::from(u32::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a client is given no chance from outside; the rule is the service's")]
fn random() -> Uuid {
    Uuid::new_v4()
}
