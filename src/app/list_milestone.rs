//! Milestones: set behind the writers, when the ids below them are settled.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::app::App;
use crate::domain::list_milestone::{List, MILESTONE_ROWS};
use crate::error::Error;
use crate::storage::{self, from_sqlx};

/// How many rows one transaction passes over at most.
const ROWS_PER_TRANSACTION: i64 = 50_000;
/// How long the first wait for writers is; each one after is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// How long a wait is at most.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Keeps the milestones of one list. Any number of processes may keep the same: each finds the same milestones.
#[derive(Debug)]
pub struct MilestoneKeeper {
    list: List,
    /// The newest id when milestones were last set.
    newest_id: i64,
}

impl MilestoneKeeper {
    /// A keeper for each list.
    #[must_use]
    pub fn all() -> [Self; 2] {
        List::ALL.map(|list| Self { list, newest_id: 0 })
    }

    /// Sets the milestones of every application that are due, once as many ids as there are rows between two were given out since it last
    /// did. Waits for the writers that it meets, however long they take.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn keep(&mut self, app: &App) -> Result<(), Error> {
        let newest_id = storage::list_milestone::newest_id(&mut *app.connection().await?, self.list).await?;
        // A database that failed over may have given out fewer than were seen.
        if newest_id.abs_diff(self.newest_id) >= MILESTONE_ROWS.unsigned_abs() {
            app.set_milestones(self.list).await?;
            self.newest_id = newest_id;
        }
        Ok(())
    }
}

impl App {
    async fn set_milestones(&self, list: List) -> Result<(), Error> {
        // A connection of its own: it may wait long, and the pool may have but one.
        let mut connection = PgConnection::connect_with(&self.pool.connect_options()).await.map_err(from_sqlx)?;
        loop {
            // What is settled is so for as long as the server lives, which a transaction does not outlive. Each statement has to see what
            // was committed before it, whatever the database's default is.
            let mut transaction = connection.begin_with("begin isolation level read committed").await.map_err(from_sqlx)?;
            let settled = settled(&mut transaction, list).await?;
            // In the order of their keys, so that two keepers never wait for each other in turn.
            let applications = storage::list_milestone::due(&mut transaction, list, settled).await?;
            let mut left = ROWS_PER_TRANSACTION;
            for application in &applications {
                if left > 0 {
                    left -= storage::list_milestone::set(&mut transaction, *application, list, settled, left).await?;
                }
            }
            transaction.commit().await.map_err(from_sqlx)?;
            if left > 0 {
                break;
            }
        }
        connection.close().await.map_err(from_sqlx)
    }
}

/// Waits until no transaction runs that may yet commit an id up to the one that it answers.
///
/// An id is taken by the statement that inserts its row, which has locked the table against changes of its form before it begins; the lock
/// is held to the end of the transaction. So whoever has taken an id up to the newest and has not ended is among those who hold that lock
/// after the newest was read. A transaction's own number (xid) would not do: it may take an id before it has one.
async fn settled(connection: &mut PgConnection, list: List) -> Result<i64, Error> {
    let newest_id = storage::list_milestone::newest_id(connection, list).await?;
    let writers = storage::list_milestone::writers(connection, list).await?;
    let mut wait = FIRST_WAIT;
    while storage::list_milestone::is_any_writing(connection, list, &writers).await? {
        tokio::time::sleep(wait).await;
        wait = LONGEST_WAIT.min(wait * 2);
    }
    Ok(newest_id)
}
