//! Errors: every reason of the protos is answered by the service and means what its comment says; every refusal carries what programs need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deskledger::domain::caller::{Access, BadCredential, Flaw, Scope};
use deskledger::domain::deletion::NotDeletable;
use deskledger::domain::ids::{ChatMessageId, DeletionLogId, ErasureId, HoldEventId, RequestId, TicketId};
use deskledger::domain::ticket::TicketStatus;
use deskledger::domain::violation::{FieldViolation, Rule};
use deskledger::error::Error;
use deskledger::grpc::DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, EnumDescriptor};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::raw::call;
use crate::support::{World, pb, refusal};

#[test]
fn every_reason_of_the_protos_has_its_error_and_every_error_its_reason() {
    let declared: BTreeSet<String> = reasons().into_keys().collect();
    let made: BTreeSet<String> = errors(1).iter().map(|error| error.describe().reason.to_owned()).collect();
    assert_eq!(made, declared);
    for error in errors(1) {
        assert_eq!(error.describe().reason, reason_of(&error));
    }
}

#[test]
fn every_error_has_the_code_and_the_metadata_that_its_comment_promises() {
    let reasons = reasons();
    for error in errors(1) {
        let refused = refusal(&Status::from(error));
        let comment = &reasons[&refused.reason];
        assert_eq!(Some(screaming(refused.code).as_str()), comment.split('.').next(), "{}", refused.reason);
        let example =
            comment.split("metadata {").nth(1).and_then(|rest| rest.split('}').next()).expect("the comment has an example");
        for entry in example.split(", ") {
            let (key, value) = entry.split_once(": ").expect("key: value");
            let told = refused.metadata.get(key).unwrap_or_else(|| panic!("{}: no {key}", refused.reason));
            assert!(key != "legacy_code" || value == format!("\"{told}\""), "{}: {told}", refused.reason);
        }
    }
}

#[test]
fn every_value_that_varies_in_a_message_is_in_the_metadata() {
    let violations = |seed| {
        rules(seed).into_iter().map(move |rule| Error::InvalidFields(vec![FieldViolation::new(format!("field{seed}"), rule)]))
    };
    let one: Vec<Error> = errors(1).into_iter().chain(violations(1)).collect();
    let two: Vec<Error> = errors(2).into_iter().chain(violations(2)).collect();
    let mut varying = 0;
    for (one, two) in one.into_iter().zip(two) {
        let (one, two) = (refusal(&Status::from(one)), refusal(&Status::from(two)));
        assert!(one.metadata.contains_key("legacy_code"), "{}", one.reason);
        let words_of_two: BTreeSet<&str> = words(&two.message).collect();
        for word in words(&one.message).filter(|word| !words_of_two.contains(word)) {
            assert!(one.metadata.values().any(|value| value == word), "{word} of {:?} is not in {:?}", one.message, one.metadata);
            varying += 1;
        }
    }
    assert!(varying > 30, "values vary, and are compared: {varying}");
}

