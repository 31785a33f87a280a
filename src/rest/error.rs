//! Errors as clients of the Sendbird Desk Platform API know them: one body, one serializer.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::domain::violation::FieldViolation;
use crate::error::{Error, Kind};
use crate::telemetry;

/// Parameters of path and query whose names have underscores on this wire too; keys of bodies are camelCase.
const QUERY_NAMES: [&str; 7] =
    ["ticket_id", "chatmessage_id", "start_date", "end_date", "ticket_channel_type", "sendbird_id", "channel_url"];

/// What clients of the published API look at instead of `Retry-After`.
const RATE_LIMIT_RETRY_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-retryafter");

/// The body of every error. Three kinds of known client read different keys of it.
#[derive(Serialize)]
struct Body<'a> {
    error: bool,
    code: &'a str,
    message: &'a str,
    detail: &'a str,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        telemetry::log(&self);
        let described = self.describe();
        let message = match &self {
            // One message on this wire: the first parameter that is wrong, under its name here.
            Self::InvalidFields(violations) => violations.first().map_or(described.message, text),
            _ => described.message,
        };
        let mut response = body(status(described.kind), described.legacy_code, &message);
        if described.kind == Kind::Unauthenticated {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        with_delay(&self, response)
    }
}

/// Says when to repeat, where that helps.
pub(super) fn with_delay(error: &Error, mut response: Response) -> Response {
    let seconds = error.retry_after().map(|delay| delay.as_secs_f64().ceil().to_string());
    if let Some(seconds) = seconds.and_then(|seconds| HeaderValue::try_from(seconds).ok()) {
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RATE_LIMIT_RETRY_AFTER, seconds.clone());
        }
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// An error as a whole response, for those who answer before a handler does.
pub(super) fn response(error: Error) -> Response {
    error.into_response()
}

/// Answers a path that there is not.
pub(super) fn unknown_path() -> Response {
    body(StatusCode::NOT_FOUND, "deskp404100", "There is no such path.")
}

/// Answers a method that a path does not have.
pub(super) async fn method_not_allowed() -> Response {
    body(StatusCode::METHOD_NOT_ALLOWED, "deskp405100", "The method is not allowed.")
}

pub(super) fn status(kind: Kind) -> StatusCode {
    match kind {
        // Known: what does not exist is 400 on this wire.
        Kind::InvalidArgument | Kind::NotFound | Kind::FailedPrecondition => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::Aborted => StatusCode::CONFLICT,
        Kind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Kind::DataLoss | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn body(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(Body { error: true, code, message, detail: message })).into_response()
}

fn text(violation: &FieldViolation) -> String {
    FieldViolation::new(name(&violation.field), violation.rule.clone()).to_string()
}

/// The name of a field of the domain on this wire.
fn name(field: &str) -> String {
    let field = field.strip_prefix("filter.").unwrap_or(field);
    if QUERY_NAMES.contains(&field) || field.contains("__") {
        return field.to_owned();
    }
    let field = field.strip_prefix("ticket.").unwrap_or(field);
    if field == "status" {
        return "status2".to_owned();
    }
    let mut words = field.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at_checked(1).unwrap_or(("", word));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn fields_have_the_names_of_this_wire() {
        assert_eq!(name("ticket.customer.sendbird_id"), "customer.sendbirdId");
        assert_eq!(name("ticket.custom_fields[3].key"), "customFields[3].key");
        assert_eq!(name("ticket.status"), "status2");
        assert_eq!(name("ticket.channel_url"), "channelUrl");
        assert_eq!(name("channel_url"), "channel_url");
        assert_eq!(name("filter.start_date"), "start_date");
        assert_eq!(name("ticket_id"), "ticket_id");
        assert_eq!(name("created_at__gte"), "created_at__gte");
        assert_eq!(name("limit"), "limit");
    }
}
