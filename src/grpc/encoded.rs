//! Messages written straight into answers: from the bytes of a row to those of the wire, with no copy of a text in between.

use std::iter::repeat_n;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint};
use prost::{DecodeError, Message};

use crate::app::Encoding;
use crate::domain::chat_message::ChatMessage;
use crate::domain::page::PAGE_BYTES;
use crate::grpc::enums::Enumeration;
use crate::grpc::{parse, proto};

/// Messages as `ListChatMessagesResponse.chat_messages`, one after the other.
pub(super) static LISTED: Encoding = Encoding { name: "grpc", max_bytes: PAGE_BYTES, write: write_listed };
/// One message as `GetChatMessageResponse.chat_message`.
pub(super) static SINGLE: Encoding = Encoding { name: "grpc", max_bytes: usize::MAX, write: write_listed };

/// An answer that is encoded already, in two parts.
#[derive(Debug, Default)]
pub struct Encoded {
    /// What comes first, most likely from memory.
    pub head: Bytes,
    /// What comes after it.
    pub tail: Bytes,
}

impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.head);
        buffer.put_slice(&self.tail);
    }

    fn encoded_len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    fn merge_field(&mut self, tag: u32, kind: WireType, buffer: &mut impl Buf, context: DecodeContext) -> Result<(), DecodeError> {
        // The service only sends these. What is not known is passed over, as in every message.
        prost::encoding::skip_field(kind, tag, buffer, context)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Field 1 of both answers.
fn write_listed(message: &ChatMessage<&str>, buffer: &mut Vec<u8>) {
    nested(1, buffer, |buffer| write(message, buffer));
}

/// The fields of `ChatMessage` in their order. What is empty or 0 is left out, as everywhere in proto3.
fn write(message: &ChatMessage<&str>, buffer: &mut Vec<u8>) {
    integer(1, message.id.0, buffer);
    integer(2, message.message_id.0, buffer);
    integer(3, message.ticket_id.0, buffer);
    text(4, message.user_sendbird_id, buffer);
    integer(5, message.user_type.number().into(), buffer);
    rare(6, &parse::timestamp(message.create_time), buffer);
    if let Some(deletion) = &message.deletion {
        rare(7, &parse::timestamp(deletion.time), buffer);
        integer(8, deletion.requested_from.number().into(), buffer);
        if let Some(agent) = &deletion.requested_by {
            rare(9, &proto::Agent::from(agent.clone()), buffer);
        }
    }
    text(10, message.message, buffer);
    text(11, message.data, buffer);
    for file in &message.files {
        rare(12, &super::chat_message::render_file(file.clone()), buffer);
    }
    text(13, message.external_id.unwrap_or_default(), buffer);
}

fn integer(tag: u32, value: i64, buffer: &mut Vec<u8>) {
    if value != 0 {
        encode_key(tag, WireType::Varint, buffer);
        varint(value.cast_unsigned(), buffer);
    }
}

fn text(tag: u32, value: &str, buffer: &mut Vec<u8>) {
    if !value.is_empty() {
        encode_key(tag, WireType::LengthDelimited, buffer);
        varint(value.len() as u64, buffer);
        buffer.extend_from_slice(value.as_bytes());
    }
}

/// A number, added in one piece: byte by byte each would look for room.
fn varint(value: u64, buffer: &mut Vec<u8>) {
    let (mut bytes, length) = ([0; 10], encoded_len_varint(value));
    encode_varint(value, &mut bytes.as_mut_slice());
    buffer.extend_from_slice(&bytes[..length]);
}

/// A message that is small, or seldom there: so it is made first.
fn rare(tag: u32, message: &impl Message, buffer: &mut Vec<u8>) {
    prost::encoding::message::encode(tag, message, buffer);
}

/// A message whose length is known when it is written: room is left for it, and what was written moves where it needs more or less.
fn nested(tag: u32, buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    /// Most messages have 128 to 16383 bytes.
    const ROOM: usize = 2;
    encode_key(tag, WireType::LengthDelimited, buffer);
    let at = buffer.len();
    buffer.resize(at + ROOM, 0);
    write(buffer);
    let length = (buffer.len() - at - ROOM) as u64;
    let needed = encoded_len_varint(length);
    if needed != ROOM {
        buffer.splice(at..at + ROOM, repeat_n(0, needed));
    }
    encode_varint(length, &mut &mut buffer[at..at + needed]);
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::agent::Agent;
    use crate::domain::chat_message::{File, UserType};
    use crate::domain::deletion::{Deletion, RequestedFrom};
    use crate::domain::ids::{ChatMessageId, MessageId, TicketId};

    fn time() -> impl Strategy<Value = DateTime<Utc>> {
        (0..=4_000_000_000_000_000_i64).prop_map(|micros| DateTime::from_timestamp_micros(micros).expect("a time"))
    }

    fn agent() -> impl Strategy<Value = Agent> {
        (any::<i64>(), ".{0,9}", ".{0,9}", ".{0,9}").prop_map(|(id, display_name, sendbird_id, email)| Agent {
            id,
            display_name,
            sendbird_id,
            email,
        })
    }

    fn deletion() -> impl Strategy<Value = Deletion> {
        (time(), 0..RequestedFrom::ALL.len(), option::of(agent())).prop_map(|(time, from, requested_by)| Deletion {
            time,
            requested_from: RequestedFrom::ALL[from],
            requested_by,
        })
    }

    fn file() -> impl Strategy<Value = File> {
        (".{0,9}", ".{0,9}", ".{0,9}", any::<i64>()).prop_map(|(url, name, content_type, size_bytes)| File {
            url,
            name,
            content_type,
            size_bytes,
        })
    }

    /// Texts around the lengths where the length of the message takes another byte.
    fn content() -> impl Strategy<Value = String> {
        prop_oneof![".{0,200}", (16_200..16_400_usize).prop_map(|length| "x".repeat(length))]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_what_is_rendered(
            (id, message_id, ticket_id, kind) in (any::<i64>(), any::<i64>(), any::<i64>(), 0..UserType::ALL.len()),
            (user_sendbird_id, external_id) in (".{0,90}", option::of(".{1,90}")),
            (message, data) in (content(), content()),
            (create_time, deletion, files) in (time(), option::of(deletion()), vec(file(), 0..3)),
        ) {
            let view = ChatMessage {
                id: ChatMessageId(id),
                message_id: MessageId(message_id),
                ticket_id: TicketId(ticket_id),
                user_sendbird_id: user_sendbird_id.as_str(),
                user_type: UserType::ALL[kind],
                create_time,
                deletion,
                message: message.as_str(),
                data: data.as_str(),
                files,
                external_id: external_id.as_deref(),
            };
            let mut written = Vec::new();
            (LISTED.write)(&view, &mut written);
            (LISTED.write)(&view, &mut written);
            let read = proto::ListChatMessagesResponse::decode(written.as_slice()).expect("a list");
            let rendered = super::super::chat_message::render(view.into_owned());
            prop_assert_eq!(&read.chat_messages, &vec![rendered.clone(), rendered]);
            // To the byte, as the generated code writes it.
            prop_assert_eq!(read.encode_to_vec(), written);
        }
    }
}
