//! JSON bodies: objects whose keys differ, read key by key, so that an error names the key. Content types are not looked at: known clients
//! send odd ones.

use serde_json::{Map, Value};

use crate::domain::json::{Strict, integer};
use crate::domain::violation::{FieldViolation, Rule};
use crate::error::Error;

/// A JSON object, and where in the body it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    /// What stands before the name of a key in errors, such as `customer.`.
    path: String,
    entries: Map<String, Value>,
}

impl Object {
    /// Reads a body; an empty one is an empty object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Strict(Value::Object(entries))) => Ok(Self { path: String::new(), entries }),
            _ => Err(Error::InvalidFields(vec![FieldViolation::new("body", Rule::Object)])),
        }
    }

    /// The value of a key; null is none.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, null or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, FieldViolation> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.violation(key, Rule::Text)),
        }
    }

    /// The integer of a key.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, FieldViolation> {
        let Some(value) = self.get(key) else { return Ok(None) };
        integer(value).map(Some).ok_or_else(|| self.violation(key, Rule::Integer))
    }

    /// The object of a key.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, FieldViolation> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(entries)) => Ok(Some(Self { path: format!("{}{key}.", self.path), entries: entries.clone() })),
            Some(_) => Err(self.violation(key, Rule::Object)),
        }
    }

    fn violation(&self, key: &str, rule: Rule) -> FieldViolation {
        FieldViolation::new(format!("{}{key}", self.path), rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_whose_keys_differ() {
        assert!(!Object::parse(b"").expect("empty").has("a"));
        assert_eq!(Object::parse(br#"{"a": 1}"#).expect("an object").integer("a"), Ok(Some(1)));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for wrong in ["[]", "1", "{", r#"{"a":1,"a":2}"#, r#"{"x":{"a":1,"a":2}}"#, "{\"a\":\"\u{1}\"}", r#"{"a":1e999}"#, &deep] {
            assert!(Object::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn an_error_names_the_whole_path_of_a_key() {
        let body = Object::parse(br#"{"customer": {"id": "7"}}"#).expect("an object");
        let customer = body.object("customer").expect("an object").expect("there");
        assert_eq!(customer.integer("id"), Err(FieldViolation::new("customer.id", Rule::Integer)));
    }
}
