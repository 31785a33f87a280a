//! The address for operators: metrics, and probes for whoever looks after the process. It has no tokens, and so is for this machine or for a
//! network that only operators reach.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::telemetry::Metrics;

/// How many connections there are at a time; whoever comes then waits.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take to send its headers.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the pages are made of.
#[derive(Clone)]
struct Admin {
    app: Arc<App>,
    metrics: Arc<Metrics>,
}

/// Serves until shutdown, and then drops whoever is still there.
pub(super) fn start(listener: TcpListener, app: Arc<App>, metrics: Metrics, shutdown: CancellationToken) -> JoinHandle<()> {
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(tell_readiness))
        .with_state(Admin { app, metrics: Arc::new(metrics) });
    tokio::spawn(async move {
        let served = shutdown.run_until_cancelled(serve(listener, router)).await;
        debug_assert!(served.is_none(), "it goes on until it is cancelled");
    })
}

async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
    let builder = Arc::new(builder);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The connections end with this set.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { unreachable!("nobody closes it") };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (builder, service) = (builder.clone(), TowerToHyperService::new(router.clone()));
                connections.spawn(async move {
                    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                        tracing::debug!(error, "a connection of an operator ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator's connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn show_metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match admin.metrics.encode(accept) {
        Ok((kind, text)) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn tell_readiness(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.app.measures().ready.get() {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => (StatusCode::OK, "ready\n"),
    }
}
