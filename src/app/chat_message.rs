//! Chat messages: storing, reading and exporting them.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::PgConnection;

use crate::app::App;
use crate::app::append::Batch;
use crate::app::encoding::Encoding;
use crate::app::page_cache::PageKey;
use crate::app::request::{Begun, Repeat};
use crate::app::retry::Retry;
use crate::app::work::{Append, MessageAsked, PageWork};
use crate::domain::caller::Caller;
use crate::domain::chat_message::{ChatMessage, MAX_PAGE_SIZE, NewChatMessage, Stored};
use crate::domain::ids::{ApplicationKey, ChatMessageId, MessageId, RequestId, TicketId};
use crate::domain::page::{Binding, PAGE_BYTES, PageRequest, keep_within};
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;
use crate::storage::append::Asked;
use crate::storage::chat_message::{ExportPosition, Found, PageAsked};
use crate::storage::request::Effect;

/// A page of a ticket's messages, written for a door.
#[derive(Debug)]
pub struct MessagePage {
    /// The messages ascending by number, one after the other.
    pub messages: Bytes,
    /// Asks for the next page; `None` at the end.
    pub next_page_token: Option<String>,
    /// How many messages the ticket has, tombstones included.
    pub total_size: i64,
    /// The ticket's version: the page is the same while this is.
    pub version: i64,
}

/// The answer to whoever may have the page already.
#[derive(Debug)]
pub enum Listed {
    /// The ticket is of the version that the asker knows.
    Unchanged {
        /// That version.
        version: i64,
    },
    /// The page.
    Page(MessagePage),
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
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn create_chat_message(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        message: NewChatMessage,
        request_id: Option<RequestId>,
    ) -> Result<Stored, Error> {
        let key = request_id.map(|id| RequestKey::new(id, "CreateChatMessage", &(ticket_id, message.envelope())));
        let mut stored = self.store(caller, ticket_id, vec![message], key.as_ref()).await?;
        stored.pop().ok_or_else(|| Error::internal("no answer for the one message"))
    }

    /// Stores messages at the end of a ticket in their order, all or none, and answers each in the same order.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn create_chat_messages(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        messages: Vec<NewChatMessage>,
        request_id: Option<RequestId>,
    ) -> Result<Vec<Stored>, Error> {
        let envelopes = || messages.iter().map(NewChatMessage::envelope).collect::<Vec<_>>();
        let key = request_id.map(|id| RequestKey::new(id, "BatchCreateChatMessages", &(ticket_id, envelopes())));
        self.store(caller, ticket_id, messages, key.as_ref()).await
    }

    async fn store(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        messages: Vec<NewChatMessage>,
        key: Option<&RequestKey>,
    ) -> Result<Vec<Stored>, Error> {
        let messages = Arc::new(messages);
        if key.is_none() || messages.len() == 1 {
            let append = Append { ticket_id, messages: messages.clone(), key: key.copied(), now: self.now() };
            let stored = match self.lanes.appends.ask(caller.application, append).await {
                Ok(stored) => stored.into_iter().collect::<Option<_>>().ok_or(Error::TicketNotFound { ticket_id }),
                Err(error) => Err(error),
            };
            match stored {
                // It met another write, or shared a statement with what did: now by itself.
                Err(Error::WriteConflict) => {}
                // With a request id that is reused this is not what is told.
                Err(Error::TicketNotFound { .. }) if key.is_some() => {}
                stored => return stored,
            }
        }
        let batch = Batch::new(messages.iter().map(|message| Asked::unclaimed(ticket_id, message)));
        let mut retry = Retry::new();
        loop {
            let outcome = match key {
                // The one statement is its own transaction.
                None => batch.store(&mut *self.connection().await?, caller.application, self.now()).await,
                Some(_) => self.store_once_for(caller, ticket_id, &messages, &batch, key).await,
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
        messages: &[NewChatMessage],
        batch: &Batch<'_>,
        key: Option<&RequestKey>,
    ) -> Result<Vec<Stored>, Error> {
        match self.begin_write(caller, key).await? {
            Begun::Repeat(repeat) => stored_before(caller, repeat, messages).await,
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

    /// Reads one message, or its tombstone, and has a door write it.
    ///
    /// # Errors
    /// [`Error::ChatMessageNotFound`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_chat_message(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        id: ChatMessageId,
        encoding: &Encoding,
    ) -> Result<Vec<u8>, Error> {
        let found = self.lanes.messages.ask(caller.application, MessageAsked { ticket_id, id }).await?;
        let found = found.ok_or(Error::ChatMessageNotFound { ticket_id, id })?;
        let mut written = Vec::new();
        (encoding.write)(&found.message()?, &mut written);
        Ok(written)
    }

    /// Lists a ticket's messages ascending by number, tombstones included, unless the ticket is of the version that the asker knows.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_chat_messages(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        page: &PageRequest,
        encoding: &'static Encoding,
        known_version: Option<i64>,
    ) -> Result<Listed, Error> {
        let application = caller.application;
        let binding = Binding::new(application, "ListChatMessages", &ticket_id);
        // Numbers are dense: passing over n messages is starting n numbers later.
        let after = page.after(binding)?.saturating_add(page.skip).max(0);
        let key = PageKey { encoding: encoding.name, after, size: page.size };
        let cached = self.pages.get(application, ticket_id, key);
        let known = known_version.or(cached.as_ref().map(|page| page.version));
        let asked = PageAsked { ticket_id, after: MessageId(after), size: page.size, known_version: known };
        let found = self.lanes.pages.ask(application, PageWork { asked, encoding }).await?;
        let found = found.ok_or(Error::TicketNotFound { ticket_id })?;
        if known_version == Some(found.version) {
            return Ok(Listed::Unchanged { version: found.version });
        }
        let cached = cached.filter(|_| known == Some(found.version));
        self.measures.pages.looked_up(cached.is_some());
        let page = match cached {
            Some(page) => page,
            None => {
                self.pages.put(application, ticket_id, key, &found);
                found
            }
        };
        let more = page.last < page.message_count;
        Ok(Listed::Page(MessagePage {
            messages: page.bytes,
            next_page_token: more.then(|| binding.token([page.last])),
            total_size: page.message_count,
            version: page.version,
        }))
    }

    /// Reads the next part of an export of a ticket's or the application's messages, perhaps from a replica; `None` at the end.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
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
        let after = ExportPosition { ticket_id: TicketId(after_ticket), message_id: MessageId(after_message) };
        let mut reading = self.reading();
        let mut messages = loop {
            let outcome = export_part(&mut *reading.connection().await?, caller.application, ticket_id, after).await;
            if !reading.again(&outcome) {
                break outcome?;
            }
        };
        keep_within(&mut messages, PAGE_BYTES, ChatMessage::answer_bytes);
        let resume_token = messages.last().map(|last| binding.token([last.ticket_id.0, last.message_id.0]));
        Ok(resume_token.map(|resume_token| ExportPart { messages, resume_token }))
    }
}

