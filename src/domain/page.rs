//! Pages of lists: sizes, skips, and the opaque tokens between pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::ids::ApplicationKey;
use crate::domain::violation::{FieldViolation, Rule};
use crate::error::Error;

/// How many items a page has where the request does not say.
pub const DEFAULT_PAGE_SIZE: i64 = 50;

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Asks for the next page; `None` at the end.
    pub next_page_token: Option<String>,
    /// How many items the whole list has.
    pub total_size: i64,
}

/// Which page of a list a caller asks for.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// How many items at most; parsed, so within the list's range.
    pub size: i64,
    /// How many items to pass over first.
    pub skip: i64,
    /// The token of the page before.
    pub token: Option<String>,
}

impl<T> Page<T> {
    /// A page with the token that goes on after its last item, where there are `more`.
    pub fn of(items: Vec<T>, total_size: i64, more: bool, token_after: impl FnOnce(&T) -> String) -> Self {
        let next_page_token = items.last().filter(|_| more).map(token_after);
        Self { items, next_page_token, total_size }
    }
}

impl PageRequest {
    /// The number after which the page begins, in a list whose tokens hold one; 0 without a token.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`] for a token of another list.
    pub fn after(&self, binding: Binding) -> Result<i64, Error> {
        let Some(token) = &self.token else { return Ok(0) };
        let [after] = binding.position("page_token", token)?;
        Ok(after)
    }
}

/// How many bytes a page or a part of an export has at most, but for a first item that alone has more: clients take 4 MiB by default.
pub const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// Cuts the item off that was read only to see whether there is one; says whether there was.
pub fn cut_to<T>(items: &mut Vec<T>, size: i64) -> bool {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    more
}

/// Cuts a page where its items pass `max_bytes`; the first always stays. Says whether it cut.
pub fn keep_within<T>(items: &mut Vec<T>, max_bytes: usize, bytes_of: fn(&T) -> usize) -> bool {
    let mut bytes = 0;
    let over = items.iter().position(|item| {
        bytes += bytes_of(item);
        bytes > max_bytes
    });
    let count = items.len();
    if let Some(at) = over {
        items.truncate(at.max(1));
    }
    items.len() < count
}

/// Takes a page size from 1 to `max`; `None` is the default.
///
/// # Errors
/// The range, naming `field`.
pub fn size(field: &str, value: Option<i64>, max: i64) -> Result<i64, FieldViolation> {
    match value {
        None => Ok(DEFAULT_PAGE_SIZE),
        Some(size) if (1..=max).contains(&size) => Ok(size),
        Some(_) => Err(FieldViolation::new(field, Rule::Between { min: 1, max })),
    }
}

/// Takes a number of items to pass over.
///
/// # Errors
/// The range, naming `field`.
pub fn skip(field: &str, value: i64) -> Result<i64, FieldViolation> {
    if value >= 0 { Ok(value) } else { Err(FieldViolation::new(field, Rule::AtLeast { min: 0 })) }
}

/// What a page token is good for: one method and filter of one application. A token holds a hash of this and is refused elsewhere. It
/// grants nothing: every page is authorized anew.
#[derive(Debug, Clone, Copy)]
pub struct Binding([u8; 8]);

/// The first byte of every token; another one is a token of another version.
const TOKEN_VERSION: u8 = 1;

impl Binding {
    /// Binds tokens to a method's name and a filter.
    ///
    /// # Panics
    /// Never: filters are plain structs, which always serialize.
    #[must_use]
    pub fn new(application: ApplicationKey, method: &str, filter: &impl Serialize) -> Self {
        let filter = serde_json::to_vec(&(application, method, filter)).expect("a plain struct serializes");
        let digest: [u8; 32] = Sha256::digest(filter).into();
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        Self(short)
    }

    /// Makes the token that goes on after `position`.
    #[must_use]
    pub fn token<const N: usize>(self, position: [i64; N]) -> String {
        let mut bytes = vec![TOKEN_VERSION];
        bytes.extend(self.0);
        for number in position {
            bytes.extend(number.to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the position out of a token.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`] for a token not made by [`Self::token`] of an equal binding.
    pub fn position<const N: usize>(self, field: &'static str, token: &str) -> Result<[i64; N], Error> {
        self.read(token).ok_or(Error::PageTokenInvalid { field })
    }

    fn read<const N: usize>(self, token: &str) -> Option<[i64; N]> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let position = bytes.strip_prefix(&[TOKEN_VERSION])?.strip_prefix(&self.0)?;
        let (numbers, rest) = position.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        let numbers: Vec<i64> = numbers.iter().map(|number| i64::from_be_bytes(*number)).collect();
        numbers.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(method: &str) -> Binding {
        Binding::new(ApplicationKey(1), method, &"filter")
    }

    proptest! {
        #[test]
        fn a_token_gives_its_position_back_and_to_its_own_list_only(a in any::<i64>(), b in any::<i64>()) {
            let token = binding("List").token([a, b]);
            prop_assert_eq!(binding("List").position::<2>("page_token", &token).unwrap(), [a, b]);
            prop_assert!(binding("Export").position::<2>("page_token", &token).is_err());
            prop_assert!(binding("List").position::<1>("page_token", &token).is_err());
        }

        #[test]
        fn no_text_makes_reading_a_token_panic(text in ".*") {
            let _ = binding("List").position::<2>("page_token", &text);
        }
    }
}
