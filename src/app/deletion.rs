//! Deletion: one message, or a batch that is deleted whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgConnection;

use crate::app::App;
use crate::app::chat_message::find;
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::app::work::Delete;
use crate::domain::caller::Caller;
use crate::domain::chat_message::ChatMessage;
use crate::domain::deletion::{Grounds, Order, judge};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::{ChatMessageId, RequestId, TicketId};
use crate::domain::random;
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;
use crate::storage::deletion::{Asked, Attempt};
use crate::storage::request::Effect;

/// A message that was deleted.
#[derive(Debug)]
pub struct Deleted {
    /// The tombstone.
    pub message: ChatMessage,
    /// The log entry written with it.
    pub log: DeletionLog,
}

/// When deletions were carried out.
#[derive(Clone, Copy)]
enum Carried {
    /// By this call.
    Now,
    /// By an earlier one with the same request id.
    Before,
}

impl App {
    /// Deletes one message and logs it.
    ///
    /// # Errors
    /// [`Error::ChatMessageNotFound`], [`Error::ChatMessageAlreadyDeleted`], [`Error::TicketNotClosed`], [`Error::LegalHold`],
    /// [`Error::ChatMessageNotDeletable`], in this order; [`Error::RequestIdReused`], [`Error::QuotaExceeded`], [`Error::WriteConflict`]; when
    /// the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
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
    #[tracing::instrument(target = CALLS, skip_all)]
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
    #[tracing::instrument(target = CALLS, skip_all)]
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
            Some(attempt) => judge(&attempt.message, attempt.ticket),
        };
        Ok(ids.iter().zip(attempts).map(verdict).collect())
    }

    async fn delete(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        ids: &[ChatMessageId],
        grounds: Grounds,
        key: Option<&RequestKey>,
    ) -> Result<Vec<Deleted>, Error> {
        let order = Arc::new(Order {
            ticket_id,
            time: self.now(),
            requested_from: grounds.requested_from.unwrap_or(caller.requested_from),
            requested_by: grounds.requested_by.or_else(|| caller.requested_by.clone()),
            reason: grounds.reason,
            reason_detail: grounds.reason_detail,
            token_id: caller.token_id.clone(),
            upstream: false,
        });
        let counted = match self.count_deletions(caller, ids.len()).await {
            Ok(counted) => counted,
            // A repeat deletes nothing, and is answered as the first call was.
            Err(error @ Error::QuotaExceeded { .. }) => return self.deleted_before(caller, key).await?.ok_or(error),
            Err(error) => return Err(error),
        };
        let outcome = self.delete_counted(caller, &order, ids, key).await;
        if let Some(counted) = counted {
            match &outcome {
                Ok((_, Carried::Before)) => counted.give_back(),
                outcome => counted.settle(outcome),
            }
        }
        outcome.map(|(deleted, _)| deleted)
    }

    async fn delete_counted(
        &self,
        caller: &Caller,
        order: &Arc<Order>,
        ids: &[ChatMessageId],
        key: Option<&RequestKey>,
    ) -> Result<(Vec<Deleted>, Carried), Error> {
        if let [id] = *ids {
            match self.delete_on_lane(caller, order, id, key).await {
                // It met another write, or shared a statement with what did: now by itself.
                Err(Error::WriteConflict) => {}
                // With a request id a refusal may be that of a repeat, which is to be answered as the first call was.
                Err(error) if key.is_none() || matches!(error, Error::DatabaseUnavailable(_)) => return Err(error),
                Err(_) => {}
                Ok(deleted) => return Ok((vec![deleted], Carried::Now)),
            }
        }
        let mut retry = Retry::new();
        loop {
            let outcome = match key {
                // One statement, which is its own transaction: what it refuses it has not done.
                None if ids.len() == 1 => self.delete_one(caller, order, ids).await,
                _ => self.delete_all(caller, order, ids, key).await,
            };
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn delete_on_lane(
        &self,
        caller: &Caller,
        order: &Arc<Order>,
        id: ChatMessageId,
        key: Option<&RequestKey>,
    ) -> Result<Deleted, Error> {
        let delete = Delete { order: order.clone(), id, key: key.copied() };
        let attempt = self.lanes.deletions.ask(caller.application, delete).await?;
        self.settle_one(caller, order.ticket_id, id, attempt)
    }

    async fn delete_one(&self, caller: &Caller, order: &Order, ids: &[ChatMessageId]) -> Result<(Vec<Deleted>, Carried), Error> {
        let mut connection = self.connection().await?;
        let attempts = storage::deletion::delete(&mut connection, caller.application, &asked(order, ids)).await?;
        Ok((self.settle(caller, order.ticket_id, ids, attempts)?, Carried::Now))
    }

    async fn delete_all(
        &self,
        caller: &Caller,
        order: &Order,
        ids: &[ChatMessageId],
        key: Option<&RequestKey>,
    ) -> Result<(Vec<Deleted>, Carried), Error> {
        match self.begin_write(caller, key).await? {
            Begun::Repeat(mut repeat) => {
                Ok((deleted_before(&mut repeat.transaction, caller, &repeat.effect).await?, Carried::Before))
            }
            Begun::New(mut write) => {
                let attempts = storage::deletion::delete(&mut write.transaction, caller.application, &asked(order, ids)).await?;
                // A refusal leaves here and takes what was deleted back with the transaction.
                let deleted = self.settle(caller, order.ticket_id, ids, attempts)?;
                let effect = Effect { ticket_id: order.ticket_id, chat_message_ids: ids.to_vec(), duplicates: vec![] };
                write.commit(&effect).await?;
                Ok((deleted, Carried::Now))
            }
        }
    }

    /// What the first call with this request id has deleted; `None` when there was none.
    async fn deleted_before(&self, caller: &Caller, key: Option<&RequestKey>) -> Result<Option<Vec<Deleted>>, Error> {
        if key.is_none() {
            return Ok(None);
        }
        match self.begin_write(caller, key).await? {
            Begun::Repeat(mut repeat) => deleted_before(&mut repeat.transaction, caller, &repeat.effect).await.map(Some),
            // The claim goes with the transaction.
            Begun::New(_) => Ok(None),
        }
    }

    /// Answers the deletions when all were carried out, else the first refusal.
    fn settle(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        ids: &[ChatMessageId],
        attempts: Vec<Option<Attempt>>,
    ) -> Result<Vec<Deleted>, Error> {
        ids.iter().zip(attempts).map(|(id, attempt)| self.settle_one(caller, ticket_id, *id, attempt)).collect()
    }

    fn settle_one(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        id: ChatMessageId,
        attempt: Option<Attempt>,
    ) -> Result<Deleted, Error> {
        let Attempt { message, ticket, version, log } = attempt.ok_or(Error::ChatMessageNotFound { ticket_id, id })?;
        match log {
            Some(log) => {
                self.pages.erase(caller.application, ticket_id, version);
                Ok(Deleted { message, log })
            }
            None => {
                judge(&message, ticket)?;
                // Nothing refuses it and yet it was not deleted: another call did so between the statement's snapshot and its lock.
                Err(Error::WriteConflict)
            }
        }
    }
}

fn asked<'a>(order: &'a Order, ids: &[ChatMessageId]) -> Vec<Asked<'a>> {
    ids.iter().map(|id| Asked { order, id: *id, salt: random::bytes(), key: None }).collect()
}

async fn deleted_before(connection: &mut PgConnection, caller: &Caller, effect: &Effect) -> Result<Vec<Deleted>, Error> {
    let Effect { ticket_id, chat_message_ids: ids, .. } = effect;
    let messages = find(connection, caller, *ticket_id, ids).await?;
    let logs = storage::deletion_log::find_of_messages(connection, caller.application, *ticket_id, ids).await?;
    let mut logs: HashMap<ChatMessageId, DeletionLog> = logs.into_iter().map(|log| (log.chat_message_id, log)).collect();
    let deleted = |message: ChatMessage| {
        let missing = || Error::internal(format!("the deletion of message {} is remembered and not there", message.id));
        Ok(Deleted { log: logs.remove(&message.id).ok_or_else(missing)?, message })
    };
    messages.into_iter().map(deleted).collect()
}
