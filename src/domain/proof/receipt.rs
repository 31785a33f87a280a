//! Receipts: one file, in the form of C2SP tlog-proof, that proves one act to anyone who has the log's verifier key.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::domain::proof::checkpoint;
use crate::domain::proof::entry::Opening;
use crate::domain::proof::key::VerifierKey;
use crate::domain::proof::record::Record;
use crate::domain::proof::tree::{Head, check_inclusion};
use crate::domain::proof::{Hash, ProofError};

/// The first line.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A record with all that it takes to find it in a signed tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The record, and the salt that the tree's entry hides it with.
    pub opening: Opening,
    /// The entry's place in the tree, from 0 up.
    pub index: u64,
    /// The hashes from the leaf's sibling up to the root's child.
    pub proof: Vec<Hash>,
    /// The signed head, as it was published.
    pub checkpoint: String,
}

/// What a receipt proves: the log with this head holds this record at this place.
#[derive(Debug, Clone, PartialEq)]
pub struct Proved {
    /// The record.
    pub record: Record,
    /// Its entry's place in the tree.
    pub index: u64,
    /// The head that was signed.
    pub head: Head,
}

impl Receipt {
    /// The receipt's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let extra = BASE64_STANDARD.encode(self.opening.to_bytes());
        let mut lines = vec![FIRST_LINE.to_owned(), format!("extra {extra}"), format!("index {}", self.index)];
        lines.extend(self.proof.iter().map(Hash::to_string));
        format!("{}\n\n{}", lines.join("\n"), self.checkpoint)
    }

    /// Reads a receipt's text, which has one form only.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let malformed = || ProofError::Malformed("receipt");
        // The checkpoint has an empty line, too: the first one ends the proof.
        let (proof, checkpoint) = text.split_once("\n\n").ok_or_else(malformed)?;
        let mut lines = proof.split('\n');
        let mut line = |prefix: &str| lines.next().and_then(|line| line.strip_prefix(prefix)).ok_or_else(malformed);
        if !line(FIRST_LINE)?.is_empty() {
            return Err(malformed());
        }
        let extra = BASE64_STANDARD.decode(line("extra ")?).map_err(|_| malformed())?;
        let index = line("index ")?;
        let index = index.parse().ok().filter(|number: &u64| number.to_string() == index).ok_or_else(malformed)?;
        let proof = lines.map(|line| Hash::parse_hash(line).map_err(|_| malformed())).collect::<Result<_, _>>()?;
        Ok(Self { opening: Opening::parse(&extra)?, index, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Checks all of it: record and salt make the entry, the entry is at its place in the tree, the tree's head is signed by the key, and
    /// the log is that of the record's application.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(self, key: &VerifierKey) -> Result<Proved, ProofError> {
        let head = checkpoint::open(&self.checkpoint, key)?;
        check_inclusion(&self.proof, head, self.index, self.opening.entry().leaf_hash())?;
        let record = self.opening.record;
        match key.origin().rsplit_once('/') {
            Some((_, application)) if application == record.application() => Ok(Proved { record, index: self.index, head }),
            _ => Err(ProofError::OtherLog { expected: key.origin().to_owned(), found: record.application().to_owned() }),
        }
    }
}
