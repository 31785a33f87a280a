//! The server: the doors on one listener, their limits, and the drain at the end.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::app::{App, LogSigner};
use crate::background;
use crate::config::ServerSettings;
use crate::error::Error;
use crate::{grpc, rest, telemetry};

/// How many bytes the headers of a request have at most.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// How long a client of HTTP/1 may take to send its headers.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent client is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is cancelled: then is no longer ready, accepts no more, lets the calls in flight end within the drain time, and
/// drops what is left. A signer signs the log.
///
/// # Errors
/// When the listener cannot be asked for its address.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    signer: Option<LogSigner>,
    settings: &ServerSettings,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let drained = CancellationToken::new();
    let health = tonic_health::server::HealthReporter::new();
    let readiness = background::readiness::start(app.clone(), health.clone(), shutdown.clone()).await;
    let retention = background::request_retention::start(app.clone(), settings.request_id_retention(), shutdown.clone());
    let milestones = background::list_milestones::start(app.clone(), shutdown.clone());
    let sequencer = background::log_sequencer::start(app.clone(), signer, drained.clone());
    let router = doors(app, health, settings)?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    accept(listener, router, settings, shutdown).await;
    // The last deletions get their receipts, too.
    drained.cancel();
    let _ = tokio::join!(readiness, retention, milestones, sequencer);
    Ok(())
}

/// Both doors behind their guards, in one router.
fn doors(app: Arc<App>, health: HealthReporter, settings: &ServerSettings) -> std::io::Result<Router> {
    let guard = |refuse| {
        let guard = Guard { limit: settings.request_timeout(), refuse };
        move |services: Router| services.layer(from_fn_with_state(guard, guarded))
    };
    let mut router = grpc::router(app.clone(), health, guard(grpc::error_response));
    if !settings.no_rest {
        let rest = rest::router(app, settings.trust_forwarded, settings.webhook_window(), settings.public_log);
        router = router.merge(guard(rest::error_response)(rest));
    }
    let router = router.fallback(unknown);
    let router = if settings.cors_origins.is_empty() { router } else { router.layer(cors(&settings.cors_origins)?) };
    Ok(router.layer(from_fn(telemetry::trace)))
}

/// Lets the browser pages of these origins call both doors.
fn cors(origins: &[String]) -> std::io::Result<CorsLayer> {
    let origin = |origin: &String| HeaderValue::try_from(origin).map_err(std::io::Error::other);
    let origins: Vec<HeaderValue> = origins.iter().map(origin).collect::<Result<_, _>>()?;
    let exposed = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id", "etag", "retry-after"];
    Ok(CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed.map(HeaderName::from_static)))
}

async fn accept(listener: TcpListener, router: Router, settings: &ServerSettings, shutdown: CancellationToken) {
    let builder = Arc::new(http_builder(settings));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // What has ended is taken out, or the set would grow for ever.
            Some(_) = connections.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = builder.serve_connection(io(stream), TowerToHyperService::new(router.clone()));
                let connection = graceful.watch(connection.into_owned());
                connections.spawn(async move { end_of(connection, peer).await });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tracing::info!(connections = connections.len(), "draining");
    if tokio::time::timeout(settings.drain_timeout(), graceful.shutdown()).await.is_err() {
        tracing::warn!("calls were still in flight at the end of the drain and are dropped");
    }
    connections.shutdown().await;
}

fn http_builder(settings: &ServerSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .adaptive_window(true)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

fn io(stream: TcpStream) -> TokioIo<TcpStream> {
    // Without it small answers wait for an acknowledgement that the client delays: 40 ms a call.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    TokioIo::new(stream)
}

async fn end_of<E: std::fmt::Display>(connection: impl Future<Output = Result<(), E>>, peer: SocketAddr) {
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// What every call is guarded by: a time limit, and a door that can tell errors.
#[derive(Clone)]
struct Guard {
    limit: Duration,
    refuse: fn(Error) -> Response,
}

/// Ends a call at the earlier of its caller's deadline and the service's limit, and keeps a panic from taking the connection along.
async fn guarded(State(guard): State<Guard>, request: Request, next: Next) -> Response {
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

/// Answers what no door knows.
async fn unknown(request: axum::http::Request<axum::body::Body>) -> Response {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    if content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        grpc::unknown_service()
    } else if request.uri().path().starts_with(rest::BASE) {
        rest::unknown_path()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}
