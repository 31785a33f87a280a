//! Bulk ingest: events become messages, a ticket is opened where there is none, and what cannot be stored is kept. One bad event never
//! fails its batch.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::app::append::{Batch, MAX_STATEMENT};
use crate::app::rejected_event::{RejectedEvent, erase_rejected};
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::domain::agent::Agent;
use crate::domain::caller::{Caller, Scope};
use crate::domain::chat_message::{ChatMessage, Stored};
use crate::domain::conversation_message::{ConversationMessage, Incoming, Place};
use crate::domain::deletion::{Order, RequestedFrom};
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::random;
use crate::domain::violation::FieldViolation;
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage::deletion::Asked;
use crate::storage::ingest::{OfCustomer, Opening};
use crate::storage::{self, append};

/// The customer of a ticket that is opened by somebody else's message.
const UNKNOWN_CUSTOMER: &str = "unknown";

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

impl Outcome {
    /// Whether a message was deleted by this event, or stored as one that is.
    pub(super) fn deletes(&self) -> bool {
        matches!(self, Self::Stored(message) if message.deletion.is_some())
    }
}

/// What became of messages that are deleted where they come from.
#[derive(Default)]
struct Deletions {
    /// What was deleted here too.
    tombstones: HashMap<ChatMessageId, Tombstone>,
    /// What a legal hold keeps.
    held: HashSet<ChatMessageId>,
}

/// A message that was deleted.
struct Tombstone {
    message: ChatMessage,
    /// The place of the event that did it.
    deleted_by: usize,
}

/// An event that was looked at: nothing to store, a message, or why it is rejected.
pub(super) type Looked = Result<Option<Incoming>, String>;

/// What a run led to.
pub(super) enum Taken<T> {
    /// Every event has its answer.
    All(T),
    /// Nothing: these events, each by its place, would delete messages of tickets under a legal hold. They are to be rejected in another
    /// run, because rejected events have to be locked before tickets, and the hold is known for certain only under the ticket's lock.
    Held(Vec<(usize, TicketId)>),
}

/// From how many events on a plan of its own is worth its price, about a millisecond.
const LARGE_BATCH: usize = 100;

