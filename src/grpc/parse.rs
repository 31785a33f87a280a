//! Fields that more than one request has.

use std::time::Duration;

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use crate::domain::agent::Agent;
use crate::domain::ids::{RequestId, TicketId};
use crate::domain::page::{self, PageRequest};
use crate::domain::text;
use crate::domain::violation::{FieldViolation, Rule, Violations};
use crate::error::Error;
use crate::grpc::proto;

/// Takes an id; 0 is a missing one.
pub(super) fn id(field: &str, value: i64) -> Result<i64, FieldViolation> {
    if value == 0 { Err(FieldViolation::new(field, Rule::Required)) } else { Ok(value) }
}

/// Takes a ticket's id; 0 is a missing one.
pub(super) fn ticket_id(field: &str, value: i64) -> Result<TicketId, FieldViolation> {
    id(field, value).map(TicketId)
}

/// Takes an id of a filter; 0 is none.
pub(super) fn filter_id(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

/// Takes a text of a filter; "" is none.
pub(super) fn filter_text(field: &str, value: String, max: usize) -> Result<Option<String>, FieldViolation> {
    text::characters(field, value, 0, max).map(|value| (!value.is_empty()).then_some(value))
}

/// Takes a page request of a list whose pages have at most `max` items.
pub(super) fn page(size: i32, skip: i64, token: String, max: i64, violations: &mut Violations) -> Option<PageRequest> {
    let size = violations.check(page::size("page_size", (size != 0).then_some(i64::from(size)), max));
    let skip = violations.check(page::skip("skip", skip));
    Some(PageRequest { size: size?, skip: skip?, token: (!token.is_empty()).then_some(token) })
}

/// Takes a point in time.
pub(super) fn time(field: &str, value: Timestamp) -> Result<DateTime<Utc>, FieldViolation> {
    let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let time = nanos.and_then(|nanos| DateTime::from_timestamp(value.seconds, nanos));
    time.map_or_else(|| Err(FieldViolation::new(field, Rule::Timestamp)), |time| text::time(field, time))
}

/// Takes a time to wait, at most this many seconds; absent is none.
pub(super) fn seconds_up_to(field: &str, value: Option<prost_types::Duration>, max: u32) -> Result<Duration, FieldViolation> {
    let wait = Duration::try_from(value.unwrap_or_default()).ok().filter(|wait| *wait <= Duration::from_secs(max.into()));
    wait.ok_or_else(|| FieldViolation::new(field, Rule::Between { min: 0, max: max.into() }))
}

/// Renders a point in time.
pub(super) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0); // below 2 * 10^9, so it fits
    Timestamp { seconds: time.timestamp(), nanos }
}

/// Takes the request id of a request.
pub(super) fn request_id(value: &str, violations: &mut Violations) -> Option<Option<RequestId>> {
    violations.check(text::request_id("request_id", value))
}

/// Takes the one submessage that a request must have.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::InvalidFields(vec![FieldViolation::new(field, Rule::Required)]))
}

impl From<proto::Agent> for Agent {
    fn from(agent: proto::Agent) -> Self {
        Self { id: agent.id, display_name: agent.display_name, sendbird_id: agent.sendbird_id, email: agent.email }
    }
}

impl From<Agent> for proto::Agent {
    fn from(agent: Agent) -> Self {
        Self { id: agent.id, display_name: agent.display_name, sendbird_id: agent.sendbird_id, email: agent.email }
    }
}
