//! The server: the doors on one listener, their limits, and the drain at the end.

mod admin;
mod admission;
mod call;
mod connection;
mod connections;
mod entry;
mod guard;
mod lifetime;
mod line;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::app::{Admission, App, Load, LogSigner};
use crate::audit::{Audit, Refusals};
use crate::background;
use crate::config::ServerSettings;
use crate::domain::caller::Access;
use crate::measures::{Admitted, Observed};
pub use crate::server::connections::Connections;
use crate::server::entry::Entry;
use crate::server::guard::{Guard, guarded};
use crate::server::tls::Tls;
use crate::telemetry::{CallMetrics, Methods, Metrics, Sources, Telemetry, Tracing};
use crate::{grpc, rest, telemetry};

/// How long the loops beside the calls are given to end after the drain.
const LAST_WORK: Duration = Duration::from_secs(3);

/// Serves until `shutdown` is cancelled: then is no longer ready, accepts no more, lets the calls in flight end within the drain time, and
/// drops what is left. A signer signs the log. What telemetry wants is measured and traced, and served to operators until the end of the drain.
///
/// # Errors
/// When the files of TLS cannot be taken in; when the listener cannot be asked for its address.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    signer: Option<LogSigner>,
    telemetry: Telemetry,
    settings: &ServerSettings,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let tls = Tls::start(&settings.tls, shutdown.clone()).await?;
    let address = listener.local_addr()?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "connections are plain text: set --tls-cert and --tls-key, or have a proxy end TLS on this machine");
    }
    let drained = CancellationToken::new();
    let health = tonic_health::server::HealthReporter::new();
    let readiness = background::readiness::start(app.clone(), health.clone(), shutdown.clone()).await;
    let retention = background::request_retention::start(app.clone(), settings.request_id_retention(), shutdown.clone());
    let milestones = background::list_milestones::start(app.clone(), shutdown.clone());
    let replicas = background::replicas::start(app.clone(), shutdown.clone());
    let log_retention = background::log_retention::start(app.clone(), settings.log_retention(), shutdown.clone());
    let log_check = background::log_check::start(app.clone(), settings.log_check_interval(), shutdown.clone());
    let sequencer = background::log_sequencer::start(app.clone(), signer, drained.clone());
    let uses = background::token_uses::start(app.clone(), drained.clone());
    let backlog = telemetry.admin.is_some().then(|| background::log_backlog::start(app.clone(), shutdown.clone()));
    let methods = Methods::new(grpc::methods());
    let observer = Observer {
        tracing: Tracing::new(telemetry.trace_ratio, methods.clone()),
        calls: (telemetry.admin.is_some() || telemetry.trace_ratio.is_some()).then(|| CallMetrics::new(methods)),
    };
    let connections = Arc::new(Connections::default());
    let gate = Gate::new(settings);
    let admin = admin(&app, &connections, &gate, telemetry, &observer, &drained)?;
    let router = doors(app, health, &gate, &observer, settings)?;
    let per_connection = settings.limits.max_calls_per_connection;
    let entry = Entry::new(gate.admission, settings.request_timeout(), per_connection, observer.calls);
    tracing::info!(tls = tls.is_some(), %address, "listening");
    connection::accept(listener, router, Arc::new(entry), tls, connections, settings, shutdown).await;
    // The last deletions get their receipts, too.
    drained.cancel();
    let loops = async {
        tokio::join!(
            readiness,
            retention,
            milestones,
            replicas,
            log_retention,
            log_check,
            sequencer,
            uses,
            maybe(backlog),
            maybe(admin)
        )
    };
    if timeout(LAST_WORK, loops).await.is_err() {
        tracing::warn!("the loops beside the calls did not end in time and are dropped");
    }
    Ok(())
}

/// Who looks at calls. Where nobody does, nothing is measured.
struct Observer {
    tracing: Tracing,
    calls: Option<CallMetrics>,
}

impl Observer {
    /// Measures what this router answers.
    fn watch(&self, router: Router) -> Router {
        match &self.calls {
            Some(calls) => router.layer(from_fn_with_state(calls.clone(), telemetry::measure)),
            None => router,
        }
    }
}

/// What both doors let calls in by, and who writes down whom they do not.
#[derive(Clone)]
struct Gate {
    admission: Arc<Admission>,
    audit: Arc<Audit>,
}

impl Gate {
    fn new(settings: &ServerSettings) -> Self {
        let limits = &settings.admission;
        let max_in_flight = usize::try_from(limits.max_calls_in_flight).unwrap_or(usize::MAX);
        let admission = Admission::new(max_in_flight, limits.latency_target());
        Self { admission: Arc::new(admission), audit: Arc::new(Audit::default()) }
    }

    /// Adds what it has seen to what others have.
    fn observe(&self, observed: Observed) -> Observed {
        let admitted = |(name, access)| {
            let Load { limit, in_flight, refused } = self.admission.load(access);
            Admitted { access: name, limit: limit as u64, in_flight: in_flight as u64, refused }
        };
        let Refusals { authentications, permissions, deletions } = self.audit.refusals();
        Observed {
            admission: [("read", Access::Read), ("write", Access::Write)].map(admitted).into(),
            refusals: vec![("authentication", authentications), ("permission", permissions), ("deletion", deletions)],
            ..observed
        }
    }
}

/// Serves metrics and probes, where telemetry has a listener for them.
fn admin(
    app: &Arc<App>,
    connections: &Arc<Connections>,
    gate: &Gate,
    telemetry: Telemetry,
    observer: &Observer,
    shutdown: &CancellationToken,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let (Some(listener), Some(calls)) = (telemetry.admin, &observer.calls) else { return Ok(None) };
    tracing::info!(address = %listener.local_addr()?, "metrics and probes");
    let (uses, connections, gate) = (app.clone(), connections.clone(), gate.clone());
    let observe = Box::new(move || gate.observe(Observed { clients: connections.observe(), ..uses.observe() }));
    let metrics = Metrics::new(Sources { measures: app.measures(), observe, calls, statements: &telemetry.statements });
    Ok(Some(admin::start(listener, app.clone(), metrics, shutdown.clone())))
}

/// Waits for a task that may not have been started.
async fn maybe(task: Option<JoinHandle<()>>) {
    if let Some(task) = task {
        // A task that panicked has ended, too.
        let _ = task.await;
    }
}

/// Both doors behind their guards, in one router.
fn doors(
    app: Arc<App>,
    health: HealthReporter,
    gate: &Gate,
    observer: &Observer,
    settings: &ServerSettings,
) -> std::io::Result<Router> {
    let guard = |refuse| {
        let guard = Guard { limit: settings.request_timeout(), audit: gate.audit.clone(), refuse };
        move |services: Router| observer.watch(services.layer(from_fn_with_state(guard, guarded)))
    };
    let mut router = grpc::router(app.clone(), health, guard(grpc::error_response));
    if !settings.no_rest {
        let rest = rest::router(app, settings.trust_forwarded, settings.webhook_window(), settings.public_log);
        router = router.merge(guard(rest::error_response)(rest));
    }
    let router = router.merge(observer.watch(Router::new().fallback(unknown)));
    let router = if settings.cors_origins.is_empty() { router } else { router.layer(cors(&settings.cors_origins)?) };
    Ok(router.layer(from_fn_with_state(observer.tracing.clone(), telemetry::trace)))
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
