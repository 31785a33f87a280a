//! The rows of statements that answer messages, read by position and without a copy of their texts.

use std::fmt::Debug;
use std::future::ready;

use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt};
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow, PgStatement};
use sqlx::types::Json;
use sqlx::{Execute, Executor, PgConnection, Postgres, Row, SqlStr, ValueRef};

use crate::domain::chat_message::{ChatMessage, UserType};
use crate::domain::ids::{ChatMessageId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::{Inconsistent, deletion_of, from_sqlx, known, required};

/// A row of a statement whose columns are these, in this order:
///
/// `id`, `message_id`, `ticket_id`, `user_sendbird_id`, `user_type`, `create_time`, `delete_time`, `requested_from`, `requested_by`, `message`,
/// `data`, `files` (null where there are none, which is nearly always), `external_id`, and one more, which is the statement's own. The
/// statements that join messages to a ticket may have none: then these are null.
pub(super) struct MessageRow(PgRow);

/// Where the statement's own column is.
const OWN: usize = 13;
/// The database counts microseconds from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A statement that stays prepared on its connection. What the checked macros make is taken for one that is run once, when its rows are read as
/// they are: sqlx asks it whether it has arguments after it has taken them.
struct Prepared<S>(S);

impl<'q, S: Execute<'q, Postgres>> Execute<'q, Postgres> for Prepared<S> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        true
    }
}

impl MessageRow {
    /// Runs a statement and takes its rows.
    pub(super) async fn fetch_all<'q>(
        connection: &mut PgConnection,
        statement: impl Execute<'q, Postgres> + 'q,
    ) -> Result<Vec<Self>, Error> {
        Self::fetch(connection, statement).try_collect().await
    }

    /// Runs a statement and takes its rows one by one.
    pub(super) fn fetch<'c, 'q: 'c>(
        connection: &'c mut PgConnection,
        statement: impl Execute<'q, Postgres> + 'q,
    ) -> impl Stream<Item = Result<Self, Error>> + Unpin + 'c {
        let steps = connection.fetch_many(Prepared(statement));
        steps.map_err(from_sqlx).try_filter_map(|step| ready(Ok(step.right().map(Self))))
    }

    /// The statement's own column as the place among what was asked, from 1.
    pub(super) fn ordinal(&self) -> Result<i64, Error> {
        required("ordinal", self.integer(OWN)?)
    }

    /// The statement's own column as the ticket's count of messages.
    pub(super) fn message_count(&self) -> Result<i64, Error> {
        required("message_count", self.integer(OWN)?)
    }

    /// The statement's own column as what a page's first row says: its place among those asked, its ticket's version and count of messages.
    pub(super) fn page(&self) -> Result<Option<[i64; 3]>, Error> {
        if self.bytes(OWN)?.is_none() {
            return Ok(None);
        }
        let numbers: Vec<i64> = self.0.try_get_unchecked(OWN).map_err(from_sqlx)?;
        numbers.try_into().map(Some).map_err(|numbers| unexpected("page", &numbers))
    }

    pub(super) fn has_message(&self) -> Result<bool, Error> {
        Ok(self.bytes(0)?.is_some())
    }

    pub(super) fn ids(&self) -> Result<(ChatMessageId, MessageId, TicketId), Error> {
        Ok((
            ChatMessageId(required("id", self.integer(0)?)?),
            MessageId(required("message_id", self.integer(1)?)?),
            TicketId(required("ticket_id", self.integer(2)?)?),
        ))
    }

    pub(super) fn message(&self) -> Result<ChatMessage<&str>, Error> {
        self.message_of(TicketId(required("ticket_id", self.integer(2)?)?))
    }

    /// The message of a row that leaves its ticket out.
    pub(super) fn message_of(&self, ticket_id: TicketId) -> Result<ChatMessage<&str>, Error> {
        let deletion = match self.time(6)? {
            None => None,
            time => deletion_of(time, self.text(7)?, self.json(8)?)?,
        };
        Ok(ChatMessage {
            id: ChatMessageId(required("id", self.integer(0)?)?),
            message_id: MessageId(required("message_id", self.integer(1)?)?),
            ticket_id,
            user_sendbird_id: required("user_sendbird_id", self.text(3)?)?,
            user_type: known(&UserType::ALL, UserType::as_str, "user_type", required("user_type", self.text(4)?)?)?,
            create_time: required("create_time", self.time(5)?)?,
            deletion,
            message: required("message", self.text(9)?)?,
            data: required("data", self.text(10)?)?,
            files: self.json(11)?.unwrap_or_default(),
            external_id: self.text(12)?,
        })
    }

    pub(super) fn owned_message(&self) -> Result<ChatMessage, Error> {
        self.message().map(ChatMessage::into_owned)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, Error> {
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).map_err(|_| unexpected("integer", bytes));
        self.bytes(column)?.map(number).transpose()
    }

    fn time(&self, column: usize) -> Result<Option<DateTime<Utc>>, Error> {
        let time = |micros: i64| {
            let time = micros.checked_add(EPOCH_MICROS).and_then(DateTime::from_timestamp_micros);
            time.ok_or_else(|| unexpected("time", micros))
        };
        self.integer(column)?.map(time).transpose()
    }

    fn text(&self, column: usize) -> Result<Option<&str>, Error> {
        self.bytes(column)?.map(|bytes| str::from_utf8(bytes).map_err(Error::internal)).transpose()
    }

    fn json<T: DeserializeOwned + 'static>(&self, column: usize) -> Result<Option<T>, Error> {
        if self.bytes(column)?.is_none() {
            return Ok(None);
        }
        let Json(value) = self.0.try_get_unchecked(column).map_err(from_sqlx)?;
        Ok(Some(value))
    }

    /// A value as it came, in PostgreSQL's binary form: its integers and texts need no decoder, which would take longer than all the rest.
    /// The statements are checked when they are compiled, so that types are not checked again.
    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        match self.0.try_get_raw(column) {
            Ok(value) if value.is_null() => Ok(None),
            Ok(value) => value.as_bytes().map(Some).map_err(Error::internal),
            Err(error) => Err(from_sqlx(error)),
        }
    }
}

fn unexpected(column: &'static str, value: impl Debug) -> Error {
    Error::internal(Inconsistent { column, value: format!("{value:?}") })
}
