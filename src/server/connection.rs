//! Connections: accepting them, what HTTP allows on them, and how they end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::ServerSettings;

/// How many bytes the headers of a request have at most.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// How long a client of HTTP/1 may take to send its headers.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent client is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until shutdown, then drains them.
pub(super) async fn accept(listener: TcpListener, router: Router, settings: &ServerSettings, shutdown: CancellationToken) {
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
