//! What the log keeps records of.

use std::fmt;

use crate::domain::deletion_log::DeletionLog;
use crate::domain::erasure::Erasure;
use crate::domain::hold::HoldEvent;
use crate::domain::ids::{DeletionLogId, ErasureId, HoldEventId, TicketId};

/// Something that was done, and is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A message was deleted.
    Deletion(DeletionLog),
    /// A legal hold was placed or released.
    Hold(HoldEvent),
    /// Old entries of the log were erased.
    Erasure(Erasure),
}

/// Names an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActId {
    /// A deletion, by its ticket and its log entry.
    Deletion(TicketId, DeletionLogId),
    /// A placing or a release of a legal hold.
    Hold(HoldEventId),
    /// An erasure of old entries.
    Erasure(ErasureId),
}

/// Acts of a kind in a ticket: each names the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chain {
    /// Its deletions.
    Deletions(TicketId),
    /// The placings and releases of its legal holds.
    Holds(TicketId),
}

impl Act {
    /// What names it.
    #[must_use]
    pub fn id(&self) -> ActId {
        match self {
            Self::Deletion(log) => ActId::Deletion(log.ticket_id, log.id),
            Self::Hold(event) => ActId::Hold(event.id),
            Self::Erasure(erasure) => ActId::Erasure(erasure.id),
        }
    }

    /// The acts among which it names the one before it; `None` for an erasure, which names none.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        match self {
            Self::Deletion(log) => Some(Chain::Deletions(log.ticket_id)),
            Self::Hold(event) => Some(Chain::Holds(event.ticket_id)),
            Self::Erasure(_) => None,
        }
    }
}

/// In words, for operators.
impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deletion(ticket_id, id) => write!(f, "the deletion log {id} of ticket {ticket_id}"),
            Self::Hold(id) => write!(f, "the hold event {id}"),
            Self::Erasure(id) => write!(f, "the erasure {id}"),
        }
    }
}
