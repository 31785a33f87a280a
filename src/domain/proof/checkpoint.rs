//! Checkpoints: heads of a tree, signed, in the form of C2SP tlog-checkpoint.

use tlog_tiles::Checkpoint;

use crate::domain::proof::ProofError;
use crate::domain::proof::key::{LogKey, VerifierKey};
use crate::domain::proof::tree::Head;

/// Signs a head of an application's log. The same head always gets the same text.
///
/// # Errors
/// [`ProofError::Malformed`] for an application whose id could not be a key's name, which no application has.
pub fn sign(key: &LogKey, application: &str, head: Head) -> Result<String, ProofError> {
    let checkpoint = Checkpoint::new(&key.origin_of(application), head.size, head.root, "");
    let checkpoint = checkpoint.map_err(|_| ProofError::Malformed("checkpoint"))?;
    key.sign(application, &checkpoint.to_bytes())
}

/// Reads the head that a checkpoint is of, whoever signed it: for the service, which has it from its own database.
///
/// # Errors
/// [`ProofError::Malformed`].
pub fn head_of(checkpoint: &str) -> Result<Head, ProofError> {
    let malformed = || ProofError::Malformed("checkpoint");
    let text = checkpoint.split_inclusive("\n\n").next().and_then(|text| text.strip_suffix('\n')).ok_or_else(malformed)?;
    let checkpoint = Checkpoint::from_bytes(text.as_bytes()).map_err(|_| malformed())?;
    Ok(Head { size: checkpoint.size(), root: *checkpoint.hash() })
}

/// Reads a checkpoint that the key has signed. It has no lines but the three that it needs, and the key's name is its origin.
///
/// # Errors
/// [`ProofError::Malformed`], [`ProofError::NotSigned`], [`ProofError::OtherLog`].
pub fn open(checkpoint: &str, key: &VerifierKey) -> Result<Head, ProofError> {
    let text = key.open(checkpoint)?;
    let checkpoint = Checkpoint::from_bytes(&text).map_err(|_| ProofError::Malformed("checkpoint"))?;
    if checkpoint.origin() != key.origin() {
        return Err(ProofError::OtherLog { expected: key.origin().to_owned(), found: checkpoint.origin().to_owned() });
    }
    if !checkpoint.extension().is_empty() {
        return Err(ProofError::Malformed("checkpoint"));
    }
    Ok(Head { size: checkpoint.size(), root: *checkpoint.hash() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { size: 3, root: tlog_tiles::EMPTY_HASH };

    fn key() -> LogKey {
        LogKey::generate("desk.example.com/log").expect("an origin")
    }

    fn verifier(key: &LogKey, application: &str) -> VerifierKey {
        VerifierKey::parse(&key.verifier_key(application)).expect("a verifier key")
    }

    #[test]
    fn a_checkpoint_names_its_log_and_is_read_with_its_key_only() {
        let key = key();
        let checkpoint = sign(&key, "acme", HEAD).expect("a checkpoint");
        let lines: Vec<&str> = checkpoint.lines().collect();
        assert_eq!(lines[..4], ["desk.example.com/log/acme", "3", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", ""]);
        assert_eq!(open(&checkpoint, &verifier(&key, "acme")), Ok(HEAD));
        assert_eq!(head_of(&checkpoint), Ok(HEAD));
        for other in [verifier(&key, "zebra"), verifier(&LogKey::generate("desk.example.com/log").expect("a key"), "acme")] {
            assert_eq!(open(&checkpoint, &other), Err(ProofError::NotSigned(other.to_string())));
        }
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused_even_when_the_key_signed_it() {
        let key = key();
        let text = "desk.example.com/log/zebra\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        let checkpoint = key.sign("acme", text.as_bytes()).expect("a note");
        let refused = open(&checkpoint, &verifier(&key, "acme")).expect_err("another log");
        assert_eq!(
            refused.to_string(),
            "the checkpoint is of the log desk.example.com/log/zebra, not of desk.example.com/log/acme"
        );
    }

    #[test]
    fn the_same_head_gets_the_same_checkpoint() {
        let key = key();
        assert_eq!(sign(&key, "acme", HEAD), sign(&LogKey::parse(&key.to_text()).expect("the key"), "acme", HEAD));
    }
}
