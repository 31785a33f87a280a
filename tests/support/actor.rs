//! A caller of the gRPC door, with words for what tests do often. Everything goes through the public API.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::pb;
use pb::chat_message_service_client::ChatMessageServiceClient;
use pb::deletion_log_service_client::DeletionLogServiceClient;
use pb::ingest_service_client::IngestServiceClient;
use pb::ticket_service_client::TicketServiceClient;

/// A channel that sends the actor's token with every call.
pub type Line = InterceptedService<Channel, Credential>;

/// A caller with a token.
#[derive(Clone)]
pub struct Actor {
    pub tickets: TicketServiceClient<Line>,
    pub messages: ChatMessageServiceClient<Line>,
    pub logs: DeletionLogServiceClient<Line>,
    pub ingest: IngestServiceClient<Line>,
    pub token: String,
}

/// Puts the token, if there is one, into the metadata.
#[derive(Clone)]
pub struct Credential(Option<MetadataValue<Ascii>>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(credential) = &self.0 {
            request.metadata_mut().insert("authorization", credential.clone());
        }
        Ok(request)
    }
}

impl Actor {
    /// An empty token is none at all.
    pub fn new(channel: Channel, token: &str) -> Self {
        let header = || format!("Bearer {token}").parse().expect("a token is ASCII");
        let credential = Credential((!token.is_empty()).then(header));
        let line = InterceptedService::new(channel, credential);
        Self {
            tickets: TicketServiceClient::new(line.clone()),
            messages: ChatMessageServiceClient::new(line.clone()).max_decoding_message_size(16 * 1024 * 1024),
            logs: DeletionLogServiceClient::new(line.clone()),
            ingest: IngestServiceClient::new(line),
            token: token.to_owned(),
        }
    }

    /// Opens a ticket of a plain customer.
    pub async fn open_ticket(&mut self) -> pb::Ticket {
        self.open_ticket_of(pb::ChannelType::Sendbird).await
    }

    pub async fn open_ticket_of(&mut self, channel_type: pb::ChannelType) -> pb::Ticket {
        let customer = pb::Customer {
            sendbird_id: "ada".to_owned(),
            channel_type: channel_type as i32,
            display_name: "Ada".to_owned(),
            ..Default::default()
        };
        let ticket = pb::Ticket { customer: Some(customer), ..Default::default() };
        let request = pb::CreateTicketRequest { ticket: Some(ticket), ..Default::default() };
        self.tickets.create_ticket(request).await.expect("the ticket opens").into_inner().ticket.expect("it is answered")
    }

    /// Opens a ticket with this many messages of its customer.
    pub async fn ticket_with(&mut self, count: usize) -> (pb::Ticket, Vec<pb::ChatMessage>) {
        let ticket = self.open_ticket().await;
        let messages = (1..=count).map(|number| customer_message(&format!("message {number}"))).collect();
        let stored = self.send_all(ticket.id, messages).await;
        (ticket, stored)
    }

    /// Opens a ticket with this many messages of its customer, and closes it.
    pub async fn closed_ticket_with(&mut self, count: usize) -> (pb::Ticket, Vec<pb::ChatMessage>) {
        let (ticket, messages) = self.ticket_with(count).await;
        (self.close(ticket.id).await, messages)
    }

    pub async fn close(&mut self, id: i64) -> pb::Ticket {
        let request = pb::CloseTicketRequest { id, ..Default::default() };
        self.tickets.close_ticket(request).await.expect("the ticket closes").into_inner().ticket.expect("it is answered")
    }

    pub async fn reopen(&mut self, id: i64) -> pb::Ticket {
        let request = pb::ReopenTicketRequest { id, ..Default::default() };
        self.tickets.reopen_ticket(request).await.expect("the ticket reopens").into_inner().ticket.expect("it is answered")
    }

    pub async fn send(&mut self, ticket_id: i64, message: pb::ChatMessage) -> pb::ChatMessage {
        self.send_all(ticket_id, vec![message]).await.remove(0)
    }

    pub async fn send_all(&mut self, ticket_id: i64, messages: Vec<pb::ChatMessage>) -> Vec<pb::ChatMessage> {
        let mut stored = Vec::new();
        for batch in messages.chunks(1000) {
            let request =
                pb::BatchCreateChatMessagesRequest { ticket_id, chat_messages: batch.to_vec(), request_id: String::new() };
            let answer = self.messages.batch_create_chat_messages(request).await.expect("the messages are stored").into_inner();
            stored.extend(answer.results.into_iter().map(|result| result.chat_message.expect("it is answered")));
        }
        stored
    }

    /// The first 500 messages of a ticket.
    pub async fn list(&mut self, ticket_id: i64) -> Vec<pb::ChatMessage> {
        let request = pb::ListChatMessagesRequest { ticket_id, page_size: 500, ..Default::default() };
        self.messages.list_chat_messages(request).await.expect("the ticket is listed").into_inner().chat_messages
    }

    pub async fn delete(&mut self, ticket_id: i64, id: i64) -> Result<pb::DeleteChatMessageResponse, Status> {
        let request = pb::DeleteChatMessageRequest { ticket_id, id, ..Default::default() };
        Ok(self.messages.delete_chat_message(request).await?.into_inner())
    }

    /// Deletes a message and waits for its receipt.
    pub async fn delete_with_receipt(&mut self, ticket_id: i64, id: i64) -> Result<pb::DeleteChatMessageResponse, Status> {
        let wait_for_receipt = Some(prost_types::Duration { seconds: 10, nanos: 0 });
        let request = pb::DeleteChatMessageRequest { ticket_id, id, wait_for_receipt, ..Default::default() };
        Ok(self.messages.delete_chat_message(request).await?.into_inner())
    }

    /// Sends a conversation message that cannot be stored, and answers the id under which it is kept.
    pub async fn reject_an_event(&mut self) -> i64 {
        let message = pb::ConversationMessage { message: "to nobody".to_owned(), ..Default::default() };
        let request = pb::IngestConversationMessagesRequest { conversation_messages: vec![message], ..Default::default() };
        let answer = self.ingest.ingest_conversation_messages(request).await.expect("it is taken in").into_inner();
        match answer.results.into_iter().next().and_then(|result| result.outcome) {
            Some(pb::ingest_result::Outcome::Rejected(event)) => event.id,
            other => panic!("a message without a place is rejected: {other:?}"),
        }
    }

    /// The newest 100 entries of the log's default range.
    pub async fn log(&mut self) -> Vec<pb::DeletionLog> {
        let request = pb::ListDeletionLogsRequest { page_size: 100, ..Default::default() };
        self.logs.list_deletion_logs(request).await.expect("the log is listed").into_inner().deletion_logs
    }
}

/// A message of the customer.
pub fn customer_message(text: &str) -> pb::ChatMessage {
    message_of(pb::UserType::Customer, "ada", text)
}

pub fn message_of(user_type: pb::UserType, user_sendbird_id: &str, text: &str) -> pb::ChatMessage {
    pb::ChatMessage {
        user_sendbird_id: user_sendbird_id.to_owned(),
        user_type: user_type as i32,
        message: text.to_owned(),
        ..Default::default()
    }
}
