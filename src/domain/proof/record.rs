//! The canonical record of a deletion: RFC 8785 JSON, so that anyone can make the same bytes again in any language.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::agent::Agent;
use crate::domain::chat_message::UserType;
use crate::domain::deletion::{DeletionReason, RequestedFrom};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::proof::ProofError;
use crate::domain::proof::entry::Entry;
use crate::domain::random::digits;

/// What says that a record is of a deletion, and which fields it has. Another set of fields gets another number.
pub const DELETION_V1: &str = "deskledger.deletion.v1";

/// The record of a deletion, with its fields as they are written: numbers below 2^53, times in UTC with microseconds, digests in
/// lower-case hexadecimal digits. RFC 8785 wants the fields in the order of their names, which is their order here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
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

/// Who requested a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    /// The name for display.
    pub display_name: String,
    /// The mail address.
    pub email: String,
    /// The agent's numeric id in the desk; 0 for none.
    pub id: i64,
    /// The agent's id in the chat platform; "" for none.
    pub sendbird_id: String,
}

impl Record {
    /// The record of a deletion; `previous` is the entry of the one before it in the same ticket.
    #[must_use]
    pub fn of_deletion(application: &str, log: &DeletionLog, previous: Option<&Entry>) -> Self {
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

    /// The record's canonical bytes.
    ///
    /// # Panics
    /// Never: a structure of texts and numbers is always JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads a record that is written in the canonical way and no other.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        let record: Self = serde_json::from_slice(bytes).map_err(|_| ProofError::Malformed("record"))?;
        // Two ways to write one record would be two entries that seem to say the same.
        if record.kind == DELETION_V1 && record.to_bytes() == bytes { Ok(record) } else { Err(ProofError::Malformed("record")) }
    }
}

impl Requester {
    fn of(agent: &Agent) -> Self {
        let Agent { id, display_name, sendbird_id, email } = agent.clone();
        Self { display_name, email, id, sendbird_id }
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ChatMessageId, DeletionLogId, MessageId, TicketId};

    fn log() -> DeletionLog {
        DeletionLog {
            id: DeletionLogId(12),
            ticket_id: TicketId(5),
            chat_message_id: ChatMessageId(77),
            message_id: MessageId(3),
            user_sendbird_id: "ada".to_owned(),
            user_type: UserType::Customer,
            create_time: "2026-11-20T23:59:59.999999Z".parse().expect("a time"),
            delete_time: "2026-11-21T08:00:00Z".parse().expect("a time"),
            requested_from: RequestedFrom::Dashboard,
            requested_by: Some(Agent {
                id: 4,
                display_name: "Grüße \u{1f600}".to_owned(),
                sendbird_id: "bob".to_owned(),
                email: String::new(),
            }),
            reason: Some(DeletionReason::SensitiveData),
            reason_detail: "a \"card\"\\\n\t\u{1}\u{7f}/".to_owned(),
            token_id: "t1".to_owned(),
            content_digest: vec![0xab; 32],
        }
    }

    #[test]
    fn a_record_has_these_very_bytes() {
        let record = Record::of_deletion("acme", &log(), Some(&Entry([0x0c; 32])));
        let expected = concat!(
            r#"{"application":"acme","chat_message_id":77,"#,
            r#""content_digest":"abababababababababababababababababababababababababababababababab","#,
            r#""create_time":"2026-11-20T23:59:59.999999Z","delete_time":"2026-11-21T08:00:00.000000Z","id":12,"message_id":3,"#,
            r#""previous":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","#,
            r#""reason":"SENSITIVE_DATA","reason_detail":"a \"card\"\\\n\t\u0001"#,
            "\u{7f}/\",",
            r#""requested_by":{"display_name":"Grüße 😀","email":"","id":4,"sendbird_id":"bob"},"#,
            r#""requested_from":"DASHBOARD","ticket_id":5,"token_id":"t1","type":"deskledger.deletion.v1","#,
            r#""user_sendbird_id":"ada","user_type":"CUSTOMER"}"#,
        );
        assert_eq!(String::from_utf8(record.to_bytes()).expect("text"), expected);
        assert_eq!(Record::parse(expected.as_bytes()), Ok(record));
    }

    #[test]
    fn the_fields_of_a_record_are_in_the_order_of_their_names() {
        let record = Record::of_deletion("acme", &log(), None);
        // A JSON value keeps its names sorted.
        let sorted = serde_json::to_value(&record).and_then(|value| serde_json::to_vec(&value)).expect("JSON");
        assert_eq!(record.to_bytes(), sorted);
    }

    #[test]
    fn a_record_written_in_another_way_is_refused() {
        let record = Record::of_deletion("acme", &log(), None);
        let text = String::from_utf8(record.to_bytes()).expect("text");
        let others = [
            text.replace(":77", ": 77"),
            text.replace(":77", ":77.0"),
            text.replace("\"previous\":null,", ""),
            text.replace("\"previous\":null,", "\"previous\":null,\"previous\":null,"),
            text.replace("\"type\"", "\"also\":1,\"type\""),
            text.replace(".v1", ".v2"),
            text.replace('ü', "\\u00fc"),
            text.replace("\\t", "\\u0009"),
            format!("{text} "),
            format!(" {text}"),
            text.replacen("\"application\":\"acme\",", "", 1).replace("\"user_type\"", "\"application\":\"acme\",\"user_type\""),
        ];
        for other in others {
            assert_ne!(other, text);
            assert_eq!(Record::parse(other.as_bytes()), Err(ProofError::Malformed("record")), "{other}");
        }
    }
}
