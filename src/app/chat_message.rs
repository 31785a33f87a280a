//! Chat messages: storing, reading and exporting them.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::app::App;
use crate::app::append::Batch;
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::domain::caller::Caller;
use crate::domain::chat_message::{ApplicationFilter, ChatMessage, MAX_PAGE_SIZE, NewChatMessage, Stored};
use crate::domain::ids::{ChatMessageId, MessageId, RequestId, TicketId};
use crate::domain::page::{Binding, PAGE_BYTES, Page, PageRequest, cut_to, keep_within};
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::storage;
use crate::storage::chat_message::ExportPosition;
use crate::storage::request::Effect;

/// A page of a ticket's messages.
#[derive(Debug)]
pub struct MessagePage {
    /// The page.
    pub page: Page<ChatMessage>,
    /// The ticket's version: the page is the same while this is.
    pub version: i64,
}

/// A part of an export of messages.
#[derive(Debug)]
pub struct ExportPart {
    /// The next messages; never empty.
    pub messages: Vec<ChatMessage>,
    /// Goes on after them.
    pub resume_token: String,
}

impl App {
    /// Stores one message at the end of a ticket.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is away.
    pub async fn create_chat_message(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        message: NewChatMessage,
        request_id: Option<RequestId>,
    ) -> Result<Stored, Error> {
        let key = request_id.map(|id| RequestKey::new(id, "CreateChatMessage", &(ticket_id, &message)));
        let mut stored = self.store(caller, ticket_id, vec![message], key.as_ref()).await?;
        stored.pop().ok_or_else(|| Error::internal("no answer for the one message"))
    }

    /// Stores messages at the end of a ticket in their order, all or none, and answers each in the same order.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is away.
    pub async fn create_chat_messages(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        messages: Vec<NewChatMessage>,
        request_id: Option<RequestId>,
    ) -> Result<Vec<Stored>, Error> {
        let key = request_id.map(|id| RequestKey::new(id, "BatchCreateChatMessages", &(ticket_id, &messages)));
        self.store(caller, ticket_id, messages, key.as_ref()).await
    }

