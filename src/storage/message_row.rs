//! The rows of statements that answer messages, read by position and without a copy of their texts.

use chrono::{DateTime, Utc};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow, PgStatement};
use sqlx::types::Json;
use sqlx::{Decode, Execute, Executor, PgConnection, Postgres, Row, SqlStr};

use crate::domain::agent::Agent;
use crate::domain::chat_message::{ChatMessage, File, UserType};
use crate::domain::ids::{ChatMessageId, MessageId, TicketId};
use crate::error::Error;
use crate::storage::{deletion_of, from_sqlx, known, required};

/// A row of a statement whose columns are these, in this order:
///
/// `ordinal` (the place among what was asked, from 1, where the statement answers several), `version` and `message_count` (the ticket's as the
/// statement saw them, where it reads the ticket), `id`, `message_id`, `ticket_id`, `user_sendbird_id`, `user_type`, `create_time`,
/// `delete_time`, `requested_from`, `requested_by`, `message`, `data`, `files` (null where there are none, which is nearly always),
/// `external_id`. The statements that join messages to a ticket may have none: then the columns from `id` on are null.
pub(super) struct MessageRow(PgRow);

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
        let rows = connection.fetch_all(Prepared(statement)).await.map_err(from_sqlx)?;
        Ok(rows.into_iter().map(Self).collect())
    }

    pub(super) fn ordinal(&self) -> Result<Option<i64>, Error> {
        self.get(0)
    }

    pub(super) fn version(&self) -> Result<i64, Error> {
        required("version", self.get(1)?)
    }

    pub(super) fn message_count(&self) -> Result<i64, Error> {
        required("message_count", self.get(2)?)
    }

    pub(super) fn has_message(&self) -> Result<bool, Error> {
        Ok(self.get::<i64>(3)?.is_some())
    }

    pub(super) fn ids(&self) -> Result<(ChatMessageId, MessageId, TicketId), Error> {
        Ok((
            ChatMessageId(required("id", self.get(3)?)?),
            MessageId(required("message_id", self.get(4)?)?),
            TicketId(required("ticket_id", self.get(5)?)?),
        ))
    }

    pub(super) fn message(&self) -> Result<ChatMessage<&str>, Error> {
        self.message_of(TicketId(required("ticket_id", self.get(5)?)?))
    }

    /// The message of a row that leaves its ticket out.
    pub(super) fn message_of(&self, ticket_id: TicketId) -> Result<ChatMessage<&str>, Error> {
        let deletion = match self.get::<DateTime<Utc>>(9)? {
            None => None,
            time => deletion_of(time, self.get(10)?, self.get::<Json<Agent>>(11)?.map(|Json(agent)| agent))?,
        };
        Ok(ChatMessage {
            id: ChatMessageId(required("id", self.get(3)?)?),
            message_id: MessageId(required("message_id", self.get(4)?)?),
            ticket_id,
            user_sendbird_id: required("user_sendbird_id", self.get(6)?)?,
            user_type: known(&UserType::ALL, UserType::as_str, "user_type", required("user_type", self.get(7)?)?)?,
            create_time: required("create_time", self.get(8)?)?,
            deletion,
            message: required("message", self.get(12)?)?,
            data: required("data", self.get(13)?)?,
            files: self.get::<Json<Vec<File>>>(14)?.map_or_else(Vec::new, |Json(files)| files),
            external_id: self.get(15)?,
        })
    }

    pub(super) fn owned_message(&self) -> Result<ChatMessage, Error> {
        self.message().map(ChatMessage::into_owned)
    }

    /// The statements are checked when they are compiled, so that the type is not checked for each value again.
    fn get<'r, T: Decode<'r, Postgres>>(&'r self, column: usize) -> Result<Option<T>, Error> {
        self.0.try_get_unchecked(column).map_err(from_sqlx)
    }
}
