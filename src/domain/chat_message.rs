//! Chat messages: the records.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::deletion::Deletion;
use crate::domain::ids::{ChatMessageId, MessageId, TicketId};
use crate::domain::text;
use crate::domain::ticket::ChannelType;
use crate::domain::violation::{Rule, Violations};

/// How many messages a page has at most.
pub const MAX_PAGE_SIZE: i64 = 500;
/// How many messages are created at once at most.
pub const MAX_BATCH_CREATE: usize = 1000;
/// How long a message is at most, in bytes; the same for its data.
pub const MAX_MESSAGE_BYTES: usize = 32_768;
/// How many files a message has at most.
pub const MAX_FILES: usize = 20;
/// Who "sends" the messages that no user sent.
pub const EVENT_SENDBIRD_ID: &str = "event";

/// What kind of user sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserType {
    /// An agent.
    Agent,
    /// The customer.
    Customer,
    /// No user: the desk itself.
    Event,
}

impl UserType {
    /// Every user type there is.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Customer, Self::Event];

    /// The name in the database and in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "AGENT",
            Self::Customer => "CUSTOMER",
            Self::Event => "EVENT",
        }
    }
}

/// A reference to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it is.
    pub url: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its media type.
    #[serde(default)]
    pub content_type: String,
    /// Its size in bytes; 0 when not known.
    #[serde(default)]
    pub size_bytes: i64,
}

/// A message, or its tombstone: then `deletion` is set and the content is empty. Its texts are its own, or as `ChatMessage<&str>` those of
/// the row that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage<Text = String> {
    /// The id.
    pub id: ChatMessageId,
    /// The number within the ticket.
    pub message_id: MessageId,
    /// The ticket.
    pub ticket_id: TicketId,
    /// Who sent it.
    pub user_sendbird_id: Text,
    /// What kind of user sent it.
    pub user_type: UserType,
    /// When it was sent.
    pub create_time: DateTime<Utc>,
    /// When and by whom it was deleted.
    pub deletion: Option<Deletion>,
    /// The content.
    pub message: Text,
    /// Extra information.
    pub data: Text,
    /// Files sent with it.
    pub files: Vec<File>,
    /// The sender's own id.
    pub external_id: Option<Text>,
}

impl ChatMessage<&str> {
    /// The same message with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> ChatMessage {
        ChatMessage {
            id: self.id,
            message_id: self.message_id,
            ticket_id: self.ticket_id,
            user_sendbird_id: self.user_sendbird_id.to_owned(),
            user_type: self.user_type,
            create_time: self.create_time,
            deletion: self.deletion,
            message: self.message.to_owned(),
            data: self.data.to_owned(),
            files: self.files,
            external_id: self.external_id.map(str::to_owned),
        }
    }
}

impl ChatMessage {
    /// How many bytes it takes in an answer at most.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        let files: usize = self.files.iter().map(|file| file.url.len() + file.name.len() + file.content_type.len() + 32).sum();
        let requester = self.deletion.as_ref().and_then(|deletion| deletion.requested_by.as_ref());
        let requester = requester.map_or(0, |agent| agent.display_name.len() + agent.sendbird_id.len() + agent.email.len());
        let external_id = self.external_id.as_ref().map_or(0, String::len);
        // Beside its texts a file has up to 32 bytes of numbers and lengths, a message up to 128.
        self.message.len() + self.data.len() + self.user_sendbird_id.len() + external_id + requester + files + 128
    }
}

/// A message to store, as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct ChatMessageDraft {
    /// 1 to 80 characters; for EVENT empty or `event`.
    pub user_sendbird_id: String,
    /// Required.
    pub user_type: Option<UserType>,
    /// Default: now.
    pub create_time: Option<DateTime<Utc>>,
    /// At most 32768 bytes.
    pub message: String,
    /// At most 32768 bytes.
    pub data: String,
    /// At most 20.
    pub files: Vec<File>,
    /// At most 255 characters; "" for none.
    pub external_id: String,
}

/// A message to store, checked.
#[derive(Debug, Clone, Serialize)]
pub struct NewChatMessage {
    /// Who sent it.
    pub user_sendbird_id: String,
    /// What kind of user sent it.
    pub user_type: UserType,
    /// When it was sent; `None` is when it is stored.
    pub create_time: Option<DateTime<Utc>>,
    /// The content.
    pub message: String,
    /// Extra information.
    pub data: String,
    /// Files sent with it.
    pub files: Vec<File>,
    /// The sender's own id.
    pub external_id: Option<String>,
}

/// A message without its content: sender, kind of sender, time, external id.
pub type Envelope<'a> = (&'a str, &'static str, Option<DateTime<Utc>>, Option<&'a str>);