    async fn store(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        messages: Vec<NewChatMessage>,
        key: Option<&RequestKey>,
    ) -> Result<Vec<Stored>, Error> {
        let batch = Batch::new(messages.into_iter().map(|message| (ticket_id, message)).collect());
        let mut retry = Retry::new();
        loop {
            let outcome = match key {
                // The one statement is its own transaction.
                None => batch.store(&mut *self.connection().await?, caller.application, self.now()).await,
                Some(_) => self.store_once_for(caller, ticket_id, &batch, key).await,
            };
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn store_once_for(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        batch: &Batch,
        key: Option<&RequestKey>,
    ) -> Result<Vec<Stored>, Error> {
        match self.begin_write(caller, key).await? {
            Begun::Repeat(mut transaction, effect) => stored_before(&mut transaction, caller, &effect).await,
            Begun::New(mut write) => {
                let answers = batch.store(&mut write.transaction, caller.application, self.now()).await?;
                let effect = Effect {
                    ticket_id,
                    chat_message_ids: answers.iter().map(|stored| stored.message.id).collect(),
                    duplicates: answers.iter().map(|stored| stored.duplicate).collect(),
                };
                write.commit(&effect).await?;
                Ok(answers)
            }
        }
    }

    /// Reads one message, or its tombstone.
    ///
    /// # Errors
    /// [`Error::ChatMessageNotFound`]; when the database is away.
    pub async fn get_chat_message(&self, caller: &Caller, ticket_id: TicketId, id: ChatMessageId) -> Result<ChatMessage, Error> {
        let mut connection = self.connection().await?;
        let mut found = storage::chat_message::find(&mut connection, caller.application, ticket_id, &[id]).await?;
        found.pop().ok_or(Error::ChatMessageNotFound { ticket_id, id })
    }

    /// Lists a ticket's messages ascending by number, tombstones included. A page ends early where it would pass `max_bytes`.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::PageTokenInvalid`]; when the database is away.
    pub async fn list_chat_messages(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        page: &PageRequest,
        max_bytes: usize,
    ) -> Result<MessagePage, Error> {
        let binding = Binding::new(caller.application, "ListChatMessages", &ticket_id);
        let [position] = match &page.token {
            Some(token) => binding.position("page_token", token)?,
            None => [0],
        };
        // Numbers are dense: passing over n messages is starting n numbers later.
        let after = MessageId(position.saturating_add(page.skip));
        let mut connection = self.connection().await?;
        let listed = storage::chat_message::list(&mut connection, caller.application, ticket_id, after, page.size).await?;
        let storage::chat_message::Listed { messages: mut items, message_count, version } =
            listed.ok_or(Error::TicketNotFound { ticket_id })?;
        keep_within(&mut items, max_bytes, ChatMessage::answer_bytes);
        let next = items.last().map(|last| last.message_id.0).filter(|last| *last < message_count);
        let page = Page { items, next_page_token: next.map(|last| binding.token([last])), total_size: message_count };
        Ok(MessagePage { page, version })
    }

    /// Lists the application's messages ascending by id, tombstones included.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    pub async fn list_application_messages(
        &self,
        caller: &Caller,
        filter: &ApplicationFilter,
        page: &PageRequest,
    ) -> Result<Page<ChatMessage>, Error> {
        let binding = Binding::new(caller.application, "ListApplicationMessages", filter);
        let [after] = match &page.token {
            Some(token) => binding.position("page_token", token)?,
            None => [0],
        };
        let mut connection = self.connection().await?;
        let (application, after) = (caller.application, ChatMessageId(after));
        let total_size = storage::application_message::count(&mut connection, application, filter).await?;
        let asked = page.size + 1; // one more tells whether there is a next page
        let mut items = storage::application_message::list(&mut connection, application, filter, after, page.skip, asked).await?;
        let more = cut_to(&mut items, page.size);
        let next_page_token = items.last().filter(|_| more).map(|last| binding.token([last.id.0]));
        Ok(Page { items, next_page_token, total_size })
    }

    /// Reads the next part of an export of a ticket's or the application's messages; `None` at the end.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::PageTokenInvalid`]; when the database is away.
    pub async fn export_chat_messages(
        &self,
        caller: &Caller,
        ticket_id: Option<TicketId>,
        resume_token: Option<&str>,
    ) -> Result<Option<ExportPart>, Error> {
        let binding = Binding::new(caller.application, "ExportChatMessages", &ticket_id);
        let [after_ticket, after_message] = match resume_token {
            Some(token) => binding.position("resume_token", token)?,
            None => [0, 0],
        };
        let mut connection = self.connection().await?;
        let application = caller.application;
        let mut messages = if let Some(ticket_id) = ticket_id {
            let listed =
                storage::chat_message::list(&mut connection, application, ticket_id, MessageId(after_message), MAX_PAGE_SIZE)
                    .await?;
            listed.ok_or(Error::TicketNotFound { ticket_id })?.messages
        } else {
            let after = ExportPosition { ticket_id: TicketId(after_ticket), message_id: MessageId(after_message) };
            storage::chat_message::export(&mut connection, application, after, MAX_PAGE_SIZE).await?
        };
        keep_within(&mut messages, PAGE_BYTES, ChatMessage::answer_bytes);
        let resume_token = messages.last().map(|last| binding.token([last.ticket_id.0, last.message_id.0]));
        Ok(resume_token.map(|resume_token| ExportPart { messages, resume_token }))
    }
}

async fn stored_before(connection: &mut PgConnection, caller: &Caller, effect: &Effect) -> Result<Vec<Stored>, Error> {
    let found = storage::chat_message::find(connection, caller.application, effect.ticket_id, &effect.chat_message_ids).await?;
    let by_id: HashMap<ChatMessageId, ChatMessage> = found.into_iter().map(|message| (message.id, message)).collect();
    let answer = |(id, duplicate): (&ChatMessageId, &bool)| {
        let message = by_id.get(id).cloned().ok_or(Error::ChatMessageNotFound { ticket_id: effect.ticket_id, id: *id })?;
        Ok(Stored { message, duplicate: *duplicate })
    };
    effect.chat_message_ids.iter().zip(&effect.duplicates).map(answer).collect()
}
