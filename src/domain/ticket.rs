//! Tickets: the conversations whose messages are the records.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::agent::Agent;
use crate::domain::ids::TicketId;
use crate::domain::text;
use crate::domain::violation::{MAX_ECHO, Rule, Violations};
use crate::error::Error;

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
}

/// A ticket to open, as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct TicketDraft {
    /// Default: made from the id.
    pub channel_url: String,
    /// At most 512 characters.
    pub channel_name: String,
    /// INITIALIZED (the default), PROACTIVE or PENDING.
    pub status: Option<TicketStatus>,
    /// Default: MEDIUM.
    pub priority: Option<TicketPriority>,
    /// Required.
    pub customer: Option<CustomerDraft>,
    /// Whom it is assigned to.
    pub agent: Option<Agent>,
    /// The group it belongs to.
    pub group: Option<Group>,
    /// At most 8192 bytes.
    pub info: String,
    /// At most 100, each key once.
    pub custom_fields: Vec<CustomField>,
    /// The text of a JSON array, at most 8192 bytes.
    pub related_channels: String,
}

/// The customer of a ticket to open, as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct CustomerDraft {
    /// 0 for none.
    pub id: i64,
    /// 1 to 80 characters.
    pub sendbird_id: String,
    /// Default: SENDBIRD.
    pub channel_type: Option<ChannelType>,
    /// At most 255 characters.
    pub display_name: String,
}

/// A ticket to open, checked.
#[derive(Debug, Clone, Serialize)]
pub struct NewTicket {
    /// `None`: made from the id.
    pub channel_url: Option<String>,
    /// The title.
    pub channel_name: String,
    /// An open status.
    pub status: TicketStatus,
    /// How urgent it is.
    pub priority: TicketPriority,
    /// The customer.
    pub customer: Customer,
    /// Whom it is assigned to.
    pub agent: Option<Agent>,
    /// The group it belongs to.
    pub group: Option<Group>,
    /// Free information.
    pub info: String,
    /// The application's own fields.
    pub custom_fields: Vec<CustomField>,
    /// The text of a JSON array.
    pub related_channels: String,
    /// When it was opened; `None` is when it is stored. Only history that is imported says so.
    pub create_time: Option<DateTime<Utc>>,
    /// How it was closed, where it is imported closed.
    pub closing: Option<Closing>,
}

impl NewTicket {
    /// Takes a ticket as a caller gives it, `path` being the field that holds it.
    pub fn parse(path: &str, draft: TicketDraft, violations: &mut Violations) -> Option<Self> {
        let channel_url = violations.check(text::characters(&format!("{path}.channel_url"), draft.channel_url, 0, 512));
        let channel_name = parse_channel_name(path, draft.channel_name, violations);
        let status = match draft.status.unwrap_or(TicketStatus::Initialized) {
            status @ (TicketStatus::Initialized | TicketStatus::Proactive | TicketStatus::Pending) => Some(status),
            _ => {
                violations.add(format!("{path}.status"), Rule::OneOf { allowed: "INITIALIZED, PROACTIVE, PENDING" });
                None
            }
        };
        let customer = match draft.customer {
            Some(customer) => Customer::parse(&format!("{path}.customer"), customer, violations),
            None => {
                violations.add(format!("{path}.customer"), Rule::Required);
                None
            }
        };
        let agent = parse_agent(path, draft.agent, violations);
        let group = parse_group(path, draft.group, violations);
        let info = parse_info(path, draft.info, violations);
        let custom_fields = parse_custom_fields(path, draft.custom_fields, violations);
        let related_channels = parse_related_channels(path, draft.related_channels, violations);
        Some(Self {
            channel_url: channel_url.map(|url| (!url.is_empty()).then_some(url))?,
            channel_name: channel_name?,
            status: status?,
            priority: draft.priority.unwrap_or(TicketPriority::Medium),
            customer: customer?,
            agent: agent?,
            group: group?,
            info: info?,
            custom_fields: custom_fields?,
            related_channels: related_channels?,
            create_time: None,
            closing: None,
        })
    }
}

impl Customer {
    fn parse(path: &str, draft: CustomerDraft, violations: &mut Violations) -> Option<Self> {
        let id = violations.check(text::json_integer(&format!("{path}.id"), draft.id, 0));
        let sendbird_id = violations.check(text::characters(&format!("{path}.sendbird_id"), draft.sendbird_id, 1, 80));
        let display_name = violations.check(text::characters(&format!("{path}.display_name"), draft.display_name, 0, 255));
        Some(Self {
            id: id.map(|id| (id != 0).then_some(id))?,
            sendbird_id: sendbird_id?,
            channel_type: draft.channel_type.unwrap_or(ChannelType::Sendbird),
            display_name: display_name?,
        })
    }
}

/// A change of a ticket: what is `None` stays as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TicketChange {
    /// The new title.
    pub channel_name: Option<String>,
    /// The new status, an open one.
    pub status: Option<TicketStatus>,
    /// The new priority.
    pub priority: Option<TicketPriority>,
    /// The new assignment; `Some(None)` takes it away.
    pub agent: Option<Option<Agent>>,
    /// The new group; `Some(None)` takes it away.
    pub group: Option<Option<Group>>,
    /// The new information.
    pub info: Option<String>,
    /// The new custom fields, all of them.
    pub custom_fields: Option<Vec<CustomField>>,
    /// The new related channels, all of them.
    pub related_channels: Option<String>,
}

