//! What is kept of an event that cannot be stored.

use serde_json::{Map, Value};

use super::{external_id, id_of, is_deleted};

/// The keys of a message that say nothing of its content.
const KEYS_WITHOUT_CONTENT: [&str; 11] =
    ["id", "channel", "contactId", "userId", "state", "createdAt", "createdBy", "updatedAt", "updatedBy", "deletedAt", "deletedBy"];

/// What is kept of an event that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// The event as it came; of a message that is deleted where it comes from, no content.
    pub event: String,
    /// What the message is known by, where that can be read.
    pub external_id: Option<String>,
}

impl Remains {
    /// Takes from an event what may be kept.
    #[must_use]
    pub fn of(event: &str) -> Self {
        let as_it_came = || event.to_owned();
        let Ok(Value::Object(mut json)) = serde_json::from_str(event) else {
            return Self { event: as_it_came(), external_id: None };
        };
        let data = json.get("data").and_then(Value::as_str).map(serde_json::from_str);
        let (external_id, erased) = if let Some(Ok(Value::Object(mut data))) = data {
            let found = (own_external_id(&data), erase(&mut data));
            json.insert("data".to_owned(), Value::Object(data).to_string().into());
            found
        } else {
            (own_external_id(&json), erase(&mut json))
        };
        Self { event: if erased { Value::Object(json).to_string() } else { as_it_came() }, external_id }
    }
}

fn own_external_id(json: &Map<String, Value>) -> Option<String> {
    let message = json.get("conversationmessage").and_then(Value::as_object).unwrap_or(json);
    let id = id_of("id", message.get("id")).ok().filter(|id| *id > 0);
    id.map(external_id)
}

/// Takes the content out of a message that is deleted where it comes from, and says whether it is.
fn erase(json: &mut Map<String, Value>) -> bool {
    if let Some(Value::Object(message)) = json.get_mut("conversationmessage") {
        return erase(message);
    }
    let is_deleted = is_deleted(json.get("state")) == Ok(true);
    if is_deleted {
        json.retain(|key, _| KEYS_WITHOUT_CONTENT.contains(&key.as_str()));
    }
    is_deleted
}
