//! Connections: accepting them, what HTTP allows on them, and how they end.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::ServerSettings;
use crate::domain::peer::Peer;
use crate::server::call::{Activity, Calls, REFUSED, Streams};
use crate::server::connections::{Connections, Full, Place};
use crate::server::entry::Entry;
use crate::server::lifetime::{LAST_BEGINNING, Lifetime, Next};
use crate::server::line::Line;
use crate::server::tls::{self, Tls};

/// How many bytes a client may send ahead of those who read them, on a stream and on a connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// How many bytes of an answer are kept for a client that has not taken them.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How many calls a client may take back before a handler has seen them, and how many streams may fail in it, before the connection is
/// closed: rapid resets.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 20;
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 256;
/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often it is logged that connections are refused.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What every connection is served with.
struct Host {
    http: auto::Builder<Streams>,
    router: Router,
    entry: Arc<Entry>,
    tls: Option<Tls>,
    settings: ServerSettings,
    connections: Arc<Connections>,
    shutdown: CancellationToken,
}

/// Serves connections until shutdown, then drains them.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    entry: Arc<Entry>,
    tls: Option<Tls>,
    connections: Arc<Connections>,
    settings: &ServerSettings,
    shutdown: CancellationToken,
) {
    let http = http_builder(settings, connections.clone());
    let host = Arc::new(Host { http, router, entry, tls, settings: settings.clone(), connections, shutdown: shutdown.clone() });
    let mut served = JoinSet::new();
    let mut told = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // What has ended is taken out, or the set would grow for ever.
            Some(_) = served.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => host.admit(&mut served, stream, address, &mut told),
            // The client has gone already.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Those who connected before are served.
    while let Some(Ok((stream, address))) = listener.accept().now_or_never() {
        host.admit(&mut served, stream, address, &mut told);
    }
    drop(listener);
    tracing::info!(connections = served.len(), "draining");
    let drained = async { while served.join_next().await.is_some() {} };
    if timeout(settings.drain_timeout(), drained).await.is_err() {
        tracing::warn!("calls were still in flight at the end of the drain and are dropped");
    }
    served.shutdown().await;
}

fn http_builder(settings: &ServerSettings, connections: Arc<Connections>) -> auto::Builder<Streams> {
    let limits = &settings.limits;
    let mut builder = auto::Builder::new(Streams { stall_timeout: limits.stall_timeout(), connections });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout())
        .max_buf_size(limits.max_header_bytes() as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(limits.max_header_bytes())
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(Some(limits.keepalive()))
        .keep_alive_timeout(limits.keepalive());
    builder
}

impl Host {
    /// Serves a connection beside the others, if there is room for it. `told` is when it was last logged that there is none.
    fn admit(self: &Arc<Self>, served: &mut JoinSet<()>, stream: TcpStream, address: SocketAddr, told: &mut Option<Instant>) {
        match self.connections.admit(address, &self.settings.limits) {
            Ok(place) => {
                let host = self.clone();
                served.spawn(REFUSED.scope(Cell::new(false), async move { host.serve(stream, address, place).await }));
            }
            Err(full) => {
                if told.is_none_or(|told| told.elapsed() >= REFUSAL_LOG_INTERVAL) {
                    let limit = match full {
                        Full::Service => "max_connections",
                        Full::Address => "max_connections_per_address",
                    };
                    tracing::warn!(peer = %address, limit, "connections are refused");
                    *told = Some(Instant::now());
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, _place: Place) {
        // Without it small answers wait for an acknowledgement that the client delays: 40 ms a call.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = &self.tls else { return self.converse(stream, Peer { address, application_id: None }).await };
        let handshake = timeout(self.settings.limits.handshake_timeout(), tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => Some(shaken),
            () = async { self.shutdown.cancelled().await; sleep(LAST_BEGINNING).await } => None,
        };
        let failure = match shaken {
            Some(Ok(Ok(stream))) => match tls::application_id(stream.get_ref().1) {
                Ok(application_id) => return self.converse(stream, Peer { address, application_id }).await,
                Err(error) => error.to_owned(),
            },
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(_)) => "it took too long".to_owned(),
            None => "the service stops".to_owned(),
        };
        Connections::count(&self.connections.handshakes_failed);
        tracing::debug!(peer = %address, error = failure, "a handshake failed");
    }

    /// Serves the calls on a connection until its end.
    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer) {
        let address = peer.address;
        let activity = Arc::new(Activity::new());
        let mut lifetime = Lifetime::new(activity.clone(), &self.settings);
        let line = Line::new(stream, activity.clone(), self.settings.limits.stall_timeout());
        let calls = Calls { router: self.router.clone(), entry: self.entry.clone(), peer, activity };
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(line), calls));
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %address, %error, "a connection ended early");
                    }
                    return;
                }
                () = self.shutdown.cancelled(), if !lifetime.is_stopping() => lifetime.stop(),
                () = sleep_until(lifetime.next_look()) => {}
            }
            match lifetime.look(Instant::now()) {
                Next::Nothing => {}
                Next::Close => {
                    Connections::count(&self.connections.retired);
                    connection.as_mut().graceful_shutdown();
                }
                Next::CutOff(why) => {
                    Connections::count(&self.connections.cut_off);
                    tracing::debug!(peer = %address, why, "a connection is cut off");
                    return;
                }
            }
        }
    }
}
