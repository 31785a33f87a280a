//! Traces: the spans of some calls, sent to an OpenTelemetry collector. A call that is not traced makes no spans.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::extract::Request;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::field::Empty;
use tracing::subscriber::Interest;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::domain::random;
use crate::measures::{CALLS, STATEMENTS};
use crate::telemetry::SPANS;
use crate::telemetry::calls::Call;
use crate::telemetry::names::{Methods, Name};

/// The name of the service in its traces, unless `OTEL_SERVICE_NAME` says another.
const SERVICE_NAME: &str = "deskledger";
/// The span of a whole call: where a trace begins in this process.
const SERVER_SPAN: &str = "server";
/// How long sending a batch of spans may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans are given at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is told that spans cannot be sent.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Sends spans to a collector, from a thread of its own.
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Starts it, in a runtime; it connects when there is something to send. Resource attributes and headers are read from the variables
    /// that OpenTelemetry has for them.
    pub(super) fn start(endpoint: &str) -> anyhow::Result<Self> {
        let builder = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(SEND_TIMEOUT);
        let builder = match endpoint.starts_with("https:") {
            true => builder.with_tls_config(tonic::transport::ClientTlsConfig::new().with_native_roots()),
            false => builder,
        };
        let sender = builder.build().context("the endpoint of traces cannot be used")?;
        let sender = Sender { inner: sender, lost: AtomicU64::new(0), warned: Mutex::new(None) };
        // The variables of OpenTelemetry name the service, if anything does.
        let named = Resource::builder().build().get(&Key::from_static_str("service.name"));
        let named = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
        let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = if named { resource } else { resource.with_service_name(SERVICE_NAME) };
        let provider = SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(sender).build();
        Ok(Self { provider })
    }

    /// The layer that makes spans of traced calls spans of OpenTelemetry: the first is made for a call that is to be traced, all others
    /// within it.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours = |metadata: &Metadata<'_>| metadata.is_span() && [CALLS, STATEMENTS].contains(&metadata.target());
        let traced = dynamic_filter_fn(move |metadata, context| {
            // Lanes serve no call, but work within the span of one that is traced.
            let within = || Call::is_traced().unwrap_or_else(|| context.lookup_current().is_some());
            ours(metadata) && (metadata.name() == SERVER_SPAN || within())
        })
        // What is not ours is looked at once.
        .with_callsite_filter(move |metadata| if ours(metadata) { Interest::sometimes() } else { Interest::never() })
        .with_max_level_hint(SPANS);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE_NAME))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(traced)
    }

    /// Sends what is left, for at most a few seconds.
    pub async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(STOP_TIMEOUT)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::debug!(?stopped, "the last traces were not sent");
        }
    }
}

/// Sends spans, and tells once in a while when it cannot.
#[derive(Debug)]
struct Sender {
    inner: opentelemetry_otlp::SpanExporter,
    /// Spans that were not sent since it was last told.
    lost: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = self.inner.export(batch).await;
        if let Err(error) = &sent {
            self.lost.fetch_add(count, Ordering::Relaxed);
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
                *warned = Some(Instant::now());
                tracing::warn!(%error, spans = self.lost.swap(0, Ordering::Relaxed), "traces cannot be sent");
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Which calls are traced.
#[derive(Debug, Clone, Default)]
pub struct Tracing {
    ratio: Option<f64>,
    methods: Methods,
}

impl Tracing {
    /// Traces a share of the calls that bring no trace of their own, and those whose callers trace them; none without a ratio.
    #[must_use]
    pub fn new(ratio: Option<f64>, methods: Methods) -> Self {
        Self { ratio, methods }
    }

    /// The span of a call and the id of its trace, where it is to be traced; else a disabled one.
    pub(super) fn span_of(&self, request: &Request) -> (Span, Option<String>) {
        let Some(ratio) = self.ratio else { return (Span::none(), None) };
        let context = TraceContextPropagator::new().extract(&Headers(request.headers()));
        let parent = context.span().span_context().clone();
        let sampled = if parent.is_valid() { parent.is_sampled() } else { chosen(ratio) };
        if !sampled {
            return (Span::none(), None);
        }
        let span = match self.methods.name_of(request) {
            Name::Rpc(method) => tracing::info_span!(
                target: CALLS,
                SERVER_SPAN,
                otel.name = &*method,
                otel.kind = "server",
                otel.status_code = Empty,
                rpc.system.name = "grpc",
                rpc.method = &*method,
                rpc.response.status_code = Empty,
                error.type = Empty,
            ),
            Name::Http(method, route) => tracing::info_span!(
                target: CALLS,
                SERVER_SPAN,
                otel.name = format!("{method} {route}").trim_end(),
                otel.kind = "server",
                otel.status_code = Empty,
                http.request.method = method,
                http.route = &*route,
                http.response.status_code = Empty,
                error.type = Empty,
            ),
        };
        // The layer is there, and the span has not started: neither can fail.
        let _ = span.set_parent(context);
        let trace_id = span.context().span().span_context().trace_id().to_string();
        (span, Some(trace_id))
    }
}

/// Chooses a share of calls by chance.
fn chosen(ratio: f64) -> bool {
    ratio >= 1.0 || f64::from(u32::from_be_bytes(random::bytes())) < ratio * f64::from(u32::MAX)
}

/// Headers, or metadata, that bring the context of a trace.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
