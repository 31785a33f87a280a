//! The wire of Teamwork Desk v2: bulk webhooks of conversation messages, signed by Pusher or with a token.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::SemaphorePermit;

use crate::app::{Event, Outcome, Signing};
use crate::auth;
use crate::domain::caller::{Access, Caller, Scope};
use crate::domain::chat_message::{ChatMessage, UserType};
use crate::domain::conversation_message::ConversationMessage;
use crate::domain::peer::Peer;
use crate::domain::violation::{FieldViolation, Rule};
use crate::error::Error;
use crate::rest::ticket::time;
use crate::rest::{Door, error};
use crate::telemetry;

/// The path of the webhook.
pub(super) const PATH: &str = "/desk/api/v2/conversationmessages/webhooks.json";
/// How many bytes a body has at most.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// How many bytes of bodies are kept at a time of which it is not known yet whether they are signed, by all calls together.
pub(super) const MAX_UNVERIFIED_BYTES: usize = 8 * MAX_BODY_BYTES;
/// How many events a body has at most.
const MAX_EVENTS: usize = 10_000;

/// A body that is no batch: what is wrong, by field.
pub(super) struct NoBatch(Map<String, Value>);

/// Why a webhook is not taken in.
pub(super) enum Refusal {
    NoBatch(NoBatch),
    Error(Error),
}

/// `POST /desk/api/v2/conversationmessages/webhooks.json`
pub(super) async fn receive(
    State(door): State<Door>,
    peer: Option<Extension<Peer>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (Parts { headers, uri, .. }, body) = request.into_parts();
    // What the headers tell is looked at before the body is read.
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(Error::RequestTooLarge.into());
    }
    let peer = peer.as_deref();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (caller, events) = match (header("x-pusher-key"), header("x-pusher-signature")) {
        (None, None) => {
            let caller = auth::caller(&door.app, peer, &headers, &uri).await?;
            auth::admit(&door.app, &caller, Access::Write)?;
            caller.require(Scope::MessagesWrite)?;
            let mut whole = BytesMut::new();
            read(body, |part| {
                whole.extend_from_slice(part);
                Ok(())
            })
            .await?;
            (caller, bare(&whole)?)
        }
        (key, signature) => {
            let (key, signature) = (key.unwrap_or_default(), signature.unwrap_or_default());
            let application_id = auth::of_peer(peer)?.application_id(auth::application_of_host(&headers, &uri))?;
            let signing = door.app.begin_webhook(key, signature, application_id).await?;
            let (caller, whole) = read_signed(&door, body, signing).await?;
            auth::admit(&door.app, &caller, Access::Write)?;
            (caller, signed(&whole, key, door.app.milliseconds(), door.webhook_window)?)
        }
    };
    take_in(&door, &caller, &events).await
}

/// Reads a body whose signature is not known to be good before its end. What cannot be good is not kept, and all that is kept by all calls
/// is bounded.
async fn read_signed(door: &Door, body: Body, mut signing: Signing) -> Result<(Caller, BytesMut), Error> {
    let (mut whole, mut kept): (BytesMut, Option<SemaphorePermit>) = Default::default();
    read(body, |part| {
        signing.take(part);
        if signing.may_be_good() {
            let size = u32::try_from(part.len()).map_err(Error::internal)?;
            let more = door.unverified.try_acquire_many(size).map_err(|_| Error::Overloaded)?;
            match &mut kept {
                Some(kept) => kept.merge(more),
                None => kept = Some(more),
            }
            whole.extend_from_slice(part);
        }
        Ok(())
    })
    .await?;
    Ok((signing.caller()?, whole))
}

/// Reads a body part by part, up to the greatest size.
async fn read(mut body: Body, mut take: impl FnMut(&Bytes) -> Result<(), Error>) -> Result<(), Error> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| Error::RequestMalformed)?.into_data() else { continue };
        size += part.len();
        if size > MAX_BODY_BYTES {
            return Err(Error::RequestTooLarge);
        }
        take(&part)?;
    }
    Ok(())
}

async fn take_in(door: &Door, caller: &Caller, events: &[Event]) -> Result<Response, Refusal> {
    let outcomes = door.app.ingest(caller, events).await?;
    let stored: Vec<Value> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Stored(message) => Some(render(message)),
            Outcome::Ignored | Outcome::Duplicate(_) | Outcome::Rejected(_) => None,
        })
        .collect();
    let last = stored.last().cloned().unwrap_or(Value::Null);
    let body = json!({"conversationmessage": last, "conversationmessages": stored, "included": {}});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// A batch that Pusher signed. Its events stay as they came: one that cannot be read must not spoil the others.
#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow)]
    time_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
}

/// Conversation messages in one body.
#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow)]
    conversationmessages: Option<&'a RawValue>,
}

/// Reads a batch that Pusher signed. One whose time is outside the window is refused: it may be a recorded one, sent again.
fn signed(body: &[u8], key: &str, now: i64, window: Duration) -> Result<Vec<Event>, NoBatch> {
    let (batch, _): (Signed, &str) = object(body)?;
    let time_ms = batch.time_ms.and_then(|time| serde_json::from_str::<i64>(time.get()).ok());
    let time_ms = time_ms.ok_or_else(|| NoBatch::of("time_ms", "must be an integer"))?;
    if u128::from(now.abs_diff(time_ms)) > window.as_millis() {
        return Err(NoBatch::of("time_ms", "must be within the last minutes"));
    }
    let events = batch.events.ok_or_else(|| NoBatch::of("events", "must be set"))?;
    let event = |(index, text): (usize, &RawValue)| Event {
        identity: Some(format!("signed\0{key}\0{time_ms}\0{index}\0{text}")),
        text: text.get().to_owned(),
    };
    Ok(items(events, "events")?.into_iter().enumerate().map(event).collect())
}

