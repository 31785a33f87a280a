//! IngestService.

use serde_json::Value;
use tonic::{Request, Response, Status};

use crate::app::{Event, Outcome, RejectedEvent};
use crate::domain::caller::Scope;
use crate::domain::chat_message::File;
use crate::domain::conversation_message::{ConversationMessage, MAX_BATCH};
use crate::domain::ids::RequestId;
use crate::domain::violation::{Rule, Violations};
use crate::error::Error;
use crate::grpc::chat_message::render as render_message;
use crate::grpc::proto::ingest_result::Outcome as WireOutcome;
use crate::grpc::servers::ingest_service_server::IngestService;
use crate::grpc::{Door, authorize, parse, proto};

/// How many rejected events a page has at most.
const MAX_PAGE_SIZE: i64 = 100;

#[tonic::async_trait]
impl IngestService for Door {
    async fn ingest_conversation_messages(
        &self,
        request: Request<proto::IngestConversationMessagesRequest>,
    ) -> Result<Response<proto::IngestConversationMessagesResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesWrite)?;
        let count = request.conversation_messages.len();
        if count > MAX_BATCH {
            return Err(Error::BatchTooLarge { field: "conversation_messages", count, max: MAX_BATCH }.into());
        }
        let mut violations = Violations::default();
        if count == 0 {
            violations.add("conversation_messages", Rule::Required);
        }
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let request_id = violations.finish(request_id)?;
        let messages = request.conversation_messages.into_iter().enumerate();
        let events: Vec<Event> = messages.map(|(at, message)| event(message, request_id, at)).collect();
        let outcomes = self.app.ingest(&caller, &events).await?;
        let results = outcomes.into_iter().map(render).collect();
        Ok(Response::new(proto::IngestConversationMessagesResponse { results }))
    }

    async fn list_rejected_events(
        &self,
        request: Request<proto::ListRejectedEventsRequest>,
    ) -> Result<Response<proto::ListRejectedEventsResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesRead)?;
        let mut violations = Violations::default();
        let page = parse::page(request.page_size, 0, request.page_token, MAX_PAGE_SIZE, &mut violations);
        let page = self.app.list_rejected_events(&caller, &violations.finish(page)?).await?;
        Ok(Response::new(proto::ListRejectedEventsResponse {
            rejected_events: page.items.into_iter().map(render_rejected).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
        }))
    }

    async fn replay_rejected_event(
        &self,
        request: Request<proto::ReplayRejectedEventRequest>,
    ) -> Result<Response<proto::ReplayRejectedEventResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesWrite)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::id("id", request.id));
        let id = violations.finish(id)?;
        let mended = request.conversation_message.map(|message| to_event(message).to_string());
        let outcome = self.app.replay_rejected_event(&caller, id, mended).await?;
        Ok(Response::new(proto::ReplayRejectedEventResponse { result: Some(render(outcome)) }))
    }
}

/// The message as the event that carries it on the other wire. A value that only this wire can get wrong stays in it as text, so that it
/// is rejected there and fails no other message.
fn to_event(message: proto::ConversationMessage) -> Value {
    let state = proto::ConversationMessageState::try_from(message.state);
    let (create_time, wrong_time) = match message.create_time {
        None => (None, None),
        Some(time) => match parse::time("create_time", time) {
            Ok(time) => (Some(time), None),
            Err(_) => (None, Some(format!("{}.{:09}", time.seconds, time.nanos))),
        },
    };
    let file =
        |file: proto::File| File { url: file.url, name: file.name, content_type: file.content_type, size_bytes: file.size_bytes };
    let parsed = ConversationMessage {
        id: message.id,
        channel_url: message.channel_url,
        contact_id: message.contact_id,
        user_id: message.user_id,
        message: message.message,
        files: message.files.into_iter().map(file).collect(),
        deleted: state == Ok(proto::ConversationMessageState::Deleted),
        create_time,
        deleted_by: message.deleted_by.map(Into::into),
    };
    let mut event = parsed.to_event();
    if let Some(time) = wrong_time {
        event["conversationmessage"]["createdAt"] = time.into();
    }
    if state.is_err() {
        event["conversationmessage"]["state"] = message.state.to_string().into();
    }
    event
}

fn event(message: proto::ConversationMessage, request_id: Option<RequestId>, at: usize) -> Event {
    // One with an id of its own is known by it.
    let identity = request_id.filter(|_| message.id == 0).map(|id| format!("request\0{}\0{at}", id.0));
    Event { text: to_event(message).to_string(), identity }
}

fn render(outcome: Outcome) -> proto::IngestResult {
    let outcome = match outcome {
        Outcome::Ignored => None,
        Outcome::Stored(message) => Some(WireOutcome::Stored(render_message(message))),
        Outcome::Duplicate(message) => Some(WireOutcome::Duplicate(render_message(message))),
        Outcome::Rejected(event) => Some(WireOutcome::Rejected(render_rejected(event))),
    };
    proto::IngestResult { outcome }
}

fn render_rejected(event: RejectedEvent) -> proto::RejectedEvent {
    proto::RejectedEvent {
        id: event.id,
        receive_time: Some(parse::timestamp(event.receive_time)),
        cause: event.cause,
        event: event.event,
    }
}
