//! The canonical record of an erasure of old entries.

use serde::{Deserialize, Serialize};

use super::time;
use crate::domain::erasure::Erasure;
use crate::domain::random::digits;

/// What says that a record is of an erasure, and which fields it has. Another set of fields gets another number.
pub const ERASURE_V1: &str = "deskledger.erasure.v1";

/// The record of an erasure: which entries lost their records, and the digest of what stays of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureRecord {
    /// The public id of the application.
    pub application: String,
    /// `COMMAND` or `RETENTION`.
    pub cause: String,
    /// The places of the erased entries in the tree, ascending.
    pub entries: Vec<u64>,
    /// When they were erased.
    pub erase_time: String,
    /// The id of the erasure.
    pub id: i64,
    /// They are of deletions before this.
    pub older_than: String,
    /// The digest of what stays of their rows.
    pub remains_digest: String,
    /// [`ERASURE_V1`].
    #[serde(rename = "type")]
    pub kind: String,
}

impl ErasureRecord {
    /// The record of an erasure.
    #[must_use]
    pub fn new(application: &str, erasure: &Erasure) -> Self {
        Self {
            application: application.to_owned(),
            cause: erasure.cause.as_str().to_owned(),
            entries: erasure.leaf_indexes.clone(),
            erase_time: time(erasure.erase_time),
            id: erasure.id.0,
            older_than: time(erasure.older_than),
            remains_digest: digits(&erasure.remains_digest),
            kind: ERASURE_V1.to_owned(),
        }
    }
}
