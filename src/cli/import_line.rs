//! The lines of an import (docs/IMPORT.md).

use chrono::{DateTime, Utc};
use serde::Deserialize;

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
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Ticket(Box<TicketLine>),
    ChatMessage(Box<MessageLine>),
}

/// A ticket, known by its channel: where the application has one of that channel, nothing is stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketLine {
    channel_url: String,
    #[serde(default)]
    channel_name: String,
    status: Option<TicketStatus>,
    priority: Option<TicketPriority>,
    customer: CustomerLine,
    agent: Option<Agent>,
    group: Option<Group>,
    #[serde(default)]
    info: String,
    #[serde(default)]
    custom_fields: Vec<CustomField>,
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

/// A message, known in its ticket by its external id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageLine {
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
    files: Vec<File>,
}

impl TicketLine {
    pub(super) fn parse(self) -> Result<NewTicket, Error> {
        let mut violations = Violations::default();
        if self.channel_url.is_empty() {
            violations.add("ticket.channel_url", Rule::Required);
        }
        let comment = violations.check(text::characters("ticket.close_comment", self.close_comment, 0, 2048));
        let closed = self.status == Some(TicketStatus::Closed);
        if !closed && self.close_time.is_some() {
            violations.add("ticket.close_time", Rule::Excludes { other: "a status other than CLOSED" });
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
            agent: self.agent,
            group: self.group,
            info: self.info,
            custom_fields: self.custom_fields,
            related_channels: self.related_channels,
        };
        let ticket = NewTicket::parse("ticket", draft, &mut violations);
        let (mut ticket, comment) = violations.finish(ticket.zip(comment))?;
        // History may begin in any status.
        ticket.status = self.status.unwrap_or(ticket.status);
        ticket.create_time = self.create_time;
        if closed {
            let time = self.close_time.or(self.create_time).unwrap_or(DateTime::UNIX_EPOCH);
            ticket.closing = Some(Closing { time, status: DEFAULT_CLOSE_STATUS.to_owned(), comment });
        }
        Ok(ticket)
    }
}

impl MessageLine {
    pub(super) fn parse(self) -> Result<NewChatMessage, Error> {
        let mut violations = Violations::default();
        if self.external_id.is_empty() {
            violations.add("chat_message.external_id", Rule::Required);
        }
        let draft = ChatMessageDraft {
            user_sendbird_id: self.user_sendbird_id,
            user_type: Some(self.user_type),
            create_time: self.create_time,
            message: self.message,
            data: self.data,
            files: self.files,
            external_id: self.external_id,
        };
        let message = NewChatMessage::parse("chat_message", draft, &mut violations);
        violations.finish(message)
    }
}
