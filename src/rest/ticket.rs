//! Tickets.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::agent::Agent;
use crate::domain::caller::Scope;
use crate::domain::chat_message::NewChatMessage;
use crate::domain::ids::TicketId;
use crate::domain::json::{Strict, integer};
use crate::domain::text;
use crate::domain::ticket::{
    ChannelType, CustomField, CustomerDraft, Group, MAX_PAGE_SIZE, NewTicket, Ticket, TicketChange, TicketDraft, TicketFilter,
    TicketPriority, TicketStatus,
};
use crate::domain::violation::{FieldViolation, Rule, Violations};
use crate::error::Error;
use crate::rest::body::Object;
use crate::rest::call::Call;
use crate::rest::{Door, envelope};

/// `GET /tickets`
pub(super) async fn list(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::TicketsRead)?;
    let mut violations = Violations::default();
    let page = envelope::page(&call, MAX_PAGE_SIZE, &mut violations);
    let filter = filter(&call, &mut violations);
    let (page, filter) = violations.finish(page.zip(filter))?;
    let listed = door.app.list_tickets(caller, &filter, &page, usize::MAX).await?;
    let results: Vec<Body> = listed.items.iter().map(Body::from).collect();
    Ok(envelope::render(&door, &call, &page, listed.total_size, results))
}

/// `GET /tickets/{ticket_id}`
pub(super) async fn view(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::TicketsRead)?;
    let id = ticket_id(&call)?;
    Ok(render(&door.app.get_ticket(caller, id).await?))
}

/// `POST /tickets`
pub(super) async fn create(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::TicketsWrite)?;
    let body = call.object()?;
    let mut violations = Violations::default();
    let draft = draft(&body, &mut violations);
    let ticket = draft.and_then(|draft| NewTicket::parse("ticket", draft, &mut violations));
    let request_id = request_id(&body, &mut violations);
    let (ticket, request_id) = violations.finish(ticket.zip(request_id))?;
    Ok(render(&door.app.create_ticket(caller, &ticket, request_id).await?))
}

/// `PATCH /tickets/{ticket_id}`: changes the fields that the body has; null takes an assignment or a group away.
pub(super) async fn update(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::TicketsWrite)?;
    let id = ticket_id(&call)?;
    let body = call.object()?;
    let mut violations = Violations::default();
    let names = [
        ("channelName", "channel_name"),
        ("status2", "status"),
        ("priority", "priority"),
        ("recentAssignment", "recent_assignment"),
        ("group", "group"),
        ("info", "info"),
        ("customFields", "custom_fields"),
        ("relatedChannels", "related_channels"),
    ];
    let paths: Vec<String> = names.iter().filter(|(key, _)| body.has(key)).map(|(_, path)| (*path).to_owned()).collect();
    let draft = draft(&body, &mut violations);
    let change = match paths.is_empty() {
        true => draft.map(|_| TicketChange::default()),
        false => draft.and_then(|draft| TicketChange::parse("ticket", draft, ("body", paths), &mut violations)),
    };
    let request_id = request_id(&body, &mut violations);
    let (change, request_id) = violations.finish(change.zip(request_id))?;
    Ok(render(&door.app.update_ticket(caller, id, &change, None, request_id).await?))
}

/// `PATCH /tickets/{ticket_id}/close`
pub(super) async fn close(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::TicketsWrite)?;
    let id = ticket_id(&call)?;
    let body = call.object()?;
    let mut violations = Violations::default();
    let comment = violations.check(body.text("closeComment")).map(Option::unwrap_or_default);
    let comment = comment.and_then(|comment| violations.check(text::characters("close_comment", comment, 0, 2048)));
    let message = match violations.check(body.text("closeMessage")) {
        Some(Some(message)) if !message.is_empty() => NewChatMessage::event("close_message", message, &mut violations).map(Some),
        other => other.map(|_| None),
    };
    let request_id = request_id(&body, &mut violations);
    let ((comment, message), request_id) = violations.finish(comment.zip(message).zip(request_id))?;
    Ok(render(&door.app.close_ticket(caller, id, &comment, message.as_ref(), request_id).await?))
}

