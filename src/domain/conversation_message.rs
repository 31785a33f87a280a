//! Conversation messages: what another desk sends, in its own JSON, and what it becomes here.

mod remains;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

pub use self::remains::Remains;
use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessageDraft, EVENT_SENDBIRD_ID, File, NewChatMessage, UserType};
use crate::domain::json::{Strict, integer};
use crate::domain::text;
use crate::domain::violation::{FieldViolation, Rule, Violations};

/// How many are taken in at once at most.
pub const MAX_BATCH: usize = 1000;
/// Kinds of events that are acknowledged and not stored.
const UNSTORED_KINDS: [&str; 6] =
    ["channel_occupied", "channel_vacated", "member_added", "member_removed", "cache_miss", "subscription_count"];
/// The kind of event that carries a conversation message.
const CLIENT_EVENT: &str = "client_event";

/// A conversation message as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct ConversationMessage {
    /// The sender's own id; 0 for none.
    pub id: i64,
    /// The channel that names the ticket; "" for none.
    pub channel_url: String,
    /// The contact who sent it; 0 for none.
    pub contact_id: i64,
    /// The agent who sent it; 0 for none.
    pub user_id: i64,
    /// The content.
    pub message: String,
    /// Files, by reference.
    pub files: Vec<File>,
    /// Whether it is deleted where it comes from.
    pub deleted: bool,
    /// When it was sent.
    pub create_time: Option<DateTime<Utc>>,
    /// Who deleted it.
    pub deleted_by: Option<Agent>,
}

/// Where a conversation message belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The ticket of this channel.
    Channel(String),
    /// The open ticket of this customer.
    Customer(String),
}

/// A conversation message, checked.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Where it belongs.
    pub place: Place,
    /// The customer, where the message says who that is.
    pub customer_sendbird_id: Option<String>,
    /// The message; without content when it is deleted.
    pub message: NewChatMessage,
    /// It is deleted where it comes from; by this agent, where it says so.
    pub deletion: Option<Option<Agent>>,
}

