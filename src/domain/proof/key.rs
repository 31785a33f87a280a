//! The key that signs the heads of the trees, in the text form of C2SP signed-note: one key, and a name for each application's log.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::SigningKey;
use signed_note::{Note, StandardSigner, StandardVerifier, Verifier, VerifierList};

use crate::domain::proof::ProofError;
use crate::domain::random;

/// The signature algorithm's number in a key: Ed25519.
const ED25519: u8 = 1;
/// How many characters the origin of a key has at most.
const MAX_ORIGIN_CHARACTERS: usize = 200;

/// The private key of a deployment. Its origin is what the origins of the applications' logs begin with.
#[derive(Clone)]
pub struct LogKey {
    origin: String,
    key: SigningKey,
}

impl LogKey {
    /// Makes a key by chance.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] when the origin is none.
    pub fn generate(origin: &str) -> Result<Self, ProofError> {
        Ok(Self { origin: parse_origin(origin)?, key: SigningKey::from_bytes(&random::bytes()) })
    }

    /// Reads a key's text, `PRIVATE+KEY+<origin>+<id>+<key>`; white space at its end is passed over.
    ///
    /// # Errors
    /// [`ProofError::Malformed`]; the text is not in the error.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed("private key");
        let text = text.trim_end();
        // The library checks all of it, the id against the key too; it does not give the key away.
        StandardSigner::new(text).map_err(|_| malformed.clone())?;
        let mut parts = text.splitn(5, '+').skip(2);
        let (Some(origin), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(malformed) };
        let key = BASE64_STANDARD.decode(key).map_err(|_| malformed.clone())?;
        let key = key.get(1..).and_then(|key| key.try_into().ok()).ok_or(malformed)?;
        Ok(Self { origin: parse_origin(origin)?, key })
    }

    /// The key's text: a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.private_key(&self.origin)
    }

    /// What people and databases tell keys apart by: the origin and the id.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}+{:08x}", self.origin, signed_note::key_id(&self.origin, &self.public_key()))
    }

    /// The origin of the deployment.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The origin of an application's log: its checkpoints' first line and its key's name.
    #[must_use]
    pub fn origin_of(&self, application: &str) -> String {
        format!("{}/{application}", self.origin)
    }

    /// What verifies the checkpoints of an application's log: `<origin>+<id>+<key>`.
    #[must_use]
    pub fn verifier_key(&self, application: &str) -> String {
        signed_note::new_ed25519_verifier_key(&self.origin_of(application), &self.key.verifying_key())
    }

    /// Signs a text as an application's log.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] when the text cannot be one of a note.
    pub(super) fn sign(&self, application: &str, text: &[u8]) -> Result<String, ProofError> {
        let malformed = || ProofError::Malformed("note");
        let signer = StandardSigner::new(&self.private_key(&self.origin_of(application))).map_err(|_| malformed())?;
        let mut note = Note::new(text, &[]).map_err(|_| malformed())?;
        note.add_sigs(&[&signer]).map_err(|_| malformed())?;
        String::from_utf8(note.to_bytes()).map_err(|_| malformed())
    }

    fn public_key(&self) -> Vec<u8> {
        [&[ED25519], self.key.verifying_key().as_bytes().as_slice()].concat()
    }

    fn private_key(&self, name: &str) -> String {
        let private = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        format!("PRIVATE+KEY+{name}+{:08x}+{}", signed_note::key_id(name, &self.public_key()), BASE64_STANDARD.encode(private))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogKey").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What verifies the checkpoints of one log.
#[derive(Clone)]
pub struct VerifierKey(StandardVerifier);

impl VerifierKey {
    /// Reads a verifier key's text, `<origin>+<id>+<key>`.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        StandardVerifier::new(text.trim()).map(Self).map_err(|_| ProofError::Malformed("verifier key"))
    }

    /// The origin of the log that the key is for.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.name()
    }

    /// Reads a note that the key has signed, and answers its text.
    ///
    /// # Errors
    /// [`ProofError::Malformed`], [`ProofError::NotSigned`].
    pub(super) fn open(&self, note: &str) -> Result<Vec<u8>, ProofError> {
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| ProofError::Malformed("checkpoint"))?;
        note.verify(&VerifierList::new(vec![Box::new(self.0.clone())])).map_err(|_| ProofError::NotSigned(self.to_string()))?;
        Ok(note.text().to_vec())
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// The name and the id, as people tell keys apart.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}", self.0.name(), self.0.key_id())
    }
}

/// Takes an origin: what may be a key's name, like a URL without scheme and without a slash at its end.
fn parse_origin(origin: &str) -> Result<String, ProofError> {
    let plain = origin.chars().all(|letter| !letter.is_control()) && origin.chars().count() <= MAX_ORIGIN_CHARACTERS;
    if plain && signed_note::is_key_name_valid(origin) && !origin.ends_with('/') {
        Ok(origin.to_owned())
    } else {
        Err(ProofError::Malformed("origin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text() {
        let key = LogKey::generate("desk.example.com/log").expect("an origin");
        let again = LogKey::parse(&format!("{}\n", key.to_text())).expect("the key");
        assert_eq!(again.to_text(), key.to_text());
        assert_eq!(again.verifier_key("acme"), key.verifier_key("acme"));
        assert!(key.verifier_key("acme").starts_with("desk.example.com/log/acme+"));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let text = LogKey::generate("desk.example.com/log").expect("an origin").to_text();
        let others = [
            String::new(),
            text[1..].to_owned(),
            text[..text.len() - 4].to_owned(),
            text.replace("example", "exampel"),
            text.replace("PRIVATE+KEY+", ""),
        ];
        for other in others {
            let refused = LogKey::parse(&other).expect_err("no key");
            assert_eq!(refused.to_string(), "the private key is malformed");
        }
        assert!(!format!("{:?}", LogKey::parse(&text)).contains(&text[text.len() - 20..]));
    }

    #[test]
    fn an_origin_can_be_the_name_of_a_key() {
        for good in ["desk.example.com/log", "a", "localhost:50051/log", &"a".repeat(200)] {
            assert!(LogKey::generate(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a+b", "a\nb", "a\u{7f}", "a\u{a0}b", "a/", &"a".repeat(201)] {
            assert_eq!(LogKey::generate(bad).map(|_| ()), Err(ProofError::Malformed("origin")), "{bad:?}");
        }
    }
}