/// `PATCH /tickets/{ticket_id}/reopen`
pub(super) async fn reopen(State(door): State<Door>, call: Call) -> Result<Response, Error> {
    let caller = call.authorize(Scope::TicketsWrite)?;
    let id = ticket_id(&call)?;
    let body = call.object()?;
    let mut violations = Violations::default();
    let request_id = request_id(&body, &mut violations);
    let request_id = violations.finish(request_id)?;
    Ok(render(&door.app.reopen_ticket(caller, id, request_id).await?))
}

fn ticket_id(call: &Call) -> Result<TicketId, Error> {
    call.path_integer("ticket_id").map(TicketId).map_err(|violation| Error::InvalidFields(vec![violation]))
}

pub(super) fn request_id(body: &Object, violations: &mut Violations) -> Option<Option<crate::domain::ids::RequestId>> {
    let text = violations.check(body.text("requestId"))?.unwrap_or_default();
    violations.check(text::request_id("requestId", &text))
}

/// Finds the value of a name; none is none.
pub(super) fn one_of<T: Copy>(
    field: &str,
    value: Option<&str>,
    all: &[T],
    name: fn(T) -> &'static str,
    allowed: &'static str,
) -> Result<Option<T>, FieldViolation> {
    let Some(value) = value else { return Ok(None) };
    let found = all.iter().copied().find(|known| name(*known) == value);
    found.map(Some).ok_or_else(|| FieldViolation::new(field, Rule::OneOf { allowed }))
}

const STATUSES: &str = "INITIALIZED, PROACTIVE, PENDING, ACTIVE, CLOSED, WORK_IN_PROGRESS, IDLE";
const PRIORITIES: &str = "URGENT, HIGH, MEDIUM, LOW";
pub(super) const CHANNEL_TYPES: &str = "SENDBIRD, SENDBIRD_IOS, SENDBIRD_ANDROID, SENDBIRD_JAVASCRIPT, FACEBOOK_CONVERSATION, \
    FACEBOOK_FEED, TWITTER_STATUS, TWITTER_DIRECT_MESSAGE_EVENT, INSTAGRAM_COMMENT, WHATSAPP_MESSAGE";

