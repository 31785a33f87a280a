//! Bulk ingest: events become messages, a ticket is opened where there is none, and what cannot be stored is kept. One bad event never
//! fails its batch.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::app::append::{Batch, MAX_STATEMENT};
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::domain::agent::Agent;
use crate::domain::caller::{Caller, Scope};
use crate::domain::chat_message::{ChatMessage, Stored};
use crate::domain::conversation_message::{ConversationMessage, Incoming, Place, Remains};
use crate::domain::deletion::{Order, RequestedFrom};
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::page::{Binding, Page, PageRequest};
use crate::domain::random;
use crate::domain::violation::FieldViolation;
use crate::error::Error;
use crate::storage;
use crate::storage::deletion::Asked;
use crate::storage::ingest::{OfCustomer, Opening};
use crate::storage::rejected_event::NewRejectedEvent;
pub use crate::storage::rejected_event::RejectedEvent;

/// The customer of a ticket that is opened by somebody else's message.
const UNKNOWN_CUSTOMER: &str = "unknown";
/// How many bytes of events a page of rejected ones has at most, the first one aside: common clients take 4 MiB.
const MAX_PAGE_BYTES: i64 = 3 * 1024 * 1024;

/// An event to take in.
#[derive(Debug)]
pub struct Event {
    /// The event as it came, in JSON.
    pub text: String,
    /// What tells it from any other event, its repeats aside; `None` where nothing does.
    pub identity: Option<String>,
}

/// What became of an event.
#[derive(Debug)]
pub enum Outcome {
    /// It is of a kind that is not stored.
    Ignored,
    /// It was stored.
    Stored(ChatMessage),
    /// It was there already, and is answered as it is now.
    Duplicate(ChatMessage),
    /// It could not be stored and is kept.
    Rejected(RejectedEvent),
}

/// A message that was deleted.
struct Tombstone {
    message: ChatMessage,
    /// The place of the event that did it.
    deleted_by: usize,
}

/// An event that was looked at: nothing to store, a message, or why it is none.
type Looked = Result<Option<Incoming>, String>;

/// From how many events on a plan of its own is worth its price, about a millisecond.
const LARGE_BATCH: usize = 100;