impl NewChatMessage {
    /// All of it but its content.
    #[must_use]
    pub fn envelope(&self) -> Envelope<'_> {
        (&self.user_sendbird_id, self.user_type.as_str(), self.create_time, self.external_id.as_deref())
    }

    /// Whether its content is that of a stored message. That of a deleted one is not known any more, and taken for the same.
    #[must_use]
    pub fn has_content_of(&self, stored: &ChatMessage) -> bool {
        stored.deletion.is_some() || (&self.message, &self.data, &self.files) == (&stored.message, &stored.data, &stored.files)
    }

    /// Takes a message as a caller gives it, `path` being the field that holds it.
    pub fn parse(path: &str, draft: ChatMessageDraft, violations: &mut Violations) -> Option<Self> {
        let user_type = format!("{path}.user_type");
        // A door that could not read the value has said so.
        if draft.user_type.is_none() && !violations.has(&user_type) {
            violations.add(user_type, Rule::Required);
        }
        let user_sendbird_id = parse_user_sendbird_id(path, draft.user_sendbird_id, draft.user_type, violations);
        let create_time = match draft.create_time {
            None => Some(None),
            Some(time) => violations.check(text::time(&format!("{path}.create_time"), time)).map(Some),
        };
        let message = violations.check(text::bytes(&format!("{path}.message"), draft.message, MAX_MESSAGE_BYTES));
        let data = violations.check(text::bytes(&format!("{path}.data"), draft.data, MAX_MESSAGE_BYTES));
        let files = parse_files(path, draft.files, violations);
        let external_id = violations.check(text::characters(&format!("{path}.external_id"), draft.external_id, 0, 255));
        Some(Self {
            user_sendbird_id: user_sendbird_id?,
            user_type: draft.user_type?,
            create_time: create_time?,
            message: message?,
            data: data?,
            files: files?,
            external_id: external_id.map(|id| (!id.is_empty()).then_some(id))?,
        })
    }

    /// The message as it is when it was stored at `now` under these ids.
    #[must_use]
    pub fn stored_as(&self, id: ChatMessageId, message_id: MessageId, ticket_id: TicketId, now: DateTime<Utc>) -> ChatMessage {
        ChatMessage {
            id,
            message_id,
            ticket_id,
            user_sendbird_id: self.user_sendbird_id.clone(),
            user_type: self.user_type,
            create_time: self.create_time.unwrap_or(now),
            deletion: None,
            message: self.message.clone(),
            data: self.data.clone(),
            files: self.files.clone(),
            external_id: self.external_id.clone(),
        }
    }

    /// A message from the desk itself.
    ///
    /// # Errors
    /// The rule that `message` breaks, `path` being the field that holds it.
    pub fn event(path: &str, message: String, violations: &mut Violations) -> Option<Self> {
        let message = violations.check(text::bytes(path, message, MAX_MESSAGE_BYTES))?;
        Some(Self {
            user_sendbird_id: EVENT_SENDBIRD_ID.to_owned(),
            user_type: UserType::Event,
            create_time: None,
            message,
            data: String::new(),
            files: Vec::new(),
            external_id: None,
        })
    }
}

/// Chooses messages of a whole application; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApplicationFilter {
    /// Sent at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Sent at this time or earlier.
    pub to: Option<DateTime<Utc>>,
    /// In tickets of this channel type.
    pub channel_type: Option<ChannelType>,
}

/// What became of a message that was to be stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The message, or the first one with its external id.
    pub message: ChatMessage,
    /// Nothing was stored because the ticket had the external id already.
    pub duplicate: bool,
}

fn parse_user_sendbird_id(path: &str, value: String, user_type: Option<UserType>, violations: &mut Violations) -> Option<String> {
    let field = format!("{path}.user_sendbird_id");
    if user_type != Some(UserType::Event) {
        return violations.check(text::characters(&field, value, 1, 80));
    }
    if !value.is_empty() && value != EVENT_SENDBIRD_ID {
        violations.add(field, Rule::OneOf { allowed: EVENT_SENDBIRD_ID });
        return None;
    }
    Some(EVENT_SENDBIRD_ID.to_owned())
}

fn parse_files(path: &str, files: Vec<File>, violations: &mut Violations) -> Option<Vec<File>> {
    let list = format!("{path}.files");
    if files.len() > MAX_FILES {
        violations.add(list, Rule::Items { min: 0, max: MAX_FILES });
        return None;
    }
    let mut parsed = Vec::with_capacity(files.len());
    for (at, file) in files.into_iter().enumerate() {
        let url = violations.check(text::characters(&format!("{list}[{at}].url"), file.url, 1, 2048));
        let name = violations.check(text::characters(&format!("{list}[{at}].name"), file.name, 0, 255));
        let content_type = violations.check(text::characters(&format!("{list}[{at}].content_type"), file.content_type, 0, 255));
        let size_bytes = violations.check(text::json_integer(&format!("{list}[{at}].size_bytes"), file.size_bytes, 0));
        if let (Some(url), Some(name), Some(content_type), Some(size_bytes)) = (url, name, content_type, size_bytes) {
            parsed.push(File { url, name, content_type, size_bytes });
        }
    }
    Some(parsed)
}
