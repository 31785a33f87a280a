//! Callers that go on whatever happens: a call that was not answered is sent again as it was, until it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Endpoint;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::support::actor::customer_message;
use crate::support::ingest::{deleted, in_channel};
use crate::support::{Actor, pb};
use pb::ingest_result::Outcome;

const CALLERS: usize = 6;
/// Several callers write into each, so that they meet.
const TICKETS: usize = 2;
/// What a caller waits before it sends a call again.
const PAUSE: Duration = Duration::from_millis(20);
/// What a caller waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What callers were told.
#[derive(Default)]
pub struct Acknowledged {
    /// The ids of created messages, by their external ids.
    pub created: BTreeMap<String, i64>,
    /// The ids of ingested messages, by their senders' numbers.
    pub ingested: BTreeMap<i64, i64>,
    /// The log entries of deleted messages, by the ids of these.
    pub deleted: BTreeMap<i64, i64>,
    pub deleted_by_ingest: BTreeSet<i64>,
    /// How many calls had to be sent again.
    pub repeated: usize,
}

impl Acknowledged {
    pub fn deletions(&self) -> usize {
        self.deleted.len() + self.deleted_by_ingest.len()
    }

    fn add(&mut self, other: Self) {
        self.created.extend(other.created);
        self.ingested.extend(other.ingested);
        self.deleted.extend(other.deleted);
        self.deleted_by_ingest.extend(other.deleted_by_ingest);
        self.repeated += other.repeated;
    }
}

/// Callers at work.
pub struct Load {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Acknowledged>>,
}

impl Load {
    pub async fn start(address: &str, token: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address").timeout(TIMEOUT);
        let mut actor = Actor::new(endpoint.connect_lazy(), token);
        let mut tickets = Vec::new();
        for _ in 0..TICKETS {
            tickets.push(actor.closed_ticket_with(0).await.0.id);
        }
        let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let caller = |number: usize| {
            let caller = Caller {
                number,
                // A line of its own.
                actor: Actor::new(endpoint.connect_lazy(), token),
                ticket_id: tickets[number % TICKETS],
                random: StdRng::seed_from_u64(number as u64),
                calls: 0,
                told: Acknowledged::default(),
            };
            tokio::spawn(caller.work(answered.clone(), stop.clone()))
        };
        let callers = (0..CALLERS).map(caller).collect();
        Self { answered, stop, callers }
    }

    /// Waits until so many more calls are answered.
    pub async fn acknowledged_more(&mut self, calls: usize, patience: Duration) {
        let goal = self.answered.load(Ordering::Relaxed) + calls;
        let reached = async {
            while self.answered.load(Ordering::Relaxed) < goal {
                assert!(!self.callers.iter().any(JoinHandle::is_finished), "a caller was told something unheard of");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(patience, reached).await.expect("calls are answered again");
    }

    /// Lets every caller get its last answer.
    pub async fn end(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Acknowledged::default();
        for caller in self.callers {
            all.add(caller.await.expect("the caller was told nothing unheard of"));
        }
        all
    }
}

struct Caller {
    number: usize,
    actor: Actor,
    ticket_id: i64,
    random: StdRng,
    calls: i64,
    told: Acknowledged,
}

impl Caller {
    async fn work(mut self, answered: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Acknowledged {
        while !stop.load(Ordering::Relaxed) {
            self.calls += 1;
            match self.random.random_range(0..10) {
                0..5 => self.create().await,
                5..8 => self.delete().await,
                _ => self.ingest().await,
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
        self.told
    }

    fn request_id(&self) -> String {
        Uuid::from_u128((self.number as u128) << 96 | 0x4000_8000_0000_0000_0000 | u128::from(self.calls.unsigned_abs()))
            .to_string()
    }

    async fn create(&mut self) {
        let external_id = format!("created {} {}", self.number, self.calls);
        let message = pb::ChatMessage { external_id: external_id.clone(), ..customer_message("hello") };
        let request =
            pb::CreateChatMessageRequest { ticket_id: self.ticket_id, chat_message: Some(message), request_id: self.request_id() };
        let actor = self.actor.clone();
        let call = || {
            let (mut actor, request) = (actor.clone(), request.clone());
            async move { actor.messages.create_chat_message(request).await }
        };
        let stored = persist(&mut self.told.repeated, call).await.chat_message.expect("it is answered");
        self.told.created.insert(external_id, stored.id);
    }

    async fn delete(&mut self) {
        let left = self.told.created.values().copied().find(|id| !self.told.deleted.contains_key(id));
        let Some(id) = left else { return self.create().await };
        let request =
            pb::DeleteChatMessageRequest { ticket_id: self.ticket_id, id, request_id: self.request_id(), ..Default::default() };
        let actor = self.actor.clone();
        let call = || {
            let (mut actor, request) = (actor.clone(), request.clone());
            async move { actor.messages.delete_chat_message(request).await }
        };
        let log = persist(&mut self.told.repeated, call).await.deletion_log.expect("it is answered");
        assert_eq!(log.chat_message_id, id);
        self.told.deleted.insert(id, log.id);
    }

    /// Three new messages, and the deletion of one that came before.
    async fn ingest(&mut self) {
        let first = i64::try_from(self.number).expect("few callers") * 1_000_000 + self.calls * 10;
        let channel = format!("channel {}", self.number % TICKETS);
        let mut numbers: Vec<i64> = (first..first + 3).collect();
        let mut messages: Vec<_> = numbers.iter().map(|number| in_channel(&channel, *number, "hello")).collect();
        let gone = self.told.ingested.iter().find(|(_, id)| !self.told.deleted_by_ingest.contains(id));
        let gone = gone.map(|(number, id)| (*number, *id));
        if let Some((number, _)) = gone {
            numbers.push(number);
            messages.push(deleted(in_channel(&channel, number, "hello")));
        }
        let request = pb::IngestConversationMessagesRequest { conversation_messages: messages, request_id: self.request_id() };
        let actor = self.actor.clone();
        let call = || {
            let (mut actor, request) = (actor.clone(), request.clone());
            async move { actor.ingest.ingest_conversation_messages(request).await }
        };
        let results = persist(&mut self.told.repeated, call).await.results;
        assert_eq!(results.len(), numbers.len());
        for (number, result) in numbers.into_iter().zip(results) {
            match result.outcome {
                Some(Outcome::Stored(message) | Outcome::Duplicate(message)) => {
                    let known = self.told.ingested.insert(number, message.id);
                    assert!(known.is_none_or(|known| known == message.id), "{number} is {known:?} and {}", message.id);
                }
                other => panic!("it is stored: {other:?}"),
            }
        }
        self.told.deleted_by_ingest.extend(gone.map(|(_, id)| id));
    }
}

/// Sends a call until it is answered.
async fn persist<T, F>(repeated: &mut usize, call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    loop {
        match call().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => assert!(may_be_repeated(&status), "{status:?}"),
        }
        *repeated += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the line broke, or the service itself says that the call may be repeated.
fn may_be_repeated(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    matches!(reason, None | Some("DATABASE_UNAVAILABLE" | "WRITE_CONFLICT" | "DEADLINE_EXCEEDED"))
}