impl ConversationMessage {
    /// Reads an event: a Pusher event, a conversation message, or one under `conversationmessage`. `None` for the kinds that are not stored.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn of_event(event: &str) -> Result<Option<Self>, Vec<FieldViolation>> {
        let wrong = |field: &str, rule| Err(vec![FieldViolation::new(field, rule)]);
        let Ok(Strict(Value::Object(event))) = serde_json::from_str(event) else { return wrong("event", Rule::Object) };
        let Some(kind) = event.get("name") else { return Self::of_json(&event, event.get("channel")).map(Some) };
        let Some(kind) = kind.as_str() else { return wrong("name", Rule::Text) };
        if UNSTORED_KINDS.contains(&kind) {
            return Ok(None);
        }
        if kind != CLIENT_EVENT {
            return wrong("name", Rule::OneOf { allowed: "client_event and the kinds that are not stored" });
        }
        if !event.get("event").and_then(Value::as_str).is_some_and(|name| name.starts_with("client-")) {
            return wrong("event", Rule::OneOf { allowed: "client-..." });
        }
        let Some(data) = event.get("data").and_then(Value::as_str) else { return wrong("data", Rule::Text) };
        match serde_json::from_str(data) {
            Ok(Strict(Value::Object(message))) => Self::of_json(&message, event.get("channel")).map(Some),
            _ => wrong("data", Rule::Object),
        }
    }

    fn of_json(json: &Map<String, Value>, channel: Option<&Value>) -> Result<Self, Vec<FieldViolation>> {
        let json = match json.get("conversationmessage") {
            None => json,
            Some(Value::Object(inner)) => inner,
            Some(_) => return Err(vec![FieldViolation::new("conversationmessage", Rule::Object)]),
        };
        let mut violations = Violations::default();
        let channel_url = violations.check(text_of("channel", channel));
        let id = violations.check(id_of("id", json.get("id")));
        let contact_id = violations.check(reference("contactId", json.get("contactId")));
        let user_id = violations.check(reference("userId", json.get("userId")));
        let message = violations.check(text_of("message", json.get("message")));
        let files = files_of(json.get("files"), &mut violations);
        let deleted = violations.check(is_deleted(json.get("state")));
        let create_time = violations.check(time_of("createdAt", json.get("createdAt")));
        let deleted_by = violations.check(agent_of("deletedBy", json.get("deletedBy")));
        // A file without a name is no content, and is told beside.
        let has_file = files.as_ref().is_none_or(|files| files.iter().any(|file| !file.name.is_empty()));
        if message.as_ref().is_some_and(String::is_empty) && !has_file && deleted == Some(false) {
            violations.add("message", Rule::Required);
        }
        let parsed = (|| {
            Some(Self {
                id: id?,
                channel_url: channel_url?,
                contact_id: contact_id?,
                user_id: user_id?,
                message: message?,
                files: files?,
                deleted: deleted?,
                create_time: create_time?,
                deleted_by: deleted_by?,
            })
        })();
        violations.settle(parsed)
    }

    /// The event that [`Self::of_event`] reads this from.
    #[must_use]
    pub fn to_event(&self) -> Value {
        let agent = |agent: &Agent| {
            let meta = json!({"displayName": agent.display_name, "sendbirdId": agent.sendbird_id, "email": agent.email});
            json!({"id": agent.id, "type": "users", "meta": meta})
        };
        let reference = |id: i64, kind: &str| if id == 0 { Value::Null } else { json!({"id": id, "type": kind}) };
        let file = |file: &File| json!({"filename": file.name, "url": file.url, "contentType": file.content_type, "size": file.size_bytes});
        json!({
            "channel": self.channel_url,
            "conversationmessage": {
                "id": if self.id == 0 { Value::Null } else { self.id.into() },
                "contactId": reference(self.contact_id, "contacts"),
                "userId": reference(self.user_id, "users"),
                "message": self.message,
                "files": self.files.iter().map(file).collect::<Vec<_>>(),
                "state": if self.deleted { "deleted" } else { "active" },
                "createdAt": self.create_time,
                "deletedBy": self.deleted_by.as_ref().map(agent),
            },
        })
    }

    /// Checks the message. One without an id of its own is known by `fallback_id`, where there is one.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn parse(self, fallback_id: Option<&str>) -> Result<Incoming, Vec<FieldViolation>> {
        let mut violations = Violations::default();
        for (field, id) in [("id", self.id), ("contactId", self.contact_id), ("userId", self.user_id)] {
            violations.check(text::json_integer(field, id, 0));
        }
        let channel_url = violations.check(text::characters("channel", self.channel_url, 0, 512)).unwrap_or_default();
        let place = match (channel_url.is_empty(), self.contact_id) {
            (false, _) => Some(Place::Channel(channel_url)),
            (true, 0) => {
                violations.add("contactId", Rule::Required);
                None
            }
            (true, contact_id) => Some(Place::Customer(contact(contact_id))),
        };
        if self.deleted && self.id == 0 {
            // Acknowledged it would pass for done, while the message that was meant stays.
            violations.add("id", Rule::Required);
        }
        let (user_type, user_sendbird_id) = match (self.contact_id, self.user_id) {
            (0, 0) => (UserType::Event, EVENT_SENDBIRD_ID.to_owned()),
            (0, user_id) => (UserType::Agent, format!("user_{user_id}")),
            (contact_id, _) => (UserType::Customer, contact(contact_id)),
        };
        let deletion = match (self.deleted, self.deleted_by) {
            (false, _) => Some(None),
            (true, None) => Some(Some(None)),
            (true, Some(agent)) => Agent::parse("deletedBy", agent, &mut violations).map(|agent| Some(Some(agent))),
        };
        let draft = ChatMessageDraft {
            user_sendbird_id,
            user_type: Some(user_type),
            create_time: self.create_time,
            // What is deleted there is not stored here first.
            message: if self.deleted { String::new() } else { self.message },
            data: String::new(),
            files: if self.deleted { Vec::new() } else { self.files },
            external_id: match self.id {
                0 => fallback_id.unwrap_or_default().to_owned(),
                id => external_id(id),
            },
        };
        let mut of_message = Violations::default();
        let message = NewChatMessage::parse("", draft, &mut of_message);
        let message = of_message.settle(message).map_err(|found| {
            for FieldViolation { field, rule } in found {
                violations.add(wire_name(&field), rule);
            }
        });
        let message = message.ok();
        let customer_sendbird_id = (self.contact_id != 0).then(|| contact(self.contact_id));
        let parsed = place.zip(message).zip(deletion);
        violations.settle(parsed.map(|((place, message), deletion)| Incoming { place, customer_sendbird_id, message, deletion }))
    }
}

/// What a message is known by that has an id of its own.
fn external_id(id: i64) -> String {
    format!("conversationmessage:{id}")
}