fn filter(call: &Call, violations: &mut Violations) -> Option<TicketFilter> {
    let query = &call.query;
    let status = violations.check(one_of("status2", query.get("status2"), &TicketStatus::ALL, TicketStatus::as_str, STATUSES));
    let agent_id = violations.check(query.integer("agent"));
    let mut text_of =
        |name: &str, max| violations.check(text::characters(name, query.get(name).unwrap_or_default().to_owned(), 0, max));
    let (sendbird_id, channel_url, search) = (text_of("sendbird_id", 80), text_of("channel_url", 512), text_of("q", 255));
    let start_date = violations.check(text::date("start_date", query.get("start_date").unwrap_or_default()));
    let end_date = violations.check(text::date("end_date", query.get("end_date").unwrap_or_default()));
    if let (Some(Some(start)), Some(Some(end))) = (start_date, end_date)
        && start > end
    {
        violations.add("end_date", Rule::DateOrder);
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    Some(TicketFilter {
        status: status?,
        agent_id: agent_id?,
        sendbird_id: given(sendbird_id?),
        channel_url: given(channel_url?),
        query: given(search?),
        start_date: start_date?,
        end_date: end_date?,
    })
}

fn draft(body: &Object, violations: &mut Violations) -> Option<TicketDraft> {
    let channel_url = violations.check(body.text("channelUrl"));
    let channel_name = violations.check(body.text("channelName"));
    let status = violations.check(body.text("status2"));
    let status = status
        .and_then(|name| violations.check(one_of("status2", name.as_deref(), &TicketStatus::ALL, TicketStatus::as_str, STATUSES)));
    let priority = violations.check(body.text("priority"));
    let priority = priority.and_then(|name| {
        violations.check(one_of("priority", name.as_deref(), &TicketPriority::ALL, TicketPriority::as_str, PRIORITIES))
    });
    let customer = match violations.check(body.object("customer"))? {
        Some(customer) => customer_draft(&customer, violations).map(Some),
        None => Some(None),
    };
    let agent = match violations.check(body.object("recentAssignment"))? {
        Some(assignment) => match violations.check(assignment.object("agent"))? {
            Some(agent) => agent_of(&agent, violations).map(Some),
            None => {
                violations.add("recentAssignment.agent", Rule::Required);
                None
            }
        },
        None => Some(None),
    };
    let group = match violations.check(body.object("group"))? {
        Some(group) => group_of(&group, violations).map(Some),
        None => Some(None),
    };
    let info = violations.check(body.text("info"));
    let custom_fields = violations.check(custom_fields(body));
    let related_channels = violations.check(related_channels(body));
    Some(TicketDraft {
        channel_url: channel_url?.unwrap_or_default(),
        channel_name: channel_name?.unwrap_or_default(),
        status: status?,
        priority: priority?,
        customer: customer?,
        agent: agent?,
        group: group?,
        info: info?.unwrap_or_default(),
        custom_fields: custom_fields?,
        related_channels: related_channels?,
    })
}

fn customer_draft(customer: &Object, violations: &mut Violations) -> Option<CustomerDraft> {
    let id = violations.check(customer.integer("id"));
    let sendbird_id = violations.check(customer.text("sendbirdId"));
    let channel_type = violations.check(customer.text("channelType"));
    let channel_type = channel_type.and_then(|name| {
        violations.check(one_of("customer.channelType", name.as_deref(), &ChannelType::ALL, ChannelType::as_str, CHANNEL_TYPES))
    });
    let display_name = violations.check(customer.text("displayName"));
    Some(CustomerDraft {
        id: id?.unwrap_or(0),
        sendbird_id: sendbird_id?.unwrap_or_default(),
        channel_type: channel_type?,
        display_name: display_name?.unwrap_or_default(),
    })
}

/// Reads an agent, in an assignment or as the one who requests a deletion.
pub(super) fn agent_of(agent: &Object, violations: &mut Violations) -> Option<Agent> {
    let id = violations.check(agent.integer("id"));
    let display_name = violations.check(agent.text("displayName"));
    let sendbird_id = violations.check(agent.text("sendbirdId"));
    let email = violations.check(agent.text("email"));
    Some(Agent {
        id: id?.unwrap_or(0),
        display_name: display_name?.unwrap_or_default(),
        sendbird_id: sendbird_id?.unwrap_or_default(),
        email: email?.unwrap_or_default(),
    })
}

fn group_of(group: &Object, violations: &mut Violations) -> Option<Group> {
    let id = violations.check(group.integer("id"));
    let name = violations.check(group.text("name"));
    let key = violations.check(group.text("key"));
    Some(Group { id: id?.unwrap_or(0), name: name?.unwrap_or_default(), key: key?.unwrap_or_default() })
}

/// Custom fields are the text of a JSON object (`{"key": "value"}`) or array (`[{"key": ..., "value": ...}]`), or that JSON itself.
fn custom_fields(body: &Object) -> Result<Vec<CustomField>, FieldViolation> {
    let wrong = || FieldViolation::new("customFields", Rule::Object);
    let value = match body.get("customFields") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => serde_json::from_str(text).map(|Strict(value)| value).map_err(|_| wrong())?,
        Some(value) => value.clone(),
    };
    let field = |id: i64, key: &str, value: Option<&Value>| {
        let value = match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(number @ Value::Number(_)) => number.to_string(),
            Some(_) => return Err(wrong()),
        };
        Ok(CustomField { id, key: key.to_owned(), value })
    };
    let item = |item: &Value| {
        let item: &Map<String, Value> = item.as_object().ok_or_else(wrong)?;
        let id = item.get("id").map_or(Some(0), integer).ok_or_else(wrong)?;
        field(id, item.get("key").and_then(Value::as_str).ok_or_else(wrong)?, item.get("value"))
    };
    match &value {
        Value::Object(fields) => fields.iter().map(|(key, value)| field(0, key, Some(value))).collect(),
        Value::Array(items) => items.iter().map(item).collect(),
        _ => Err(wrong()),
    }
}

