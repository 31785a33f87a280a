//! Tickets as callers give them: to open one, and to change one.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::agent::Agent;
use crate::domain::ids::TicketId;
use crate::domain::text;
use crate::domain::ticket::{ChannelType, Closing, CustomField, Customer, Group, MAX_CUSTOM_FIELDS, TicketPriority, TicketStatus};
use crate::domain::violation::{MAX_ECHO, Rule, Violations};
use crate::error::Error;

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

fn required<T>(path: &str, name: &str, value: Option<T>, violations: &mut Violations) -> Option<T> {
    if value.is_none() {
        violations.add(format!("{path}.{name}"), Rule::Required);
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
