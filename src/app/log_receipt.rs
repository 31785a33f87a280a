//! Receipts: what proves one deletion, one placing or release of a legal hold, or one erasure to anyone who has the log's verifier key.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep_until};

use crate::app::log_proof::{included, signed_leaf};
use crate::app::{App, admission};
use crate::domain::caller::Caller;
use crate::domain::deletion_log::DeletionLog;
use crate::domain::hold::HoldEvent;
use crate::domain::ids::{ApplicationKey, DeletionLogId, ErasureId, HoldEventId, TicketId};
use crate::domain::page::{Binding, Page, PageRequest, cut_to};
use crate::domain::proof::ProofError;
use crate::domain::proof::act::Act;
use crate::domain::proof::entry::Opening;
use crate::domain::proof::receipt::Receipt;
use crate::domain::proof::record::Record;
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;

/// How long a caller may wait for a receipt.
pub const MAX_RECEIPT_WAIT_SECONDS: u32 = 10;
/// How often a caller who waits for a receipt has it looked for.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(50);

impl App {
    /// Reads the receipt of a deletion, on the newest checkpoint.
    ///
    /// # Errors
    /// [`Error::DeletionLogNotFound`], [`Error::DeletionLogErased`], [`Error::ReceiptNotReady`], [`Error::LogNotSigned`],
    /// [`Error::LogCorrupt`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_receipt(&self, caller: &Caller, ticket_id: TicketId, id: DeletionLogId) -> Result<String, Error> {
        let mut connection = self.connection().await?;
        let log = storage::deletion_log::find(&mut connection, caller.application, ticket_id, id).await?;
        let log = whole(log.ok_or(Error::DeletionLogNotFound { ticket_id, id })?)?;
        let receipt = receipt_of(&mut connection, caller.application, &Act::Deletion(log)).await?;
        receipt.ok_or(Error::ReceiptNotReady { ticket_id: Some(ticket_id), id: id.0 })
    }

    /// Reads the receipt of a placing or a release of a legal hold, on the newest checkpoint.
    ///
    /// # Errors
    /// [`Error::HoldEventNotFound`], [`Error::ReceiptNotReady`], [`Error::LogNotSigned`], [`Error::LogCorrupt`]; when the database is
    /// away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_hold_receipt(&self, caller: &Caller, ticket_id: TicketId, id: HoldEventId) -> Result<String, Error> {
        let mut connection = self.connection().await?;
        let event = storage::hold::find_event(&mut connection, caller.application, ticket_id, id).await?;
        let event = event.ok_or(Error::HoldEventNotFound { ticket_id, id })?;
        let receipt = receipt_of(&mut connection, caller.application, &Act::Hold(event)).await?;
        receipt.ok_or(Error::ReceiptNotReady { ticket_id: Some(ticket_id), id: id.0 })
    }

    /// Reads the receipt of an erasure of old entries, on the newest checkpoint.
    ///
    /// # Errors
    /// [`Error::ErasureNotFound`], [`Error::ReceiptNotReady`], [`Error::LogNotSigned`], [`Error::LogCorrupt`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_erasure_receipt(&self, caller: &Caller, id: ErasureId) -> Result<String, Error> {
        let mut connection = self.connection().await?;
        let erasure = storage::log_erasure::find(&mut connection, caller.application, id).await?;
        let erasure = erasure.ok_or(Error::ErasureNotFound { id })?;
        let receipt = receipt_of(&mut connection, caller.application, &Act::Erasure(erasure)).await?;
        receipt.ok_or(Error::ReceiptNotReady { ticket_id: None, id: id.0 })
    }

    /// Lists the placings and releases of legal holds on a ticket, oldest first.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_hold_events(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        page: &PageRequest,
    ) -> Result<Page<HoldEvent>, Error> {
        let binding = Binding::new(caller.application, "ListHoldEvents", &ticket_id);
        let after = page.after(binding)?;
        let mut connection = self.connection().await?;
        let asked = page.size + 1; // one more tells whether there is a next page
        let found = storage::hold::list_events(&mut connection, caller.application, ticket_id, HoldEventId(after), asked);
        let mut items = found.await?;
        let more = cut_to(&mut items, page.size);
        Ok(Page::of(items, 0, more, |last| binding.token([last.id.0])))
    }

    /// Waits for the receipt of a deletion that has just been carried out; `None` when it is not there in time, or cannot be made: the
    /// message is deleted, and that must not seem to have failed.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn wait_for_receipt(
        &self,
        caller: &Caller,
        ticket_id: TicketId,
        id: DeletionLogId,
        wait: Duration,
    ) -> Option<String> {
        let end = Instant::now() + wait;
        while Instant::now() < end {
            match self.get_receipt(caller, ticket_id, id).await {
                Ok(receipt) => return Some(receipt),
                Err(Error::ReceiptNotReady { .. } | Error::LogNotSigned) => {}
                Err(error) => {
                    tracing::warn!(%error, "a receipt that was waited for cannot be made");
                    return None;
                }
            }
            admission::resting(sleep_until(end.min(Instant::now() + RECEIPT_INTERVAL))).await;
        }
        None
    }
}

/// Takes a log row that is not erased.
pub(super) fn whole(log: DeletionLog) -> Result<DeletionLog, Error> {
    match log.erase_time {
        None => Ok(log),
        Some(erase_time) => Err(Error::DeletionLogErased { ticket_id: log.ticket_id, id: log.id, erase_time }),
    }
}

/// The receipt of an act; `None` while no checkpoint covers it.
async fn receipt_of(connection: &mut PgConnection, application: ApplicationKey, act: &Act) -> Result<Option<String>, Error> {
    let Some((leaf, checkpoint)) = signed_leaf(connection, application, act.id()).await? else { return Ok(None) };
    let application_id = storage::application::id_of(connection, application).await?;
    let previous = storage::log_tree::find_previous(connection, application, act).await?;
    // Whose row is whole, its entry has its salt.
    let salt = leaf.salt.ok_or_else(|| Error::log_corrupt(ProofError::NotIncluded))?;
    let opening = Opening { salt, record: Record::of(&application_id, act, previous.as_ref()) };
    if opening.entry() != leaf.entry {
        return Err(Error::log_corrupt(ProofError::NotIncluded));
    }
    let proof = included(connection, application, &leaf, checkpoint.head.size, checkpoint.head).await?;
    Ok(Some(Receipt { opening, index: leaf.index, proof, checkpoint: checkpoint.text }.to_text()))
}
