//! Canonical records of what the log keeps: RFC 8785 JSON, so that anyone can make the same bytes again in any language.

pub mod deletion; // of a message
pub mod erasure; // of old entries
pub mod hold; // placed or released

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::agent::Agent;
use crate::domain::proof::ProofError;
use crate::domain::proof::act::Act;
use crate::domain::proof::entry::Entry;
use crate::domain::proof::record::deletion::{DELETION_V1, DeletionRecord};
use crate::domain::proof::record::erasure::{ERASURE_V1, ErasureRecord};
use crate::domain::proof::record::hold::{HOLD_V1, HoldRecord};

/// A record, with its fields as they are written: numbers below 2^53, times in UTC with microseconds, digests in lower-case hexadecimal
/// digits. RFC 8785 wants the fields in the order of their names, which is their order in each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// Of a deletion.
    Deletion(DeletionRecord),
    /// Of a placing or a release of a legal hold.
    Hold(HoldRecord),
    /// Of an erasure of old entries.
    Erasure(ErasureRecord),
}

/// Who requested something.
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

/// What says which fields a record has: another set of fields has another type.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

impl Record {
    /// The record of an act; `previous` is the entry of the one before it in its chain.
    #[must_use]
    pub fn of(application: &str, act: &Act, previous: Option<&Entry>) -> Self {
        match act {
            Act::Deletion(log) => Self::Deletion(DeletionRecord::new(application, log, previous)),
            Act::Hold(event) => Self::Hold(HoldRecord::new(application, event, previous)),
            Act::Erasure(erasure) => Self::Erasure(ErasureRecord::new(application, erasure)),
        }
    }

    /// The public id of the application.
    #[must_use]
    pub fn application(&self) -> &str {
        match self {
            Self::Deletion(record) => &record.application,
            Self::Hold(record) => &record.application,
            Self::Erasure(record) => &record.application,
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
        let read = || -> Result<Option<Self>, serde_json::Error> {
            let Kind { kind } = serde_json::from_slice(bytes)?;
            Ok(match kind.as_str() {
                DELETION_V1 => Some(Self::Deletion(serde_json::from_slice(bytes)?)),
                HOLD_V1 => Some(Self::Hold(serde_json::from_slice(bytes)?)),
                ERASURE_V1 => Some(Self::Erasure(serde_json::from_slice(bytes)?)),
                _ => None,
            })
        };
        // Two ways to write one record would be two entries that seem to say the same.
        let record = read().ok().flatten().filter(|record| record.to_bytes() == bytes);
        record.ok_or(ProofError::Malformed("record"))
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
    use crate::domain::chat_message::UserType;
    use crate::domain::deletion::{DeletionReason, RequestedFrom};
    use crate::domain::deletion_log::DeletionLog;
    use crate::domain::erasure::{Erasure, ErasureCause};
    use crate::domain::hold::{HoldAction, HoldEvent};
    use crate::domain::ids::{ChatMessageId, DeletionLogId, ErasureId, HoldEventId, MessageId, TicketId};

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
            erase_time: None,
        }
    }

    #[test]
    fn a_record_has_these_very_bytes() {
        let record = Record::of("acme", &Act::Deletion(log()), Some(&Entry([0x0c; 32])));
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
    fn a_record_of_a_legal_hold_has_these_very_bytes() {
        let event = HoldEvent {
            id: HoldEventId(4),
            ticket_id: TicketId(5),
            action: HoldAction::Released,
            placed_id: Some(HoldEventId(3)),
            create_time: "2026-11-21T08:00:00Z".parse().expect("a time"),
            reason: "settled".to_owned(),
            requested_by: None,
            token_id: "t1".to_owned(),
        };
        let record = Record::of("acme", &Act::Hold(event), Some(&Entry([0x0c; 32])));
        let expected = concat!(
            r#"{"action":"RELEASED","application":"acme","create_time":"2026-11-21T08:00:00.000000Z","id":4,"placed_id":3,"#,
            r#""previous":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","reason":"settled","#,
            r#""requested_by":null,"ticket_id":5,"token_id":"t1","type":"deskledger.hold.v1"}"#,
        );
        assert_eq!(String::from_utf8(record.to_bytes()).expect("text"), expected);
        assert_eq!(Record::parse(expected.as_bytes()), Ok(record));
        // The fields of one kind under the name of another.
        assert_eq!(Record::parse(expected.replace(".hold.", ".deletion.").as_bytes()), Err(ProofError::Malformed("record")));
    }

    #[test]
    fn a_record_of_an_erasure_has_these_very_bytes() {
        let erasure = Erasure {
            id: ErasureId(2),
            erase_time: "2026-11-21T08:00:00Z".parse().expect("a time"),
            older_than: "2025-11-21T08:00:00Z".parse().expect("a time"),
            cause: ErasureCause::Retention,
            leaf_indexes: vec![0, 7],
            remains_digest: [0xab; 32],
        };
        let record = Record::of("acme", &Act::Erasure(erasure), None);
        let expected = concat!(
            r#"{"application":"acme","cause":"RETENTION","entries":[0,7],"erase_time":"2026-11-21T08:00:00.000000Z","id":2,"#,
            r#""older_than":"2025-11-21T08:00:00.000000Z","#,
            r#""remains_digest":"abababababababababababababababababababababababababababababababab","type":"deskledger.erasure.v1"}"#,
        );
        assert_eq!(String::from_utf8(record.to_bytes()).expect("text"), expected);
        assert_eq!(Record::parse(expected.as_bytes()), Ok(record));
    }

    #[test]
    fn the_fields_of_a_record_are_in_the_order_of_their_names() {
        let record = Record::of("acme", &Act::Deletion(log()), None);
        // A JSON value keeps its names sorted.
        let sorted = serde_json::to_value(&record).and_then(|value| serde_json::to_vec(&value)).expect("JSON");
        assert_eq!(record.to_bytes(), sorted);
    }

    #[test]
    fn a_record_written_in_another_way_is_refused() {
        let record = Record::of("acme", &Act::Deletion(log()), None);
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
