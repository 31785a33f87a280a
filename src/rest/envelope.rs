//! Lists: their parameters, and the envelope with the URLs of the pages around.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use serde::Serialize;

use crate::domain::page::{self, PageRequest};
use crate::domain::violation::Violations;
use crate::rest::Door;
use crate::rest::call::Call;

/// A page of a list.
#[derive(Serialize)]
struct Envelope<T> {
    count: i64,
    previous: Option<String>,
    next: Option<String>,
    results: Vec<T>,
}

/// Takes `limit`, from 1 to `max`, and `offset`.
pub(super) fn page(call: &Call, max: i64, violations: &mut Violations) -> Option<PageRequest> {
    let limit = violations.check(call.query.integer("limit"));
    let offset = violations.check(call.query.integer("offset"));
    let size = violations.check(page::size("limit", limit?, max));
    let skip = violations.check(page::skip("offset", offset?.unwrap_or(0)));
    Some(PageRequest { size: size?, skip: skip?, token: None })
}

/// Renders a page with the absolute URLs of the one before and the one after, every other parameter kept.
pub(super) fn render<T: Serialize>(door: &Door, call: &Call, page: &PageRequest, count: i64, results: Vec<T>) -> Response {
    let at = |offset: i64| {
        let query = call.query.with_offset(offset);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{query}", origin(door, call), call.uri.path())
    };
    let next = page.skip.checked_add(page.size).filter(|offset| *offset < count).map(at);
    let previous = (page.skip > 0).then(|| at((page.skip - page.size).max(0)));
    Json(Envelope { count, previous, next, results }).into_response()
}

/// Scheme and host as the client used them.
pub(super) fn origin(door: &Door, call: &Call) -> String {
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    // A chain of proxies writes several, the client's first.
    let forwarded =
        |name: &str| header(name).filter(|_| door.trust_forwarded).and_then(|value| value.split(',').next()).map(str::trim);
    let forwarded = |name: &str| forwarded(name).filter(|value| !value.is_empty());
    let scheme = forwarded("x-forwarded-proto").or_else(|| call.uri.scheme_str()).unwrap_or("http");
    let host = forwarded("x-forwarded-host")
        .or_else(|| call.uri.authority().map(http::uri::Authority::as_str))
        .or_else(|| header(HOST.as_str()));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}
