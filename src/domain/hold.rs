//! Legal holds: while a ticket is held, none of its messages is deleted.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::agent::Agent;
use crate::domain::ids::{HoldEventId, TicketId};
use crate::domain::text;
use crate::domain::violation::Violations;

/// How long the reason of a hold is at most, in characters.
pub const MAX_REASON_CHARACTERS: usize = 512;
/// How many placings and releases a page has at most.
pub const MAX_PAGE_SIZE: i64 = 100;

/// Why a hold is placed or released, and by whom.
#[derive(Debug, Clone, Serialize)]
pub struct HoldGrounds {
    /// Why, in words, 1 to 512 characters.
    pub reason: String,
    /// Who requests it. Where the request does not say, the caller's token does.
    pub requested_by: Option<Agent>,
}

impl HoldGrounds {
    /// Takes the grounds as a caller gives them.
    pub fn parse(grounds: Self, violations: &mut Violations) -> Option<Self> {
        let reason = violations.check(text::characters("reason", grounds.reason, 1, MAX_REASON_CHARACTERS));
        let requested_by = match grounds.requested_by {
            None => Some(None),
            Some(agent) => Agent::parse("requested_by", agent, violations).map(Some),
        };
        Some(Self { reason: reason?, requested_by: requested_by? })
    }
}

/// A placing or a release to carry out: the grounds made whole with what the caller's token says.
#[derive(Debug, Clone)]
pub struct HoldOrder {
    /// When.
    pub time: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Who requests it.
    pub requested_by: Option<Agent>,
    /// The token that made the call.
    pub token_id: String,
}

/// The hold that a ticket is under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The id of its placing.
    pub id: HoldEventId,
    /// When it was placed.
    pub place_time: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Who requested it.
    pub requested_by: Option<Agent>,
    /// The token that placed it.
    pub token_id: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldAction {
    /// A hold was placed.
    Placed,
    /// It was released.
    Released,
}

impl HoldAction {
    /// All actions.
    pub const ALL: [Self; 2] = [Self::Placed, Self::Released];

    /// The name, as it is stored and logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "PLACED",
            Self::Released => "RELEASED",
        }
    }
}

/// A placing or a release: kept for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldEvent {
    /// The id.
    pub id: HoldEventId,
    /// The ticket.
    pub ticket_id: TicketId,
    /// What was done.
    pub action: HoldAction,
    /// The placing that a release ends.
    pub placed_id: Option<HoldEventId>,
    /// When.
    pub create_time: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Who requested it.
    pub requested_by: Option<Agent>,
    /// The token that made the call.
    pub token_id: String,
}
