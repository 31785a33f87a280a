//! Query strings, read with the tolerance that the contract asks for: unknown names are ignored, the last of several counts.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::json;
use crate::domain::text;
use crate::domain::violation::{FieldViolation, Rule};
use crate::rest::body::Object;

/// The parameters of a call, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The value of a parameter; an empty one is none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the parameter is there, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Takes the named parameters that are missing here from a JSON body.
    pub(super) fn complete_from(&mut self, object: &Object, names: &[&str]) {
        for name in names.iter().filter(|name| !self.has(name)).copied().collect::<Vec<_>>() {
            let value = match object.get(name) {
                None => continue,
                Some(Value::String(text)) => text.clone(),
                // Anything but a text or an integer is told as what it is not.
                Some(other) => json::integer(other).map_or_else(|| other.to_string(), |integer| integer.to_string()),
            };
            self.0.push((name.to_owned(), value));
        }
    }

    /// The parameters with another offset, as a query string; offset 0 is none.
    pub(super) fn with_offset(&self, offset: i64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(key, _)| key != "offset"));
        if offset > 0 {
            query.append_pair("offset", &offset.to_string());
        }
        query.finish()
    }

    /// The value of an integer parameter.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, FieldViolation> {
        // `limit=` is no integer, where a missing limit is the default.
        match self.get(name) {
            Some(value) => integer(name, value).map(Some),
            None if self.has(name) => Err(FieldViolation::new(name, Rule::Integer)),
            None => Ok(None),
        }
    }

    /// The value of a time parameter, ISO 8601 with `Z` or an offset; a space where an unencoded `+` was lost is that `+`.
    pub(super) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, FieldViolation> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let mended = match value.rsplit_once(' ') {
            Some((time, offset)) if time.contains(['T', 't']) => format!("{time}+{offset}"),
            _ => value.to_owned(),
        };
        let time = DateTime::parse_from_rfc3339(&mended).map_err(|_| FieldViolation::new(name, Rule::Timestamp))?;
        text::time(name, time.to_utc()).map(Some)
    }
}

/// Reads an integer. One that is too great to hold is still an integer: the greatest.
pub(super) fn integer(name: &str, value: &str) -> Result<i64, FieldViolation> {
    let (negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value.strip_prefix('+').unwrap_or(value)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldViolation::new(name, Rule::Integer));
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    Ok(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_digits_only_and_may_be_of_any_size() {
        assert_eq!(integer("id", "-5"), Ok(-5));
        assert_eq!(integer("id", "+5"), Ok(5));
        assert_eq!(integer("id", "99999999999999999999999"), Ok(i64::MAX));
        for wrong in ["", "-", "1.0", "0x1", "1e3", " 1", "१", "undefined"] {
            assert!(integer("id", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_may_have_lost_its_plus() {
        let expected: DateTime<Utc> = "2020-08-11T00:19:45.055635Z".parse().expect("a time");
        for query in [
            "t=2020-08-11T09:19:45.055635+09:00",
            "t=2020-08-11T09:19:45.055635%2B09:00",
            "t=2020-08-11T00:19:45.055635Z",
            "t=2020-08-10T19:19:45.055635-05:00",
        ] {
            assert_eq!(Query::parse(query).time("t"), Ok(Some(expected)), "{query}");
        }
        assert!(Query::parse("t=yesterday").time("t").is_err());
    }

    #[test]
    fn another_offset_keeps_every_other_parameter() {
        let query = Query::parse("limit=2&offset=4&next=undefined&q=a%26b");
        assert_eq!(query.with_offset(6), "limit=2&next=undefined&q=a%26b&offset=6");
        assert_eq!(query.with_offset(0), "limit=2&next=undefined&q=a%26b");
    }
}
