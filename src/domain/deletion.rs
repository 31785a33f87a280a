//! Deletion: who asks for it and why, and the rules that allow or refuse it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessage, UserType};
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::text;
use crate::domain::ticket::{ChannelType, TicketStatus};
use crate::domain::violation::{Rule, Violations};
use crate::error::Error;

/// How many messages are deleted at once at most.
pub const MAX_BATCH_DELETE: usize = 500;
/// How long a reason in words is at most, in characters.
pub const MAX_REASON_DETAIL_CHARACTERS: usize = 512;

/// How a deletion was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestedFrom {
    /// From the desk's dashboard.
    Dashboard,
    /// Through the API.
    PlatformApi,
}

impl RequestedFrom {
    /// Every origin there is.
    pub const ALL: [Self; 2] = [Self::Dashboard, Self::PlatformApi];

    /// The name in the database and in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dashboard => "DASHBOARD",
            Self::PlatformApi => "PLATFORM_API",
        }
    }
}

/// Why a message was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeletionReason {
    /// The person whom it concerns asked for erasure.
    PrivacyRequest,
    /// It held what must not be kept.
    SensitiveData,
    /// It was abusive.
    Abuse,
    /// It was spam.
    Spam,
    /// It was sent by mistake.
    SentByMistake,
    /// A court or an authority ordered it.
    LegalOrder,
    /// Its retention period ended.
    RetentionEnded,
    /// Something else.
    Other,
}

impl DeletionReason {
    /// Every reason there is.
    pub const ALL: [Self; 8] = [
        Self::PrivacyRequest,
        Self::SensitiveData,
        Self::Abuse,
        Self::Spam,
        Self::SentByMistake,
        Self::LegalOrder,
        Self::RetentionEnded,
        Self::Other,
    ];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrivacyRequest => "PRIVACY_REQUEST",
            Self::SensitiveData => "SENSITIVE_DATA",
            Self::Abuse => "ABUSE",
            Self::Spam => "SPAM",
            Self::SentByMistake => "SENT_BY_MISTAKE",
            Self::LegalOrder => "LEGAL_ORDER",
            Self::RetentionEnded => "RETENTION_ENDED",
            Self::Other => "OTHER",
        }
    }
}

/// Whether a deletion must say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonRule {
    /// It may.
    Optional,
    /// It must, with a reason from the list.
    Required,
}

/// Who asks for a deletion, from where and why. What the request leaves open, the caller's token says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grounds {
    /// How it is requested.
    pub requested_from: Option<RequestedFrom>,
    /// Who requests it.
    pub requested_by: Option<Agent>,
    /// Why, from a list.
    pub reason: Option<DeletionReason>,
    /// Why, in words; "" for none.
    pub reason_detail: String,
}

impl Grounds {
    /// Takes the grounds as a caller gives them.
    pub fn parse(grounds: Self, rule: ReasonRule, violations: &mut Violations) -> Option<Self> {
        // One that could not be read is told already.
        if rule == ReasonRule::Required && grounds.reason.is_none() && !violations.has("reason") {
            violations.add("reason", Rule::Required);
        }
        let requested_by = match grounds.requested_by {
            None => Some(None),
            Some(agent) => Agent::parse("requested_by", agent, violations).map(Some),
        };
        let reason_detail =
            violations.check(text::characters("reason_detail", grounds.reason_detail, 0, MAX_REASON_DETAIL_CHARACTERS));
        Some(Self { requested_by: requested_by?, reason_detail: reason_detail?, ..grounds })
    }
}

/// When a message was deleted, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// When.
    pub time: DateTime<Utc>,
    /// How it was requested.
    pub requested_from: RequestedFrom,
    /// Who requested it.
    pub requested_by: Option<Agent>,
}

/// Why a message is not deletable at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDeletable {
    /// The desk itself wrote it.
    EventMessage,
    /// Its ticket belongs to a social channel.
    SocialChannel,
}

impl NotDeletable {
    /// The name in error metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventMessage => "EVENT_MESSAGE",
            Self::SocialChannel => "SOCIAL_CHANNEL",
        }
    }
}

/// What of a ticket decides a deletion in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketState {
    /// Where it stands.
    pub status: TicketStatus,
    /// The channel of its customer.
    pub channel_type: ChannelType,
    /// Whether it is under a legal hold.
    pub is_held: bool,
}

/// The rules of deletion in the order in which they are checked. The delete statement has the same rules in its condition.
///
/// # Errors
/// The first rule that refuses: already deleted, ticket not closed, held, not deletable. The REST API has one code for the last two and
/// puts it after that of an open ticket. Of the two the hold goes first: it concerns the whole ticket.
pub fn judge<Text>(message: &ChatMessage<Text>, ticket: TicketState) -> Result<(), Error> {
    let ChatMessage { id, ticket_id, .. } = *message;
    let TicketState { status, channel_type, is_held } = ticket;
    let not_deletable = |cause| Err(Error::ChatMessageNotDeletable { ticket_id, id, cause });
    if message.deletion.is_some() {
        return Err(Error::ChatMessageAlreadyDeleted { ticket_id, id });
    }
    if status != TicketStatus::Closed {
        return Err(Error::TicketNotClosed { ticket_id, status });
    }
    if is_held {
        return Err(Error::LegalHold { ticket_id, id });
    }
    if message.user_type == UserType::Event {
        return not_deletable(NotDeletable::EventMessage);
    }
    if channel_type.is_social() {
        return not_deletable(NotDeletable::SocialChannel);
    }
    Ok(())
}

/// Takes the ids of a batch: 1 to 500, each once.
///
/// # Errors
/// [`Error::BatchTooLarge`]; other rules go to `violations`.
pub fn parse_batch(field: &'static str, ids: &[i64], violations: &mut Violations) -> Result<Vec<ChatMessageId>, Error> {
    if ids.len() > MAX_BATCH_DELETE {
        return Err(Error::BatchTooLarge { field, count: ids.len(), max: MAX_BATCH_DELETE });
    }
    if ids.is_empty() {
        violations.add(field, Rule::Required);
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        violations.add(field, Rule::Unique);
    }
    for (at, _) in ids.iter().enumerate().filter(|(_, id)| **id == 0) {
        violations.add(format!("{field}[{at}]"), Rule::Required);
    }
    Ok(ids.iter().copied().map(ChatMessageId).collect())
}

/// A deletion to carry out: the grounds made whole with what the caller's token says.
#[derive(Debug, Clone)]
pub struct Order {
    /// The ticket.
    pub ticket_id: TicketId,
    /// When.
    pub time: DateTime<Utc>,
    /// How it is requested.
    pub requested_from: RequestedFrom,
    /// Who requests it.
    pub requested_by: Option<Agent>,
    /// Why, from a list.
    pub reason: Option<DeletionReason>,
    /// Why, in words.
    pub reason_detail: String,
    /// The token that made the call.
    pub token_id: String,
    /// The message is deleted already where it comes from: the ticket's status and the kind of message are no reason to keep it here, a
    /// legal hold is.
    pub upstream: bool,
}
