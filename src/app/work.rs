//! What lanes do: the statements that calls share, and how many calls one takes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use crate::app::append::{Batch, MAX_STATEMENT};
use crate::app::connection::Canceller;
use crate::app::encoding::{Encoding, PageWriter};
use crate::app::lane::{Lanes, Work};
use crate::app::page_cache::CachedPage;
use crate::domain::chat_message::{ChatMessage, NewChatMessage, Stored};
use crate::domain::deletion::Order;
use crate::domain::ids::{ApplicationKey, ChatMessageId, TicketId};
use crate::domain::random;
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::measures::{Connections, LANES, LanesMeasures};
use crate::storage::chat_message::{Found, PageAsked};
use crate::storage::deletion::{Asked, Attempt};
use crate::storage::{self, append};

/// The fewest connections that lanes can do with: one for each kind.
pub(super) const MIN_CONNECTIONS: u16 = 4;

/// The lanes of each kind.
pub(super) struct AllLanes {
    pub(super) pages: Lanes<PageWork>,
    pub(super) messages: Lanes<MessageAsked>,
    pub(super) appends: Lanes<Append>,
    pub(super) deletions: Lanes<Delete>,
}

impl AllLanes {
    /// Shares a number of connections out among the kinds, each of which has one at least.
    pub(super) fn start(
        options: &PgConnectOptions,
        connections: u16,
        wait: Duration,
        canceller: &Canceller,
        measures: &LanesMeasures,
    ) -> Self {
        let connections = connections.max(MIN_CONNECTIONS);
        // Writes wait for the disk, and so want more of them.
        let (appends, deletions) = ((connections / 3).max(1), (connections / 4).max(1));
        let messages = (connections / 6).max(1);
        let pages = connections - appends - deletions - messages;
        Self {
            pages: Lanes::start(options, pages, wait, canceller, &measures.pages),
            messages: Lanes::start(options, messages, wait, canceller, &measures.messages),
            appends: Lanes::start(options, appends, wait, canceller, &measures.appends),
            deletions: Lanes::start(options, deletions, wait, canceller, &measures.deletions),
        }
    }

    /// How the lanes of each kind are used at the moment.
    pub(super) fn connections(&self) -> [Connections; 4] {
        [self.pages.connections(), self.messages.connections(), self.appends.connections(), self.deletions.connections()]
    }
}

/// One page to read and write.
#[derive(Clone, Copy)]
pub(super) struct PageWork {
    pub(super) asked: PageAsked,
    pub(super) encoding: &'static Encoding,
}

/// A page costs what it has rows: so one statement reads no more than two of the largest.
impl Work for PageWork {
    /// Without messages where the asker has them.
    type Answer = Option<CachedPage>;
    const NAME: &'static str = LANES[0];
    const CAPACITY: usize = 1000;
    const READS: bool = true;

    fn weight(&self) -> usize {
        usize::try_from(self.asked.size).unwrap_or(Self::CAPACITY)
    }

    fn may_join(&self, _: &Self) -> bool {
        true
    }

    /// Each row is written while it is at hand: kept until its call takes it up, on another CPU perhaps, it costs twice as much.
    async fn run(connection: &mut PgConnection, application: ApplicationKey, works: &[Self]) -> Result<Vec<Self::Answer>, Error> {
        let asked: Vec<PageAsked> = works.iter().map(|work| work.asked).collect();
        let writer = |work: &Self| PageWriter::new(work.encoding, work.asked.after.0, work.asked.size);
        let mut writers: Vec<PageWriter> = works.iter().map(writer).collect();
        let write = |at: usize, message: ChatMessage<&str>| writers[at].add(&message);
        let tickets = storage::chat_message::pages(connection, application, &asked, write).await?;
        let pages = tickets.into_iter().zip(writers);
        Ok(pages.map(|(ticket, writer)| ticket.map(|ticket| writer.finish(ticket))).collect())
    }
}

/// One message to read.
#[derive(Clone, Copy)]
pub(super) struct MessageAsked {
    pub(super) ticket_id: TicketId,
    pub(super) id: ChatMessageId,
}

