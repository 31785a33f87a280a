//! How doors have messages written into their answers, and pages written so.

use crate::app::page_cache::CachedPage;
use crate::domain::chat_message::ChatMessage;
use crate::storage::chat_message::TicketFound;

/// What a message takes in an answer, in bytes, roughly; room for more is made when it is needed.
const MESSAGE_BYTES: usize = 256;
/// How much room a page has at first, at most.
const MAX_ROOM_BYTES: usize = 16 * 1024;

/// How a door writes messages into its answers.
#[derive(Debug)]
pub struct Encoding {
    /// Tells the pages of one encoding from those of another.
    pub name: &'static str,
    /// A page ends before the message with which it would pass this many bytes; the first one always stays.
    pub max_bytes: usize,
    /// Appends one message.
    pub write: fn(&ChatMessage<&str>, &mut Vec<u8>),
}

/// A page that is being written, message by message as the database answers them.
pub(super) struct PageWriter {
    encoding: &'static Encoding,
    bytes: Vec<u8>,
    room: usize,
    last: i64,
    full: bool,
}

impl PageWriter {
    /// Begins a page of at most `size` messages after the number `after`.
    pub(super) fn new(encoding: &'static Encoding, after: i64, size: i64) -> Self {
        let room = usize::try_from(size).unwrap_or(0).saturating_mul(MESSAGE_BYTES).min(MAX_ROOM_BYTES);
        Self { encoding, bytes: Vec::new(), room, last: after, full: false }
    }

    /// Writes the next message, unless the page is full.
    pub(super) fn add(&mut self, message: &ChatMessage<&str>) {
        if self.full {
            return;
        }
        let before = self.bytes.len();
        if before == 0 {
            self.bytes.reserve(self.room);
        }
        (self.encoding.write)(message, &mut self.bytes);
        if self.bytes.len() > self.encoding.max_bytes && before > 0 {
            self.bytes.truncate(before);
            self.full = true;
        } else {
            self.last = message.message_id.0;
        }
    }

    /// Ends the page, whose ticket was found so.
    pub(super) fn finish(mut self, ticket: TicketFound) -> CachedPage {
        self.bytes.shrink_to_fit();
        let TicketFound { version, message_count } = ticket;
        CachedPage { version, message_count, last: self.last, bytes: self.bytes.into() }
    }
}
