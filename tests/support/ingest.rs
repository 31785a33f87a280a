//! Words for what tests do with conversation messages.

use super::{Actor, pb};
use pb::ingest_result::Outcome;

impl Actor {
    /// Takes conversation messages in, and answers what became of each.
    pub async fn take_in(&mut self, messages: Vec<pb::ConversationMessage>) -> Vec<Outcome> {
        self.take_in_as("", messages).await
    }

    /// The same with a request id.
    pub async fn take_in_as(&mut self, request_id: &str, messages: Vec<pb::ConversationMessage>) -> Vec<Outcome> {
        let request = pb::IngestConversationMessagesRequest { conversation_messages: messages, request_id: request_id.to_owned() };
        let answer = self.ingest.ingest_conversation_messages(request).await.expect("they are taken in").into_inner();
        answer.results.into_iter().map(|result| result.outcome.expect("each has an outcome")).collect()
    }

    /// Takes one in that is stored.
    pub async fn store(&mut self, message: pb::ConversationMessage) -> pb::ChatMessage {
        stored(self.take_in(vec![message]).await.remove(0))
    }

    /// The first page of the events that are kept.
    pub async fn rejected(&mut self) -> Vec<pb::RejectedEvent> {
        let request = pb::ListRejectedEventsRequest { page_size: 100, ..Default::default() };
        self.ingest.list_rejected_events(request).await.expect("they are listed").into_inner().rejected_events
    }

    pub async fn replay(&mut self, id: i64, mended: Option<pb::ConversationMessage>) -> Result<Outcome, tonic::Status> {
        let request = pb::ReplayRejectedEventRequest { id, conversation_message: mended };
        let answer = self.ingest.replay_rejected_event(request).await?.into_inner();
        Ok(answer.result.and_then(|result| result.outcome).expect("it has an outcome"))
    }
}

/// A message of a contact in a channel.
pub fn in_channel(channel_url: &str, id: i64, text: &str) -> pb::ConversationMessage {
    pb::ConversationMessage {
        id,
        channel_url: channel_url.to_owned(),
        contact_id: 2,
        message: text.to_owned(),
        ..Default::default()
    }
}

/// A message of a contact without a channel.
pub fn of_contact(contact_id: i64, id: i64, text: &str) -> pb::ConversationMessage {
    pb::ConversationMessage { id, contact_id, message: text.to_owned(), ..Default::default() }
}

/// The same message, deleted where it comes from.
pub fn deleted(message: pb::ConversationMessage) -> pb::ConversationMessage {
    pb::ConversationMessage { state: pb::ConversationMessageState::Deleted as i32, ..message }
}

pub fn stored(outcome: Outcome) -> pb::ChatMessage {
    match outcome {
        Outcome::Stored(message) => message,
        other => panic!("it is stored: {other:?}"),
    }
}

pub fn rejected(outcome: Outcome) -> pb::RejectedEvent {
    match outcome {
        Outcome::Rejected(event) => event,
        other => panic!("it is rejected: {other:?}"),
    }
}

/// What became of messages, in a word each.
pub fn words(outcomes: &[Outcome]) -> Vec<&'static str> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Stored(_) => "stored",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::Rejected(_) => "rejected",
    };
    outcomes.iter().map(word).collect()
}
