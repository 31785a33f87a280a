//! The gRPC door: parse, call, render. A handler begins with the scope that it needs and holds no decision.

mod chat_message;
mod deletion_log;
mod encoded;
mod enums;
mod framework;
mod ingest;
mod parse;
mod prepared;
mod status;
mod ticket;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::server::NamedService;
use tonic::{Request, Status};
use tonic_health::server::HealthReporter;

use crate::app::App;
use crate::auth::{self, Gate};
use crate::domain::caller::{Caller, Scope};
use crate::error::Error;
pub use crate::grpc::prepared::Prepared;
use crate::proto;

/// The servers' side of it.
#[expect(clippy::pedantic, reason = "generated")]
mod servers {
    include!(concat!(env!("OUT_DIR"), "/servers/deskledger.v1.rs"));
}

/// The descriptor set of the protos with all they import, options and comments included.
pub static DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The names of our services, as `grpc.health.v1` and reflection know them.
pub const SERVICE_NAMES: [&str; 4] = [
    servers::ticket_service_server::SERVICE_NAME,
    servers::chat_message_service_server::SERVICE_NAME,
    servers::deletion_log_service_server::SERVICE_NAME,
    servers::ingest_service_server::SERVICE_NAME,
];

/// The methods that the door has, each with its service before a slash, such as `deskledger.v1.TicketService/GetTicket`.
///
/// # Panics
/// When a descriptor set of this build cannot be read, which a test would show.
#[must_use]
pub fn methods() -> Vec<String> {
    let sets = [
        DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let decoded = sets.map(|set| FileDescriptorSet::decode(set).expect("the descriptor set of this build is sound"));
    let mut methods = Vec::new();
    for file in decoded.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            methods.extend(service.method.iter().map(|method| format!("{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    methods
}

/// How many bytes a request has at most.
const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// How many bytes a request has at most where batches are taken in.
const MAX_BATCH_REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// A service of ours: what each handler works with.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
}

/// Puts the services together: ours behind authentication, health and reflection in front of it, all behind `guard`. What the guard refuses
/// passes the gRPC-Web layer like any other answer, and so is told in the form of its request.
///
/// # Panics
/// When the descriptor set of this build cannot be read, which a test would show.
pub fn router(app: Arc<App>, health: HealthReporter, guard: impl FnOnce(Router) -> Router) -> Router {
    let door = Door { app: app.clone() };
    let tickets = servers::ticket_service_server::TicketServiceServer::new(door.clone());
    let messages = servers::chat_message_service_server::ChatMessageServiceServer::new(door.clone());
    let logs = servers::deletion_log_service_server::DeletionLogServiceServer::new(door.clone());
    let ingest = servers::ingest_service_server::IngestServiceServer::new(door);
    macro_rules! compressed {
        ($service:expr) => {
            $service.accept_compressed(Gzip).accept_compressed(Zstd).send_compressed(Gzip).send_compressed(Zstd)
        };
    }
    let gate = Gate { app, refuse: status::response };
    let ours = Router::new()
        .route_service(&path(&tickets), compressed!(tickets).max_decoding_message_size(MAX_REQUEST_BYTES))
        .route_service(&path(&messages), compressed!(messages).max_decoding_message_size(MAX_BATCH_REQUEST_BYTES))
        .route_service(&path(&logs), compressed!(logs).max_decoding_message_size(MAX_REQUEST_BYTES))
        .route_service(&path(&ingest), compressed!(ingest).max_decoding_message_size(MAX_BATCH_REQUEST_BYTES))
        .route_layer(from_fn(framework::explain))
        .route_layer(from_fn_with_state(gate, auth::authenticate));
    let health =
        tonic_health::pb::health_server::HealthServer::new(tonic_health::server::HealthService::from_health_reporter(health));
    // With the error details and health, so that a client without proto files can read those too.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().expect("the descriptor set of this build is sound");
    let reflection_v1alpha = reflection().build_v1alpha().expect("the descriptor set of this build is sound");
    let services = ours
        .route_service(&path(&health), health)
        .route_service(&path(&reflection_v1), reflection_v1)
        .route_service(&path(&reflection_v1alpha), reflection_v1alpha);
    guard(services).layer(tonic_web::GrpcWebLayer::new())
}

/// An error as this door's clients know it.
pub fn error_response(error: Error) -> Response {
    status::response(error)
}

/// Answers a call of a service that there is not.
pub fn unknown_service() -> Response {
    Status::unimplemented("There is no such service.").into_http::<tonic::body::Body>().into_response()
}

fn path<S: NamedService>(_: &S) -> String {
    format!("/{}/{{*method}}", S::NAME)
}

/// Separates a request from its caller, who must have a scope.
fn authorize<T>(request: Request<T>, scope: Scope) -> Result<(Caller, T), Error> {
    let (_, mut extensions, message) = request.into_parts();
    // Absent only where the authentication layer is: fail closed.
    let caller = extensions.remove::<Caller>().ok_or(Error::CredentialsMissing)?;
    caller.require(scope)?;
    Ok((caller, message))
}
