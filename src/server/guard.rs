//! What guards every call: its time limit, and that a panic takes nothing along.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use http::HeaderMap;

use crate::error::Error;

/// What every call is guarded by: a time limit, and a door that can tell errors.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) limit: Duration,
    pub(super) refuse: fn(Error) -> Response,
}

/// Ends a call at the earlier of its caller's deadline and the service's limit, and keeps a panic from taking the connection along.
pub(super) async fn guarded(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let limit = grpc_timeout(request.headers()).map_or(guard.limit, |timeout| timeout.min(guard.limit));
    let call = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => (guard.refuse)(Error::internal("a handler panicked")),
        Err(_) => (guard.refuse)(Error::DeadlineExceeded),
    }
}

/// The caller's deadline: at most eight digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