#[test]
fn every_error_has_one_error_info_and_says_when_to_retry_where_that_helps() {
    for error in errors(1) {
        let retry_after = error.retry_after();
        let status = Status::from(error);
        let details = tonic_types::pb::Status::decode(status.details()).expect("a google.rpc.Status").details;
        let infos = details.iter().filter(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo")).count();
        assert_eq!(infos, 1, "{status:?}");
        let retry_info = status.get_details_retry_info();
        assert_eq!(retry_info.map(|info| info.retry_delay), retry_after.map(Some), "{status:?}");
        let refused = refusal(&status);
        let passing = ["WRITE_CONFLICT", "DATABASE_UNAVAILABLE", "RECEIPT_NOT_READY"].contains(&refused.reason.as_str());
        assert_eq!(retry_after.is_some(), passing || refused.code == Code::ResourceExhausted);
    }
}

#[test]
fn errors_of_fields_states_and_resources_carry_the_standard_details() {
    for error in errors(1) {
        let status = Status::from(error);
        let (details, refused) = (status.get_error_details(), refusal(&status));
        let names_fields = matches!(refused.reason.as_str(), "INVALID_FIELD" | "PAGE_TOKEN_INVALID" | "BATCH_TOO_LARGE");
        assert_eq!(details.bad_request().is_some(), names_fields, "{}", refused.reason);
        assert_eq!(details.precondition_failure().is_some(), refused.code == Code::FailedPrecondition, "{}", refused.reason);
        assert_eq!(details.resource_info().is_some(), refused.code == Code::NotFound, "{}", refused.reason);
        let names_limit = matches!(refused.reason.as_str(), "RATE_LIMITED" | "QUOTA_EXCEEDED");
        assert_eq!(details.quota_failure().is_some(), names_limit, "{}", refused.reason);
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_the_callers_own_where_it_brings_a_sane_one() {
    let world = World::new().await;
    let actor = world.actor().await;
    let (channel, bearer) = (world.channel().await, format!("Bearer {}", actor.token));
    let long = "x".repeat(128);
    for (brought, kept) in [("my-id-1", true), (long.as_str(), true), (&format!("{long}x"), false), ("two words", false)] {
        let headers = [("authorization", bearer.as_str()), ("x-request-id", brought)];
        let good = call(&channel, "TicketService/ListTickets", &headers, Vec::new()).await.expect("a list");
        let bad = call(&channel, "TicketService/GetTicket", &headers, Vec::new()).await.expect_err("the id is missing");
        let refused_early = call(&channel, "TicketService/GetTicket", &headers[1..], Vec::new()).await.expect_err("no token");
        for metadata in [&good.metadata, bad.metadata(), refused_early.metadata()] {
            let answered = metadata.get("x-request-id").expect("an id").to_str().expect("a text");
            match kept {
                true => assert_eq!(answered, brought),
                false => assert!(answered.len() == 32 && answered.bytes().all(|byte| byte.is_ascii_hexdigit()), "{answered}"),
            }
        }
        for status in [bad, refused_early] {
            let told = status.get_details_request_info().expect("a RequestInfo").request_id;
            assert_eq!(Some(told.as_str()), status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()));
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_as_one() {
    let world = World::new().await;
    let actor = world.actor().await;
    let (channel, bearer) = (world.channel().await, format!("Bearer {}", actor.token));
    // Field 1 of ListTicketsRequest is a message: a truncated one, and one whose field 3, a text, is not UTF-8.
    for (body, reason) in [
        (vec![0x0a, 0x05], "REQUEST_MALFORMED"),
        (vec![0x0a, 0x03, 0x1a, 0x01, 0xff], "REQUEST_MALFORMED"),
        (vec![0; 256 * 1024 + 1], "REQUEST_TOO_LARGE"),
    ] {
        let refused = call(&channel, "TicketService/ListTickets", &[("authorization", bearer.as_str())], body).await;
        let refused = refusal(&refused.expect_err(reason));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, reason));
    }
}

#[tokio::test]
async fn an_internal_error_says_nothing_of_its_cause() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    world.database.run("alter table tickets drop column channel_name").await;

    let status = actor.tickets.get_ticket(pb::GetTicketRequest { id: ticket.id }).await.expect_err("a column is gone");

    let refused = refusal(&status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "INTERNAL"));
    assert_eq!(refused.message, "An internal error has occurred.");
    assert_eq!(refused.metadata.into_iter().collect::<Vec<_>>(), [("legacy_code".to_owned(), "desk500500".to_owned())]);
    let told = format!("{:?}{}", status.metadata(), String::from_utf8_lossy(status.details()));
    for leak in ["channel_name", "column", "select", "tickets"] {
        assert!(!told.contains(leak), "{told}");
    }
}

/// One of each error; a value that varies is another one for another seed.
pub fn errors(seed: i64) -> Vec<Error> {
    let (ticket_id, id) = (TicketId(7000 + seed), ChatMessageId(9000 + seed));
    let (field, other_field) = if seed == 1 { ("page_token", "ids") } else { ("resume_token", "chat_messages") };
    let (status, next) =
        if seed == 1 { (TicketStatus::Active, TicketStatus::Proactive) } else { (TicketStatus::Idle, TicketStatus::Pending) };
    let scope = if seed == 1 { Scope::LogsRead } else { Scope::MessagesDelete };
    let cause = if seed == 1 { NotDeletable::EventMessage } else { NotDeletable::SocialChannel };
    let access = if seed == 1 { Access::Read } else { Access::Write };
    let small = u32::try_from(seed).expect("small");
    let noon: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().expect("a time");
    let first_use_time = noon + TimeDelta::microseconds(seed);
    let request_id = RequestId(uuid::Uuid::from_u64_pair(1, seed.unsigned_abs()));
    let count = 500 + usize::try_from(seed).expect("small");
    let violation = FieldViolation::new(format!("field{seed}"), Rule::Between { min: 10 + seed, max: 100 + seed });
    vec![
        Error::InvalidFields(vec![violation]),
        Error::PageTokenInvalid { field },
        Error::RequestIdReused { request_id, first_use_time },
        Error::RequestMalformed,
        Error::RequestTooLarge,
        Error::BatchTooLarge { field: other_field, count, max: count - 100 },
        Error::CredentialsMissing,
        Error::CredentialsInvalid(BadCredential { flaw: Flaw::Revoked, token_id: Some(format!("secret{seed}")) }),
        Error::ScopeMissing { scope },
        Error::TicketNotFound { ticket_id },
        Error::ChatMessageNotFound { ticket_id, id },
        Error::DeletionLogNotFound { ticket_id, id: DeletionLogId(300 + seed) },
        Error::DeletionLogErased { ticket_id, id: DeletionLogId(300 + seed), erase_time: first_use_time },
        Error::HoldEventNotFound { ticket_id, id: HoldEventId(400 + seed) },
        Error::ErasureNotFound { id: ErasureId(600 + seed) },
        Error::RejectedEventNotFound { id: 500 + seed },
        Error::ChatMessageAlreadyDeleted { ticket_id, id },
        Error::TicketNotClosed { ticket_id, status },
        Error::LegalHold { ticket_id, id },
        Error::ChatMessageNotDeletable { ticket_id, id, cause },
        Error::TicketAlreadyClosed { ticket_id },
        Error::TicketStatusTransitionInvalid { ticket_id, from: status, to: next },
        Error::TicketAlreadyHeld { ticket_id },
        Error::TicketNotHeld { ticket_id },
        Error::EtagMismatch { ticket_id, etag: format!("4{seed}") },
        Error::WriteConflict,
        Error::Overloaded,
        Error::RateLimited { access, per_minute: 60 + small, retry_after: Duration::from_secs(seed.unsigned_abs()) },
        Error::QuotaExceeded { per_hour: 1000 + small, retry_after: Duration::from_secs(seed.unsigned_abs()) },
        Error::DatabaseUnavailable(format!("secret{seed}").into()),
        Error::DeadlineExceeded,
        Error::ReceiptNotReady { ticket_id: Some(ticket_id), id: 300 + seed },
        Error::LogNotSigned,
        Error::LogCorrupt(format!("secret{seed}").into()),
        Error::internal(format!("secret{seed}")),
    ]
}

/// The reason of an error. A new variant stops the build here, and then wants its place in [`errors`].
fn reason_of(error: &Error) -> &'static str {
    match error {
        Error::InvalidFields(_) => "INVALID_FIELD",
        Error::PageTokenInvalid { .. } => "PAGE_TOKEN_INVALID",
        Error::RequestIdReused { .. } => "REQUEST_ID_REUSED",
        Error::RequestMalformed => "REQUEST_MALFORMED",
        Error::RequestTooLarge => "REQUEST_TOO_LARGE",
        Error::BatchTooLarge { .. } => "BATCH_TOO_LARGE",
        Error::CredentialsMissing => "CREDENTIALS_MISSING",
        Error::CredentialsInvalid(_) => "CREDENTIALS_INVALID",
        Error::ScopeMissing { .. } => "SCOPE_MISSING",
        Error::TicketNotFound { .. } => "TICKET_NOT_FOUND",
        Error::ChatMessageNotFound { .. } => "CHAT_MESSAGE_NOT_FOUND",
        Error::DeletionLogNotFound { .. } => "DELETION_LOG_NOT_FOUND",
        Error::DeletionLogErased { .. } => "DELETION_LOG_ERASED",
        Error::HoldEventNotFound { .. } => "HOLD_EVENT_NOT_FOUND",
        Error::ErasureNotFound { .. } => "ERASURE_NOT_FOUND",
        Error::RejectedEventNotFound { .. } => "REJECTED_EVENT_NOT_FOUND",
        Error::ChatMessageAlreadyDeleted { .. } => "CHAT_MESSAGE_ALREADY_DELETED",
        Error::TicketNotClosed { .. } => "TICKET_NOT_CLOSED",
        Error::LegalHold { .. } => "LEGAL_HOLD",
        Error::ChatMessageNotDeletable { .. } => "CHAT_MESSAGE_NOT_DELETABLE",
        Error::TicketAlreadyClosed { .. } => "TICKET_ALREADY_CLOSED",
        Error::TicketStatusTransitionInvalid { .. } => "TICKET_STATUS_TRANSITION_INVALID",
        Error::TicketAlreadyHeld { .. } => "TICKET_ALREADY_HELD",
        Error::TicketNotHeld { .. } => "TICKET_NOT_HELD",
        Error::EtagMismatch { .. } => "ETAG_MISMATCH",
        Error::WriteConflict => "WRITE_CONFLICT",
        Error::Overloaded => "OVERLOADED",
        Error::RateLimited { .. } => "RATE_LIMITED",
        Error::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
        Error::DatabaseUnavailable(_) => "DATABASE_UNAVAILABLE",
        Error::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Error::ReceiptNotReady { .. } => "RECEIPT_NOT_READY",
        Error::LogNotSigned => "LOG_NOT_SIGNED",
        Error::LogCorrupt(_) => "LOG_CORRUPT",
        Error::Internal(_) => "INTERNAL",
    }
}

