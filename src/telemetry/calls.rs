//! What is told of a call: its id, its log lines, its span, and the error that it ends with.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::audit;
use crate::domain::random;
use crate::error::{Error, Kind};
use crate::telemetry::traces::Tracing;

/// Carries the id of a call: taken from the request where it brings one, answered always.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// How long an id that a caller brings is at most.
const MAX_REQUEST_ID_BYTES: usize = 128;

tokio::task_local! {
    /// The call that the current task serves.
    static CALL: Arc<Call>;
}

/// A call that is being served.
#[derive(Debug)]
pub(super) struct Call {
    request_id: HeaderValue,
    /// The reason of the first error that was told.
    reason: OnceLock<&'static str>,
    /// What log lines say of it.
    logged: Span,
    /// What its trace says of it; disabled where it is not traced.
    pub(super) traced: Span,
}

impl Call {
    /// The call that the current task serves.
    pub(super) fn current() -> Option<Arc<Self>> {
        CALL.try_with(Clone::clone).ok()
    }

    /// Whether the call that the current task serves is traced; `None` where it serves none.
    pub(super) fn is_traced() -> Option<bool> {
        CALL.try_with(|call| !call.traced.is_disabled()).ok()
    }

    pub(super) fn reason(&self) -> Option<&'static str> {
        self.reason.get().copied()
    }

    /// Runs a part of the call outside of the task that began it: parts of an answer are made while it is sent.
    pub(super) fn within<T>(self: &Arc<Self>, part: impl FnOnce() -> T) -> T {
        self.traced.in_scope(|| self.logged.in_scope(|| CALL.sync_scope(self.clone(), part)))
    }
}

/// The call that was served where this was made, for what of it is made elsewhere: parts of an answer are made while it is sent.
#[derive(Debug, Clone)]
pub struct CurrentCall(Option<Arc<Call>>);

impl CurrentCall {
    /// The call that the current task serves, if it serves one.
    #[must_use]
    pub fn get() -> Self {
        Self(Call::current())
    }

    /// Makes a part of it.
    pub fn within<T>(&self, part: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(call) => call.within(part),
            None => part(),
        }
    }
}

/// The layer that gives each call its id and its spans, and logs how it ended, at debug level.
pub async fn trace(State(tracing): State<Tracing>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    // What the caller brought may be no id: from here on there is one, and it is ours.
    request.headers_mut().insert(REQUEST_ID_HEADER, request_id.clone());
    let (traced, trace_id) = tracing.span_of(&request);
    let id = request_id.to_str().unwrap_or_default();
    let logged = tracing::info_span!("call", path = request.uri().path(), request_id = id, trace_id = Empty);
    if let Some(trace_id) = trace_id {
        logged.record("trace_id", trace_id);
    }
    let call = Call { request_id: request_id.clone(), reason: OnceLock::new(), logged: logged.clone(), traced: traced.clone() };
    let served = CALL.scope(Arc::new(call), async {
        let mut response = next.run(request).await;
        let grpc_status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("0");
        tracing::debug!(
            http_status = response.status().as_u16(),
            grpc_status,
            seconds = started.elapsed().as_secs_f64(),
            "answered"
        );
        response.headers_mut().insert(REQUEST_ID_HEADER, request_id);
        response
    });
    served.instrument(logged).instrument(traced).await
}

/// The id of the call that is being served, for its errors.
#[must_use]
pub fn current_request_id() -> Option<String> {
    CALL.try_with(|call| call.request_id.to_str().unwrap_or_default().to_owned()).ok()
}

/// Notes an error where it leaves the service, and logs it: what the caller did at debug level, what we did as an error, with its whole cause.
pub fn log(error: &Error) {
    audit::refused(error);
    let described = error.describe();
    // The first one is the cause of what may follow.
    let _ = CALL.try_with(|call| call.reason.set(described.reason));
    match described.kind {
        Kind::DataLoss | Kind::Internal => tracing::error!(reason = described.reason, cause = causes(error), "a call failed"),
        Kind::Unavailable | Kind::DeadlineExceeded | Kind::Aborted => {
            tracing::warn!(reason = described.reason, cause = causes(error), "a call failed");
        }
        _ => tracing::debug!(reason = described.reason, "a call was refused"),
    }
}

fn causes(error: &Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.join(": ")
}

/// The id of a call: the one that it brings, or a new one.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let brought = headers
        .get(REQUEST_ID_HEADER)
        .filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    brought.cloned().unwrap_or_else(|| HeaderValue::try_from(random::hex::<16>()).unwrap_or_else(|_| HeaderValue::from_static("-")))
}
