//! Erasing old entries of the deletion log, at an operator's command or by the service's setting, and the list of what was erased.

use chrono::TimeDelta;

use crate::app::App;
use crate::app::retry::Retry;
use crate::domain::caller::Caller;
use crate::domain::erasure::{Erasure, ErasureCause};
use crate::domain::ids::{ApplicationKey, ErasureId};
use crate::domain::page::{Binding, Page, PageRequest, cut_to};
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;

/// How many entries one statement looks at. It locks their tickets.
const BATCH: i32 = 500;

impl App {
    /// Erases the entries of an application's deletions that are older than an age, and says how many. Each statement's entries are an
    /// erasure of their own, which becomes an entry itself. What is in a ticket under a legal hold stays until a later run.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn erase_log(&self, application: ApplicationKey, age: TimeDelta, cause: ErasureCause) -> Result<u64, Error> {
        let now = self.now();
        let (mut erased, mut after) = (0, None);
        loop {
            let mut retry = Retry::new();
            let step = loop {
                let mut connection = self.connection().await?;
                let step = storage::log_erasure::erase(&mut connection, application, now - age, now, cause, after, BATCH).await;
                drop(connection);
                if !retry.again(&step).await {
                    break step?;
                }
            };
            erased += step.count;
            if step.last.is_none() {
                return Ok(erased);
            }
            after = step.last;
        }
    }

    /// Lists the erasures of old entries of the caller's log, oldest first.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_erasures(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Erasure>, Error> {
        let binding = Binding::new(caller.application, "ListErasures", &());
        let after = page.after(binding)?;
        let mut connection = self.connection().await?;
        let asked = page.size + 1; // one more tells whether there is a next page
        let mut items = storage::log_erasure::list(&mut connection, caller.application, ErasureId(after), asked).await?;
        let more = cut_to(&mut items, page.size);
        Ok(Page::of(items, 0, more, |last| binding.token([last.id.0])))
    }

    /// Erases the entries of all applications' deletions whose retention has passed, and says how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn retain_logs(&self, retention: TimeDelta) -> Result<u64, Error> {
        let mut erased = 0;
        for application in self.list_applications().await? {
            erased += self.erase_log(application.key, retention, ErasureCause::Retention).await?;
        }
        Ok(erased)
    }
}
