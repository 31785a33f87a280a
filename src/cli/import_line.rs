//! The lines of an import (docs/IMPORT.md).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessageDraft, File, NewChatMessage, UserType};
use crate::domain::text;
use crate::domain::ticket::{
    ChannelType, Closing, CustomField, CustomerDraft, DEFAULT_CLOSE_STATUS, Group, NewTicket, TicketDraft, TicketPriority,
    TicketStatus,
};
use crate::domain::violation::{Rule, Violations};
use crate::error::Error;

/// One line.
pub(super) enum Line {
    Ticket(Box<TicketLine>),
    ChatMessage(Box<MessageLine>),
}

/// What a line is looked at for first.
#[derive(Deserialize)]
struct Peek {
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Ticket,
    ChatMessage,
}

/// A ticket, known by its channel: where the application has one of that channel, nothing is stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketLine {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    channel_url: String,
    #[serde(default)]
    channel_name: String,
    status: Option<TicketStatus>,
    priority: Option<TicketPriority>,
    customer: CustomerLine,
    agent: Option<AgentLine>,
    group: Option<GroupLine>,
    #[serde(default)]
    info: String,
    #[serde(default)]
    custom_fields: Vec<CustomFieldLine>,
    #[serde(default)]
    related_channels: String,
    create_time: Option<DateTime<Utc>>,
    close_time: Option<DateTime<Utc>>,
    #[serde(default)]
    close_comment: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerLine {
    #[serde(default)]
    id: i64,
    sendbird_id: String,
    channel_type: Option<ChannelType>,
    #[serde(default)]
    display_name: String,
}

// What the database keeps as JSON is read leniently, for a newer service may have written it; a line is not, so it has its own types.

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AgentLine {
    id: i64,
    sendbird_id: String,
    display_name: String,
    email: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupLine {
    id: i64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomFieldLine {
    #[serde(default)]
    id: i64,
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLine {
    url: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    size_bytes: i64,
}

/// A message, known in its ticket by its external id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageLine {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    pub(super) channel_url: String,
    external_id: String,
    #[serde(default)]
    user_sendbird_id: String,
    user_type: UserType,
    create_time: Option<DateTime<Utc>>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    files: Vec<FileLine>,
}

impl Line {
    /// Reads a line; `Err` says what is wrong with it.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let read = || match serde_json::from_slice::<Peek>(line)?.kind {
            Kind::Ticket => Ok(Self::Ticket(serde_json::from_slice(line)?)),
            Kind::ChatMessage => Ok(Self::ChatMessage(serde_json::from_slice(line)?)),
        };
        read().map_err(|error| explain(&error))
    }
}

/// Words for a line that cannot be read. They do not quote its values, which are content.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    format!("{} (column {})", without_value(text), error.column())
}

/// Takes the value out of `invalid type: string "...", expected i64` and its like. Only a key may stay: the operator's own word.
fn without_value(text: &str) -> String {
    if text.starts_with("unknown field") {
        return text.to_owned();
    }
    let parts = text.rsplit_once(", expected ").zip(text.split_once(['`', '"']));
    match parts {
        Some(((found, expected), (lead, _))) if found.len() > lead.len() => format!("{}, expected {expected}", lead.trim_end()),
        _ => text.to_owned(),
    }
}

impl TicketLine {
    /// Takes the ticket. One that is closed at no stated time was closed when it was made, and `now` where it does not state that either.
    pub(super) fn parse(self, now: DateTime<Utc>) -> Result<NewTicket, Error> {
        let mut violations = Violations::default();
        if self.channel_url.is_empty() {
            violations.add("ticket.channel_url", Rule::Required);
        }
        let comment = violations.check(text::characters("ticket.close_comment", self.close_comment, 0, 2048));
        let closed = self.status == Some(TicketStatus::Closed);
        if !closed && self.close_time.is_some() {
            violations.add("ticket.close_time", Rule::Excludes { other: "a status other than CLOSED" });
        }
        if self.close_time.is_some_and(|time| time > now) {
            // Deletions are dated no earlier than the close that allows them: they would lie in the future too.
            violations.add("ticket.close_time", Rule::Past);
        }
        let times = [("create_time", self.create_time), ("close_time", self.close_time)];
        for (field, time) in times.into_iter().filter_map(|(field, time)| Some((field, time?))) {
            violations.check(text::time(&format!("ticket.{field}"), time));
        }
        let draft = TicketDraft {
            channel_url: self.channel_url,
            channel_name: self.channel_name,
            status: None,
            priority: self.priority,
            customer: Some(CustomerDraft {
                id: self.customer.id,
                sendbird_id: self.customer.sendbird_id,
                channel_type: self.customer.channel_type,
                display_name: self.customer.display_name,
            }),
            agent: self.agent.map(AgentLine::agent),
            group: self.group.map(|GroupLine { id, name, key }| Group { id, name, key }),
            info: self.info,
            custom_fields: self.custom_fields.into_iter().map(CustomFieldLine::field).collect(),
            related_channels: self.related_channels,
        };
        let ticket = NewTicket::parse("ticket", draft, &mut violations);
        let (mut ticket, comment) = violations.finish(ticket.zip(comment))?;
        // History may begin in any status.
        ticket.status = self.status.unwrap_or(ticket.status);
        let create_time = self.create_time.unwrap_or(now);
        ticket.create_time = Some(create_time);
        if closed {
            let time = self.close_time.unwrap_or(create_time);
            ticket.closing = Some(Closing { time, status: DEFAULT_CLOSE_STATUS.to_owned(), comment });
        }
        Ok(ticket)
    }
}

impl AgentLine {
    fn agent(self) -> Agent {
        let Self { id, sendbird_id, display_name, email } = self;
        Agent { id, display_name, sendbird_id, email }
    }
}

impl CustomFieldLine {
    fn field(self) -> CustomField {
        let Self { id, key, value } = self;
        CustomField { id, key, value }
    }
}

impl FileLine {
    fn file(self) -> File {
        let Self { url, name, content_type, size_bytes } = self;
        File { url, name, content_type, size_bytes }
    }
}

impl MessageLine {
    pub(super) fn parse(self) -> Result<NewChatMessage, Error> {
        let mut violations = Violations::default();
        violations.check(text::characters("chat_message.channel_url", self.channel_url, 1, 512));
        if self.external_id.is_empty() {
            violations.add("chat_message.external_id", Rule::Required);
        }
        let draft = ChatMessageDraft {
            user_sendbird_id: self.user_sendbird_id,
            user_type: Some(self.user_type),
            create_time: self.create_time,
            message: self.message,
            data: self.data,
            files: self.files.into_iter().map(FileLine::file).collect(),
            external_id: self.external_id,
        };
        let message = NewChatMessage::parse("chat_message", draft, &mut violations);
        violations.finish(message)
    }
}
