//! The model: what an application's calls should be answered, from the contract and not from the service's code.
//!
//! What nobody can foretell, such as the id of a new message, is learned from the answer that brings it, and held against every later one.

mod tickets;

use std::collections::{BTreeMap, HashSet};

use pb::batch_delete_chat_messages_result::Outcome;
use prost_types::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;

use super::{Answer, Call};
use crate::support::pb;

/// An application.
pub struct Tenant {
    tickets: Vec<Ticket>,
    /// In the order of deletion.
    log: Vec<pb::DeletionLog>,
    token_id: String,
    /// Ids and digests that were given out.
    used: HashSet<Vec<u8>>,
    /// The newest time that the service has told.
    latest: (i64, i32),
    /// The page tokens of message lists: the ticket and the number after which they go on.
    page_tokens: Vec<(String, i64, usize)>,
    /// The page tokens of the log: the ticket of the filter and the entry after which they go on.
    log_tokens: Vec<(String, i64, pb::DeletionLog)>,
}

struct Ticket {
    /// As it is answered; the etag is "" while a change has made an unknown one.
    shown: pb::Ticket,
    last_etag: String,
    social: bool,
    messages: Vec<pb::ChatMessage>,
}

type Refused = Box<Answer>;

pub fn deleted(deleted: pb::DeleteChatMessageResponse) -> Outcome {
    Outcome::Deleted(deleted)
}

fn refused(reason: &str, legacy_code: &str, metadata: &[(&str, String)]) -> Refused {
    let mut metadata: BTreeMap<String, String> = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    metadata.insert("legacy_code".to_owned(), legacy_code.to_owned());
    Box::new(Answer::Refused { reason: reason.to_owned(), metadata })
}

fn key(time: Option<&Timestamp>) -> (i64, i32) {
    time.map_or((0, 0), |time| (time.seconds, time.nanos))
}

impl Tenant {
    pub fn new(token: &str) -> Self {
        let token_id = token.split('_').nth(1).expect("a token has an id").to_owned();
        let (used, latest) = (HashSet::new(), (0, 0));
        Self { tickets: vec![], log: vec![], token_id, used, latest, page_tokens: vec![], log_tokens: vec![] }
    }

    pub fn add(&mut self, shown: pb::Ticket) {
        let social = shown.customer.as_ref().is_some_and(|customer| customer.channel_type() == pb::ChannelType::WhatsappMessage);
        self.tickets.push(Ticket { last_etag: shown.etag.clone(), shown, social, messages: vec![] });
    }

    pub fn any_ticket(&self, random: &mut StdRng) -> i64 {
        self.tickets[random.random_range(0..self.tickets.len())].shown.id
    }

    /// A message of a ticket, rather a new one; sometimes one that the ticket does not have.
    pub fn any_message(&self, ticket_id: i64, random: &mut StdRng) -> i64 {
        let messages = &self.tickets.iter().find(|ticket| ticket.shown.id == ticket_id).expect("an own ticket").messages;
        if messages.is_empty() || random.random_ratio(1, 25) {
            return random.random_range(1..1_000_000);
        }
        let newest = if random.random_ratio(1, 2) { messages.len().saturating_sub(20) } else { 0 };
        messages[random.random_range(newest..messages.len())].id
    }

    pub fn any_page_token(&self, ticket_id: i64, random: &mut StdRng) -> String {
        let strict = random.random_ratio(29, 30);
        let fitting: Vec<_> = self.page_tokens.iter().filter(|(_, of, _)| !strict || *of == ticket_id).collect();
        if fitting.is_empty() { String::new() } else { fitting[random.random_range(0..fitting.len())].0.clone() }
    }

    pub fn any_log_token(&self, ticket_id: i64, random: &mut StdRng) -> String {
        let strict = random.random_ratio(29, 30);
        let fitting: Vec<_> = self.log_tokens.iter().filter(|(_, of, _)| !strict || *of == ticket_id).collect();
        if fitting.is_empty() { String::new() } else { fitting[random.random_range(0..fitting.len())].0.clone() }
    }

