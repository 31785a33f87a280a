//! Deletion: one message, or a batch that is deleted whole or not at all.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::app::App;
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::domain::caller::Caller;
use crate::domain::chat_message::ChatMessage;
use crate::domain::deletion::{Grounds, Order, judge};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::{ChatMessageId, RequestId, TicketId};
use crate::domain::random;
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::storage;
use crate::storage::deletion::Attempt;
use crate::storage::request::Effect;

/// A message that was deleted.
#[derive(Debug)]
pub struct Deleted {
    /// The tombstone.
    pub message: ChatMessage,
    /// The log entry written with it.
    pub log: DeletionLog,
}

impl App {
    /// Deletes one message and logs it.
    ///
    /// # Errors
    /// [`Error::ChatMessageNotFound`], [`Error::ChatMessageAlreadyDeleted`], [`Error::TicketNotClosed`],
    /// [`Error::ChatMessageNotDeletable`], in this order; [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is away.
    pub async fn delete_chat_message(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        id: ChatMessageId,
        grounds: Grounds,
        request_id: Option<RequestId>,
    ) -> Result<Deleted, Error> {
        let key = request_id.map(|request_id| RequestKey::new(request_id, "DeleteChatMessage", &(ticket_id, id, &grounds)));
        let mut deleted = self.delete(caller, ticket_id, &[id], grounds, key.as_ref()).await?;
        deleted.pop().ok_or_else(|| Error::internal("no answer for the one message"))
    }

    /// Deletes messages of one ticket and logs each, all or none, and answers them in the order of `ids`.
    ///
    /// # Errors
    /// The error of the first message that cannot be deleted, as of [`Self::delete_chat_message`].
    pub async fn delete_chat_messages(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        ids: &[ChatMessageId],
        grounds: Grounds,
        request_id: Option<RequestId>,
    ) -> Result<Vec<Deleted>, Error> {
        let key = request_id.map(|request_id| RequestKey::new(request_id, "BatchDeleteChatMessages", &(ticket_id, ids, &grounds)));
        self.delete(caller, ticket_id, ids, grounds, key.as_ref()).await
    }

    /// Says for each message whether it would be deleted now, in the order of `ids`. Changes nothing.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn preview_deletion(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        ids: &[ChatMessageId],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let mut connection = self.connection().await?;
        let attempts = storage::deletion::preview(&mut connection, caller.application, ticket_id, ids).await?;
        let verdict = |(id, attempt): (&ChatMessageId, Option<Attempt>)| match attempt {
            None => Err(Error::ChatMessageNotFound { ticket_id, id: *id }),
            Some(attempt) => judge(&attempt.message, attempt.status, attempt.channel_type),
        };
        Ok(ids.iter().zip(in_order_of(ids, attempts)).map(verdict).collect())
    }

    async fn delete(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        ids: &[ChatMessageId],
        grounds: Grounds,
        key: Option<&RequestKey>,
    ) -> Result<Vec<Deleted>, Error> {
        let order = Order {
            ticket_id,
            time: self.now(),
            requested_from: grounds.requested_from.unwrap_or(caller.requested_from),
            requested_by: grounds.requested_by.or_else(|| caller.requested_by.clone()),
            reason: grounds.reason,
            reason_detail: grounds.reason_detail,
            token_id: caller.token_id.clone(),
            upstream: false,
        };
        let mut retry = Retry::new();
        loop {
            let outcome = match key {
                // One statement, which is its own transaction: what it refuses it has not done.
                None if ids.len() == 1 => self.delete_one(caller, &order, ids).await,
                _ => self.delete_all(caller, &order, ids, key).await,
            };
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn delete_one(&self, caller: &Caller, order: &Order, ids: &[ChatMessageId]) -> Result<Vec<Deleted>, Error> {
        let mut connection = self.connection().await?;
        let attempts = storage::deletion::delete(&mut connection, caller.application, order, ids, &salts(ids)).await?;
        settle(order.ticket_id, ids, attempts)
    }

    async fn delete_all(
        &self,
        caller: &Caller,
        order: &Order,
        ids: &[ChatMessageId],
        key: Option<&RequestKey>,
    ) -> Result<Vec<Deleted>, Error> {
        match self.begin_write(caller, key).await? {
            Begun::Repeat(mut transaction, effect) => deleted_before(&mut transaction, caller, &effect).await,
            Begun::New(mut write) => {
                let attempts =
                    storage::deletion::delete(&mut write.transaction, caller.application, order, ids, &salts(ids)).await?;
                // A refusal leaves here and takes what was deleted back with the transaction.
                let deleted = settle(order.ticket_id, ids, attempts)?;
                let effect = Effect { ticket_id: order.ticket_id, chat_message_ids: ids.to_vec(), duplicates: vec![] };
                write.commit(&effect).await?;
                Ok(deleted)
            }
        }
    }
}

fn salts(ids: &[ChatMessageId]) -> Vec<Vec<u8>> {
    ids.iter().map(|_| random::bytes::<32>().to_vec()).collect()
}

/// Finds the attempt of each id; the statement answers them in the same order and leaves unknown ids out.
fn in_order_of(ids: &[ChatMessageId], attempts: Vec<Attempt>) -> Vec<Option<Attempt>> {
    let mut attempts = attempts.into_iter().peekable();
    ids.iter().map(|id| attempts.next_if(|attempt| attempt.message.id == *id)).collect()
}

/// Answers the deletions when all were carried out, else the first refusal.
fn settle(ticket_id: TicketId, ids: &[ChatMessageId], attempts: Vec<Attempt>) -> Result<Vec<Deleted>, Error> {
    let deleted = |(id, attempt): (&ChatMessageId, Option<Attempt>)| {
        let Attempt { message, status, channel_type, log } = attempt.ok_or(Error::ChatMessageNotFound { ticket_id, id: *id })?;
        match log {
            Some(log) => Ok(Deleted { message, log }),
            None => {
                judge(&message, status, channel_type)?;
                // Nothing refuses it and yet it was not deleted: another call did so between the statement's snapshot and its lock.
                Err(Error::WriteConflict)
            }
        }
    };
    ids.iter().zip(in_order_of(ids, attempts)).map(deleted).collect()
}

async fn deleted_before(connection: &mut PgConnection, caller: &Caller, effect: &Effect) -> Result<Vec<Deleted>, Error> {
    let Effect { ticket_id, chat_message_ids: ids, .. } = effect;
    let messages = storage::chat_message::find(connection, caller.application, *ticket_id, ids).await?;
    let mut messages: HashMap<ChatMessageId, ChatMessage> = messages.into_iter().map(|message| (message.id, message)).collect();
    let logs = storage::deletion_log::find_of_messages(connection, caller.application, *ticket_id, ids).await?;
    let mut logs: HashMap<ChatMessageId, DeletionLog> = logs.into_iter().map(|log| (log.chat_message_id, log)).collect();
    let deleted = |id: &ChatMessageId| match (messages.remove(id), logs.remove(id)) {
        (Some(message), Some(log)) => Ok(Deleted { message, log }),
        _ => Err(Error::internal(format!("the deletion of message {id} is remembered and not there"))),
    };
    ids.iter().map(deleted).collect()
}
