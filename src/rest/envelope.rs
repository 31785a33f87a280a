//! Lists: their parameters, and the envelope with the URLs of the pages around.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HOST};
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
    let Around { previous, next } = Around::of(door, call, page, count);
    Json(Envelope { count, previous, next, results }).into_response()
}

/// The same of results that are written already, without the brackets around them.
pub(super) fn render_written(door: &Door, call: &Call, page: &PageRequest, count: i64, results: &[u8]) -> Response {
    let Around { previous, next } = Around::of(door, call, page, count);
    let empty: Vec<()> = Vec::new();
    let mut body = serde_json::to_vec(&Envelope { count, previous, next, results: empty }).expect("a plain struct serializes");
    body.reserve(results.len());
    // The results come last, so that the envelope ends with their brackets and its own.
    body.truncate(body.len() - "]}".len());
    body.extend_from_slice(results);
    body.extend_from_slice(b"]}");
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The pages around a page.
struct Around {
    previous: Option<String>,
    next: Option<String>,
}

impl Around {
    fn of(door: &Door, call: &Call, page: &PageRequest, count: i64) -> Self {
        let at = |offset: i64| {
            let query = call.query.with_offset(offset);
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{}{}{mark}{query}", origin(door, call), call.uri.path())
        };
        let next = page.skip.checked_add(page.size).filter(|offset| *offset < count).map(at);
        let previous = (page.skip > 0).then(|| at((page.skip - page.size).max(0)));
        Self { previous, next }
    }
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
