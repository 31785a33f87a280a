//! Tickets: the conversations whose messages are the records.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::agent::Agent;
use crate::domain::hold::Hold;
use crate::domain::ids::TicketId;
pub use crate::domain::ticket::draft::{CustomerDraft, NewTicket, TicketChange, TicketDraft};

mod draft;

/// How many custom fields a ticket has at most.
pub const MAX_CUSTOM_FIELDS: usize = 100;
/// How many tickets a page has at most.
pub const MAX_PAGE_SIZE: i64 = 500;

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TicketStatus {
    /// Started by a welcome message; the customer has not written yet.
    Initialized,
    /// Started by an agent; the customer has not written yet.
    Proactive,
    /// Waits for an agent.
    Pending,
    /// An agent and the customer talk.
    Active,
    /// Ended; its messages may be deleted.
    Closed,
    /// An agent works on it away from the conversation.
    WorkInProgress,
    /// The conversation rests.
    Idle,
}

impl TicketStatus {
    /// Every status there is.
    pub const ALL: [Self; 7] =
        [Self::Initialized, Self::Proactive, Self::Pending, Self::Active, Self::Closed, Self::WorkInProgress, Self::Idle];

    /// The name in the database and in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "INITIALIZED",
            Self::Proactive => "PROACTIVE",
            Self::Pending => "PENDING",
            Self::Active => "ACTIVE",
            Self::Closed => "CLOSED",
            Self::WorkInProgress => "WORK_IN_PROGRESS",
            Self::Idle => "IDLE",
        }
    }

    /// Whether an update may lead from here to there. Closing and reopening are methods of their own; staying is always possible.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self == next && self != Self::Closed
            || matches!(
                (self, next),
                (Self::Initialized | Self::Proactive, Self::Pending)
                    | (Self::Pending | Self::Idle | Self::WorkInProgress, Self::Active)
                    | (Self::Active, Self::Idle | Self::WorkInProgress)
            )
    }
}

/// How urgent a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TicketPriority {
    /// At once.
    Urgent,
    /// Before others.
    High,
    /// In turn.
    Medium,
    /// After others.
    Low,
}

impl TicketPriority {
    /// Every priority there is.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::High, Self::Medium, Self::Low];

    /// The name in the database and in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "URGENT",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// The channel through which a customer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChannelType {
    /// The chat platform, no client named.
    Sendbird,
    /// The chat platform's iOS client.
    SendbirdIos,
    /// The chat platform's Android client.
    SendbirdAndroid,
    /// The chat platform's web client.
    SendbirdJavascript,
    /// A private conversation on Facebook.
    FacebookConversation,
    /// A post on a Facebook page.
    FacebookFeed,
    /// A public post on Twitter.
    TwitterStatus,
    /// A private message on Twitter.
    TwitterDirectMessageEvent,
    /// A comment on Instagram.
    InstagramComment,
    /// A message on WhatsApp.
    WhatsappMessage,
}

impl ChannelType {
    /// Every channel type there is.
    pub const ALL: [Self; 10] = [
        Self::Sendbird,
        Self::SendbirdIos,
        Self::SendbirdAndroid,
        Self::SendbirdJavascript,
        Self::FacebookConversation,
        Self::FacebookFeed,
        Self::TwitterStatus,
        Self::TwitterDirectMessageEvent,
        Self::InstagramComment,
        Self::WhatsappMessage,
    ];

    /// The name in the database and in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sendbird => "SENDBIRD",
            Self::SendbirdIos => "SENDBIRD_IOS",
            Self::SendbirdAndroid => "SENDBIRD_ANDROID",
            Self::SendbirdJavascript => "SENDBIRD_JAVASCRIPT",
            Self::FacebookConversation => "FACEBOOK_CONVERSATION",
            Self::FacebookFeed => "FACEBOOK_FEED",
            Self::TwitterStatus => "TWITTER_STATUS",
            Self::TwitterDirectMessageEvent => "TWITTER_DIRECT_MESSAGE_EVENT",
            Self::InstagramComment => "INSTAGRAM_COMMENT",
            Self::WhatsappMessage => "WHATSAPP_MESSAGE",
        }
    }

    /// Whether the messages live in another company's system too, so that deleting them here would not delete them.
    #[must_use]
    pub fn is_social(self) -> bool {
        match self {
            Self::Sendbird | Self::SendbirdIos | Self::SendbirdAndroid | Self::SendbirdJavascript => false,
            Self::FacebookConversation
            | Self::FacebookFeed
            | Self::TwitterStatus
            | Self::TwitterDirectMessageEvent
            | Self::InstagramComment
            | Self::WhatsappMessage => true,
        }
    }
}