impl App {
    /// Takes events in and answers each, in their order. All that can be stored is, in a handful of statements; the rest is kept.
    ///
    /// # Errors
    /// [`Error::WriteConflict`]; when the database is away. Then nothing is stored and nothing kept.
    pub async fn ingest(&self, caller: &Caller, events: &[Event]) -> Result<Vec<Outcome>, Error> {
        let digest = |event: &Event| event.identity.as_ref().map(|_| digest(event));
        let look = |event: &Event| look(caller, &event.text, digest(event).as_ref().map(<[u8; 32]>::as_slice));
        let looked: Vec<Looked> = events.iter().map(look).collect();
        let mut retry = Retry::new();
        loop {
            let outcome = self.ingest_once(caller, events, &looked).await;
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn ingest_once(&self, caller: &Caller, events: &[Event], looked: &[Looked]) -> Result<Vec<Outcome>, Error> {
        let Begun::New(mut write) = self.begin_write(caller, None).await? else {
            return Err(Error::internal("a write without a request id is always new"));
        };
        if events.len() >= LARGE_BATCH {
            storage::ingest::plan_for_this_batch(&mut write.transaction).await?;
        }
        // In one order for all: rejected events, then tickets. A replay locks in that order too.
        let rejected = self.keep_all(&mut write.transaction, caller, events, looked).await?;
        let mut stored = self.store_all(&mut write.transaction, caller, looked).await?.into_iter();
        let mut outcomes = Vec::with_capacity(events.len());
        for (event, looked) in events.iter().zip(looked) {
            outcomes.push(match looked {
                Ok(None) => Outcome::Ignored,
                Ok(Some(_)) => stored.next().ok_or_else(|| Error::internal("no answer for a message"))?,
                Err(_) => {
                    let kept = rejected.get(&digest(event)).cloned();
                    Outcome::Rejected(kept.ok_or_else(|| Error::internal("no answer for a rejected event"))?)
                }
            });
        }
        write.end().await?;
        Ok(outcomes)
    }

    async fn store_all(&self, connection: &mut PgConnection, caller: &Caller, looked: &[Looked]) -> Result<Vec<Outcome>, Error> {
        let incoming: Vec<&Incoming> = looked.iter().filter_map(|looked| looked.as_ref().ok()?.as_ref()).collect();
        if incoming.is_empty() {
            return Ok(Vec::new());
        }
        erase_rejected(connection, caller, &incoming).await?;
        let tickets = self.tickets_of(connection, caller, &incoming).await?;
        let messages = tickets.into_iter().zip(&incoming).map(|(ticket, incoming)| (ticket, &incoming.message));
        let stored = Batch::new(messages).store(connection, caller.application, self.now()).await?;
        let tombstones = self.delete_upstream(connection, caller, &incoming, &stored).await?;
        let outcome = |(at, Stored { message, duplicate }): (usize, Stored)| match tombstones.get(&message.id) {
            Some(tombstone) if tombstone.deleted_by == at || !duplicate => Outcome::Stored(tombstone.message.clone()),
            Some(tombstone) => Outcome::Duplicate(tombstone.message.clone()),
            None if duplicate => Outcome::Duplicate(message),
            None => Outcome::Stored(message),
        };
        Ok(stored.into_iter().enumerate().map(outcome).collect())
    }

    /// Finds the ticket of each message, and opens those that there are none of. A message without a channel that is known in one of its
    /// customer's tickets belongs there, though that be closed by now: sent again it is a repeat, and its deletion is meant for it.
    async fn tickets_of(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        incoming: &[&Incoming],
    ) -> Result<Vec<TicketId>, Error> {
        let known = known_tickets(connection, caller, incoming).await?;
        let mut places: HashMap<&Place, Option<&str>> = HashMap::new();
        for (incoming, _) in incoming.iter().zip(&known).filter(|(_, known)| known.is_none()) {
            let customer = places.entry(&incoming.place).or_default();
            *customer = customer.or(incoming.customer_sendbird_id.as_deref());
        }
        let mut found = Found::new(connection, caller, places.keys().copied()).await?;
        let missing: Vec<Opening> = places
            .iter()
            .filter(|(place, _)| found.ticket(place).is_none())
            .map(|(place, customer)| found.opening(place, customer.unwrap_or(UNKNOWN_CUSTOMER)))
            .collect();
        if !missing.is_empty() {
            storage::ingest::open_tickets(connection, caller.application, &missing, self.now()).await?;
            found = Found::new(connection, caller, places.keys().copied()).await?;
        }
        // Another sender opened it and closed it in between: run again.
        let ticket = |(incoming, known): (&&Incoming, Option<TicketId>)| {
            known.or_else(|| found.ticket(&incoming.place)).ok_or(Error::WriteConflict)
        };
        incoming.iter().zip(known).map(ticket).collect()
    }

    /// Deletes here what is deleted where it comes from, and answers the tombstones that this made.
    async fn delete_upstream(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        incoming: &[&Incoming],
        stored: &[Stored],
    ) -> Result<HashMap<ChatMessageId, Tombstone>, Error> {
        let mut firsts: HashMap<ChatMessageId, usize> = HashMap::new();
        let mut orders: Vec<(ChatMessageId, Order)> = Vec::new();
        for (at, (incoming, Stored { message, .. })) in incoming.iter().zip(stored).enumerate() {
            if let Some(agent) = &incoming.deletion
                && message.deletion.is_none()
                && let Entry::Vacant(first) = firsts.entry(message.id)
            {
                first.insert(at);
                orders.push((message.id, self.upstream_order(caller, message.ticket_id, agent.clone())));
            }
        }
        // By ticket, so that the statements together lock tickets in the one order in which each of them does.
        orders.sort_by_key(|(_, order)| order.ticket_id);
        let mut tombstones = HashMap::new();
        for part in orders.chunks(MAX_STATEMENT) {
            let asked = part.iter().map(|(id, order)| Asked { order, id: *id, salt: random::bytes(), key: None });
            let attempts = storage::deletion::delete(connection, caller.application, &asked.collect::<Vec<_>>()).await?;
            let tombstone = |message: ChatMessage| Some((message.id, Tombstone { deleted_by: *firsts.get(&message.id)?, message }));
            for attempt in attempts.into_iter().flatten() {
                self.pages.erase(caller.application, attempt.message.ticket_id, attempt.version);
                tombstones.extend(tombstone(attempt.message));
            }
        }
        Ok(tombstones)
    }

    fn upstream_order(&self, caller: &Caller, ticket_id: TicketId, requested_by: Option<Agent>) -> Order {
        Order {
            ticket_id,
            time: self.now(),
            requested_from: RequestedFrom::Dashboard,
            requested_by,
            reason: None,
            reason_detail: String::new(),
            token_id: caller.token_id.clone(),
            upstream: true,
        }
    }

    async fn keep_all(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        events: &[Event],
        looked: &[Looked],
    ) -> Result<HashMap<[u8; 32], RejectedEvent>, Error> {
        let mut rejected: BTreeMap<[u8; 32], NewRejectedEvent> = BTreeMap::new();
        for (event, looked) in events.iter().zip(looked) {
            if let Err(cause) = looked {
                let (digest, Remains { event, external_id }) = (digest(event), Remains::of(&event.text));
                rejected.insert(digest, NewRejectedEvent { digest, cause: cause.clone(), event, external_id });
            }
        }
        if rejected.is_empty() {
            return Ok(HashMap::new());
        }
        let events: Vec<NewRejectedEvent> = rejected.into_values().collect();
        let kept = storage::rejected_event::insert(connection, caller.application, &events, self.now()).await?;
        Ok(events.iter().map(|event| event.digest).zip(kept).collect())
    }

    /// Lists the events that were rejected and not replayed since, oldest first.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    pub async fn list_rejected_events(&self, caller: &Caller, page: &PageRequest) -> Result<Page<RejectedEvent>, Error> {
        let binding = Binding::new(caller.application, "ListRejectedEvents", &());
        let [after] = match &page.token {
            Some(token) => binding.position("page_token", token)?,
            None => [0],
        };
        let mut connection = self.connection().await?;
        let (items, more) =
            storage::rejected_event::list(&mut connection, caller.application, after, page.size, MAX_PAGE_BYTES).await?;
        let last = items.last().filter(|_| more);
        let next_page_token = last.map(|last| binding.token([last.id]));
        Ok(Page { total_size: 0, items, next_page_token })
    }

    /// Takes a rejected event in again, as it came or as the event `mended`. Rejected again it stays, with the new reason.
    ///
    /// # Errors
    /// [`Error::RejectedEventNotFound`], [`Error::WriteConflict`]; when the database is away.
    pub async fn replay_rejected_event(&self, caller: &Caller, id: i64, mended: Option<String>) -> Result<Outcome, Error> {
        let mut retry = Retry::new();
        loop {
            let outcome = self.replay_once(caller, id, mended.as_deref()).await;
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn replay_once(&self, caller: &Caller, id: i64, mended: Option<&str>) -> Result<Outcome, Error> {
        let Begun::New(mut write) = self.begin_write(caller, None).await? else {
            return Err(Error::internal("a write without a request id is always new"));
        };
        let kept = storage::rejected_event::lock(&mut write.transaction, caller.application, id).await?;
        let (mut kept, digest) = kept.ok_or(Error::RejectedEventNotFound { id })?;
        // Known by what the event was known by: sent again, rejected again and replayed again, it is a repeat.
        let looked = look(caller, mended.unwrap_or(&kept.event), Some(&digest));
        let outcome = match &looked {
            Err(cause) => {
                storage::rejected_event::update_cause(&mut write.transaction, caller.application, id, cause).await?;
                kept.cause.clone_from(cause);
                Outcome::Rejected(kept)
            }
            Ok(_) => {
                let stored = self.store_all(&mut write.transaction, caller, std::slice::from_ref(&looked)).await?;
                storage::rejected_event::delete(&mut write.transaction, caller.application, id).await?;
                stored.into_iter().next().unwrap_or(Outcome::Ignored)
            }
        };
        write.end().await?;
        Ok(outcome)
    }
}

/// Reads and checks an event, which without an id of its own is known by `digest`.
fn look(caller: &Caller, event: &str, digest: Option<&[u8]>) -> Looked {
    let causes = |violations: Vec<FieldViolation>| violations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let Some(message) = ConversationMessage::of_event(event).map_err(causes)? else { return Ok(None) };
    let external_id = digest.map(|digest| format!("event:{}", random::digits(digest)));
    let incoming = message.parse(external_id.as_deref()).map_err(causes)?;
    if incoming.deletion.is_some()
        && let Err(error) = caller.require(Scope::MessagesDelete)
    {
        return Err(error.to_string());
    }
    Ok(Some(incoming))
}

/// Removes what was rejected of messages that are now deleted: it may hold their content.
async fn erase_rejected(connection: &mut PgConnection, caller: &Caller, incoming: &[&Incoming]) -> Result<(), Error> {
    let deleted = incoming.iter().filter(|incoming| incoming.deletion.is_some());
    let external_ids: Vec<String> = deleted.filter_map(|incoming| incoming.message.external_id.clone()).collect();
    if external_ids.is_empty() {
        return Ok(());
    }
    storage::rejected_event::erase(connection, caller.application, &external_ids).await
}

/// Finds the ticket of each message without a channel that one of its customer's tickets has already.
async fn known_tickets(
    connection: &mut PgConnection,
    caller: &Caller,
    incoming: &[&Incoming],
) -> Result<Vec<Option<TicketId>>, Error> {
    let key = |incoming: &Incoming| match &incoming.place {
        Place::Channel(_) => None,
        Place::Customer(customer) => Some((customer.clone(), incoming.message.external_id.clone()?)),
    };
    let keys: Vec<Option<(String, String)>> = incoming.iter().map(|incoming| key(incoming)).collect();
    let (customers, external_ids): (Vec<String>, Vec<String>) = keys.iter().flatten().cloned().unzip();
    let found = match customers.is_empty() {
        true => HashMap::new(),
        false => storage::ingest::tickets_of_messages(connection, caller.application, &customers, &external_ids).await?,
    };
    Ok(keys.iter().map(|key| found.get(key.as_ref()?).copied()).collect())
}

/// What tells the event from any other: its identity, else all of it.
fn digest(event: &Event) -> [u8; 32] {
    match &event.identity {
        Some(identity) => Sha256::new().chain_update("identity\0").chain_update(identity).finalize().into(),
        None => Sha256::new().chain_update("event\0").chain_update(&event.text).finalize().into(),
    }
}

/// The tickets that there are.
struct Found {
    of_channels: HashMap<String, TicketId>,
    of_customers: HashMap<String, OfCustomer>,
}

impl Found {
    async fn new(connection: &mut PgConnection, caller: &Caller, places: impl Iterator<Item = &Place>) -> Result<Self, Error> {
        let (mut channels, mut customers) = (Vec::new(), Vec::new());
        for place in places {
            match place {
                Place::Channel(url) => channels.push(url.clone()),
                Place::Customer(id) => customers.push(id.clone()),
            }
        }
        let application = caller.application;
        let of_channels = match channels.is_empty() {
            true => HashMap::new(),
            false => storage::ingest::tickets_of_channels(connection, application, &channels).await?,
        };
        let of_customers = match customers.is_empty() {
            true => HashMap::new(),
            false => storage::ingest::tickets_of_customers(connection, application, &customers).await?,
        };
        Ok(Self { of_channels, of_customers })
    }

    fn ticket(&self, place: &Place) -> Option<TicketId> {
        match place {
            Place::Channel(url) => self.of_channels.get(url).copied(),
            Place::Customer(id) => self.of_customers.get(id)?.open,
        }
    }

    /// A channel has one ticket for good. A customer gets another one when the newest is closed, so that its id is part of the claim.
    fn opening(&self, place: &Place, customer_sendbird_id: &str) -> Opening {
        let (channel_url, claim) = match place {
            Place::Channel(url) => (Some(url.clone()), format!("ticket of channel {url}")),
            Place::Customer(id) => {
                let newest = self.of_customers.get(id).and_then(|tickets| tickets.newest).map_or(0, |ticket| ticket.0);
                (None, format!("ticket of customer {id} after {newest}"))
            }
        };
        let claim: Uuid = uuid::Builder::from_random_bytes(random::derived(&claim)).into_uuid();
        Opening { channel_url, customer_sendbird_id: customer_sendbird_id.to_owned(), claim }
    }
}
