//! What the service is asked, call by call, and what it has to answer.

use anyhow::ensure;
use bytes::{BufMut, Bytes, BytesMut};
use deskledger::proto;
use prost::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::PREFIX;
use crate::dataset::{DATA, Dataset, IDS_PER_TICKET, PAGE_SIZE, new_message};

/// Messages of a batch.
pub const BATCH: usize = 500;

/// A method, and requests without end.
pub struct Workload {
    pub method: &'static str,
    pub next: Box<dyn FnMut() -> Asked>,
}

/// A request, as it goes over the wire.
pub struct Asked {
    pub message: Bytes,
    pub expected: Expected,
}

/// What the answer to a request must hold.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// A page of a ticket's messages, from this number on.
    Page { ticket_id: i64, first: i64, count: usize },
    /// A message.
    ChatMessage { ticket_id: i64, id: i64 },
    /// A message that was stored.
    Created { ticket_id: i64 },
    /// A batch that was stored.
    BatchCreated { ticket_id: i64 },
    /// A tombstone with its log.
    Deleted { ticket_id: i64, id: i64 },
    /// A whole page of the log, which has at least so many entries.
    Logs { at_least: i64 },
}

impl Expected {
    /// Decodes an answer and compares.
    pub fn check(self, answer: Bytes) -> anyhow::Result<()> {
        let right = match self {
            Self::Page { ticket_id, first, count } => {
                let page = proto::ListChatMessagesResponse::decode(answer)?;
                let numbers = page.chat_messages.iter().zip(first..);
                page.chat_messages.len() == count
                    && numbers.into_iter().all(|(message, number)| {
                        (message.ticket_id, message.message_id) == (ticket_id, number) && !message.user_sendbird_id.is_empty()
                    })
            }
            Self::ChatMessage { ticket_id, id } => {
                let message = proto::GetChatMessageResponse::decode(answer)?.chat_message.unwrap_or_default();
                (message.ticket_id, message.id) == (ticket_id, id) && !message.message.is_empty()
            }
            Self::Created { ticket_id } => {
                let response = proto::CreateChatMessageResponse::decode(answer)?;
                let message = response.chat_message.unwrap_or_default();
                message.ticket_id == ticket_id && message.message_id > 0 && !response.duplicate
            }
            Self::BatchCreated { ticket_id } => {
                let results = proto::BatchCreateChatMessagesResponse::decode(answer)?.results;
                let numbers: Vec<i64> =
                    results.iter().flat_map(|result| &result.chat_message).map(|message| message.message_id).collect();
                let of_ticket =
                    results.iter().flat_map(|result| &result.chat_message).all(|message| message.ticket_id == ticket_id);
                numbers.len() == BATCH && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) && of_ticket
            }
            Self::Deleted { ticket_id, id } => {
                let response = proto::DeleteChatMessageResponse::decode(answer)?;
                let (message, log) = (response.chat_message.unwrap_or_default(), response.deletion_log.unwrap_or_default());
                (message.ticket_id, message.id) == (ticket_id, id)
                    && message.message.is_empty()
                    && message.delete_time.is_some()
                    && log.chat_message_id == id
                    && log.content_digest.len() == 32
            }
            Self::Logs { at_least } => {
                let page = proto::ListDeletionLogsResponse::decode(answer)?;
                i64::try_from(page.deletion_logs.len())? == PAGE_SIZE && page.total_size >= at_least
            }
        };
        ensure!(right, "an answer is not what it should be: {self:?}");
        Ok(())
    }
}

/// First pages, or pages after so many messages, of tickets chosen at random from a range.
pub fn list(dataset: Dataset, (first, last): (i64, i64), skip: i64, seed: u64) -> Workload {
    let mut random = StdRng::seed_from_u64(seed);
    let next = move || {
        let ticket_id = random.random_range(first..=last);
        let page_size = i32::try_from(PAGE_SIZE).expect("a page is small");
        let request = proto::ListChatMessagesRequest { ticket_id, page_size, skip, page_token: String::new() };
        let count = usize::try_from((dataset.size(ticket_id) - skip).clamp(0, PAGE_SIZE)).expect("a page is small");
        Asked { message: framed(&request), expected: Expected::Page { ticket_id, first: skip + 1, count } }
    };
    Workload { method: "deskledger.v1.ChatMessageService/ListChatMessages", next: Box::new(next) }
}

