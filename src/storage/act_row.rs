//! An act as the statements read it that read acts of all kinds: the columns of one kind are there, the others null.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::domain::agent::Agent;
use crate::domain::proof::act::Act;
use crate::error::Error;
use crate::storage::{deletion_log, hold, log_erasure, required};

/// An act, or the entry of one, or both.
pub(super) struct ActRow {
    pub(super) leaf_index: Option<i64>,
    pub(super) entry: Option<Vec<u8>>,
    pub(super) salt: Option<Vec<u8>>,
    pub(super) leaf_ticket_id: Option<i64>,
    pub(super) leaf_deletion_log_id: Option<i64>,
    pub(super) leaf_hold_id: Option<i64>,
    pub(super) leaf_erasure_id: Option<i64>,
    /// The deleted message is there and deleted, where the statement looks for it.
    pub(super) has_tombstone: Option<bool>,
    /// The entry of the act before it in its chain, where the statement looks for it.
    pub(super) previous: Option<Vec<u8>>,
    pub(super) id: Option<i64>,
    pub(super) ticket_id: Option<i64>,
    pub(super) chat_message_id: Option<i64>,
    pub(super) message_id: Option<i64>,
    pub(super) user_sendbird_id: Option<String>,
    pub(super) user_type: Option<String>,
    pub(super) create_time: Option<DateTime<Utc>>,
    pub(super) delete_time: Option<DateTime<Utc>>,
    pub(super) requested_from: Option<String>,
    pub(super) requested_by: Option<Json<Agent>>,
    pub(super) reason: Option<String>,
    pub(super) reason_detail: Option<String>,
    pub(super) token_id: Option<String>,
    pub(super) content_digest: Option<Vec<u8>>,
    pub(super) erase_time: Option<DateTime<Utc>>,
    pub(super) hold_id: Option<i64>,
    pub(super) hold_ticket_id: Option<i64>,
    pub(super) hold_action: Option<String>,
    pub(super) placed_id: Option<i64>,
    pub(super) hold_time: Option<DateTime<Utc>>,
    pub(super) hold_reason: Option<String>,
    pub(super) hold_requested_by: Option<Json<Agent>>,
    pub(super) hold_token_id: Option<String>,
    pub(super) erasure_id: Option<i64>,
    pub(super) erasure_time: Option<DateTime<Utc>>,
    pub(super) older_than: Option<DateTime<Utc>>,
    pub(super) cause: Option<String>,
    pub(super) leaf_indexes: Option<Vec<i64>>,
    pub(super) remains_digest: Option<Vec<u8>>,
}

impl ActRow {
    /// The act; `None` where there is no row of any kind.
    pub(super) fn act(self) -> Result<Option<Act>, Error> {
        match (self.id, self.hold_id, self.erasure_id) {
            (Some(id), _, _) => self.deletion(id).map(Some),
            (None, Some(id), _) => self.hold(id).map(Some),
            (None, None, Some(id)) => self.erasure(id).map(Some),
            (None, None, None) => Ok(None),
        }
    }

    fn deletion(self, id: i64) -> Result<Act, Error> {
        let row = deletion_log::Row {
            id,
            ticket_id: required("ticket_id", self.ticket_id)?,
            chat_message_id: required("chat_message_id", self.chat_message_id)?,
            message_id: required("message_id", self.message_id)?,
            user_sendbird_id: required("user_sendbird_id", self.user_sendbird_id)?,
            user_type: required("user_type", self.user_type)?,
            create_time: required("create_time", self.create_time)?,
            delete_time: required("delete_time", self.delete_time)?,
            requested_from: required("requested_from", self.requested_from)?,
            requested_by: self.requested_by,
            reason: self.reason,
            reason_detail: required("reason_detail", self.reason_detail)?,
            token_id: required("token_id", self.token_id)?,
            content_digest: required("content_digest", self.content_digest)?,
            erase_time: self.erase_time,
        };
        row.deletion_log().map(Act::Deletion)
    }

    fn hold(self, id: i64) -> Result<Act, Error> {
        let row = hold::Row {
            id,
            ticket_id: required("ticket_id", self.hold_ticket_id)?,
            action: required("action", self.hold_action)?,
            placed_id: self.placed_id,
            create_time: required("create_time", self.hold_time)?,
            reason: required("reason", self.hold_reason)?,
            requested_by: self.hold_requested_by,
            token_id: required("token_id", self.hold_token_id)?,
        };
        row.event().map(Act::Hold)
    }

    fn erasure(self, id: i64) -> Result<Act, Error> {
        let row = log_erasure::Row {
            id,
            erase_time: required("erase_time", self.erasure_time)?,
            older_than: required("older_than", self.older_than)?,
            cause: required("cause", self.cause)?,
            leaf_indexes: required("leaf_indexes", self.leaf_indexes)?,
            remains_digest: required("remains_digest", self.remains_digest)?,
        };
        row.erasure().map(Act::Erasure)
    }
}