impl TicketChange {
    /// The fields that can be changed.
    pub const PATHS: [&str; 8] =
        ["channel_name", "status", "priority", "recent_assignment", "group", "info", "custom_fields", "related_channels"];

    /// Takes from `draft` the fields that `paths` name, `path` being the field that holds the draft. No paths are the fields with a value.
    pub fn parse(path: &str, draft: TicketDraft, mask: (&str, Vec<String>), violations: &mut Violations) -> Option<Self> {
        let (mask_field, mut paths) = mask;
        if paths.is_empty() {
            paths = draft.populated().into_iter().map(ToOwned::to_owned).collect();
        }
        for unknown in paths.iter().filter(|path| !Self::PATHS.contains(&path.as_str())) {
            violations.add(mask_field, Rule::Path { path: unknown.chars().take(MAX_ECHO).collect() });
        }
        let named = |name: &str| paths.iter().any(|path| path == name);
        let mut change = Self::default();
        if named("channel_name") {
            change.channel_name = parse_channel_name(path, draft.channel_name, violations);
        }
        if named("status") {
            change.status = required(path, "status", draft.status, violations);
        }
        if named("priority") {
            change.priority = required(path, "priority", draft.priority, violations);
        }
        if named("recent_assignment") {
            change.agent = parse_agent(path, draft.agent, violations);
        }
        if named("group") {
            change.group = parse_group(path, draft.group, violations);
        }
        if named("info") {
            change.info = parse_info(path, draft.info, violations);
        }
        if named("custom_fields") {
            change.custom_fields = parse_custom_fields(path, draft.custom_fields, violations);
        }
        if named("related_channels") {
            change.related_channels = parse_related_channels(path, draft.related_channels, violations);
        }
        Some(change)
    }

    /// The ticket's status after the change.
    ///
    /// # Errors
    /// [`Error::TicketStatusTransitionInvalid`] where the life cycle has no such step.
    pub fn next_status(&self, id: TicketId, current: TicketStatus) -> Result<TicketStatus, Error> {
        match self.status {
            None => Ok(current),
            Some(next) if current.may_become(next) => Ok(next),
            Some(next) => Err(Error::TicketStatusTransitionInvalid { ticket_id: id, from: current, to: next }),
        }
    }
}

impl TicketDraft {
    fn populated(&self) -> Vec<&'static str> {
        let has = [
            !self.channel_name.is_empty(),
            self.status.is_some(),
            self.priority.is_some(),
            self.agent.is_some(),
            self.group.is_some(),
            !self.info.is_empty(),
            !self.custom_fields.is_empty(),
            !self.related_channels.is_empty(),
        ];
        TicketChange::PATHS.into_iter().zip(has).filter_map(|(path, has)| has.then_some(path)).collect()
    }
}

/// Chooses tickets; all given conditions must hold.
#[derive(Debug, Clone, Default, Serialize)]
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

fn required<T>(path: &str, name: &str, value: Option<T>, violations: &mut Violations) -> Option<T> {
    let field = format!("{path}.{name}");
    // A door that could not read the value has said so.
    if value.is_none() && !violations.has(&field) {
        violations.add(field, Rule::Required);
    }
    value
}

fn parse_channel_name(path: &str, value: String, violations: &mut Violations) -> Option<String> {
    violations.check(text::characters(&format!("{path}.channel_name"), value, 0, 512))
}

fn parse_info(path: &str, value: String, violations: &mut Violations) -> Option<String> {
    violations.check(text::bytes(&format!("{path}.info"), value, 8192))
}

fn parse_related_channels(path: &str, value: String, violations: &mut Violations) -> Option<String> {
    violations.check(text::json_array(&format!("{path}.related_channels"), value, 8192))
}

fn parse_agent(path: &str, agent: Option<Agent>, violations: &mut Violations) -> Option<Option<Agent>> {
    match agent {
        None => Some(None),
        Some(agent) => Agent::parse(&format!("{path}.recent_assignment.agent"), agent, violations).map(Some),
    }
}

fn parse_group(path: &str, group: Option<Group>, violations: &mut Violations) -> Option<Option<Group>> {
    let Some(group) = group else { return Some(None) };
    let id = violations.check(text::json_integer(&format!("{path}.group.id"), group.id, 1));
    let name = violations.check(text::characters(&format!("{path}.group.name"), group.name, 0, 255));
    let key = violations.check(text::characters(&format!("{path}.group.key"), group.key, 0, 255));
    Some(Some(Group { id: id?, name: name?, key: key? }))
}

fn parse_custom_fields(path: &str, fields: Vec<CustomField>, violations: &mut Violations) -> Option<Vec<CustomField>> {
    let list = format!("{path}.custom_fields");
    if fields.len() > MAX_CUSTOM_FIELDS {
        violations.add(list, Rule::Items { min: 0, max: MAX_CUSTOM_FIELDS });
        return None;
    }
    let mut parsed: Vec<CustomField> = Vec::with_capacity(fields.len());
    for (at, field) in fields.into_iter().enumerate() {
        let id = violations.check(text::json_integer(&format!("{list}[{at}].id"), field.id, 0));
        let key = violations.check(text::characters(&format!("{list}[{at}].key"), field.key, 1, 255));
        let value = violations.check(text::characters(&format!("{list}[{at}].value"), field.value, 0, 1024));
        if let (Some(id), Some(key), Some(value)) = (id, key, value) {
            if parsed.iter().any(|other| other.key == key) {
                violations.add(format!("{list}[{at}].key"), Rule::Unique);
            }
            parsed.push(CustomField { id, key, value });
        }
    }
    Some(parsed)
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
