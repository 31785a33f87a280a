//! Logs, and the id by which a call is found in them. Content and tokens never come here.

use std::error::Error as _;
use std::io::IsTerminal;
use std::time::Instant;

use anyhow::Context;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};
use crate::domain::random;
use crate::error::{Error, Kind};

/// Carries the id of a call: taken from the request where it brings one, answered always.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// How long an id that a caller brings is at most.
const MAX_REQUEST_ID_BYTES: usize = 128;

tokio::task_local! {
    /// The id of the call that the current task serves.
    static REQUEST_ID: HeaderValue;
}

/// Starts logging to standard error.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&settings.log).context("the log setting cannot be read")?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        LogFormat::Pretty => logs.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}

/// The layer that gives each call its id and logs how it ended, at debug level.
pub async fn trace(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    // What the caller brought may be no id: from here on there is one, and it is ours.
    request.headers_mut().insert(REQUEST_ID_HEADER, request_id.clone());
    let span = tracing::info_span!("call", path = request.uri().path(), request_id = request_id.to_str().unwrap_or_default());
    let call = REQUEST_ID.scope(request_id.clone(), async {
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
    call.instrument(span).await
}

/// The id of the call that is being served, for its errors.
#[must_use]
pub fn current_request_id() -> Option<String> {
    REQUEST_ID.try_with(|id| id.to_str().unwrap_or_default().to_owned()).ok()
}

/// Logs an error where it leaves the service: what the caller did at debug level, what we did as an error, with its whole cause.
pub fn log(error: &Error) {
    let described = error.describe();
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

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let brought = headers
        .get(REQUEST_ID_HEADER)
        .filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    brought.cloned().unwrap_or_else(|| HeaderValue::try_from(random::hex::<16>()).unwrap_or_else(|_| HeaderValue::from_static("-")))
}
