//! What calls are called in metrics and traces. The names are those that the doors know, so that no caller can make up new ones.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use http::{HeaderMap, Method};

/// The name of whatever has no name of ours.
const OTHER: &str = "_OTHER";

/// The gRPC methods that have names of their own.
#[derive(Debug, Clone, Default)]
pub struct Methods(Arc<HashSet<Arc<str>>>);

/// What a call is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// The method with its service, such as `deskledger.v1.TicketService/GetTicket`.
    Rpc(Arc<str>),
    /// The method, and the route where there is one.
    Http(&'static str, Arc<str>),
}

impl Methods {
    /// Knows these methods, each with its service before a slash.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(names.into_iter().map(Arc::from).collect()))
    }

    /// The name of a call.
    pub(super) fn name_of<B>(&self, request: &Request<B>) -> Name {
        if is_grpc(request.headers()) {
            let path = request.uri().path();
            let known = self.0.get(path.strip_prefix('/').unwrap_or(path));
            return Name::Rpc(known.cloned().unwrap_or_else(|| Arc::from(OTHER)));
        }
        let route = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str());
        // With and without a slash at its end it is the same route. That of a gRPC service is none of this door.
        let route = if route.contains("{*method}") { "" } else { route.trim_end_matches('/') };
        Name::Http(method(request.method()), Arc::from(route))
    }
}

/// Whether a call is gRPC or gRPC-Web.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

/// The name of a gRPC code, as `google.rpc.Code` has it.
pub(super) fn code(number: &[u8]) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<usize>().ok());
    number.and_then(|number| NAMES.get(number)).copied().unwrap_or("UNKNOWN")
}
