//! The log of deletions: reading and exporting it.

use chrono::{DateTime, Datelike, NaiveDate};
use sqlx::PgConnection;

use crate::app::App;
use crate::app::log_receipt::whole;
use crate::domain::caller::Caller;
use crate::domain::deletion_log::{Choice, DayRange, DeletionLog, DeletionLogFilter, Position, Stretch};
use crate::domain::ids::{ApplicationKey, DeletionLogId, TicketId};
use crate::domain::page::{Binding, Page, PageRequest, cut_to};
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;
use crate::storage::deletion_log::place::Place;

/// How many entries a part of an export has at most.
const EXPORT_PART: i64 = 500;

/// A part of an export of the log.
#[derive(Debug)]
pub struct LogExportPart {
    /// The next entries; never empty.
    pub logs: Vec<DeletionLog>,
    /// Goes on after them.
    pub resume_token: String,
}

impl App {
    /// Reads one entry.
    ///
    /// # Errors
    /// [`Error::DeletionLogNotFound`], [`Error::DeletionLogErased`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_deletion_log(&self, caller: &Caller, ticket_id: TicketId, id: DeletionLogId) -> Result<DeletionLog, Error> {
        let mut connection = self.connection().await?;
        let found = storage::deletion_log::find(&mut connection, caller.application, ticket_id, id).await?;
        whole(found.ok_or(Error::DeletionLogNotFound { ticket_id, id })?)
    }

    /// Lists entries newest first, perhaps from a replica.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for the range of days, [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_deletion_logs(
        &self,
        caller: &Caller,
        filter: &DeletionLogFilter,
        page: &PageRequest,
    ) -> Result<Page<DeletionLog>, Error> {
        let binding = Binding::new(caller.application, "ListDeletionLogs", filter);
        let (range, after) = self.start_of(binding, filter, "page_token", page.token.as_deref())?;
        let stretch = Stretch { range, after, skip: page.skip, limit: page.size + 1 }; // one more tells whether there is a next page
        let mut reading = self.reading();
        let (total_size, mut items) = loop {
            let outcome = page_of(&mut *reading.connection().await?, caller.application, filter, stretch).await;
            if !reading.again(&outcome) {
                break outcome?;
            }
        };
        let more = cut_to(&mut items, page.size);
        Ok(Page::of(items, total_size, more, |last| token_after(binding, range, last)))
    }

    /// Reads the next part of an export of the log, newest first, perhaps from a replica; `None` at the end.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for the range of days, [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn export_deletion_logs(
        &self,
        caller: &Caller,
        filter: &DeletionLogFilter,
        resume_token: Option<&str>,
    ) -> Result<Option<LogExportPart>, Error> {
        let binding = Binding::new(caller.application, "ExportDeletionLogs", filter);
        let (range, after) = self.start_of(binding, filter, "resume_token", resume_token)?;
        let stretch = Stretch { range, after, skip: 0, limit: EXPORT_PART };
        let mut reading = self.reading();
        let logs = loop {
            let outcome = entries(&mut *reading.connection().await?, caller.application, filter, stretch).await;
            if !reading.again(&outcome) {
                break outcome?;
            }
        };
        let resume_token = logs.last().map(|last| token_after(binding, range, last));
        Ok(resume_token.map(|resume_token| LogExportPart { logs, resume_token }))
    }

    /// The range and the position of a token, or where a list without one starts. A token keeps the range of its first page, which
    /// would else move at midnight.
    fn start_of(
        &self,
        binding: Binding,
        filter: &DeletionLogFilter,
        field: &'static str,
        token: Option<&str>,
    ) -> Result<(DayRange, Position), Error> {
        let Some(token) = token else {
            let today = self.now().date_naive();
            let range = DayRange::resolve(filter.start_date, filter.end_date, today);
            let range = range.map_err(|violation| Error::InvalidFields(vec![violation]))?;
            return Ok((range, Position::start(range)));
        };
        let [start, end, delete_time, id] = binding.position(field, token)?;
        // Callers' days are of years 0 to 9999. A forged token may name any, and the database does not know them all.
        let known = |year: i32| (-1..=10_000).contains(&year);
        let day = |number: i64| i32::try_from(number).ok().and_then(NaiveDate::from_epoch_days).filter(|day| known(day.year()));
        let delete_time = DateTime::from_timestamp_micros(delete_time).filter(|time| known(time.year()));
        match (day(start), day(end), delete_time) {
            (Some(start), Some(end), Some(delete_time)) => {
                Ok((DayRange { start, end }, Position { delete_time, id: DeletionLogId(id) }))
            }
            _ => Err(Error::PageTokenInvalid { field }),
        }
    }
}

/// How many entries there are, and those of a stretch.
async fn page_of(
    connection: &mut PgConnection,
    application: ApplicationKey,
    filter: &DeletionLogFilter,
    stretch: Stretch,
) -> Result<(i64, Vec<DeletionLog>), Error> {
    let Place { total_size, stretch } = match filter.choice() {
        Choice::All => storage::deletion_log::place::find(connection, application, stretch).await?,
        Choice::OfReason(reason) => storage::deletion_log::place::find_of_reason(connection, application, reason, stretch).await?,
        Choice::Some => {
            Place { total_size: storage::deletion_log::count(connection, application, filter, stretch.range).await?, stretch }
        }
    };
    Ok((total_size, entries(connection, application, filter, stretch).await?))
}

/// The entries of a stretch, by the statement that is made for the filter.
async fn entries(
    connection: &mut PgConnection,
    application: ApplicationKey,
    filter: &DeletionLogFilter,
    stretch: Stretch,
) -> Result<Vec<DeletionLog>, Error> {
    match filter.choice() {
        Choice::All => storage::deletion_log::list_all(connection, application, stretch).await,
        Choice::OfReason(reason) => storage::deletion_log::list_of_reason(connection, application, reason, stretch).await,
        Choice::Some => storage::deletion_log::list(connection, application, filter, stretch).await,
    }
}

fn token_after(binding: Binding, range: DayRange, last: &DeletionLog) -> String {
    let (start, end) = (i64::from(range.start.to_epoch_days()), i64::from(range.end.to_epoch_days()));
    binding.token([start, end, last.delete_time.timestamp_micros(), last.id.0])
}