    /// The answer that the call should get. What is new in the one that it got is taken over where it may be so.
    pub fn foretell(&mut self, call: &Call, got: &Answer) -> Answer {
        let foretold = match call {
            Call::Create(request) => self.store(request.ticket_id, request.chat_message.as_slice(), got),
            Call::BatchCreate(request) => self.store(request.ticket_id, &request.chat_messages, got),
            Call::List(request) => self.list(request, got),
            Call::Get(request) => self.message(request.ticket_id, request.id).map(|(_, message)| Answer::Message(message.clone())),
            Call::Delete(request) => self.delete(
                &pb::BatchDeleteChatMessagesRequest {
                    ticket_id: request.ticket_id,
                    ids: vec![request.id],
                    requested_from: request.requested_from,
                    requested_by: request.requested_by.clone(),
                    reason: request.reason,
                    reason_detail: request.reason_detail.clone(),
                    ..Default::default()
                },
                got,
            ),
            Call::BatchDelete(request) if request.validate_only => Ok(self.preview(request)),
            Call::BatchDelete(request) => self.delete(request, got),
            Call::Close(request) => self.close(request, got),
            Call::Reopen(request) => self.reopen(request.id, got),
            Call::PlaceHold(request) => self.place_hold(request, got),
            Call::ReleaseHold(request) => self.release_hold(request.id, got),
            Call::Update(request) => self.update(request.ticket.as_ref().expect("every update has it"), got),
            Call::GetTicket(request) => self.show(request.id, got),
            Call::Log(request) => self.list_log(request, got),
        };
        foretold.unwrap_or_else(|refused| *refused)
    }

    fn at(&self, id: i64) -> Result<usize, Refused> {
        let found = self.tickets.iter().position(|ticket| ticket.shown.id == id);
        found.ok_or_else(|| refused("TICKET_NOT_FOUND", "deskp400201", &[("ticket_id", id.to_string())]))
    }

    fn message(&self, ticket_id: i64, id: i64) -> Result<(&Ticket, &pb::ChatMessage), Refused> {
        let ticket = self.tickets.iter().find(|ticket| ticket.shown.id == ticket_id);
        let found = ticket.and_then(|ticket| Some((ticket, ticket.messages.iter().find(|message| message.id == id)?)));
        let metadata = [("ticket_id", ticket_id.to_string()), ("id", id.to_string())];
        found.ok_or_else(|| refused("CHAT_MESSAGE_NOT_FOUND", "deskp400201", &metadata))
    }

    /// Takes a value that was never given out before; a used one is not, so that the answers differ.
    fn is_new(&mut self, kind: &str, value: &[u8]) -> bool {
        self.used.insert([kind.as_bytes(), value].concat())
    }

    /// Takes a time that the service's clock gave; it does not go back.
    fn told(&mut self, time: Timestamp) -> Option<Timestamp> {
        let later = key(Some(&time)) >= self.latest;
        self.latest = self.latest.max(key(Some(&time)));
        later.then_some(time)
    }

    fn store(&mut self, ticket_id: i64, messages: &[pb::ChatMessage], got: &Answer) -> Result<Answer, Refused> {
        let at = self.at(ticket_id)?;
        let Answer::Stored(got) = got else { return Ok(Answer::Stored(vec![])) };
        let stored = messages.iter().enumerate().map(|(number, message)| {
            let has = |other: &&pb::ChatMessage| !message.external_id.is_empty() && other.external_id == message.external_id;
            if let Some(first) = self.tickets[at].messages.iter().find(has) {
                return pb::CreateChatMessageResponse { chat_message: Some(first.clone()), duplicate: true };
            }
            let got = got.get(number).and_then(|got| got.chat_message.clone()).unwrap_or_default();
            let chat_message = self.keep(at, message, &got);
            pb::CreateChatMessageResponse { chat_message: Some(chat_message), duplicate: false }
        });
        let stored: Vec<_> = stored.collect();
        let customers = stored.iter().filter(|stored| !stored.duplicate).filter_map(|stored| stored.chat_message.as_ref());
        let first =
            customers.filter(|message| message.user_type() == pb::UserType::Customer).filter_map(|message| message.create_time);
        let shown = &mut self.tickets[at].shown;
        shown.issue_time = shown.issue_time.or(first.min_by_key(|time| key(Some(time))));
        if stored.iter().any(|stored| !stored.duplicate) {
            shown.etag.clear();
        }
        Ok(Answer::Stored(stored))
    }

    fn keep(&mut self, at: usize, message: &pb::ChatMessage, got: &pb::ChatMessage) -> pb::ChatMessage {
        let id = if got.id != 0 && self.is_new("message", &got.id.to_be_bytes()) { got.id } else { 0 };
        let create_time = message.create_time.or_else(|| got.create_time.and_then(|time| self.told(time)));
        let ticket = &mut self.tickets[at];
        let mut kept = pb::ChatMessage {
            id,
            message_id: i64::try_from(ticket.messages.len()).expect("few messages") + 1,
            ticket_id: ticket.shown.id,
            create_time,
            ..message.clone()
        };
        if kept.user_type() == pb::UserType::Event {
            "event".clone_into(&mut kept.user_sendbird_id);
        }
        ticket.messages.push(kept.clone());
        ticket.shown.message_count = kept.message_id;
        kept
    }

