//! What is wrong with a field of a request: the field, and the rule that it breaks.

use std::fmt;

use crate::error::Error;

/// A rule that a field can break. Rules carry their bounds, so that every text names them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the bounds that the variant's text speaks of")]
pub enum Rule {
    /// The field must be given.
    Required,
    /// The field must be an integer.
    Integer,
    /// The field must be a day, YYYY-MM-DD.
    Date,
    /// The number must lie in this range, both ends included.
    Between { min: i64, max: i64 },
    /// The number must be at least this.
    AtLeast { min: i64 },
    /// From the first day to the last is at most a year, and not less than nothing.
    DateSpan,
    /// The first day must not be after the last.
    DateOrder,
    /// The text must have this many characters.
    Characters { min: usize, max: usize },
    /// The text must not have more bytes than this.
    Bytes { max: usize },
    /// The text must not hold the character U+0000, which the database cannot keep.
    NoNul,
    /// The list must have this many items.
    Items { min: usize, max: usize },
    /// No two items of the list may be the same.
    Unique,
    /// The field must be a UUID.
    Uuid,
    /// The field must be a JSON string.
    Text,
    /// The field must be a JSON object.
    Object,
    /// The field must be one of these.
    OneOf { allowed: &'static str },
    /// The field must be a time from year 1 to 9999.
    Timestamp,
    /// The field must be a time that has come.
    Past,
    /// The field must be the text of a JSON array.
    JsonArray,
    /// The field cannot be set together with this other field.
    Excludes { other: &'static str },
    /// The mask names a path that cannot be changed; of a long one its first characters.
    Path { path: String },
}

/// A field with the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request, such as `chat_messages[3].user_type`.
    pub field: String,
    /// The rule.
    pub rule: Rule,
}

impl Rule {
    /// The rule's name for programs, in the manner of an error reason.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::Integer => "INTEGER",
            Self::Date => "DATE",
            Self::Between { .. } | Self::AtLeast { .. } => "RANGE",
            Self::DateSpan => "DATE_SPAN",
            Self::DateOrder => "DATE_ORDER",
            Self::Characters { .. } | Self::Bytes { .. } => "LENGTH",
            Self::NoNul => "NO_NUL",
            Self::Items { .. } => "ITEMS",
            Self::Unique => "UNIQUE",
            Self::Uuid => "UUID",
            Self::Text => "TEXT",
            Self::Object => "OBJECT",
            Self::OneOf { .. } => "ONE_OF",
            Self::Timestamp => "TIMESTAMP",
            Self::Past => "PAST",
            Self::JsonArray => "JSON_ARRAY",
            Self::Excludes { .. } => "EXCLUDES",
            Self::Path { .. } => "PATH",
        }
    }

    /// The values that the rule's text has beside the field, each with its name for programs.
    #[must_use]
    pub fn bounds(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Between { min, max } => vec![("min", min.to_string()), ("max", max.to_string())],
            Self::AtLeast { min } => vec![("min", min.to_string())],
            Self::Characters { min, max } | Self::Items { min, max } => vec![("min", min.to_string()), ("max", max.to_string())],
            Self::Bytes { max } => vec![("max", max.to_string())],
            Self::OneOf { allowed } => vec![("allowed", (*allowed).to_owned())],
            Self::Excludes { other } => vec![("other", (*other).to_owned())],
            Self::Path { path } => vec![("path", path.clone())],
            Self::Required
            | Self::Integer
            | Self::Date
            | Self::DateSpan
            | Self::DateOrder
            | Self::NoNul
            | Self::Unique
            | Self::Uuid
            | Self::Text
            | Self::Object
            | Self::Timestamp
            | Self::Past
            | Self::JsonArray => vec![],
        }
    }

    /// The code that clients of the REST API know.
    #[must_use]
    pub fn legacy_code(&self) -> &'static str {
        match self {
            Self::Required => "deskp400105",
            Self::Integer
            | Self::Date
            | Self::Uuid
            | Self::Text
            | Self::Object
            | Self::OneOf { .. }
            | Self::Timestamp
            | Self::JsonArray => "deskp400111",
            Self::Past
            | Self::Between { .. }
            | Self::AtLeast { .. }
            | Self::DateSpan
            | Self::DateOrder
            | Self::Characters { .. }
            | Self::Bytes { .. }
            | Self::NoNul
            | Self::Items { .. }
            | Self::Unique
            | Self::Excludes { .. }
            | Self::Path { .. } => "deskp400113",
        }
    }
}

