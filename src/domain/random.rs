//! Chance: the one place that asks the machine for random bytes.

use sha2::{Digest, Sha256};

/// Returns `N` random bytes from the operating system.
///
/// # Panics
/// When the operating system has none to give, which no supported system does after it has started.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for chance")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Returns `N` random bytes as hexadecimal digits.
#[must_use]
pub fn hex<const N: usize>() -> String {
    digits(&bytes::<N>())
}

/// Writes bytes as lower-case hexadecimal digits.
#[must_use]
pub fn digits(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.extend([byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]));
    }
    digits
}

/// Returns 16 bytes that look like chance and are the same for the same text.
#[must_use]
pub fn derived(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes
}
