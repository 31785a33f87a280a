//! Erasing old entries of the deletion log: their records and salts go, the entries stay.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::domain::chat_message::UserType;
use crate::domain::deletion::{DeletionReason, RequestedFrom};
use crate::domain::deletion_log::DeletionLog;
use crate::domain::ids::ErasureId;
use crate::domain::random::digits;

/// The youngest age in days at which an entry may be erased. The database keeps to it by its own clock, too.
pub const MIN_AGE_DAYS: i64 = 30;
/// The greatest age in days that may be asked for: a hundred years.
pub const MAX_AGE_DAYS: i64 = 36_500;

/// How many erasures a page has at most.
pub const MAX_PAGE_SIZE: i64 = 100;

/// What brought an erasure about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureCause {
    /// An operator's command.
    Command,
    /// The service's setting.
    Retention,
}

impl ErasureCause {
    /// All causes.
    pub const ALL: [Self; 2] = [Self::Command, Self::Retention];

    /// The name, as it is stored and logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "COMMAND",
            Self::Retention => "RETENTION",
        }
    }
}

/// Entries that were erased at once: kept for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The id.
    pub id: ErasureId,
    /// When.
    pub erase_time: DateTime<Utc>,
    /// The entries are of deletions before this.
    pub older_than: DateTime<Utc>,
    /// What brought it about.
    pub cause: ErasureCause,
    /// The places of the erased entries in the tree, ascending.
    pub leaf_indexes: Vec<u64>,
    /// The digest of what stays of their rows: SHA-256 of the [`remains`], one after the other.
    pub remains_digest: [u8; 32],
}

/// SHA-256 of the line that says what stays of an erased entry.
#[must_use]
pub fn remains(leaf_index: u64, log: &DeletionLog) -> [u8; 32] {
    let line = format!(
        "{leaf_index} {} {} {} {} {} {} {} {} {} {}",
        log.ticket_id,
        log.id,
        log.chat_message_id,
        log.message_id.0,
        UserType::as_str(log.user_type),
        log.create_time.timestamp_micros(),
        log.delete_time.timestamp_micros(),
        RequestedFrom::as_str(log.requested_from),
        log.reason.map_or("-", DeletionReason::as_str),
        digits(&log.content_digest),
    );
    Sha256::digest(line).into()
}
