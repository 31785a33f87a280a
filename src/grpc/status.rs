//! Errors as gRPC statuses with google.rpc details.

use std::collections::HashMap;

use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::caller::Access;
use crate::error::{Described, Error, Kind};
use crate::telemetry;

/// The metadata of the details that every error of our own has and no error of the framework.
pub(super) const DETAILS: &str = "grpc-status-details-bin";
/// The `domain` of every ErrorInfo.
const DOMAIN: &str = "deskledger";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        telemetry::log(&error);
        status_of(&error)
    }
}

/// An error as a status; nothing is logged.
pub(super) fn status_of(error: &Error) -> Status {
    let described = error.describe();
    let details = details(error, &described);
    Status::with_error_details(code(described.kind), described.message, details)
}

/// An error as a whole response, for those who answer before a service does.
pub(super) fn response(error: Error) -> Response {
    Status::from(error).into_http::<tonic::body::Body>().into_response()
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::DataLoss => Code::DataLoss,
        Kind::Internal => Code::Internal,
    }
}

fn details(error: &Error, described: &Described) -> ErrorDetails {
    let mut metadata: HashMap<String, String> =
        described.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    metadata.insert("legacy_code".to_owned(), described.legacy_code.to_owned());
    let subject = subject(&metadata);
    let mut details = ErrorDetails::with_error_info(described.reason, DOMAIN, metadata);
    match error {
        Error::InvalidFields(violations) => {
            for violation in violations {
                details.add_bad_request_violation(&violation.field, violation.to_string());
            }
        }
        Error::PageTokenInvalid { field } | Error::BatchTooLarge { field, .. } => {
            details.add_bad_request_violation(*field, &described.message);
        }
        Error::RateLimited { access: Access::Read, .. } => {
            details.add_quota_failure_violation("token: calls that read, per minute", &described.message);
        }
        Error::RateLimited { access: Access::Write, .. } => {
            details.add_quota_failure_violation("token: calls that write, per minute", &described.message);
        }
        Error::QuotaExceeded { .. } => {
            details.add_quota_failure_violation("token: messages deleted, per hour", &described.message);
        }
        _ => {}
    }
    match described.kind {
        Kind::FailedPrecondition => {
            details.add_precondition_failure_violation(described.reason, subject, &described.message);
        }
        Kind::NotFound => {
            let resource_type = described.reason.trim_end_matches("_NOT_FOUND").to_ascii_lowercase();
            details.set_resource_info(resource_type, subject, "", &described.message);
        }
        _ => {}
    }
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    if let Some(request_id) = telemetry::current_request_id() {
        details.set_request_info(request_id, "");
    }
    details
}

/// The resource that an error is about, as a path.
fn subject(metadata: &HashMap<String, String>) -> String {
    match (metadata.get("ticket_id"), metadata.get("id")) {
        (Some(ticket_id), Some(id)) => format!("tickets/{ticket_id}/{id}"),
        (Some(ticket_id), None) => format!("tickets/{ticket_id}"),
        _ => String::new(),
    }
}