/// The next messages of an export of a ticket or of the application.
async fn export_part(
    connection: &mut PgConnection,
    application: ApplicationKey,
    ticket_id: Option<TicketId>,
    after: ExportPosition,
) -> Result<Vec<ChatMessage>, Error> {
    let Some(ticket_id) = ticket_id else {
        return storage::chat_message::export(connection, application, after, MAX_PAGE_SIZE).await;
    };
    let (after, size) = (MessageId(after.message_id.0.max(0)), MAX_PAGE_SIZE);
    let asked = PageAsked { ticket_id, after, size, known_version: None };
    let mut messages = Vec::new();
    let keep = |_, message: ChatMessage<&str>| messages.push(message.into_owned());
    let found = storage::chat_message::pages(connection, application, &[asked], keep).await?;
    found.into_iter().flatten().next().ok_or(Error::TicketNotFound { ticket_id })?;
    Ok(messages)
}

async fn stored_before(caller: &Caller, mut repeat: Repeat, asked: &[NewChatMessage]) -> Result<Vec<Stored>, Error> {
    let effect = &repeat.effect;
    let messages = find(&mut repeat.transaction, caller, effect.ticket_id, &effect.chat_message_ids).await?;
    repeat.compare(&messages, asked.iter())?;
    let answer = |(message, duplicate): (ChatMessage, &bool)| Stored { message, duplicate: *duplicate };
    Ok(messages.into_iter().zip(&repeat.effect.duplicates).map(answer).collect())
}

/// Reads messages of a ticket that are known to be there, in the order of `ids`.
pub(super) async fn find(
    connection: &mut PgConnection,
    caller: &Caller,
    ticket_id: TicketId,
    ids: &[ChatMessageId],
) -> Result<Vec<ChatMessage>, Error> {
    let asked: Vec<(TicketId, ChatMessageId)> = ids.iter().map(|id| (ticket_id, *id)).collect();
    let found = storage::chat_message::find(connection, caller.application, &asked).await?;
    let message = |(id, found): (&ChatMessageId, Option<Found>)| {
        let found = found.ok_or(Error::ChatMessageNotFound { ticket_id, id: *id })?;
        found.message().map(ChatMessage::into_owned)
    };
    ids.iter().zip(found).map(message).collect()
}
