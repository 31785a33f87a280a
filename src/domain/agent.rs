//! People who work in the desk.

use serde::{Deserialize, Serialize};

use crate::domain::text;
use crate::domain::violation::{Rule, Violations};

/// An agent: who deletes, or whom a ticket is assigned to. Has an `id` or a `sendbird_id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// The agent's numeric id in the desk; 0 for none.
    pub id: i64,
    /// The name for display, at most 255 characters.
    pub display_name: String,
    /// The agent's id in the chat platform, at most 80 characters; "" for none.
    pub sendbird_id: String,
    /// The mail address, at most 255 characters.
    pub email: String,
}

impl Agent {
    /// How many bytes its texts have.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.display_name.len() + self.sendbird_id.len() + self.email.len()
    }

    /// Takes an agent as a caller gives it, `path` being the field that holds it.
    pub fn parse(path: &str, agent: Agent, violations: &mut Violations) -> Option<Self> {
        let id = violations.check(text::json_integer(&format!("{path}.id"), agent.id, 0));
        let display_name = violations.check(text::characters(&format!("{path}.display_name"), agent.display_name, 0, 255));
        let sendbird_id = violations.check(text::characters(&format!("{path}.sendbird_id"), agent.sendbird_id, 0, 80));
        let email = violations.check(text::characters(&format!("{path}.email"), agent.email, 0, 255));
        let parsed = Self { id: id?, display_name: display_name?, sendbird_id: sendbird_id?, email: email? };
        if parsed.id == 0 && parsed.sendbird_id.is_empty() {
            violations.add(format!("{path}.id"), Rule::Required);
            return None;
        }
        Some(parsed)
    }
}
