//! Entries of the tree: commitments to records. An entry says nothing about its record to those who lack the salt.

use sha2::{Digest, Sha256};

use crate::domain::proof::record::Record;
use crate::domain::proof::{Hash, ProofError};
use crate::domain::random;

/// How many bytes a salt has.
const SALT_BYTES: usize = 32;

/// What the tree holds for a record: SHA-256 of the salt and the record's canonical bytes, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(pub [u8; 32]);

impl Entry {
    /// The hash of the leaf that holds the entry, as RFC 6962 makes it.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        tlog_tiles::record_hash(&self.0)
    }
}

/// A record with the salt of its entry: what opens the commitment. Without it the entry stays in the tree, and nobody can tell of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// 32 random bytes.
    pub salt: [u8; SALT_BYTES],
    /// The record.
    pub record: Record,
}

impl Opening {
    /// Commits to a record with a salt of its own.
    #[must_use]
    pub fn of(record: Record) -> Self {
        Self { salt: random::bytes(), record }
    }

    /// The salt, then the record. The salt is always as long, so that the bytes can be read in one way only.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.salt.as_slice(), &self.record.to_bytes()].concat()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        let (salt, record) = bytes.split_first_chunk::<SALT_BYTES>().ok_or(ProofError::Malformed("salt"))?;
        Ok(Self { salt: *salt, record: Record::parse(record)? })
    }

    /// The entry that stands in the tree.
    #[must_use]
    pub fn entry(&self) -> Entry {
        Entry(Sha256::digest(self.to_bytes()).into())
    }
}