/// Related channels are the text of a JSON array, or that array itself.
fn related_channels(body: &Object) -> Result<String, FieldViolation> {
    match body.get("relatedChannels") {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(array @ Value::Array(_)) => Ok(array.to_string()),
        Some(_) => Err(FieldViolation::new("relatedChannels", Rule::JsonArray)),
    }
}

fn render(ticket: &Ticket) -> Response {
    Json(Body::from(ticket)).into_response()
}

/// A ticket on this wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: i64,
    channel_url: &'a str,
    channel_name: &'a str,
    status2: &'static str,
    priority: &'static str,
    customer: CustomerBody<'a>,
    recent_assignment: Option<AssignmentBody<'a>>,
    group: Option<&'a Group>,
    info: &'a str,
    custom_fields: &'a [CustomField],
    related_channels: &'a str,
    message_count: i64,
    last_message: &'a str,
    created_at: String,
    closed_at: Option<String>,
    issued_at: Option<String>,
    close_status: Option<&'a str>,
    close_comment: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CustomerBody<'a> {
    id: Option<i64>,
    sendbird_id: &'a str,
    channel_type: &'static str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct AssignmentBody<'a> {
    agent: AgentBody<'a>,
}

/// An agent on this wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentBody<'a> {
    id: Option<i64>,
    display_name: &'a str,
    sendbird_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

impl<'a> AgentBody<'a> {
    /// With the mail address, where `Self::from` leaves it out.
    pub(super) fn with_email(agent: &'a Agent) -> Self {
        Self { email: Some(&agent.email), ..Self::from(agent) }
    }
}

impl<'a> From<&'a Agent> for AgentBody<'a> {
    fn from(agent: &'a Agent) -> Self {
        let id = (agent.id != 0).then_some(agent.id);
        Self { id, display_name: &agent.display_name, sendbird_id: &agent.sendbird_id, email: None }
    }
}

impl<'a> From<&'a Ticket> for Body<'a> {
    fn from(ticket: &'a Ticket) -> Self {
        let closing = ticket.closing.as_ref();
        Self {
            id: ticket.id.0,
            channel_url: &ticket.channel_url,
            channel_name: &ticket.channel_name,
            status2: ticket.status.as_str(),
            priority: ticket.priority.as_str(),
            customer: CustomerBody {
                id: ticket.customer.id,
                sendbird_id: &ticket.customer.sendbird_id,
                channel_type: ticket.customer.channel_type.as_str(),
                display_name: &ticket.customer.display_name,
            },
            recent_assignment: ticket.agent.as_ref().map(|agent| AssignmentBody { agent: agent.into() }),
            group: ticket.group.as_ref(),
            info: &ticket.info,
            custom_fields: &ticket.custom_fields,
            related_channels: &ticket.related_channels,
            message_count: ticket.message_count,
            last_message: &ticket.last_message,
            created_at: time(ticket.create_time),
            closed_at: closing.map(|closing| time(closing.time)),
            issued_at: ticket.issue_time.map(time),
            close_status: closing.map(|closing| closing.status.as_str()),
            close_comment: closing.map(|closing| closing.comment.as_str()),
        }
    }
}

/// A time on this wire: ISO 8601 with six digits of fraction and `Z`.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