impl FieldViolation {
    /// Names the field and the rule.
    pub fn new(field: impl Into<String>, rule: Rule) -> Self {
        Self { field: field.into(), rule }
    }
}

impl fmt::Display for FieldViolation {
    /// The text for people. The first six are those of the REST API (`docs/API.md`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.rule {
            Rule::Required => write!(f, "The {field} parameter is required."),
            Rule::Integer => write!(f, "The value of {field} should be integer."),
            Rule::Date => write!(f, "The value of {field} should be YYYY-MM-DD."),
            Rule::Between { min, max } => write!(f, "The value of {field} should be between {min} to {max}."),
            Rule::AtLeast { min } => write!(f, "The value of {field} should be {min} or greater."),
            Rule::DateSpan => write!(f, "The date range should be within 1 year."),
            Rule::DateOrder => write!(f, "The value of {field} should not be before the start of the range."),
            Rule::Characters { min: 0, max } => write!(f, "The value of {field} should have at most {max} characters."),
            Rule::Characters { min, max } => write!(f, "The value of {field} should have {min} to {max} characters."),
            Rule::Bytes { max } => write!(f, "The value of {field} should have at most {max} bytes."),
            Rule::NoNul => write!(f, "The value of {field} should not hold the character U+0000."),
            Rule::Items { min, max } => write!(f, "The list {field} should have {min} to {max} items."),
            Rule::Unique => write!(f, "The items of {field} should differ from each other."),
            Rule::Uuid => write!(f, "The value of {field} should be a UUID."),
            Rule::Text => write!(f, "The value of {field} should be string."),
            Rule::Object => write!(f, "The value of {field} should be a JSON object."),
            Rule::OneOf { allowed } => write!(f, "The value of {field} should be one of {allowed}."),
            Rule::Timestamp => write!(f, "The value of {field} should be a time from year 1 to 9999."),
            Rule::Past => write!(f, "The value of {field} should not be in the future."),
            Rule::JsonArray => write!(f, "The value of {field} should be the text of a JSON array."),
            Rule::Excludes { other } => write!(f, "The {field} parameter cannot be given together with {other}."),
            Rule::Path { path } => write!(f, "The path {path} in {field} is not one that can be changed."),
        }
    }
}

/// How many violations of a request are told. An error travels in headers, which have room for a few thousand bytes only: clients
/// give up the whole connection where there is more.
pub const MAX_TOLD: usize = 10;
/// How many characters of a caller's own text are told.
pub const MAX_ECHO: usize = 40;

/// Collects the violations of a request, so that its caller learns of the first [`MAX_TOLD`] at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Adds a violation.
    pub fn add(&mut self, field: impl Into<String>, rule: Rule) {
        self.0.push(FieldViolation::new(field, rule));
    }

    /// Whether a violation of this field was added.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|violation| violation.field == field)
    }

    /// Keeps the value, or the violation and `None`.
    pub fn check<T>(&mut self, parsed: Result<T, FieldViolation>) -> Option<T> {
        parsed.map_err(|violation| self.0.push(violation)).ok()
    }

    /// Answers what was parsed when there was no violation.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with the first [`MAX_TOLD`] violations found.
    pub fn finish<T>(self, parsed: Option<T>) -> Result<T, Error> {
        self.settle(parsed).map_err(Error::InvalidFields)
    }

    /// Answers what was parsed when there was no violation.
    ///
    /// # Errors
    /// The first [`MAX_TOLD`] violations found.
    pub fn settle<T>(mut self, parsed: Option<T>) -> Result<T, Vec<FieldViolation>> {
        match parsed {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => {
                self.0.truncate(MAX_TOLD);
                Err(self.0)
            }
        }
    }
}
