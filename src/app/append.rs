//! Storing messages at the end of their tickets: what single messages, batches and ingest have in common.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::chat_message::Stored;
use crate::domain::ids::{ApplicationKey, TicketId};
use crate::error::Error;
use crate::storage;
use crate::storage::append::Asked;

/// How many messages one statement takes. It joins what it is given by nested loops: ten times as many take a hundred times as long.
pub(super) const MAX_STATEMENT: usize = 1000;

/// Messages to store, those that repeat an external id of an earlier one set aside.
pub(super) struct Batch<'a> {
    distinct: Vec<Asked<'a>>,
    places: Vec<Place>,
}

/// What stands behind one message of a batch.
struct Place {
    /// Its place among the distinct messages.
    distinct: usize,
    /// An earlier message of the batch has the same external id.
    repeated: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn new(messages: impl Iterator<Item = Asked<'a>>) -> Self {
        let mut firsts: HashMap<(TicketId, &str), usize> = HashMap::new();
        let mut batch = Self { distinct: Vec::new(), places: Vec::new() };
        for asked in messages {
            let next = batch.distinct.len();
            let distinct = match &asked.message.external_id {
                Some(external_id) => *firsts.entry((asked.ticket_id, external_id)).or_insert(next),
                None => next,
            };
            batch.places.push(Place { distinct, repeated: distinct < next });
            if distinct == next {
                batch.distinct.push(asked);
            }
        }
        batch
    }

    /// Stores the messages and answers each in the order given.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        application: ApplicationKey,
        now: DateTime<Utc>,
    ) -> Result<Vec<Stored>, Error> {
        let stored = self.append(connection, application, now).await?;
        let answer = |(place, stored): (&Place, Option<Stored>)| {
            stored.ok_or(Error::TicketNotFound { ticket_id: self.distinct[place.distinct].ticket_id })
        };
        self.places.iter().zip(stored).map(answer).collect()
    }

    /// Stores the messages, a thousand in a statement, and answers each in the order given; `None` where there is no such ticket.
    pub(super) async fn append(
        &self,
        connection: &mut PgConnection,
        application: ApplicationKey,
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Stored>>, Error> {
        let mut stored = if self.distinct.len() <= MAX_STATEMENT {
            storage::append::append(connection, application, &self.distinct, now).await?
        } else {
            self.append_in_parts(connection, application, now).await?
        };
        // The first of each is handed out as it is, repeats are copies.
        let repeats = self.places.iter().map(|place| match place.repeated {
            true => stored[place.distinct].clone().map(|stored| Stored { duplicate: true, ..stored }),
            false => None,
        });
        let repeats: Vec<Option<Stored>> = repeats.collect();
        let answer = |(place, repeat): (&Place, Option<Stored>)| match place.repeated {
            true => repeat,
            false => stored[place.distinct].take(),
        };
        Ok(self.places.iter().zip(repeats).map(answer).collect())
    }

    /// By ticket, so that the statements together lock tickets in the one order in which each of them does.
    async fn append_in_parts(
        &self,
        connection: &mut PgConnection,
        application: ApplicationKey,
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Stored>>, Error> {
        let mut order: Vec<usize> = (0..self.distinct.len()).collect();
        order.sort_by_key(|at| self.distinct[*at].ticket_id);
        let mut stored = vec![None; self.distinct.len()];
        for part in order.chunks(MAX_STATEMENT) {
            let messages: Vec<Asked<'_>> = part.iter().map(|at| self.distinct[*at]).collect();
            let answers = storage::append::append(connection, application, &messages, now).await?;
            for (at, answer) in part.iter().zip(answers) {
                stored[*at] = answer;
            }
        }
        Ok(stored)
    }
}