/// The name that a field of a message has in an event.
fn wire_name(field: &str) -> String {
    let field = field.trim_start_matches('.');
    let (path, name) = field.rsplit_once('.').map_or(("", field), |(path, name)| (path, name));
    let name = match name {
        "name" => "filename",
        "content_type" => "contentType",
        "size_bytes" => "size",
        "create_time" => "createdAt",
        other => other,
    };
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The id of a contact where other ids are those of the chat platform.
fn contact(id: i64) -> String {
    format!("contact_{id}")
}

fn given(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn text_of(field: &str, value: Option<&Value>) -> Result<String, FieldViolation> {
    match given(value) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(FieldViolation::new(field, Rule::Text)),
    }
}

/// An id is a number, or the text of one.
fn id_of(field: &str, value: Option<&Value>) -> Result<i64, FieldViolation> {
    let id = match given(value) {
        None => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => integer(value),
    };
    id.ok_or_else(|| FieldViolation::new(field, Rule::Integer))
}

/// A reference is `{"id": 2, "type": "users"}`, or the id alone.
fn reference(field: &str, value: Option<&Value>) -> Result<i64, FieldViolation> {
    match given(value) {
        Some(Value::Object(reference)) => id_of(&format!("{field}.id"), reference.get("id")),
        other => id_of(field, other),
    }
}

/// Who did something: a reference, what is known of the person under `meta`.
fn agent_of(field: &str, value: Option<&Value>) -> Result<Option<Agent>, FieldViolation> {
    let id = reference(field, value)?;
    let meta = value.and_then(|value| value.get("meta"));
    let text = |key| meta.and_then(|meta| meta.get(key)?.as_str()).unwrap_or_default().to_owned();
    let agent = Agent { id, display_name: text("displayName"), sendbird_id: text("sendbirdId"), email: text("email") };
    Ok((agent != Agent::default()).then_some(agent))
}

fn is_deleted(value: Option<&Value>) -> Result<bool, FieldViolation> {
    match text_of("state", value)?.as_str() {
        "" | "active" => Ok(false),
        "deleted" => Ok(true),
        _ => Err(FieldViolation::new("state", Rule::OneOf { allowed: "active, deleted" })),
    }
}

fn time_of(field: &str, value: Option<&Value>) -> Result<Option<DateTime<Utc>>, FieldViolation> {
    let time = text_of(field, value)?;
    if time.is_empty() {
        return Ok(None);
    }
    let parsed = DateTime::parse_from_rfc3339(&time).map_err(|_| FieldViolation::new(field, Rule::Timestamp))?;
    text::time(field, parsed.to_utc()).map(Some)
}

/// Files have a name, and a URL or an id by which the sender finds them.
fn files_of(value: Option<&Value>, violations: &mut Violations) -> Option<Vec<File>> {
    let files = match given(value) {
        None => return Some(Vec::new()),
        Some(Value::Array(files)) => files,
        Some(_) => {
            violations.add("files", Rule::JsonArray);
            return None;
        }
    };
    let mut parsed = Vec::with_capacity(files.len());
    for (at, file) in files.iter().enumerate() {
        let Some(file) = file.as_object() else {
            violations.add(format!("files[{at}]"), Rule::Object);
            continue;
        };
        let name = violations.check(text_of(&format!("files[{at}].filename"), file.get("filename")));
        let url = violations.check(text_of(&format!("files[{at}].url"), file.get("url")));
        let content_type = violations.check(text_of(&format!("files[{at}].contentType"), file.get("contentType")));
        let id = violations.check(id_of(&format!("files[{at}].id"), file.get("id")));
        let size_bytes = violations.check(id_of(&format!("files[{at}].size"), file.get("size")));
        let Some(((((name, url), content_type), id), size_bytes)) = name.zip(url).zip(content_type).zip(id).zip(size_bytes) else {
            continue;
        };
        if name.is_empty() {
            violations.add(format!("files[{at}].filename"), Rule::Required);
        }
        let url = if file.contains_key("url") { url } else { format!("files/{id}") };
        parsed.push(File { url, name, content_type, size_bytes });
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_was_made_from_a_message_reads_back_as_it() {
        let message = ConversationMessage {
            id: 7,
            channel_url: "c".to_owned(),
            contact_id: 2,
            message: "hello".to_owned(),
            files: vec![File { url: "u".to_owned(), name: "n".to_owned(), content_type: "t".to_owned(), size_bytes: 3 }],
            create_time: Some("2026-01-02T03:04:05.000006Z".parse().expect("a time")),
            deleted_by: Some(Agent { id: 9, sendbird_id: "kim".to_owned(), ..Agent::default() }),
            ..ConversationMessage::default()
        };
        let read = ConversationMessage::of_event(&message.to_event().to_string()).expect("sound").expect("stored");
        assert_eq!(read.to_event(), message.to_event());
    }

    #[test]
    fn the_sender_follows_from_the_ids() {
        let of = |contact_id, user_id| {
            let message = ConversationMessage {
                channel_url: "c".to_owned(),
                contact_id,
                user_id,
                message: "m".to_owned(),
                ..ConversationMessage::default()
            };
            let message = message.parse(None).expect("sound").message;
            (message.user_type, message.user_sendbird_id)
        };
        assert_eq!(of(2, 0), (UserType::Customer, "contact_2".to_owned()));
        assert_eq!(of(2, 3), (UserType::Customer, "contact_2".to_owned()));
        assert_eq!(of(0, 3), (UserType::Agent, "user_3".to_owned()));
        assert_eq!(of(0, 0), (UserType::Event, "event".to_owned()));
    }
}
