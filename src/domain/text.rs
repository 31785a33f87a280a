//! Bounds of texts and numbers that callers give. The database cannot keep U+0000 in a text, so that no text may hold it.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use uuid::Uuid;

use crate::domain::clock::cut_to_microseconds;
use crate::domain::ids::{MAX_JSON_INTEGER, RequestId};
use crate::domain::violation::{FieldViolation, Rule};

/// Takes a text of `min` to `max` characters. An empty text that must not be empty is a missing one.
///
/// # Errors
/// The rule that `value` breaks.
pub fn characters(field: &str, value: String, min: usize, max: usize) -> Result<String, FieldViolation> {
    if min > 0 && value.is_empty() {
        return Err(FieldViolation::new(field, Rule::Required));
    }
    // A text has at most as many characters as bytes: the count is rarely needed.
    if value.len() > max && value.chars().count() > max || min > 1 && value.chars().count() < min {
        return Err(FieldViolation::new(field, Rule::Characters { min, max }));
    }
    without_nul(field, value)
}

/// Takes a text of at most `max` bytes.
///
/// # Errors
/// The rule that `value` breaks.
pub fn bytes(field: &str, value: String, max: usize) -> Result<String, FieldViolation> {
    if value.len() > max {
        return Err(FieldViolation::new(field, Rule::Bytes { max }));
    }
    without_nul(field, value)
}

/// Takes the text of a JSON array of at most `max` bytes; empty stands for the empty array.
///
/// # Errors
/// The rule that `value` breaks.
pub fn json_array(field: &str, value: String, max: usize) -> Result<String, FieldViolation> {
    if value.is_empty() {
        return Ok("[]".to_owned());
    }
    let value = bytes(field, value, max)?;
    match serde_json::from_str::<Vec<serde_json::Value>>(&value) {
        Ok(_) => Ok(value),
        Err(_) => Err(FieldViolation::new(field, Rule::JsonArray)),
    }
}

/// Takes a number from `min` to 2^53-1.
///
/// # Errors
/// The range that `value` leaves.
pub fn json_integer(field: &str, value: i64, min: i64) -> Result<i64, FieldViolation> {
    if (min..=MAX_JSON_INTEGER).contains(&value) {
        Ok(value)
    } else {
        Err(FieldViolation::new(field, Rule::Between { min, max: MAX_JSON_INTEGER }))
    }
}

/// Reads a day, exactly YYYY-MM-DD; empty is none.
///
/// # Errors
/// [`Rule::Date`].
pub fn date(field: &str, value: &str) -> Result<Option<NaiveDate>, FieldViolation> {
    if value.is_empty() {
        return Ok(None);
    }
    let shaped = value.len() == 10
        && value.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    let day = if shaped { value.parse().ok() } else { None };
    day.map(Some).ok_or_else(|| FieldViolation::new(field, Rule::Date))
}

/// Takes a time from year 1 to 9999, the range of a protobuf timestamp.
///
/// # Errors
/// [`Rule::Timestamp`].
pub fn time(field: &str, value: DateTime<Utc>) -> Result<DateTime<Utc>, FieldViolation> {
    if (1..=9999).contains(&value.year()) {
        Ok(cut_to_microseconds(value))
    } else {
        Err(FieldViolation::new(field, Rule::Timestamp))
    }
}

/// Reads a request id; empty is none.
///
/// # Errors
/// [`Rule::Uuid`].
pub fn request_id(field: &str, value: &str) -> Result<Option<RequestId>, FieldViolation> {
    if value.is_empty() {
        return Ok(None);
    }
    // Only the hyphenated form: the braces and URNs that the parser takes too would make one id look like several.
    let hyphenated = if value.len() == 36 { Uuid::try_parse(value).ok() } else { None };
    hyphenated.map(|uuid| Some(RequestId(uuid))).ok_or_else(|| FieldViolation::new(field, Rule::Uuid))
}

fn without_nul(field: &str, value: String) -> Result<String, FieldViolation> {
    if value.contains('\0') { Err(FieldViolation::new(field, Rule::NoNul)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_ten_characters_of_a_real_day() {
        assert_eq!(date("d", "2024-02-29").unwrap(), NaiveDate::from_ymd_opt(2024, 2, 29));
        assert_eq!(date("d", "").unwrap(), None);
        for wrong in
            ["2023-02-29", "2024-2-9", "20240229", "2024-02-29T00:00", "+024-02-29", "２024-02-2", "2024/02/29", " 2024-02-2"]
        {
            assert_eq!(date("d", wrong), Err(FieldViolation::new("d", Rule::Date)), "{wrong}");
        }
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        assert!(characters("t", "ééé".to_owned(), 1, 3).is_ok());
        assert_eq!(characters("t", "éééé".to_owned(), 1, 3), Err(FieldViolation::new("t", Rule::Characters { min: 1, max: 3 })));
        assert_eq!(characters("t", String::new(), 1, 3), Err(FieldViolation::new("t", Rule::Required)));
        assert_eq!(characters("t", "a\0".to_owned(), 1, 3), Err(FieldViolation::new("t", Rule::NoNul)));
    }

    #[test]
    fn a_request_id_is_a_hyphenated_uuid() {
        assert!(request_id("r", "6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11").unwrap().is_some());
        for wrong in ["6f0f3e0c8f9d4b8e9d620b8a2f1d7c11", "{6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11}", "x"] {
            assert!(request_id("r", wrong).is_err(), "{wrong}");
        }
    }
}
