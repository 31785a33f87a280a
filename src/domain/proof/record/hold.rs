//! The canonical record of a placing or a release of a legal hold.

use serde::{Deserialize, Serialize};

use super::{Requester, time};
use crate::domain::hold::HoldEvent;
use crate::domain::proof::entry::Entry;
use crate::domain::random::digits;

/// What says that a record is of a legal hold, and which fields it has. Another set of fields gets another number.
pub const HOLD_V1: &str = "deskledger.hold.v1";

/// The record of a placing or a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRecord {
    /// `PLACED` or `RELEASED`.
    pub action: String,
    /// The public id of the application.
    pub application: String,
    /// When it was done.
    pub create_time: String,
    /// The id of the placing or release.
    pub id: i64,
    /// The id of the placing that a release ends; `None` for a placing.
    pub placed_id: Option<i64>,
    /// The tree's entry of the placing or release before this one in the same ticket; `None` for a ticket's first.
    pub previous: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// Who requested it.
    pub requested_by: Option<Requester>,
    /// The ticket.
    pub ticket_id: i64,
    /// The token that made the call.
    pub token_id: String,
    /// [`HOLD_V1`].
    #[serde(rename = "type")]
    pub kind: String,
}

impl HoldRecord {
    /// The record of a placing or a release; `previous` is the entry of the one before it in the same ticket.
    #[must_use]
    pub fn new(application: &str, event: &HoldEvent, previous: Option<&Entry>) -> Self {
        Self {
            action: event.action.as_str().to_owned(),
            application: application.to_owned(),
            create_time: time(event.create_time),
            id: event.id.0,
            placed_id: event.placed_id.map(|id| id.0),
            previous: previous.map(|entry| digits(&entry.0)),
            reason: event.reason.clone(),
            requested_by: event.requested_by.as_ref().map(Requester::of),
            ticket_id: event.ticket_id.0,
            token_id: event.token_id.clone(),
            kind: HOLD_V1.to_owned(),
        }
    }
}
