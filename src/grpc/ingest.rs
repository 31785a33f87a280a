//! IngestService.

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
use crate::grpc::proto::ingest_service_server::IngestService;
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
        let messages = request.conversation_messages.into_iter().enumerate();
        let messages: Vec<Option<ConversationMessage>> = messages
            .map(|(at, message)| conversation_message(&format!("conversation_messages[{at}]"), message, &mut violations))
            .collect();
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let (messages, request_id) = violations.finish(messages.into_iter().collect::<Option<Vec<_>>>().zip(request_id))?;
        let event = |(at, message): (usize, ConversationMessage)| event(&message, request_id, at);
        let events: Vec<Event> = messages.into_iter().enumerate().map(event).collect();
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
        let mended = match request.conversation_message {
            None => Some(None),
            Some(message) => conversation_message("conversation_message", message, &mut violations).map(Some),
        };
        let (id, mended) = violations.finish(id.zip(mended))?;
        let outcome = self.app.replay_rejected_event(&caller, id, mended.as_ref()).await?;
        Ok(Response::new(proto::ReplayRejectedEventResponse { result: Some(render(outcome)) }))
    }
}

/// Reads what the wire alone can get wrong; the rest is checked message by message, so that one bad message fails no other.
fn conversation_message(
    path: &str,
    message: proto::ConversationMessage,
    violations: &mut Violations,
) -> Option<ConversationMessage> {
    let create_time = match message.create_time {
        None => Some(None),
        Some(time) => violations.check(parse::time(&format!("{path}.create_time"), time)).map(Some),
    };
    let deleted = match proto::ConversationMessageState::try_from(message.state) {
        Ok(proto::ConversationMessageState::Deleted) => Some(true),
        Ok(proto::ConversationMessageState::Unspecified | proto::ConversationMessageState::Active) => Some(false),
        Err(_) => {
            let allowed = "CONVERSATION_MESSAGE_STATE_ACTIVE, CONVERSATION_MESSAGE_STATE_DELETED";
            violations.add(format!("{path}.state"), Rule::OneOf { allowed });
            None
        }
    };
    let file =
        |file: proto::File| File { url: file.url, name: file.name, content_type: file.content_type, size_bytes: file.size_bytes };
    Some(ConversationMessage {
        id: message.id,
        channel_url: message.channel_url,
        contact_id: message.contact_id,
        user_id: message.user_id,
        message: message.message,
        files: message.files.into_iter().map(file).collect(),
        deleted: deleted?,
        create_time: create_time?,
        deleted_by: message.deleted_by.map(Into::into),
    })
}

fn event(message: &ConversationMessage, request_id: Option<RequestId>, at: usize) -> Event {
    let identity = match (message.id, request_id) {
        (0, None) => None,
        (0, Some(request_id)) => Some(format!("{}\0{at}", request_id.0)),
        (id, _) => Some(format!("conversationmessage\0{}\0{id}", message.channel_url)),
    };
    Event { json: message.to_event(), identity }
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
