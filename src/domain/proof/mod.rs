//! What the deletion log can prove: records behind salted commitments, in a Merkle tree whose heads are signed. Pure values;
//! `docs/PROOF.md` has every format byte for byte.

pub mod act; // what records are of
pub mod checkpoint; // signed heads
pub mod entry; // commitments, what the tree holds
pub mod growth; // from acts to entries
pub mod key; // signing and verifying
pub mod receipt; // one file that proves one act
pub mod record; // what was done, as bytes
pub mod tile; // the tree in pieces
pub mod tree; // its growth, roots, proofs

/// A SHA-256 hash in the tree: of a leaf, of a node, of a root.
pub use tlog_tiles::Hash;

/// Why something proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It does not have the form it should.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// No signature of the key is on the checkpoint, or it is not good.
    #[error("the checkpoint is not signed by the key {0}")]
    NotSigned(String),
    /// The checkpoint is good and of another log.
    #[error("the checkpoint is of the log {found}, not of {expected}")]
    OtherLog {
        /// The log that the key is for.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
    /// The hashes do not lead from the entry to the root.
    #[error("the proof does not lead from the entry to the root of the signed tree")]
    NotIncluded,
    /// The hashes do not lead from the smaller tree to the greater.
    #[error("the tree of {new} entries does not begin with the tree of {old} entries")]
    NotConsistent {
        /// Entries of the smaller tree.
        old: u64,
        /// Entries of the greater tree.
        new: u64,
    },
    /// The tree has no such entry, or the greater tree is the smaller.
    #[error("the tree has {size} entries, and {asked} was asked for")]
    OutOfTree {
        /// Entries of the tree.
        size: u64,
        /// The entry, or the size, that was asked for.
        asked: u64,
    },
    /// A tile is not of the tree.
    #[error("tile {level}/{index} is not of the signed tree")]
    OtherTile {
        /// The tile's level.
        level: u8,
        /// The tile's place in its level.
        index: u64,
    },
    /// The tiles are not of the tree.
    #[error("the tiles do not make the root of the signed tree of {size} entries")]
    OtherRoot {
        /// Entries of the tree.
        size: u64,
    },
    /// A tile that is needed is not there or too short.
    #[error("tile {level}/{index} is not there, or too short")]
    TileMissing {
        /// The tile's level.
        level: u8,
        /// The tile's place in its level.
        index: u64,
    },
}