/// Single messages, chosen at random in tickets chosen at random.
pub fn get(dataset: Dataset, seed: u64) -> Workload {
    let mut random = StdRng::seed_from_u64(seed);
    let next = move || {
        let ticket_id = random.random_range(2..=dataset.tickets);
        let id = ticket_id * IDS_PER_TICKET + random.random_range(1..=dataset.size(ticket_id));
        Asked {
            message: framed(&proto::GetChatMessageRequest { ticket_id, id }),
            expected: Expected::ChatMessage { ticket_id, id },
        }
    };
    Workload { method: "deskledger.v1.ChatMessageService/GetChatMessage", next: Box::new(next) }
}

/// New messages, each in a ticket chosen at random.
pub fn create(dataset: Dataset, seed: u64) -> Workload {
    let mut random = StdRng::seed_from_u64(seed);
    let next = move || {
        let ticket_id = random.random_range(2..=dataset.tickets);
        let external_id = random.random_range(1..i64::MAX).to_string();
        let chat_message = Some(proto::ChatMessage { external_id, ..message_to_store(1) });
        let request = proto::CreateChatMessageRequest { ticket_id, chat_message, request_id: String::new() };
        Asked { message: framed(&request), expected: Expected::Created { ticket_id } }
    };
    Workload { method: "deskledger.v1.ChatMessageService/CreateChatMessage", next: Box::new(next) }
}

/// Batches of new messages, each in a ticket chosen at random.
pub fn batch_create(dataset: Dataset, seed: u64) -> Workload {
    let mut random = StdRng::seed_from_u64(seed);
    let mut request = proto::BatchCreateChatMessagesRequest {
        ticket_id: 0,
        chat_messages: (0..BATCH).map(message_to_store).collect(),
        request_id: String::new(),
    };
    let next = move || {
        let batch = random.random_range(1..i64::MAX);
        request.ticket_id = random.random_range(2..=dataset.tickets);
        for (n, message) in request.chat_messages.iter_mut().enumerate() {
            message.external_id = format!("{n}-{batch}");
        }
        Asked { message: framed(&request), expected: Expected::BatchCreated { ticket_id: request.ticket_id } }
    };
    Workload { method: "deskledger.v1.ChatMessageService/BatchCreateChatMessages", next: Box::new(next) }
}

/// Deletions of the messages that were made for this run, one after the other.
pub fn delete(dataset: Dataset, run: u32) -> Workload {
    let mut all = 0..;
    let next = move || {
        let k = all.next().expect("without end");
        let (ticket_id, id) = (dataset.ticket_of_deletable(k), Dataset::first_deletable(run) + k);
        let request = proto::DeleteChatMessageRequest { ticket_id, id, ..Default::default() };
        Asked { message: framed(&request), expected: Expected::Deleted { ticket_id, id } }
    };
    Workload { method: "deskledger.v1.ChatMessageService/DeleteChatMessage", next: Box::new(next) }
}

/// Pages of the log.
pub fn logs(dataset: Dataset, skip: i64) -> Workload {
    let page_size = i32::try_from(PAGE_SIZE).expect("a page is small");
    let message = framed(&proto::ListDeletionLogsRequest { page_size, skip, ..Default::default() });
    let next = move || Asked { message: message.clone(), expected: Expected::Logs { at_least: dataset.logs() } };
    Workload { method: "deskledger.v1.DeletionLogService/ListDeletionLogs", next: Box::new(next) }
}

fn message_to_store(n: usize) -> proto::ChatMessage {
    proto::ChatMessage {
        user_sendbird_id: "customer_7".to_owned(),
        user_type: proto::UserType::Customer.into(),
        message: new_message(n),
        data: DATA.to_owned(),
        ..Default::default()
    }
}

/// A message with the prefix of the wire.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("requests are small"));
    message.encode(&mut bytes).expect("there is room");
    bytes.freeze()
}
