//! A collector of traces: the real protocol, with a list behind it.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

type Exports = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// Takes spans until it is dropped.
pub struct Collector {
    pub endpoint: String,
    exports: Exports,
    served: JoinHandle<()>,
}

struct Taking(Exports);

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("nobody panics").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let exports = Exports::default();
        let service = TraceServiceServer::new(Taking(exports.clone()));
        let served = tokio::spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)).await.expect("it serves");
        });
        Self { endpoint, exports, served }
    }

    /// The spans that came, in the order of their beginnings.
    pub fn spans(&self) -> Vec<Span> {
        let exports = self.exports.lock().expect("nobody panics");
        let resources = exports.iter().flat_map(|export| &export.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        let mut spans: Vec<Span> = scopes.flat_map(|scope| scope.spans.clone()).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    /// The attributes of the resource that sent the first spans.
    pub fn resource(&self) -> Vec<KeyValue> {
        let exports = self.exports.lock().expect("nobody panics");
        let resource = exports[0].resource_spans[0].resource.clone();
        resource.expect("a resource").attributes
    }

    /// All that came, as text.
    pub fn text(&self) -> String {
        format!("{:?}", self.exports.lock().expect("nobody panics"))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// The text of an attribute, or its number as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}
