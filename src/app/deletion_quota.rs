//! The quota of deletions: how many messages a token may delete in an hour, at all processes together.
//!
//! A process reserves its part of the quota in the database, about a hundredth at a time, and counts deletions against that in memory. So
//! deletions of one token do not wait for each other at a row, and share statements as before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};

use crate::app::App;
use crate::app::ingest::{Looked, Outcome};
use crate::domain::caller::Caller;
use crate::error::Error;
use crate::storage;

/// How many tokens are counted at a time; of one that is forgotten, what is reserved and not used is lost.
const CAPACITY: u64 = 10_000;
/// The most that is reserved ahead.
const MAX_AHEAD: u32 = 1000;

/// The quota of every token.
pub(super) struct DeletionQuota {
    per_hour: u32,
    tokens: moka::sync::Cache<String, Arc<Reserve>>,
}

/// What this process has reserved for a token.
#[derive(Default)]
struct Reserve {
    spare: Mutex<Spare>,
    /// One reservation at a time: those who wait find what it brought.
    reserving: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Spare {
    hour: DateTime<Utc>,
    count: u32,
}

/// Deletions that are counted. They stay so, unless they are given back.
pub(super) struct Counted {
    reserve: Arc<Reserve>,
    hour: DateTime<Utc>,
    count: u32,
}

impl DeletionQuota {
    /// A quota per hour; 0 is none.
    pub(super) fn new(per_hour: u32) -> Self {
        Self { per_hour, tokens: moka::sync::Cache::builder().max_capacity(CAPACITY).build() }
    }
}

impl App {
    /// Counts deletions of a token before they are carried out.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`]; when the database is away.
    pub(super) async fn count_deletions(&self, caller: &Caller, count: usize) -> Result<Option<Counted>, Error> {
        let per_hour = self.quota.per_hour;
        if per_hour == 0 || caller.is_upstream {
            return Ok(None);
        }
        let now = self.now();
        let hour = hour_of(now);
        let exceeded = || {
            let left = (hour + TimeDelta::hours(1) - now).to_std().unwrap_or(Duration::ZERO);
            Error::QuotaExceeded { per_hour, retry_after: left }
        };
        let count = u32::try_from(count).ok().filter(|count| *count <= per_hour).ok_or_else(exceeded)?;
        let reserve = self.quota.tokens.get_with_by_ref(&caller.token_id, Arc::default);
        let counted = Counted { reserve: reserve.clone(), hour, count };
        if reserve.take(hour, count) {
            return Ok(Some(counted));
        }
        let _turn = reserve.reserving.lock().await;
        let missing = count - reserve.take_some(hour, count);
        if missing == 0 {
            return Ok(Some(counted));
        }
        let mut connection = self.connection().await?;
        let ahead = (per_hour / 100).clamp(1, MAX_AHEAD).max(missing);
        // Near the end of the quota there is less to be had than ahead of need.
        for wanted in [ahead, missing] {
            let application = caller.application;
            if storage::deletion_quota::reserve(&mut connection, application, &caller.token_id, hour, wanted, per_hour).await? {
                reserve.add(hour, wanted - missing);
                return Ok(Some(counted));
            }
        }
        reserve.add(hour, count - missing);
        Err(exceeded())
    }
}

/// Deletions of a body that is taken in, each with the place of its event.
pub(super) struct CountedEvents(Vec<(usize, Counted)>);

impl App {
    /// Counts the deletions among events. What is beyond the quota is to be rejected, and can be replayed when there is more.
    pub(super) async fn count_ingest(&self, caller: &Caller, looked: &mut [Looked]) -> Result<CountedEvents, Error> {
        let mut counted = Vec::new();
        for (at, looked) in looked.iter_mut().enumerate() {
            if !matches!(looked, Ok(Some(incoming)) if incoming.deletion.is_some()) {
                continue;
            }
            match self.count_deletions(caller, 1).await {
                Ok(one) => counted.extend(one.map(|one| (at, one))),
                Err(error @ Error::QuotaExceeded { .. }) => *looked = Err(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(CountedEvents(counted))
    }
}

impl CountedEvents {
    /// Gives back what was not carried out.
    pub(super) fn settle(self, outcomes: &Result<Vec<Outcome>, Error>) {
        for (at, counted) in self.0 {
            match outcomes {
                Ok(outcomes) if !outcomes.get(at).is_some_and(Outcome::deletes) => counted.give_back(),
                outcomes => counted.settle(outcomes),
            }
        }
    }
}

impl Reserve {
    /// Takes from what is reserved, all or nothing.
    fn take(&self, hour: DateTime<Utc>, count: u32) -> bool {
        let mut spare = self.spare();
        let enough = spare.hour == hour && spare.count >= count;
        if enough {
            spare.count -= count;
        }
        enough
    }

    /// Takes as much as there is of what is wanted, and says how much.
    fn take_some(&self, hour: DateTime<Utc>, count: u32) -> u32 {
        let mut spare = self.spare();
        let taken = if spare.hour == hour { spare.count.min(count) } else { 0 };
        spare.count -= taken;
        taken
    }

    /// Adds to what is reserved. What is left of an hour that has passed is lost, and so is what comes for it late.
    fn add(&self, hour: DateTime<Utc>, count: u32) {
        let mut spare = self.spare();
        if spare.hour < hour {
            *spare = Spare { hour, count: 0 };
        }
        if spare.hour == hour {
            spare.count += count;
        }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Gives the deletions back, because they were not carried out.
    pub(super) fn give_back(self) {
        self.reserve.add(self.hour, self.count);
    }

    /// Gives the deletions back where the outcome says for certain that they were not carried out.
    pub(super) fn settle<T>(self, outcome: &Result<T, Error>) {
        match outcome {
            // It may have happened.
            Ok(_) | Err(Error::DatabaseUnavailable(_) | Error::DeadlineExceeded | Error::Internal(_)) => {}
            Err(_) => self.give_back(),
        }
    }
}

fn hour_of(time: DateTime<Utc>) -> DateTime<Utc> {
    time.with_minute(0).and_then(|time| time.with_second(0)).and_then(|time| time.with_nanosecond(0)).unwrap_or(time)
}
