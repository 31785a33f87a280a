//! Events that could not be stored: kept, listed and replayed.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;

use crate::app::App;
use crate::app::ingest::{Event, Looked, Outcome, Taken, cause_of_hold, digest, look};
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::domain::caller::Caller;
use crate::domain::conversation_message::{Incoming, Remains};
use crate::domain::ids::TicketId;
use crate::domain::page::{Binding, Page, PageRequest};
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;
use crate::storage::rejected_event::NewRejectedEvent;
pub use crate::storage::rejected_event::RejectedEvent;

/// How many bytes of events a page has at most, the first one aside: common clients take 4 MiB.
const MAX_PAGE_BYTES: i64 = 3 * 1024 * 1024;

impl App {
    /// Lists the events that were rejected and not replayed since, oldest first.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_rejected_events(&self, caller: &Caller, page: &PageRequest) -> Result<Page<RejectedEvent>, Error> {
        let binding = Binding::new(caller.application, "ListRejectedEvents", &());
        let after = page.after(binding)?;
        let mut connection = self.connection().await?;
        let (items, more) =
            storage::rejected_event::list(&mut connection, caller.application, after, page.size, MAX_PAGE_BYTES).await?;
        Ok(Page::of(items, 0, more, |last| binding.token([last.id])))
    }

    /// Takes a rejected event in again, as it came or as the event `mended`. Rejected again it stays, with the new reason.
    ///
    /// # Errors
    /// [`Error::RejectedEventNotFound`], [`Error::QuotaExceeded`], [`Error::WriteConflict`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn replay_rejected_event(&self, caller: &Caller, id: i64, mended: Option<String>) -> Result<Outcome, Error> {
        // Before it is known whether the event deletes anything: what is rejected is locked when it is read.
        let (counted, exceeded) = match self.count_deletions(caller, 1).await {
            Ok(counted) => (counted, None),
            Err(Error::QuotaExceeded { per_hour, retry_after }) => (None, Some((per_hour, retry_after))),
            Err(error) => return Err(error),
        };
        let may_delete = || exceeded.map_or(Ok(()), |(per_hour, retry_after)| Err(Error::QuotaExceeded { per_hour, retry_after }));
        let outcome = self.replay(caller, id, mended, &may_delete).await;
        if let Some(counted) = counted {
            match &outcome {
                Ok(outcome) if !outcome.deletes() => counted.give_back(),
                outcome => counted.settle(outcome),
            }
        }
        outcome
    }

    async fn replay(
        &self,
        caller: &Caller,
        id: i64,
        mended: Option<String>,
        may_delete: &(impl Fn() -> Result<(), Error> + Sync),
    ) -> Result<Outcome, Error> {
        let mut held = None;
        let mut retry = Retry::new();
        loop {
            let outcome = self.replay_once(caller, id, mended.as_deref(), held, may_delete).await;
            match outcome {
                Ok(Taken::All(outcome)) => return Ok(outcome),
                Ok(Taken::Held(refused)) => held = refused.first().map(|(_, ticket_id)| *ticket_id),
                outcome if retry.again(&outcome).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `held` is the ticket whose legal hold was in the way of an earlier run.
    async fn replay_once(
        &self,
        caller: &Caller,
        id: i64,
        mended: Option<&str>,
        held: Option<TicketId>,
        may_delete: &(impl Fn() -> Result<(), Error> + Sync),
    ) -> Result<Taken<Outcome>, Error> {
        let Begun::New(mut write) = self.begin_write(caller, None).await? else {
            return Err(Error::internal("a write without a request id is always new"));
        };
        let kept = storage::rejected_event::lock(&mut write.transaction, caller.application, id).await?;
        let (mut kept, digest) = kept.ok_or(Error::RejectedEventNotFound { id })?;
        // Known by what the event was known by: sent again, rejected again and replayed again, it is a repeat.
        let looked = match held {
            Some(ticket_id) => Err(cause_of_hold(ticket_id)),
            None => look(caller, mended.unwrap_or(&kept.event), Some(&digest)),
        };
        if let Ok(Some(incoming)) = &looked
            && incoming.deletion.is_some()
        {
            may_delete()?;
        }
        let outcome = match &looked {
            Err(cause) => {
                storage::rejected_event::update_cause(&mut write.transaction, caller.application, id, cause).await?;
                kept.cause.clone_from(cause);
                Outcome::Rejected(kept)
            }
            Ok(_) => {
                let stored = match self.store_all(&mut write.transaction, caller, std::slice::from_ref(&looked)).await? {
                    Taken::All(stored) => stored,
                    Taken::Held(refused) => return Ok(Taken::Held(refused)),
                };
                storage::rejected_event::delete(&mut write.transaction, caller.application, id).await?;
                stored.into_iter().next().unwrap_or(Outcome::Ignored)
            }
        };
        write.end().await?;
        Ok(Taken::All(outcome))
    }

    /// Keeps what is rejected, and answers it by what identifies it.
    pub(super) async fn keep_all(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        events: &[Event],
        looked: &[Looked],
    ) -> Result<HashMap<[u8; 32], RejectedEvent>, Error> {
        let mut rejected: BTreeMap<[u8; 32], NewRejectedEvent> = BTreeMap::new();
        for (event, looked) in events.iter().zip(looked) {
            if let Err(cause) = looked {
                let (digest, Remains { event, external_id }) = (digest(event), Remains::of(&event.text));
                rejected.insert(digest, NewRejectedEvent { digest, cause: cause.clone(), event, external_id });
            }
        }
        if rejected.is_empty() {
            return Ok(HashMap::new());
        }
        let events: Vec<NewRejectedEvent> = rejected.into_values().collect();
        let kept = storage::rejected_event::insert(connection, caller.application, &events, self.now()).await?;
        Ok(events.iter().map(|event| event.digest).zip(kept).collect())
    }
}

/// Removes what was rejected of messages that are now deleted: it may hold their content.
pub(super) async fn erase_rejected(connection: &mut PgConnection, caller: &Caller, incoming: &[&Incoming]) -> Result<(), Error> {
    let deleted = incoming.iter().filter(|incoming| incoming.deletion.is_some());
    let external_ids: Vec<String> = deleted.filter_map(|incoming| incoming.message.external_id.clone()).collect();
    if external_ids.is_empty() {
        return Ok(());
    }
    storage::rejected_event::erase(connection, caller.application, &external_ids).await
}