/// The rules whose texts have bounds.
fn rules(seed: i64) -> Vec<Rule> {
    let (min, max) = (usize::try_from(10 + seed).expect("small"), usize::try_from(100 + seed).expect("small"));
    let (allowed, other) = if seed == 1 { ("RED", "validate_only") } else { ("GREEN", "page_token") };
    vec![
        Rule::Required,
        Rule::AtLeast { min: seed },
        Rule::Characters { min, max },
        Rule::Characters { min: 0, max },
        Rule::Bytes { max },
        Rule::Items { min, max },
        Rule::OneOf { allowed },
        Rule::Excludes { other },
        Rule::Path { path: format!("path{seed}") },
    ]
}

/// The reasons of the protos but the unspecified one, without their prefix, each with its comment on one line.
fn reasons() -> BTreeMap<String, String> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set of this build");
    let reasons: EnumDescriptor = pool.get_enum_by_name("deskledger.v1.ErrorReason").expect("the enumeration");
    let file = reasons.parent_file().file_descriptor_proto().clone();
    let comment_of = |path: &[i32]| {
        let info = file.source_code_info.as_ref().expect("comments");
        let location = info.location.iter().find(|location| location.path == path).expect("a location");
        location.leading_comments.as_deref().unwrap_or_default().trim().replace("\n ", " ")
    };
    let named = reasons.values().filter(|value| value.number() != 0);
    named.map(|value| (value.name().trim_start_matches("ERROR_REASON_").to_owned(), comment_of(value.path()))).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty())
}

/// `InvalidArgument` as `INVALID_ARGUMENT`.
fn screaming(code: Code) -> String {
    let name = format!("{code:?}");
    let letters = name.char_indices().flat_map(|(at, letter)| {
        let gap = (at > 0 && letter.is_uppercase()).then_some('_');
        gap.into_iter().chain([letter.to_ascii_uppercase()])
    });
    letters.collect()
}
