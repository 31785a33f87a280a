//! Chat messages.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::app::{Encoding, Listed};
use crate::audit;
use crate::domain::caller::Scope;
use crate::domain::chat_message::{ApplicationFilter, ChatMessage, MAX_PAGE_SIZE};
use crate::domain::deletion::{DeletionReason, Grounds, ReasonRule, RequestedFrom};
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::ticket::ChannelType;
use crate::domain::violation::{FieldViolation, Rule, Violations};
use crate::error::Error;
use crate::rest::body::Object;
use crate::rest::call::Call;
use crate::rest::query::integer;
use crate::rest::ticket::{AgentBody, CHANNEL_TYPES, agent_of, one_of, request_id, time};
use crate::rest::{Door, envelope};

/// `GET /tickets/{ticket_id}/chat_messages`, conditional on `If-None-Match`.
pub(super) async fn list(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::MessagesRead)?;
    let mut violations = Violations::default();
    let ticket_id = violations.check(call.path_integer("ticket_id")).map(TicketId);
    let page = envelope::page(&call, MAX_PAGE_SIZE, &mut violations);
    let (ticket_id, page) = violations.finish(ticket_id.zip(page))?;
    let tag = Tag::of(&door, &call);
    let listed = door.app.list_chat_messages(caller, ticket_id, &page, &LISTED, tag.known_version(&call)).await?;
    let (version, mut response) = match listed {
        Listed::Unchanged { version } => (version, StatusCode::NOT_MODIFIED.into_response()),
        Listed::Page(listed) if call.headers.get_all(IF_NONE_MATCH).iter().any(|tags| tags == "*") => {
            (listed.version, StatusCode::NOT_MODIFIED.into_response())
        }
        Listed::Page(listed) => {
            let results = listed.messages.strip_suffix(b",").unwrap_or(&listed.messages);
            (listed.version, envelope::render_written(&door, &call, &page, listed.total_size, results))
        }
    };
    if let Ok(etag) = HeaderValue::try_from(tag.at(version)) {
        response.headers_mut().insert(ETAG, etag);
    }
    // The caller may keep its copy, and must ask each time whether it still is one.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// Messages as elements of an array, each with the comma after it.
static LISTED: Encoding = Encoding { name: "rest", max_bytes: usize::MAX, write: write_listed };

fn write_listed(message: &ChatMessage<&str>, buffer: &mut Vec<u8>) {
    serde_json::to_writer(&mut *buffer, &Body::from(message)).expect("a plain struct serializes into memory");
    buffer.push(b',');
}

/// `GET /chat_messages`, deprecated upstream.
pub(super) async fn list_of_application(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::MessagesRead)?;
    let mut violations = Violations::default();
    let page = envelope::page(&call, MAX_PAGE_SIZE, &mut violations);
    let from = violations.check(call.query.time("created_at__gte"));
    let to = violations.check(call.query.time("created_at__lte"));
    let channel_type = call.query.get("ticket_channel_type");
    let channel_type =
        violations.check(one_of("ticket_channel_type", channel_type, &ChannelType::ALL, ChannelType::as_str, CHANNEL_TYPES));
    let filter = from.zip(to).zip(channel_type);
    let (page, ((from, to), channel_type)) = violations.finish(page.zip(filter))?;
    let filter = ApplicationFilter { from, to, channel_type };
    let listed = door.app.list_application_messages(caller, &filter, &page).await?;
    let results: Vec<Body> = listed.items.iter().map(Body::from).collect();
    Ok(envelope::render(&door, &call, &page, listed.total_size, results))
}

/// `DELETE /tickets/{ticket_id}/chat_messages/{chatmessage_id}` and `DELETE /chat_messages/{chatmessage_id}` with `ticket_id` in the query
/// or the body.
pub(super) async fn delete(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::MessagesDelete)?;
    let body = call.object()?;
    let mut violations = Violations::default();
    let ticket_id = violations.check(ticket_id(&call, &body)).map(TicketId);
    let id = violations.check(call.path_integer("chatmessage_id")).map(ChatMessageId);
    let grounds = grounds(&body, door.app.reason_rule(), &mut violations);
    let request_id = request_id(&body, &mut violations);
    let (((ticket_id, id), grounds), request_id) = violations.finish(ticket_id.zip(id).zip(grounds).zip(request_id))?;
    audit::deletes(ticket_id, &[id]);
    let deleted = door.app.delete_chat_message(caller, ticket_id, id, grounds, request_id).await?;
    Ok(Json(DeletedBody { id: deleted.message.id.0 }).into_response())
}