impl Work for MessageAsked {
    type Answer = Option<Found>;
    const NAME: &'static str = LANES[1];
    const CAPACITY: usize = 64;
    const READS: bool = true;

    fn weight(&self) -> usize {
        1
    }

    fn may_join(&self, _: &Self) -> bool {
        true
    }

    async fn run(connection: &mut PgConnection, application: ApplicationKey, works: &[Self]) -> Result<Vec<Self::Answer>, Error> {
        let asked: Vec<(TicketId, ChatMessageId)> = works.iter().map(|work| (work.ticket_id, work.id)).collect();
        storage::chat_message::find(connection, application, &asked).await
    }
}

/// Messages of one call to store at the end of a ticket.
pub(super) struct Append {
    pub(super) ticket_id: TicketId,
    pub(super) messages: Arc<Vec<NewChatMessage>>,
    /// Only with a single message: a request id to claim for it.
    pub(super) key: Option<RequestKey>,
    pub(super) now: DateTime<Utc>,
}

impl Append {
    fn asked(&self) -> impl Iterator<Item = append::Asked<'_>> {
        let (ticket_id, key) = (self.ticket_id, self.key.as_ref());
        self.messages.iter().map(move |message| append::Asked { ticket_id, message, key })
    }

    /// Whether both have a message that is known by the same id.
    fn repeats<'a>(&'a self, other: &'a Self) -> bool {
        let external_ids = |append: &'a Self| append.messages.iter().filter_map(|message| message.external_id.as_deref());
        let known: HashSet<&str> = external_ids(self).collect();
        self.ticket_id == other.ticket_id && external_ids(other).any(|id| known.contains(id))
    }
}

impl Work for Append {
    /// In the order of the messages; `None` where there is no such ticket.
    type Answer = Vec<Option<Stored>>;
    const NAME: &'static str = LANES[2];
    const CAPACITY: usize = MAX_STATEMENT;
    const READS: bool = false;

    fn weight(&self) -> usize {
        self.messages.len()
    }

    /// The statement claims a request id once, and for a message that it is given once.
    fn may_join(&self, other: &Self) -> bool {
        match (self.key, other.key) {
            (None, None) => true,
            (Some(one), Some(another)) if one.id == another.id => false,
            _ => !self.repeats(other),
        }
    }

    async fn run(connection: &mut PgConnection, application: ApplicationKey, works: &[Self]) -> Result<Vec<Self::Answer>, Error> {
        let messages = works.iter().flat_map(Self::asked);
        // One moment for all, or messages of one ticket might not be stored in the order of their times.
        let now = works.iter().map(|work| work.now).max().unwrap_or_default();
        let mut stored = Batch::new(messages).append(connection, application, now).await?.into_iter();
        Ok(works.iter().map(|work| stored.by_ref().take(work.messages.len()).collect()).collect())
    }
}

/// One message to delete.
pub(super) struct Delete {
    pub(super) order: Arc<Order>,
    pub(super) id: ChatMessageId,
    pub(super) key: Option<RequestKey>,
}

impl Work for Delete {
    type Answer = Option<Attempt>;
    const NAME: &'static str = LANES[3];
    const CAPACITY: usize = 64;
    const READS: bool = false;

    fn weight(&self) -> usize {
        1
    }

    /// The statement deletes a message once and claims a request id once; whoever comes second is told so by the next.
    fn may_join(&self, other: &Self) -> bool {
        let same_message = self.order.ticket_id == other.order.ticket_id && self.id == other.id;
        let same_request = self.key.zip(other.key).is_some_and(|(one, another)| one.id == another.id);
        !same_message && !same_request
    }

    async fn run(connection: &mut PgConnection, application: ApplicationKey, works: &[Self]) -> Result<Vec<Self::Answer>, Error> {
        let asked =
            works.iter().map(|work| Asked { order: &work.order, id: work.id, salt: random::bytes(), key: work.key.as_ref() });
        storage::deletion::delete(connection, application, &asked.collect::<Vec<_>>()).await
    }
}