/// Reads a conversation message, one under `conversationmessage`, or an array of either under `conversationmessages`. A message that stands
/// alone and is wrong is no batch: there is nothing else in it to store.
fn bare(body: &[u8]) -> Result<Vec<Event>, NoBatch> {
    let (batch, text): (Bare, &str) = object(body)?;
    if let Some(messages) = batch.conversationmessages {
        let messages = items(messages, "conversationmessages")?;
        return Ok(messages.into_iter().map(|message| event_of(message.get())).collect());
    }
    match ConversationMessage::of_event(text)? {
        Some(message) => message.parse(None)?,
        None => return Err(NoBatch::of("message", "must be set")),
    };
    Ok(vec![event_of(text)])
}

/// Reads the keys of a body that are asked for, and answers the body as text too.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, &'a str), NoBatch> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.trim_start().starts_with('{'));
    let parsed = text.and_then(|text| Some((serde_json::from_str(text).ok()?, text)));
    parsed.ok_or_else(|| NoBatch::of("body", "must be a JSON object"))
}

fn items<'a>(array: &'a RawValue, field: &str) -> Result<Vec<&'a RawValue>, NoBatch> {
    let items: Vec<&RawValue> = serde_json::from_str(array.get()).map_err(|_| NoBatch::of(field, "must be an array"))?;
    if items.len() > MAX_EVENTS { Err(NoBatch::of(field, "must have at most 10000 items")) } else { Ok(items) }
}

/// A message without an id of its own is known by all of it, when it says when it was sent: a person does say the same twice.
fn event_of(text: &str) -> Event {
    let message = ConversationMessage::of_event(text).ok().flatten();
    let identity = message.and_then(|message| message.create_time).map(|_| format!("bare\0{text}"));
    Event { text: text.to_owned(), identity }
}

/// A conversation message on this wire. Its id is the sender's own where it gave one.
fn render(message: &ChatMessage) -> Value {
    let own_id = message.external_id.as_deref().and_then(|id| id.strip_prefix("conversationmessage:")?.parse::<i64>().ok());
    let sender = |prefix: &str, kind: &str| {
        let id = message.user_sendbird_id.strip_prefix(prefix).and_then(|id| id.parse::<i64>().ok());
        id.map_or(Value::Null, |id| json!({"id": id, "type": kind}))
    };
    let files: Vec<Value> = message
        .files
        .iter()
        .map(|file| json!({"filename": file.name, "url": file.url, "contentType": file.content_type, "size": file.size_bytes}))
        .collect();
    let contact = if message.user_type == UserType::Customer { sender("contact_", "contacts") } else { Value::Null };
    let user = if message.user_type == UserType::Agent { sender("user_", "users") } else { Value::Null };
    let author = if user.is_null() { contact.clone() } else { user.clone() };
    let mut rendered = json!({
        "id": own_id.unwrap_or(message.id.0),
        "contactId": contact,
        "userId": user,
        "message": message.message,
        "files": files,
        "state": if message.deletion.is_some() { "deleted" } else { "active" },
        "createdAt": time(message.create_time),
        "createdBy": author,
        // Not touched by deletion.
        "updatedAt": time(message.create_time),
        "updatedBy": author,
    });
    if let (Some(deletion), Value::Object(keys)) = (&message.deletion, &mut rendered) {
        let agent = deletion.requested_by.as_ref().map(|agent| json!({"id": agent.id, "type": "users"}));
        keys.insert("deletedAt".to_owned(), time(deletion.time).into());
        keys.insert("deletedBy".to_owned(), agent.unwrap_or(Value::Null));
    }
    rendered
}

impl NoBatch {
    fn of(field: &str, text: &str) -> Self {
        Self(Map::from_iter([(field.to_owned(), json!([text]))]))
    }
}

impl From<Vec<FieldViolation>> for NoBatch {
    fn from(violations: Vec<FieldViolation>) -> Self {
        let mut errors = Map::new();
        for violation in violations {
            let text = match violation.rule {
                Rule::Required => "must be set".to_owned(),
                _ => violation.to_string(),
            };
            if let Value::Array(texts) = errors.entry(violation.field).or_insert_with(|| json!([])) {
                texts.push(text.into());
            }
        }
        Self(errors)
    }
}

impl From<NoBatch> for Refusal {
    fn from(no_batch: NoBatch) -> Self {
        Self::NoBatch(no_batch)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NoBatch(NoBatch(errors)) => (StatusCode::BAD_REQUEST, Json(json!({"errors": errors}))).into_response(),
            Self::Error(error) => response(&error),
        }
    }
}

/// An error as senders of this wire know it.
fn response(error: &Error) -> Response {
    telemetry::log(error);
    let described = error.describe();
    let body = Json(json!({"errors": [{"detail": described.message}]}));
    error::with_delay(error, (error::status(described.kind), body).into_response())
}

/// Answers a method that the path does not have.
pub(super) async fn method_not_allowed(_: Request) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"errors": [{"detail": "The method is not allowed."}]}))).into_response()
}
