//! The log of deletions: its entries and the choice among them.

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, Utc};
use serde::Serialize;

use crate::domain::agent::Agent;
use crate::domain::chat_message::UserType;
use crate::domain::deletion::{DeletionReason, RequestedFrom};
use crate::domain::ids::{ChatMessageId, DeletionLogId, MessageId, TicketId};
use crate::domain::violation::{FieldViolation, Rule};

/// How many entries a page has at most.
pub const MAX_PAGE_SIZE: i64 = 100;

/// The record of one deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionLog {
    /// The id.
    pub id: DeletionLogId,
    /// The ticket of the deleted message.
    pub ticket_id: TicketId,
    /// The deleted message's id.
    pub chat_message_id: ChatMessageId,
    /// The deleted message's number in its ticket.
    pub message_id: MessageId,
    /// Who sent it.
    pub user_sendbird_id: String,
    /// What kind of user sent it.
    pub user_type: UserType,
    /// When it was sent.
    pub create_time: DateTime<Utc>,
    /// When it was deleted.
    pub delete_time: DateTime<Utc>,
    /// How deletion was requested.
    pub requested_from: RequestedFrom,
    /// Who requested it.
    pub requested_by: Option<Agent>,
    /// Why, from a list.
    pub reason: Option<DeletionReason>,
    /// Why, in words.
    pub reason_detail: String,
    /// The token that made the call.
    pub token_id: String,
    /// The salted commitment to the erased content.
    pub content_digest: Vec<u8>,
    /// When what is personal here, and the salts, were erased; `None` for an entry that is whole.
    pub erase_time: Option<DateTime<Utc>>,
}

/// Chooses entries; all given conditions must hold.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DeletionLogFilter {
    /// The first UTC day.
    pub start_date: Option<NaiveDate>,
    /// The last UTC day, included.
    pub end_date: Option<NaiveDate>,
    /// Deletions in this ticket.
    pub ticket_id: Option<TicketId>,
    /// Requested by the agent with this numeric id.
    pub requested_by_id: Option<i64>,
    /// Requested by the agent with this id in the chat platform.
    pub requested_by_sendbird_id: Option<String>,
    /// Requested from there.
    pub requested_from: Option<RequestedFrom>,
    /// For this reason.
    pub reason: Option<DeletionReason>,
}

/// Which entries of its range a filter chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// All.
    All,
    /// Those of one reason.
    OfReason(DeletionReason),
    /// Those that meet some other condition, or several.
    Some,
}

impl DeletionLogFilter {
    /// Which entries of its range it chooses.
    #[must_use]
    pub fn choice(&self) -> Choice {
        let Self { start_date: _, end_date: _, ticket_id, requested_by_id, requested_by_sendbird_id, requested_from, reason } =
            self;
        let others =
            ticket_id.is_some() || requested_by_id.is_some() || requested_by_sendbird_id.is_some() || requested_from.is_some();
        match (others, reason) {
            (true, _) => Choice::Some,
            (false, Some(reason)) => Choice::OfReason(*reason),
            (false, None) => Choice::All,
        }
    }
}

/// A range of UTC days, both ends included, at most a year long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub start: NaiveDate,
    /// The last day.
    pub end: NaiveDate,
}

impl DayRange {
    /// Fills in the defaults, 30 days up to today, and checks the length.
    ///
    /// # Errors
    /// [`Rule::DateSpan`] when the range is longer than a year or negative.
    pub fn resolve(start: Option<NaiveDate>, end: Option<NaiveDate>, today: NaiveDate) -> Result<Self, FieldViolation> {
        let too_long = || FieldViolation::new("filter.start_date", Rule::DateSpan);
        let end = end.unwrap_or(today);
        let start = start.or_else(|| end.checked_sub_days(Days::new(30))).ok_or_else(too_long)?;
        let year_later = start.checked_add_months(Months::new(12)).ok_or_else(too_long)?;
        if start > end || end > year_later { Err(too_long()) } else { Ok(Self { start, end }) }
    }

    /// The first instant in the range.
    #[must_use]
    pub fn from(self) -> DateTime<Utc> {
        start_of_day(self.start)
    }

    /// The first instant after the range.
    #[must_use]
    pub fn until(self) -> DateTime<Utc> {
        start_of_next_day(self.end)
    }
}

/// The first instant of a UTC day.
#[must_use]
pub fn start_of_day(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The first instant after a UTC day.
#[must_use]
pub fn start_of_next_day(day: NaiveDate) -> DateTime<Utc> {
    start_of_day(day.succ_opt().unwrap_or(day))
}

/// Where a page of the log ends: the next one goes on with older entries, of the same instant with lower ids.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The last entry's time.
    pub delete_time: DateTime<Utc>,
    /// The last entry's id.
    pub id: DeletionLogId,
}

impl Position {
    /// Before the newest entry of a range: nothing at its end has an id below 1.
    #[must_use]
    pub fn start(range: DayRange) -> Self {
        Self { delete_time: range.until(), id: DeletionLogId(0) }
    }
}

/// A stretch of the log: of the entries in a range of days that are older than a position, all but the newest `skip`, and at most `limit`.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// The days.
    pub range: DayRange,
    /// The position; [`Position::start`] is where a list begins.
    pub after: Position,
    /// How many are passed over.
    pub skip: i64,
    /// How many there are at most.
    pub limit: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn the_range_defaults_to_the_thirty_days_before_its_end() {
        let today = day("2026-03-15");
        let range = DayRange::resolve(None, None, today).expect("the default");
        assert_eq!(range, DayRange { start: day("2026-02-13"), end: today });
        let range = DayRange::resolve(None, Some(day("2025-01-31")), today).expect("an end only");
        assert_eq!(range, DayRange { start: day("2025-01-01"), end: day("2025-01-31") });
    }

    #[test]
    fn the_range_is_at_most_a_year_and_never_negative() {
        let today = day("2026-03-15");
        let resolve = |start, end| DayRange::resolve(Some(day(start)), Some(day(end)), today);
        assert!(resolve("2025-03-15", "2026-03-15").is_ok());
        assert!(resolve("2025-03-14", "2026-03-15").is_err());
        assert!(resolve("2024-02-29", "2025-02-28").is_ok());
        assert!(resolve("2024-02-29", "2025-03-01").is_err());
        assert!(resolve("2026-03-15", "2026-03-15").is_ok());
        assert!(resolve("2026-03-16", "2026-03-15").is_err());
        assert!(DayRange::resolve(Some(day("2026-03-16")), None, today).is_err(), "a start after today, no end");
    }
}
