//! Chat messages.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::caller::Scope;
use crate::domain::chat_message::{ApplicationFilter, ChatMessage, MAX_PAGE_SIZE};
use crate::domain::deletion::{DeletionReason, Grounds, RequestedFrom};
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
    let listed = door.app.list_chat_messages(caller, ticket_id, &page, usize::MAX).await?;
    let etag = etag(&door, &call, listed.version);
    let known = call.headers.get_all(IF_NONE_MATCH).iter().any(|known| matches(known, &etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let results: Vec<Body> = listed.page.items.iter().map(Body::from).collect();
        envelope::render(&door, &call, &page, listed.page.total_size, results)
    };
    if let Ok(etag) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    // The caller may keep its copy, and must ask each time whether it still is one.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
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
    let grounds = grounds(&body, &mut violations);
    let request_id = request_id(&body, &mut violations);
    let (((ticket_id, id), grounds), request_id) = violations.finish(ticket_id.zip(id).zip(grounds).zip(request_id))?;
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

fn grounds(body: &Object, violations: &mut Violations) -> Option<Grounds> {
    const REASONS: &str = "PRIVACY_REQUEST, SENSITIVE_DATA, ABUSE, SPAM, SENT_BY_MISTAKE, LEGAL_ORDER, RETENTION_ENDED, OTHER";
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
    let reason = reason.and_then(|name| {
        violations.check(one_of("reason", name.as_deref(), &DeletionReason::ALL, DeletionReason::as_str, REASONS))
    });
    let reason_detail = violations.check(body.text("reasonDetail"));
    let grounds = Grounds {
        requested_from: requested_from?,
        requested_by: requested_by?,
        reason: reason?,
        reason_detail: reason_detail?.unwrap_or_default(),
    };
    Grounds::parse(grounds, violations)
}

/// The same while the ticket's version, the page and the URLs in it are.
fn etag(door: &Door, call: &Call, version: i64) -> String {
    let digest = Sha256::new().chain_update(envelope::origin(door, call)).chain_update(call.uri.to_string()).finalize();
    let digest: [u8; 8] = digest.first_chunk().copied().unwrap_or_default();
    format!("\"{version}-{:016x}\"", u64::from_be_bytes(digest))
}

/// Whether an `If-None-Match` header names the tag.
fn matches(header: &HeaderValue, etag: &str) -> bool {
    let Ok(header) = header.to_str() else { return false };
    header.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
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

impl<'a> From<&'a ChatMessage> for Body<'a> {
    fn from(message: &'a ChatMessage) -> Self {
        let deletion = message.deletion.as_ref();
        Self {
            id: message.id.0,
            message_id: message.message_id.0,
            ticket: message.ticket_id.0,
            user_sendbird_id: &message.user_sendbird_id,
            user_type: message.user_type.as_str(),
            created_at: time(message.create_time),
            deleted_at: deletion.map(|deletion| time(deletion.time)),
            requested_from: deletion.map(|deletion| deletion.requested_from.as_str()),
            requested_by: deletion.and_then(|deletion| deletion.requested_by.as_ref()).map(AgentBody::with_email),
            message: &message.message,
            data: &message.data,
        }
    }
}