impl App {
    /// Takes events in and answers each, in their order. All that can be stored is, in a handful of statements; the rest is kept.
    ///
    /// # Errors
    /// [`Error::WriteConflict`]; when the database is away. Then nothing is stored and nothing kept.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn ingest(&self, caller: &Caller, events: &[Event]) -> Result<Vec<Outcome>, Error> {
        let digest = |event: &Event| event.identity.as_ref().map(|_| digest(event));
        let look = |event: &Event| look(caller, &event.text, digest(event).as_ref().map(<[u8; 32]>::as_slice));
        let mut looked: Vec<Looked> = events.iter().map(look).collect();
        let counted = self.count_ingest(caller, &mut looked).await?;
        let outcomes = self.ingest_looked(caller, events, looked).await;
        counted.settle(&outcomes);
        outcomes
    }

    async fn ingest_looked(&self, caller: &Caller, events: &[Event], mut looked: Vec<Looked>) -> Result<Vec<Outcome>, Error> {
        let mut retry = Retry::new();
        loop {
            let outcome = self.ingest_once(caller, events, &looked).await;
            match outcome {
                Ok(Taken::All(outcomes)) => return Ok(outcomes),
                Ok(Taken::Held(refused)) => {
                    for (at, ticket_id) in refused {
                        looked[at] = Err(cause_of_hold(ticket_id));
                    }
                }
                outcome if retry.again(&outcome).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn ingest_once(&self, caller: &Caller, events: &[Event], looked: &[Looked]) -> Result<Taken<Vec<Outcome>>, Error> {
        let Begun::New(mut write) = self.begin_write(caller, None).await? else {
            return Err(Error::internal("a write without a request id is always new"));
        };
        if events.len() >= LARGE_BATCH {
            storage::ingest::plan_for_this_batch(&mut write.transaction).await?;
        }
        // In one order for all: rejected events, then tickets. A replay locks in that order too.
        let rejected = self.keep_all(&mut write.transaction, caller, events, looked).await?;
        let mut stored = match self.store_all(&mut write.transaction, caller, looked).await? {
            Taken::All(stored) => stored.into_iter(),
            Taken::Held(refused) => return Ok(Taken::Held(refused)),
        };
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
        Ok(Taken::All(outcomes))
    }

    pub(super) async fn store_all(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        looked: &[Looked],
    ) -> Result<Taken<Vec<Outcome>>, Error> {
        let incoming = looked.iter().enumerate().filter_map(|(at, looked)| Some((at, looked.as_ref().ok()?.as_ref()?)));
        let (places, incoming): (Vec<usize>, Vec<&Incoming>) = incoming.unzip();
        if incoming.is_empty() {
            return Ok(Taken::All(Vec::new()));
        }
        erase_rejected(connection, caller, &incoming).await?;
        let tickets = self.tickets_of(connection, caller, &incoming).await?;
        let messages = tickets.into_iter().zip(&incoming);
        let messages = messages.map(|(ticket_id, incoming)| append::Asked::unclaimed(ticket_id, &incoming.message));
        let stored = Batch::new(messages).store(connection, caller.application, self.now()).await?;
        let Deletions { tombstones, held } = self.delete_upstream(connection, caller, &incoming, &stored).await?;
        if !held.is_empty() {
            let deletions = places.iter().zip(&incoming).zip(&stored).filter(|((_, incoming), _)| incoming.deletion.is_some());
            let refused = deletions.filter(|(_, stored)| held.contains(&stored.message.id));
            return Ok(Taken::Held(refused.map(|((at, _), stored)| (*at, stored.message.ticket_id)).collect()));
        }
        let outcome = |(at, Stored { message, duplicate }): (usize, Stored)| match tombstones.get(&message.id) {
            Some(tombstone) if tombstone.deleted_by == at || !duplicate => Outcome::Stored(tombstone.message.clone()),
            Some(tombstone) => Outcome::Duplicate(tombstone.message.clone()),
            None if duplicate => Outcome::Duplicate(message),
            None => Outcome::Stored(message),
        };
        Ok(Taken::All(stored.into_iter().enumerate().map(outcome).collect()))
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

    /// Deletes here what is deleted where it comes from, unless its ticket is under a legal hold.
    async fn delete_upstream(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        incoming: &[&Incoming],
        stored: &[Stored],
    ) -> Result<Deletions, Error> {
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
        let mut deletions = Deletions::default();
        for part in orders.chunks(MAX_STATEMENT) {
            let asked = part.iter().map(|(id, order)| Asked { order, id: *id, salt: random::bytes(), key: None });
            let attempts = storage::deletion::delete(connection, caller.application, &asked.collect::<Vec<_>>()).await?;
            let tombstone = |message: ChatMessage| Some((message.id, Tombstone { deleted_by: *firsts.get(&message.id)?, message }));
            for attempt in attempts.into_iter().flatten() {
                if attempt.log.is_none() && attempt.ticket.is_held {
                    deletions.held.insert(attempt.message.id);
                    continue;
                }
                self.pages.erase(caller.application, attempt.message.ticket_id, attempt.version);
                deletions.tombstones.extend(tombstone(attempt.message));
            }
        }
        Ok(deletions)
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
}

/// Reads and checks an event, which without an id of its own is known by `digest`.
pub(super) fn look(caller: &Caller, event: &str, digest: Option<&[u8]>) -> Looked {
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

/// Why a deletion in a ticket under a legal hold is rejected.
pub(super) fn cause_of_hold(ticket_id: TicketId) -> String {
    format!("The ticket {ticket_id} is under a legal hold: replay the event when the hold is released.")
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
pub(super) fn digest(event: &Event) -> [u8; 32] {
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
