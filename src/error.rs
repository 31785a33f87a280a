//! What can go wrong: one error for the whole service, a fact with its data in each variant. A door renders it as it leaves.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::domain::caller::{Access, BadCredential, Scope};
use crate::domain::deletion::NotDeletable;
use crate::domain::ids::{ChatMessageId, DeletionLogId, ErasureId, HoldEventId, RequestId, TicketId};
use crate::domain::proof::ProofError;
use crate::domain::ticket::TicketStatus;
use crate::domain::violation::FieldViolation;

/// What went wrong. See `error_reason.proto` for what each means to a caller.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.describe().message)]
#[expect(missing_docs, reason = "the fields are the data of the fact that the variant's text states")]
pub enum Error {
    /// One or more fields break a rule; never empty.
    InvalidFields(Vec<FieldViolation>),
    /// The page token was not made for this list.
    PageTokenInvalid { field: &'static str },
    /// The request id was used before with another request.
    RequestIdReused { request_id: RequestId, first_use_time: DateTime<Utc> },
    /// The request's bytes are no message of the method's type.
    RequestMalformed,
    /// The request has more bytes than its method takes.
    RequestTooLarge,
    /// A batch holds more items than its method takes.
    BatchTooLarge { field: &'static str, count: usize, max: usize },
    /// The call carries no token.
    CredentialsMissing,
    /// The token or the signature is no good; which way is for the log only.
    CredentialsInvalid(BadCredential),
    /// The token lacks a scope.
    ScopeMissing { scope: Scope },
    /// The application has no such ticket.
    TicketNotFound { ticket_id: TicketId },
    /// The ticket has no such message, or the application no such ticket.
    ChatMessageNotFound { ticket_id: TicketId, id: ChatMessageId },
    /// The ticket has no such log entry, or the application no such ticket.
    DeletionLogNotFound { ticket_id: TicketId, id: DeletionLogId },
    /// What is personal in the log entry was erased.
    DeletionLogErased { ticket_id: TicketId, id: DeletionLogId, erase_time: DateTime<Utc> },
    /// The ticket has no such placing or release of a legal hold, or the application no such ticket.
    HoldEventNotFound { ticket_id: TicketId, id: HoldEventId },
    /// The application's log has no such erasure.
    ErasureNotFound { id: ErasureId },
    /// The application has no such rejected event.
    RejectedEventNotFound { id: i64 },
    /// The message was deleted before.
    ChatMessageAlreadyDeleted { ticket_id: TicketId, id: ChatMessageId },
    /// The ticket is open.
    TicketNotClosed { ticket_id: TicketId, status: TicketStatus },
    /// The message's ticket is under a legal hold.
    LegalHold { ticket_id: TicketId, id: ChatMessageId },
    /// The message cannot be deleted at all.
    ChatMessageNotDeletable { ticket_id: TicketId, id: ChatMessageId, cause: NotDeletable },
    /// The ticket is closed.
    TicketAlreadyClosed { ticket_id: TicketId },
    /// The life cycle has no such step.
    TicketStatusTransitionInvalid { ticket_id: TicketId, from: TicketStatus, to: TicketStatus },
    /// The ticket is under a legal hold already.
    TicketAlreadyHeld { ticket_id: TicketId },
    /// The ticket is under no legal hold.
    TicketNotHeld { ticket_id: TicketId },
    /// The ticket changed since the caller read it.
    EtagMismatch { ticket_id: TicketId, etag: String },
    /// The write kept meeting other writes to the same rows.
    WriteConflict,
    /// The service has as many calls as it can work on.
    Overloaded,
    /// The token calls more often than it may.
    RateLimited { access: Access, per_minute: u32, retry_after: Duration },
    /// The token has deleted as many messages in this hour as it may.
    QuotaExceeded { per_hour: u32, retry_after: Duration },
    /// The database cannot be reached.
    DatabaseUnavailable(#[source] Source),
    /// The caller's deadline or the service's time limit passed.
    DeadlineExceeded,
    /// The entry of a deletion, of a placing or release of a legal hold, or of an erasure, which is in no ticket, is not in a signed tree yet.
    ReceiptNotReady { ticket_id: Option<TicketId>, id: i64 },
    /// The application's log has not been signed yet.
    LogNotSigned,
    /// The log's trees contradict their checkpoints, or its rows their trees; the source is for the log only.
    LogCorrupt(#[source] Source),
    /// Something unexpected; the source is for the log only.
    Internal(#[source] Source),
}

/// The REST API's one text for all that its code deskp400601 stands for.
const NOT_DELETABLE: &str = "The specified message can't be deleted.";

/// The cause of an error that the service did not foresee.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The classes of errors, named as the google.rpc codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "google.rpc.Code documents them")]
pub enum Kind {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    FailedPrecondition,
    Aborted,
    ResourceExhausted,
    Unavailable,
    DeadlineExceeded,
    DataLoss,
    Internal,
}

/// An error as the doors see it.
#[derive(Debug)]
pub struct Described {
    /// The class.
    pub kind: Kind,
    /// The name in `error_reason.proto`, without its prefix.
    pub reason: &'static str,
    /// The code that clients of the REST API know.
    pub legacy_code: &'static str,
    /// The text for people; everything in it that varies is in `metadata` too.
    pub message: String,
    /// The values that vary.
    pub metadata: Vec<(&'static str, String)>,
}

impl Error {
    /// Wraps what the service did not foresee.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    /// An error of its own for each of several callers who waited for one answer.
    #[must_use]
    pub fn shared(error: &Arc<Self>) -> Self {
        match **error {
            Self::DatabaseUnavailable(_) => Self::DatabaseUnavailable(Box::new(error.clone())),
            Self::DeadlineExceeded => Self::DeadlineExceeded,
            Self::WriteConflict => Self::WriteConflict,
            _ => Self::internal(error.clone()),
        }
    }

    /// Wraps a proof that fails though it must not.
    #[must_use]
    pub fn log_corrupt(source: ProofError) -> Self {
        Self::LogCorrupt(Box::new(source))
    }

    /// The table of all errors.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "the one table, a row for each error")]
    pub fn describe(&self) -> Described {
        use Kind::{Aborted, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, Unauthenticated};
        let row = |kind, reason, legacy_code, message: String, metadata| Described { kind, reason, legacy_code, message, metadata };
        match self {
            Self::InvalidFields(violations) => describe_fields(violations),
            Self::PageTokenInvalid { field } => {
                let message = format!("The {field} is not one that this list gave for these parameters.");
                row(InvalidArgument, "PAGE_TOKEN_INVALID", "deskp400113", message, vec![("field", (*field).to_owned())])
            }
            Self::RequestIdReused { request_id, first_use_time } => {
                let first_use_time = first_use_time.to_rfc3339_opts(SecondsFormat::Micros, true);
                let message = format!("The request_id {} was used at {first_use_time} for another request.", request_id.0);
                let metadata = vec![("request_id", request_id.0.to_string()), ("first_use_time", first_use_time)];
                row(InvalidArgument, "REQUEST_ID_REUSED", "deskp400113", message, metadata)
            }
            Self::RequestMalformed => {
                let message = "The request is not a message of this method's type.".to_owned();
                row(InvalidArgument, "REQUEST_MALFORMED", "deskp400111", message, vec![])
            }
            Self::RequestTooLarge => {
                let message = "The request has more bytes than this method takes.".to_owned();
                row(InvalidArgument, "REQUEST_TOO_LARGE", "deskp400113", message, vec![])
            }
            Self::BatchTooLarge { field, count, max } => {
                let message = format!("The list {field} should have at most {max} items, not {count}.");
                let metadata = vec![("field", (*field).to_owned()), ("count", count.to_string()), ("max", max.to_string())];
                row(InvalidArgument, "BATCH_TOO_LARGE", "deskp400113", message, metadata)
            }
            // One text for all: which of them it was is nobody's business but the operator's.
            Self::CredentialsMissing => row(Unauthenticated, "CREDENTIALS_MISSING", "deskp401100", credentials_text(), vec![]),
            Self::CredentialsInvalid(_) => row(Unauthenticated, "CREDENTIALS_INVALID", "deskp401100", credentials_text(), vec![]),
            Self::ScopeMissing { scope } => {
                let message = format!("The token lacks the scope {scope}.");
                row(PermissionDenied, "SCOPE_MISSING", "deskp403100", message, vec![("scope", scope.to_string())])
            }
            Self::TicketNotFound { ticket_id } => {
                let message = "The specified ticket doesn't exist.".to_owned();
                row(NotFound, "TICKET_NOT_FOUND", "deskp400201", message, vec![("ticket_id", ticket_id.to_string())])
            }
            Self::ChatMessageNotFound { ticket_id, id } => {
                let message = "The specified message doesn't exist.".to_owned();
                row(NotFound, "CHAT_MESSAGE_NOT_FOUND", "deskp400201", message, of_message(*ticket_id, *id))
            }
            Self::DeletionLogNotFound { ticket_id, id } => {
                let message = "The specified deletion log doesn't exist.".to_owned();
                let metadata = vec![("ticket_id", ticket_id.to_string()), ("id", id.to_string())];
                row(NotFound, "DELETION_LOG_NOT_FOUND", "deskp400201", message, metadata)
            }
            Self::DeletionLogErased { ticket_id, id, erase_time } => {
                let erase_time = erase_time.to_rfc3339_opts(SecondsFormat::Micros, true);
                let message = format!("The record of the specified deletion was erased at {erase_time}.");
                let ids = vec![("ticket_id", ticket_id.to_string()), ("id", id.to_string())];
                let metadata = [ids, vec![("erase_time", erase_time)]].concat();
                row(FailedPrecondition, "DELETION_LOG_ERASED", "deskp400602", message, metadata)
            }
            Self::HoldEventNotFound { ticket_id, id } => {
                let message = "The specified hold event doesn't exist.".to_owned();
                let metadata = vec![("ticket_id", ticket_id.to_string()), ("id", id.to_string())];
                row(NotFound, "HOLD_EVENT_NOT_FOUND", "deskp400201", message, metadata)
            }
            Self::ErasureNotFound { id } => {
                let message = "The specified erasure doesn't exist.".to_owned();
                row(NotFound, "ERASURE_NOT_FOUND", "deskp400201", message, vec![("id", id.to_string())])
            }
            Self::RejectedEventNotFound { id } => {
                let message = "The specified rejected event doesn't exist.".to_owned();
                row(NotFound, "REJECTED_EVENT_NOT_FOUND", "deskp400201", message, vec![("id", id.to_string())])
            }
            Self::ChatMessageAlreadyDeleted { ticket_id, id } => {
                let message = "The message was already deleted.".to_owned();
                row(FailedPrecondition, "CHAT_MESSAGE_ALREADY_DELETED", "deskp400500", message, of_message(*ticket_id, *id))
            }
            Self::TicketNotClosed { ticket_id, status } => {
                let metadata = vec![("ticket_id", ticket_id.to_string()), ("status", status.as_str().to_owned())];
                row(FailedPrecondition, "TICKET_NOT_CLOSED", "deskp400600", "The ticket is not closed yet.".to_owned(), metadata)
            }
            Self::LegalHold { ticket_id, id } => {
                row(FailedPrecondition, "LEGAL_HOLD", "deskp400601", NOT_DELETABLE.to_owned(), of_message(*ticket_id, *id))
            }
            Self::ChatMessageNotDeletable { ticket_id, id, cause } => {
                let mut metadata = of_message(*ticket_id, *id);
                metadata.push(("cause", cause.as_str().to_owned()));
                row(FailedPrecondition, "CHAT_MESSAGE_NOT_DELETABLE", "deskp400601", NOT_DELETABLE.to_owned(), metadata)
            }
            Self::TicketAlreadyClosed { ticket_id } => {
                let metadata = vec![("ticket_id", ticket_id.to_string())];
                row(
                    FailedPrecondition,
                    "TICKET_ALREADY_CLOSED",
                    "deskp400602",
                    "The ticket is already closed.".to_owned(),
                    metadata,
                )
            }
            Self::TicketStatusTransitionInvalid { ticket_id, from, to } => {
                let (from, to) = (from.as_str(), to.as_str());
                let message = format!("A ticket does not go from {from} to {to} by an update.");
                let metadata = vec![("ticket_id", ticket_id.to_string()), ("from", from.to_owned()), ("to", to.to_owned())];
                row(FailedPrecondition, "TICKET_STATUS_TRANSITION_INVALID", "deskp400602", message, metadata)
            }
            Self::TicketAlreadyHeld { ticket_id } => {
                let message = "The ticket is already under a legal hold.".to_owned();
                row(FailedPrecondition, "TICKET_ALREADY_HELD", "deskp400602", message, vec![("ticket_id", ticket_id.to_string())])
            }
            Self::TicketNotHeld { ticket_id } => {
                let message = "The ticket is under no legal hold.".to_owned();
                row(FailedPrecondition, "TICKET_NOT_HELD", "deskp400602", message, vec![("ticket_id", ticket_id.to_string())])
            }
            Self::EtagMismatch { ticket_id, etag } => {
                let message = format!("The ticket has changed: its etag is {etag} now.");
                let metadata = vec![("ticket_id", ticket_id.to_string()), ("etag", etag.clone())];
                row(Aborted, "ETAG_MISMATCH", "deskp400602", message, metadata)
            }
            Self::WriteConflict => unexpected(Aborted, "WRITE_CONFLICT", "The call met other writes. Repeat it."),
            Self::Overloaded => {
                let message = "The service has as many calls as it can work on. Repeat the call later.".to_owned();
                row(ResourceExhausted, "OVERLOADED", "deskp429100", message, vec![])
            }
            Self::RateLimited { access, per_minute, .. } => {
                let metadata = vec![("calls", access.as_str().to_owned()), ("per_minute", per_minute.to_string())];
                row(ResourceExhausted, "RATE_LIMITED", "deskp429100", "Too many requests.".to_owned(), metadata)
            }
            Self::QuotaExceeded { per_hour, .. } => {
                let message = format!("The token may delete at most {per_hour} messages in an hour.");
                row(ResourceExhausted, "QUOTA_EXCEEDED", "deskp429100", message, vec![("per_hour", per_hour.to_string())])
            }
            Self::DatabaseUnavailable(_) => {
                unexpected(Kind::Unavailable, "DATABASE_UNAVAILABLE", "The database is away. Repeat the call.")
            }
            Self::DeadlineExceeded => unexpected(Kind::DeadlineExceeded, "DEADLINE_EXCEEDED", "The call took too long."),
            Self::ReceiptNotReady { ticket_id, id } => {
                let message = "The entry is not in a signed tree yet. Repeat the call.".to_owned();
                let ticket_id = ticket_id.map(|ticket_id| ("ticket_id", ticket_id.to_string()));
                let metadata = ticket_id.into_iter().chain([("id", id.to_string())]).collect();
                row(FailedPrecondition, "RECEIPT_NOT_READY", "deskp400602", message, metadata)
            }
            Self::LogNotSigned => {
                let message = "The log has no signed tree yet.".to_owned();
                row(FailedPrecondition, "LOG_NOT_SIGNED", "deskp400602", message, vec![])
            }
            Self::LogCorrupt(_) => unexpected(Kind::DataLoss, "LOG_CORRUPT", "The deletion log is damaged."),
            Self::Internal(_) => unexpected(Kind::Internal, "INTERNAL", "An internal error has occurred."),
        }
    }

    /// When repeating the whole call may help: after how long. `None` where the same call fails again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::WriteConflict => Some(Duration::from_millis(50)),
            Self::DatabaseUnavailable(_) | Self::Overloaded => Some(Duration::from_secs(1)),
            Self::RateLimited { retry_after, .. } | Self::QuotaExceeded { retry_after, .. } => Some(*retry_after),
            Self::ReceiptNotReady { .. } => Some(Duration::from_millis(250)),
            Self::InvalidFields(_)
            | Self::PageTokenInvalid { .. }
            | Self::RequestIdReused { .. }
            | Self::RequestMalformed
            | Self::RequestTooLarge
            | Self::BatchTooLarge { .. }
            | Self::CredentialsMissing
            | Self::CredentialsInvalid(_)
            | Self::ScopeMissing { .. }
            | Self::TicketNotFound { .. }
            | Self::ChatMessageNotFound { .. }
            | Self::DeletionLogNotFound { .. }
            | Self::DeletionLogErased { .. }
            | Self::HoldEventNotFound { .. }
            | Self::ErasureNotFound { .. }
            | Self::RejectedEventNotFound { .. }
            | Self::ChatMessageAlreadyDeleted { .. }
            | Self::TicketNotClosed { .. }
            | Self::LegalHold { .. }
            | Self::ChatMessageNotDeletable { .. }
            | Self::TicketAlreadyClosed { .. }
            | Self::TicketStatusTransitionInvalid { .. }
            | Self::TicketAlreadyHeld { .. }
            | Self::TicketNotHeld { .. }
            | Self::EtagMismatch { .. }
            | Self::DeadlineExceeded
            | Self::LogNotSigned
            | Self::LogCorrupt(_)
            | Self::Internal(_) => None,
        }
    }
}

fn describe_fields(violations: &[FieldViolation]) -> Described {
    // Parameters are checked in order, so the first violation is the one that a caller with one message to show wants.
    let first = violations.first();
    Described {
        kind: Kind::InvalidArgument,
        reason: "INVALID_FIELD",
        legacy_code: first.map_or("deskp400113", |violation| violation.rule.legacy_code()),
        message: violations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        metadata: first.map(of_violation).unwrap_or_default(),
    }
}

fn credentials_text() -> String {
    "A valid token is required: authorization: Bearer <token>, or sendbirddeskapitoken: <token>.".to_owned()
}

fn of_violation(violation: &FieldViolation) -> Vec<(&'static str, String)> {
    let mut metadata = vec![("field", violation.field.clone()), ("rule", violation.rule.name().to_owned())];
    metadata.extend(violation.rule.bounds());
    metadata
}

fn unexpected(kind: Kind, reason: &'static str, message: &str) -> Described {
    Described { kind, reason, legacy_code: "desk500500", message: message.to_owned(), metadata: vec![] }
}

fn of_message(ticket_id: TicketId, id: ChatMessageId) -> Vec<(&'static str, String)> {
    vec![("ticket_id", ticket_id.to_string()), ("id", id.to_string())]
}
