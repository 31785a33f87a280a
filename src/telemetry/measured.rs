//! How long calls take and how they end: the layer of both doors, and the metrics that it fills.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::measures::{Counted, SECONDS};
use crate::telemetry::calls::Call;
use crate::telemetry::names::{Methods, Name, code};

/// What a call that nobody waited for to its end ended with.
const CANCELLED: &str = "CANCELLED";
/// The codes that are the service's fault, as OpenTelemetry sees it.
const FAULTS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// How many calls came, how they ended, and how long they took. Copies measure together.
#[derive(Debug, Clone, Default)]
pub struct CallMetrics {
    rpc: Durations<RpcLabels>,
    http: Durations<HttpLabels>,
    rpc_in_flight: Gauge,
    http_in_flight: Gauge,
    methods: Methods,
}

#[derive(Debug, Clone)]
struct Durations<L>(Family<L, Histogram, fn() -> Histogram>);

impl<L: Clone + std::hash::Hash + Eq> Default for Durations<L> {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(SECONDS)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    rpc_system_name: &'static str,
    rpc_method: Arc<str>,
    rpc_response_status_code: &'static str,
    error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    http_request_method: &'static str,
    http_route: Arc<str>,
    http_response_status_code: u16,
    error_type: &'static str,
}

impl CallMetrics {
    /// Metrics of doors that know these gRPC methods.
    #[must_use]
    pub fn new(methods: Methods) -> Self {
        Self { methods, ..Self::default() }
    }

    /// Counts a call of gRPC that was refused before any layer saw it.
    pub fn refused<B>(&self, request: &Request<B>, code: &'static str, reason: &'static str, took: Duration) {
        if let Name::Rpc(rpc_method) = self.methods.name_of(request) {
            let labels = RpcLabels { rpc_system_name: "grpc", rpc_method, rpc_response_status_code: code, error_type: reason };
            self.rpc.0.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("rpc_server_call_duration_seconds", "Time from a gRPC call to the end of its answer", self.rpc.0.clone());
        registry.register(
            "http_server_request_duration_seconds",
            "Time from a REST call to the end of its answer",
            self.http.0.clone(),
        );
        registry.register("deskledger_rpc_calls_in_flight", "gRPC calls that are being served", self.rpc_in_flight.clone());
        registry.register("http_server_active_requests", "REST calls that are being served", self.http_in_flight.clone());
    }
}

/// The layer of a door that measures its calls.
pub async fn measure(State(metrics): State<CallMetrics>, request: Request, next: Next) -> Response {
    let mut measured = Measured::begin(metrics, &request);
    let (parts, body) = next.run(request).await.into_parts();
    measured.http_status = parts.status.as_u16();
    measured.note(&parts.headers);
    Response::from_parts(parts, Body::new(Answer { body, measured }))
}

/// A call from its beginning to the end of its answer; it is measured when this is dropped, however it ends.
struct Measured {
    metrics: CallMetrics,
    name: Name,
    started: Instant,
    call: Option<Arc<Call>>,
    /// 0 before the answer begins.
    http_status: u16,
    grpc_code: Option<&'static str>,
    _in_flight: Counted,
}

impl Measured {
    fn begin(metrics: CallMetrics, request: &Request) -> Self {
        let name = metrics.methods.name_of(request);
        let in_flight = match name {
            Name::Rpc(_) => &metrics.rpc_in_flight,
            Name::Http(..) => &metrics.http_in_flight,
        };
        let in_flight = Counted::in_gauge(in_flight);
        let started = Instant::now();
        Self { metrics, name, started, call: Call::current(), http_status: 0, grpc_code: None, _in_flight: in_flight }
    }

    /// Looks for the gRPC code among headers or trailers.
    fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.grpc_code = Some(code(status.as_bytes()));
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let reason = self.call.as_ref().and_then(|call| call.reason());
        let (code, error_type) = match &self.name {
            Name::Rpc(method) => {
                let code = self.grpc_code.unwrap_or(CANCELLED);
                let error_type = if code == "OK" { "" } else { reason.unwrap_or(code) };
                let labels =
                    RpcLabels { rpc_system_name: "grpc", rpc_method: method.clone(), rpc_response_status_code: code, error_type };
                self.metrics.rpc.0.get_or_create(&labels).observe(seconds);
                (code, error_type)
            }
            Name::Http(method, route) => {
                let error_type = match (self.http_status, reason) {
                    (0, _) => CANCELLED,
                    (100..400, _) => "",
                    (_, reason) => reason.unwrap_or("_OTHER"),
                };
                let labels = HttpLabels {
                    http_request_method: method,
                    http_route: route.clone(),
                    http_response_status_code: self.http_status,
                    error_type,
                };
                self.metrics.http.0.get_or_create(&labels).observe(seconds);
                ("", error_type)
            }
        };
        let Some(span) = self.call.as_ref().map(|call| &call.traced).filter(|span| !span.is_disabled()) else { return };
        if code.is_empty() {
            span.record("http.response.status_code", self.http_status);
        } else {
            span.record("rpc.response.status_code", code);
        }
        if !error_type.is_empty() {
            span.record("error.type", error_type);
        }
        if self.http_status >= 500 || FAULTS.contains(&code) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// An answer on its way. What is made while it is sent is made within its call.
struct Answer {
    body: Body,
    measured: Measured,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, measured } = &mut *self;
        let body = Pin::new(body);
        let polled = match &measured.call {
            Some(call) => call.within(|| body.poll_frame(context)),
            None => body.poll_frame(context),
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            measured.note(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
