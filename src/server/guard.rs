//! What guards every call: admission, its time limit, the audit, and that a panic takes nothing along.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::app::Slot;
use crate::audit::Audit;
use crate::error::Error;
use crate::server::admission;
use crate::server::entry::NotLetIn;
use crate::telemetry::CurrentCall;

/// What every call is guarded by, and a door that can tell errors.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) limit: Duration,
    pub(super) audit: Arc<Audit>,
    pub(super) refuse: fn(Error) -> Response,
}

/// Refuses a call that was not let in. Ends another at the earlier of its caller's deadline and the service's limit, and keeps a panic from
/// taking the connection along.
pub(super) async fn guarded(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let timeout = grpc_timeout(request.headers());
    let limit = patience(request.headers(), guard.limit);
    let (deadline, refuse) = (Instant::now() + limit, guard.refuse);
    let response = admitted(guard, limit, request, next).await;
    match timeout {
        // An answer that comes in parts is bound by what the caller set alone: it may well take longer than a call.
        Some(_) => response.map(|body| until(deadline, body, refuse)),
        None => response,
    }
}

async fn admitted(guard: Guard, limit: Duration, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<NotLetIn>().is_some() {
        return (guard.refuse)(Error::Overloaded);
    }
    // What is always answered has none.
    let Some(slot) = request.extensions_mut().remove::<Arc<Slot>>() else { return guard.serve(limit, request, next).await };
    let request = admission::resting(request, &slot);
    // Should the caller go, the slot is left with it.
    let response = slot.clone().scope(guard.serve(limit, request, next)).await;
    let response = admission::refusal(&slot).map_or(response, guard.refuse);
    slot.leave(admission::end(&response));
    response
}

impl Guard {
    async fn serve(&self, limit: Duration, request: Request, next: Next) -> Response {
        let watched = self.audit.call(&request);
        let call = AssertUnwindSafe(next.run(request)).catch_unwind();
        let served = async {
            match tokio::time::timeout(limit, call).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => (self.refuse)(Error::internal("a handler panicked")),
                Err(_) => (self.refuse)(Error::DeadlineExceeded),
            }
        };
        watched.scope(served).await
    }
}

/// Ends an answer at its deadline, with the trailers that tell so. What it has to come to an end is dropped, and with it its statement.
fn until(deadline: Instant, body: Body, refuse: fn(Error) -> Response) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Until { body: Some(body), deadline: Box::pin(sleep_until(deadline)), refuse, call: CurrentCall::get() })
}

struct Until {
    /// `None` after its end.
    body: Option<Body>,
    deadline: Pin<Box<Sleep>>,
    refuse: fn(Error) -> Response,
    call: CurrentCall,
}

impl Until {
    /// What ends the answer. Made when it must be: the error is logged where it is made.
    fn trailers(&self) -> HeaderMap {
        let mut trailers = self.call.within(|| (self.refuse)(Error::DeadlineExceeded)).into_parts().0.headers;
        trailers.remove(CONTENT_TYPE);
        trailers.remove(CONTENT_LENGTH);
        trailers
    }
}

impl hyper::body::Body for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        std::task::ready!(self.deadline.as_mut().poll(context));
        self.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(self.trailers()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// How long a call may take: as long as its caller waits, and no longer than the service's limit.
pub(super) fn patience(headers: &HeaderMap, limit: Duration) -> Duration {
    grpc_timeout(headers).map_or(limit, |timeout| timeout.min(limit))
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