    fn list(&mut self, request: &pb::ListChatMessagesRequest, got: &Answer) -> Result<Answer, Refused> {
        let mut after = usize::try_from(request.skip).expect("it is not negative");
        if !request.page_token.is_empty() {
            let fits = |(token, of, _): &&(String, i64, usize)| *token == request.page_token && *of == request.ticket_id;
            let known = self.page_tokens.iter().find(fits);
            let field = [("field", "page_token".to_owned())];
            after += known.ok_or_else(|| refused("PAGE_TOKEN_INVALID", "deskp400113", &field))?.2;
        }
        let messages = &self.tickets[self.at(request.ticket_id)?].messages;
        let size = if request.page_size == 0 { 50 } else { usize::try_from(request.page_size).expect("it is not negative") };
        let chat_messages: Vec<_> = messages.iter().skip(after).take(size).cloned().collect();
        let end = after + chat_messages.len();
        let more = !chat_messages.is_empty() && end < messages.len();
        let total_size = i64::try_from(messages.len()).expect("few messages");
        let next_page_token = match got {
            Answer::Messages(got) if more => got.next_page_token.clone(),
            _ => String::new(),
        };
        if more {
            assert_ne!(next_page_token, "", "there are more messages");
            self.page_tokens.push((next_page_token.clone(), request.ticket_id, end));
        }
        Ok(Answer::Messages(pb::ListChatMessagesResponse { chat_messages, next_page_token, total_size }))
    }

    /// Whether a message may be deleted, by the rules in their order.
    fn judge(&self, ticket_id: i64, id: i64) -> Result<(), Refused> {
        let (ticket, message) = self.message(ticket_id, id)?;
        let of_message = [("ticket_id", ticket_id.to_string()), ("id", id.to_string())];
        if message.delete_time.is_some() {
            return Err(refused("CHAT_MESSAGE_ALREADY_DELETED", "deskp400500", &of_message));
        }
        if ticket.shown.status() != pb::TicketStatus::Closed {
            let status = name(ticket.shown.status());
            return Err(refused("TICKET_NOT_CLOSED", "deskp400600", &[("ticket_id", ticket_id.to_string()), ("status", status)]));
        }
        if ticket.shown.hold.is_some() {
            return Err(refused("LEGAL_HOLD", "deskp400601", &of_message));
        }
        let cause = match (message.user_type(), ticket.social) {
            (pb::UserType::Event, _) => "EVENT_MESSAGE",
            (_, true) => "SOCIAL_CHANNEL",
            (_, false) => return Ok(()),
        };
        let [ticket_id, id] = of_message;
        Err(refused("CHAT_MESSAGE_NOT_DELETABLE", "deskp400601", &[ticket_id, id, ("cause", cause.to_owned())]))
    }

    fn preview(&self, request: &pb::BatchDeleteChatMessagesRequest) -> Answer {
        let verdict = |id: &i64| {
            let outcome = match self.judge(request.ticket_id, *id).map_err(|refused| *refused) {
                Err(Answer::Refused { reason, .. }) => {
                    let message = match reason.as_str() {
                        "CHAT_MESSAGE_NOT_FOUND" => "The specified message doesn't exist.",
                        "CHAT_MESSAGE_ALREADY_DELETED" => "The message was already deleted.",
                        "TICKET_NOT_CLOSED" => "The ticket is not closed yet.",
                        _ => "The specified message can't be deleted.",
                    };
                    let reason = pb::ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")).expect("a reason") as i32;
                    Outcome::Refused(pb::Refusal { reason, message: message.to_owned() })
                }
                _ => Outcome::Deletable(pb::Deletable {}),
            };
            pb::BatchDeleteChatMessagesResult { id: *id, outcome: Some(outcome) }
        };
        Answer::Deleted(request.ids.iter().map(verdict).collect())
    }

    fn delete(&mut self, request: &pb::BatchDeleteChatMessagesRequest, got: &Answer) -> Result<Answer, Refused> {
        for id in &request.ids {
            // The first that is refused refuses all.
            self.judge(request.ticket_id, *id)?;
        }
        let at = self.at(request.ticket_id)?;
        let Answer::Deleted(got) = got else { return Ok(Answer::Deleted(vec![])) };
        let results = request.ids.iter().enumerate().map(|(number, id)| {
            let got = match got.get(number).and_then(|got| got.outcome.clone()) {
                Some(Outcome::Deleted(got)) => got.deletion_log.unwrap_or_default(),
                _ => pb::DeletionLog::default(),
            };
            let outcome = Some(Outcome::Deleted(self.erase(at, *id, request, got)));
            pb::BatchDeleteChatMessagesResult { id: *id, outcome }
        });
        let results = results.collect();
        self.tickets[at].shown.etag.clear();
        Ok(Answer::Deleted(results))
    }

