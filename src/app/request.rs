//! Calls with a request id: the id and what it led to are kept in the transaction of the effect, so that a repeat gets the first answer.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::app::connection::Transaction;
use crate::domain::caller::Caller;
use crate::domain::chat_message::{ChatMessage, NewChatMessage};
use crate::domain::ids::RequestId;
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::storage;
use crate::storage::request::{Claim, Effect};

/// A write in progress. Dropped without [`Write::commit`] it leaves nothing behind.
pub(super) struct Write<'a> {
    pub(super) transaction: Transaction,
    caller: &'a Caller,
    key: Option<&'a RequestKey>,
}

/// What a write begins as.
pub(super) enum Begun<'a> {
    /// To be carried out.
    New(Write<'a>),
    /// It was carried out before.
    Repeat(Repeat),
}

/// A call that was carried out before.
pub(super) struct Repeat {
    /// What it led to is to be read on this.
    pub(super) transaction: Transaction,
    pub(super) effect: Effect,
    request_id: RequestId,
    first_use_time: DateTime<Utc>,
}

impl Repeat {
    /// Refuses the call when the messages that it asks to store are not those that were stored. Of one that was not stored because it was there
    /// already, nobody knows what the first call had in it.
    pub(super) fn compare<'a>(&self, stored: &[ChatMessage], asked: impl Iterator<Item = &'a NewChatMessage>) -> Result<(), Error> {
        let mut pairs = stored.iter().zip(&self.effect.duplicates).zip(asked);
        match pairs.all(|((stored, duplicate), asked)| *duplicate || asked.has_content_of(stored)) {
            true => Ok(()),
            false => Err(Error::RequestIdReused { request_id: self.request_id, first_use_time: self.first_use_time }),
        }
    }
}

impl App {
    /// Begins the transaction of a mutating call.
    pub(super) async fn begin_write<'a>(&self, caller: &'a Caller, key: Option<&'a RequestKey>) -> Result<Begun<'a>, Error> {
        let mut transaction = Transaction::begin(self.connection().await?).await?;
        let Some(claimed) = key else { return Ok(Begun::New(Write { transaction, caller, key })) };
        match storage::request::claim(&mut transaction, caller.application, claimed, self.now()).await? {
            Claim::New => Ok(Begun::New(Write { transaction, caller, key })),
            Claim::Repeat { effect, first_use_time } => {
                Ok(Begun::Repeat(Repeat { transaction, effect, request_id: claimed.id, first_use_time }))
            }
            Claim::Reused { first_use_time } => Err(Error::RequestIdReused { request_id: claimed.id, first_use_time }),
        }
    }
}

impl Write<'_> {
    /// Ends the transaction of a call that has no request id.
    pub(super) async fn end(self) -> Result<(), Error> {
        self.transaction.commit().await
    }

    /// Keeps what the call led to, where it has a request id, and ends the transaction.
    pub(super) async fn commit(mut self, effect: &Effect) -> Result<(), Error> {
        if let Some(key) = self.key {
            storage::request::record(&mut self.transaction, self.caller.application, key, effect).await?;
        }
        self.transaction.commit().await
    }
}