/// The ticket's id from the path, the query or the body, whichever has it first.
fn ticket_id(call: &Call, body: &Object) -> Result<i64, FieldViolation> {
    if call.path_has("ticket_id") {
        return call.path_integer("ticket_id");
    }
    if let Some(id) = call.query.integer("ticket_id")? {
        return Ok(id);
    }
    // A client that puts its form into JSON sends the number as a text.
    let id = match body.get("ticket_id") {
        Some(serde_json::Value::String(text)) => Some(integer("ticket_id", text)?),
        _ => body.integer("ticket_id")?,
    };
    id.ok_or_else(|| FieldViolation::new("ticket_id", Rule::Required))
}

/// The reason of this name; none is none.
pub(super) fn deletion_reason(name: Option<&str>) -> Result<Option<DeletionReason>, FieldViolation> {
    const REASONS: &str = "PRIVACY_REQUEST, SENSITIVE_DATA, ABUSE, SPAM, SENT_BY_MISTAKE, LEGAL_ORDER, RETENTION_ENDED, OTHER";
    one_of("reason", name, &DeletionReason::ALL, DeletionReason::as_str, REASONS)
}

fn grounds(body: &Object, rule: ReasonRule, violations: &mut Violations) -> Option<Grounds> {
    let requested_from = violations.check(body.text("requestedFrom"));
    let requested_from = requested_from.and_then(|name| {
        let allowed = "DASHBOARD, PLATFORM_API";
        violations.check(one_of("requestedFrom", name.as_deref(), &RequestedFrom::ALL, RequestedFrom::as_str, allowed))
    });
    let requested_by = match violations.check(body.object("requestedBy"))? {
        Some(agent) => agent_of(&agent, violations).map(Some),
        None => Some(None),
    };
    let reason = violations.check(body.text("reason"));
    let reason = reason.and_then(|name| violations.check(deletion_reason(name.as_deref())));
    let reason_detail = violations.check(body.text("reasonDetail"));
    let grounds = Grounds {
        requested_from: requested_from?,
        requested_by: requested_by?,
        reason: reason?,
        reason_detail: reason_detail?.unwrap_or_default(),
    };
    Grounds::parse(grounds, rule, violations)
}

/// The tag of a page: the same while the ticket's version, the page and the URLs in it are.
struct Tag {
    /// What the tag ends with, whatever the version.
    page: String,
}

impl Tag {
    fn of(door: &Door, call: &Call) -> Self {
        let digest = Sha256::new().chain_update(envelope::origin(door, call)).chain_update(call.uri.to_string()).finalize();
        let digest: [u8; 8] = digest.first_chunk().copied().unwrap_or_default();
        Self { page: format!("{:016x}", u64::from_be_bytes(digest)) }
    }

    fn at(&self, version: i64) -> String {
        format!("\"{version}-{}\"", self.page)
    }

    /// The version of the first tag in `If-None-Match` that is of this page. A cache that keeps several asks for one at a time.
    fn known_version(&self, call: &Call) -> Option<i64> {
        let tags = call.headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let mut tags = tags.flat_map(|tags| tags.split(',')).map(str::trim);
        tags.find_map(|tag| {
            let (version, page) = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
            version.parse().ok().filter(|_| page == self.page)
        })
    }
}

#[derive(Serialize)]
struct DeletedBody {
    id: i64,
}

/// A message on this wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: i64,
    message_id: i64,
    ticket: i64,
    user_sendbird_id: &'a str,
    user_type: &'static str,
    created_at: String,
    deleted_at: Option<String>,
    requested_from: Option<&'static str>,
    requested_by: Option<AgentBody<'a>>,
    message: &'a str,
    data: &'a str,
}

impl<'a, Text: AsRef<str>> From<&'a ChatMessage<Text>> for Body<'a> {
    fn from(message: &'a ChatMessage<Text>) -> Self {
        let deletion = message.deletion.as_ref();
        Self {
            id: message.id.0,
            message_id: message.message_id.0,
            ticket: message.ticket_id.0,
            user_sendbird_id: message.user_sendbird_id.as_ref(),
            user_type: message.user_type.as_str(),
            created_at: time(message.create_time),
            deleted_at: deletion.map(|deletion| time(deletion.time)),
            requested_from: deletion.map(|deletion| deletion.requested_from.as_str()),
            requested_by: deletion.and_then(|deletion| deletion.requested_by.as_ref()).map(AgentBody::with_email),
            message: message.message.as_ref(),
            data: message.data.as_ref(),
        }
    }
}