    fn erase(
        &mut self,
        at: usize,
        id: i64,
        request: &pb::BatchDeleteChatMessagesRequest,
        got: pb::DeletionLog,
    ) -> pb::DeleteChatMessageResponse {
        let log_id = if self.is_new("log", &got.id.to_be_bytes()) { got.id } else { 0 };
        let digest_is_good = got.content_digest.len() == 32 && self.is_new("digest", &got.content_digest);
        let delete_time = got.delete_time.and_then(|time| self.told(time));
        let requested_from =
            if request.requested_from == 0 { pb::RequestedFrom::PlatformApi as i32 } else { request.requested_from };
        let ticket = &mut self.tickets[at];
        let message = ticket.messages.iter_mut().find(|message| message.id == id).expect("judged before");
        *message = pb::ChatMessage {
            delete_time,
            requested_from,
            requested_by: request.requested_by.clone(),
            message: String::new(),
            data: String::new(),
            files: vec![],
            ..message.clone()
        };
        let log = pb::DeletionLog {
            erase_time: None,
            id: log_id,
            ticket_id: message.ticket_id,
            chat_message_id: message.id,
            message_id: message.message_id,
            user_sendbird_id: message.user_sendbird_id.clone(),
            user_type: message.user_type,
            create_time: message.create_time,
            delete_time,
            requested_from,
            requested_by: request.requested_by.clone(),
            reason: request.reason,
            reason_detail: request.reason_detail.clone(),
            token_id: self.token_id.clone(),
            content_digest: if digest_is_good { got.content_digest } else { vec![] },
        };
        self.log.push(log.clone());
        pb::DeleteChatMessageResponse { chat_message: Some(message.clone()), deletion_log: Some(log), receipt: String::new() }
    }

    fn list_log(&mut self, request: &pb::ListDeletionLogsRequest, got: &Answer) -> Result<Answer, Refused> {
        let ticket_id = request.filter.as_ref().map_or(0, |filter| filter.ticket_id);
        let newness = |log: &pb::DeletionLog| (key(log.delete_time.as_ref()), log.id);
        let mut chosen: Vec<_> = self.log.iter().filter(|log| ticket_id == 0 || log.ticket_id == ticket_id).cloned().collect();
        let total_size = i64::try_from(chosen.len()).expect("few entries");
        chosen.sort_unstable_by_key(|log| std::cmp::Reverse(newness(log)));
        if !request.page_token.is_empty() {
            let fits = |(token, of, _): &&(String, i64, pb::DeletionLog)| *token == request.page_token && *of == ticket_id;
            let known = self.log_tokens.iter().find(fits);
            let field = [("field", "page_token".to_owned())];
            let last = &known.ok_or_else(|| refused("PAGE_TOKEN_INVALID", "deskp400113", &field))?.2;
            chosen.retain(|log| newness(log) < newness(last));
        }
        let size = if request.page_size == 0 { 50 } else { usize::try_from(request.page_size).expect("it is not negative") };
        let skip = usize::try_from(request.skip).expect("it is not negative");
        let more = chosen.len() > skip + size;
        let deletion_logs: Vec<_> = chosen.into_iter().skip(skip).take(size).collect();
        let next_page_token = match got {
            Answer::Log(got) if more => got.next_page_token.clone(),
            _ => String::new(),
        };
        if let (true, Some(last)) = (more, deletion_logs.last()) {
            assert_ne!(next_page_token, "", "there are more entries");
            self.log_tokens.push((next_page_token.clone(), ticket_id, last.clone()));
        }
        Ok(Answer::Log(pb::ListDeletionLogsResponse { deletion_logs, next_page_token, total_size }))
    }

    /// Asks for the one message that was stored and not answered, if there is one.
    pub fn unlearned(&self) -> Option<pb::ListChatMessagesRequest> {
        let last = self.tickets.iter().filter_map(|ticket| ticket.messages.last()).find(|message| message.id == 0)?;
        Some(pb::ListChatMessagesRequest { ticket_id: last.ticket_id, skip: last.message_id - 1, ..Default::default() })
    }

    /// Takes over what [`Self::unlearned`] asked for.
    pub fn learn(&mut self, got: &Answer) {
        let Answer::Messages(pb::ListChatMessagesResponse { chat_messages, .. }) = got else { panic!("no messages: {got:?}") };
        let [got] = chat_messages.as_slice() else { panic!("not one last message: {chat_messages:?}") };
        let at = self.tickets.iter().position(|ticket| ticket.shown.id == got.ticket_id).expect("an own ticket");
        let kept = self.tickets[at].messages.pop().expect("it is the last one");
        self.keep(at, &kept, got);
        assert_eq!(self.tickets[at].messages.last(), Some(got));
    }
}

fn name(status: pb::TicketStatus) -> String {
    status.as_str_name().trim_start_matches("TICKET_STATUS_").to_owned()
}
