//! The canonical record of a deletion.

use serde::{Deserialize, Serialize};

use super::{Requester, time};
use crate::domain::chat_message::UserType;
use crate::domain::deletion::{DeletionReason, RequestedFrom};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::proof::entry::Entry;
use crate::domain::random::digits;

/// What says that a record is of a deletion, and which fields it has. Another set of fields gets another number.
pub const DELETION_V1: &str = "deskledger.deletion.v1";

/// The record of a deletion, with its fields as they are written: numbers below 2^53, times in UTC with microseconds, digests in
/// lower-case hexadecimal digits. RFC 8785 wants the fields in the order of their names, which is their order here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletionRecord {
    /// The public id of the application.
    pub application: String,
    /// The deleted message's id.
    pub chat_message_id: i64,
    /// The salted digest of what the message held.
    pub content_digest: String,
    /// When the message was sent.
    pub create_time: String,
    /// When it was deleted.
    pub delete_time: String,
    /// The id of the deletion log's entry.
    pub id: i64,
    /// The deleted message's number in its ticket.
    pub message_id: i64,
    /// The tree's entry of the deletion before this one in the same ticket; `None` for a ticket's first.
    pub previous: Option<String>,
    /// Why, from a list.
    pub reason: Option<String>,
    /// Why, in words; "" for none.
    pub reason_detail: String,
    /// Who requested it.
    pub requested_by: Option<Requester>,
    /// How it was requested.
    pub requested_from: String,
    /// The ticket of the deleted message.
    pub ticket_id: i64,
    /// The token that made the call.
    pub token_id: String,
    /// [`DELETION_V1`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Who sent the message.
    pub user_sendbird_id: String,
    /// What kind of user sent it.
    pub user_type: String,
}

impl DeletionRecord {
    /// The record of a deletion; `previous` is the entry of the one before it in the same ticket.
    #[must_use]
    pub fn new(application: &str, log: &DeletionLog, previous: Option<&Entry>) -> Self {
        Self {
            application: application.to_owned(),
            chat_message_id: log.chat_message_id.0,
            content_digest: digits(&log.content_digest),
            create_time: time(log.create_time),
            delete_time: time(log.delete_time),
            id: log.id.0,
            message_id: log.message_id.0,
            previous: previous.map(|entry| digits(&entry.0)),
            reason: log.reason.map(DeletionReason::as_str).map(str::to_owned),
            reason_detail: log.reason_detail.clone(),
            requested_by: log.requested_by.as_ref().map(Requester::of),
            requested_from: RequestedFrom::as_str(log.requested_from).to_owned(),
            ticket_id: log.ticket_id.0,
            token_id: log.token_id.clone(),
            kind: DELETION_V1.to_owned(),
            user_sendbird_id: log.user_sendbird_id.clone(),
            user_type: UserType::as_str(log.user_type).to_owned(),
        }
    }
}
