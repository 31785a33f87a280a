//! How long deletions wait until the log's tree has them: a poll of the tree's size beside the load, and afterwards the entries themselves.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use deskledger::domain::clock::{Clock, SystemClock};
use hdrhistogram::Histogram;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

/// How exactly delays are known.
const TICK: Duration = Duration::from_millis(10);
/// How long the last deletions may wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Delays are counted up to this, in microseconds, to three digits.
const LONGEST_US: u64 = 120_000_000;

/// The sizes that a tree was seen to have, and when.
pub struct Watch {
    connection: PgConnection,
    application_key: i32,
    first: i64,
    seen: Vec<(i64, DateTime<Utc>)>,
}

impl Watch {
    /// Begins when nothing waits any more.
    pub async fn begin(connection: PgConnection, application_key: i32) -> anyhow::Result<Self> {
        let mut watch = Self { connection, application_key, first: 0, seen: Vec::new() };
        watch.nothing_waits().await?;
        watch.first = watch.size().await?;
        Ok(watch)
    }

    /// Looks again and again while the load runs.
    pub async fn during<T>(&mut self, load: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let ended = Cell::new(false);
        let look = async {
            while !ended.get() {
                self.look().await?;
                sleep(TICK).await;
            }
            anyhow::Ok(())
        };
        let load = async {
            let outcome = load.await;
            ended.set(true);
            outcome
        };
        let (looked, outcome) = tokio::join!(look, load);
        looked?;
        outcome
    }

    /// The delays of all deletions since the beginning, from the time that their log rows tell to the first look that saw them in the tree, in
    /// microseconds.
    pub async fn delays(mut self) -> anyhow::Result<Histogram<u64>> {
        self.nothing_waits().await?;
        self.look().await?;
        let entries: Vec<(i64, DateTime<Utc>)> = sqlx::query_as(
            "select leaf.leaf_index, l.delete_time
            from log_leaves leaf
            join deletion_logs l on l.application_key = $1 and l.ticket_id = leaf.ticket_id and l.id = leaf.deletion_log_id
            where leaf.application_key = $1 and leaf.leaf_index >= $2
            order by leaf.leaf_index",
        )
        .bind(self.application_key)
        .bind(self.first)
        .fetch_all(&mut self.connection)
        .await?;
        let mut delays = Histogram::new_with_bounds(1, LONGEST_US, 3)?;
        let mut seen = self.seen.iter().peekable();
        for (index, deleted) in entries {
            while seen.next_if(|(size, _)| *size <= index).is_some() {}
            let (_, merged) = seen.peek().context("an entry was never seen in the tree")?;
            let delay = (*merged - deleted).num_microseconds().context("a delay is out of bounds")?;
            delays.saturating_record(u64::try_from(delay.max(1))?);
        }
        Ok(delays)
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let size = self.size().await?;
        if self.seen.last().is_none_or(|(last, _)| *last < size) {
            self.seen.push((size, SystemClock.now()));
        }
        Ok(())
    }

    async fn size(&mut self) -> anyhow::Result<i64> {
        let size = sqlx::query_scalar("select size from log_heads where application_key = $1").bind(self.application_key);
        Ok(size.fetch_one(&mut self.connection).await?)
    }

    async fn nothing_waits(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while sqlx::query_scalar("select exists (select from pending_leaves)").fetch_one(&mut self.connection).await? {
            ensure!(begin.elapsed() < PATIENCE, "deletions still wait for the log's tree after {} s", PATIENCE.as_secs());
            sleep(TICK).await;
        }
        Ok(())
    }
}
