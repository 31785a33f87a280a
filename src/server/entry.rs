//! Where calls come in: whether one is worked on at all. Asked by the connection, before a task is made or anything of the call is looked at,
//! because under a flood of calls what a refusal costs is taken from those that are served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{Request, Version};

use crate::app::{Admission, Slot};
use crate::auth::access_of;
use crate::error::Error;
use crate::grpc;
use crate::server::guard::patience;
use crate::telemetry::{self, CallMetrics};

/// What must be answered when the service is busy: how it is, and what it is. None of it asks the database.
const ALWAYS: [&str; 4] = ["/grpc.health.v1.", "/grpc.reflection.", "/docs", "/openapi.json"];

/// Lets calls in.
pub(super) struct Entry {
    admission: Arc<Admission>,
    /// How long a call may take.
    limit: Duration,
    /// How many calls of one connection are worked on at a time.
    per_connection: usize,
    refusal: grpc::Prepared,
    metrics: Option<CallMetrics>,
}

/// Among the extensions of a call: it is not let in, and its door shall say so.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotLetIn;

impl Entry {
    pub(super) fn new(admission: Arc<Admission>, limit: Duration, per_connection: u32, metrics: Option<CallMetrics>) -> Self {
        let per_connection = usize::try_from(per_connection).unwrap_or(usize::MAX);
        Self { admission, limit, per_connection, refusal: grpc::Prepared::new(&Error::Overloaded), metrics }
    }

    /// Lets a call in, as one of so many on its connection: it carries its [`Slot`] then, or that it is [`NotLetIn`]. Answers it where it is not
    /// let in and needs no door for that.
    pub(super) fn answer<B>(&self, request: &mut Request<B>, of_connection: usize) -> Option<Response> {
        if ALWAYS.iter().any(|always| request.uri().path().starts_with(always)) {
            return None;
        }
        match self.slot(request, of_connection) {
            Ok(slot) => drop(request.extensions_mut().insert(slot)),
            Err(_) if is_plain_grpc(request) => return Some(self.refuse(request)),
            Err(_) => drop(request.extensions_mut().insert(NotLetIn)),
        }
        None
    }

    fn slot<B>(&self, request: &Request<B>, of_connection: usize) -> Result<Arc<Slot>, Error> {
        if of_connection > self.per_connection {
            return Err(Error::Overloaded);
        }
        self.admission.enter(access_of(request.method(), request.uri().path()), patience(request.headers(), self.limit))
    }

    fn refuse<B>(&self, request: &Request<B>) -> Response {
        let begin = Instant::now();
        let response = self.refusal.response(telemetry::request_id(request.headers()));
        if let Some(metrics) = &self.metrics {
            metrics.refused(request, "RESOURCE_EXHAUSTED", "OVERLOADED", begin.elapsed());
        }
        response
    }
}

/// Whether a call is gRPC over HTTP/2 by a program, whose refusal is a few headers: a browser, which names its origin, wants more of them.
fn is_plain_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let subtype = kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    subtype && request.version() == Version::HTTP_2 && !request.headers().contains_key(ORIGIN)
}