/// The customer of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// The numeric id in the desk, if it has one.
    pub id: Option<i64>,
    /// The id in the chat platform.
    pub sendbird_id: String,
    /// The channel through which the customer writes.
    pub channel_type: ChannelType,
    /// The name for display.
    pub display_name: String,
}

/// A group of agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The numeric id in the desk.
    pub id: i64,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The key.
    #[serde(default)]
    pub key: String,
}

/// A field that the application itself defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomField {
    /// The numeric id in the desk; 0 for none.
    #[serde(default)]
    pub id: i64,
    /// The key, unique in the ticket.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
}

/// How a closed ticket was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closing {
    /// When.
    pub time: DateTime<Utc>,
    /// How, `DEFAULT` by this API.
    pub status: String,
    /// The comment given; "" for none.
    pub comment: String,
}

/// The close status of tickets that are closed by this API.
pub const DEFAULT_CLOSE_STATUS: &str = "DEFAULT";

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The id.
    pub id: TicketId,
    /// Changes with every change of the ticket or in it.
    pub version: i64,
    /// Where it stands.
    pub status: TicketStatus,
    /// How urgent it is.
    pub priority: TicketPriority,
    /// The channel's URL.
    pub channel_url: String,
    /// The title.
    pub channel_name: String,
    /// The customer.
    pub customer: Customer,
    /// Whom it was last assigned to.
    pub agent: Option<Agent>,
    /// The group it belongs to.
    pub group: Option<Group>,
    /// Free information.
    pub info: String,
    /// The application's own fields.
    pub custom_fields: Vec<CustomField>,
    /// The text of a JSON array.
    pub related_channels: String,
    /// How many messages it has had.
    pub message_count: i64,
    /// The content of the newest message; "" when there is none or it is deleted.
    pub last_message: String,
    /// When it was opened.
    pub create_time: DateTime<Utc>,
    /// When the customer first sent a message.
    pub issue_time: Option<DateTime<Utc>>,
    /// How it was closed; `None` while it is open.
    pub closing: Option<Closing>,
    /// The legal hold that it is under.
    pub hold: Option<Hold>,
}

impl Ticket {
    /// How many bytes it takes in an answer at most.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        let agent = self.agent.as_ref().map_or(0, Agent::text_bytes);
        let hold = self.hold.as_ref().map_or(0, |hold| {
            hold.reason.len() + hold.token_id.len() + hold.requested_by.as_ref().map_or(0, Agent::text_bytes) + 64
        });
        let group = self.group.as_ref().map_or(0, |group| group.name.len() + group.key.len());
        let closing = self.closing.as_ref().map_or(0, |closing| closing.status.len() + closing.comment.len());
        let fields: usize = self.custom_fields.iter().map(|field| field.key.len() + field.value.len() + 32).sum();
        let customer = self.customer.sendbird_id.len() + self.customer.display_name.len();
        let own = self.channel_url.len() + self.channel_name.len() + self.info.len() + self.related_channels.len();
        // Beside its texts a field has up to 32 bytes of numbers and lengths, a ticket up to 256.
        own + customer + agent + group + closing + hold + fields + self.last_message.len() + 256
    }
}

/// Chooses tickets; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TicketFilter {
    /// This status.
    pub status: Option<TicketStatus>,
    /// Last assigned to the agent with this numeric id.
    pub agent_id: Option<i64>,
    /// The customer with this id in the chat platform.
    pub sendbird_id: Option<String>,
    /// This channel.
    pub channel_url: Option<String>,
    /// This text in the title or the customer's name, letter case ignored.
    pub query: Option<String>,
    /// Opened on this UTC day or later.
    pub start_date: Option<NaiveDate>,
    /// Opened on this UTC day or earlier.
    pub end_date: Option<NaiveDate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_goes_only_along_its_life_cycle() {
        use TicketStatus::{Active, Closed, Idle, Initialized, Pending, Proactive, WorkInProgress};
        let steps = [
            (Initialized, Pending),
            (Proactive, Pending),
            (Pending, Active),
            (Active, Idle),
            (Idle, Active),
            (Active, WorkInProgress),
            (WorkInProgress, Active),
        ];
        for from in TicketStatus::ALL {
            for to in TicketStatus::ALL {
                let expected = steps.contains(&(from, to)) || from == to && from != Closed;
                assert_eq!(from.may_become(to), expected, "{from:?} to {to:?}");
            }
        }
    }
}
