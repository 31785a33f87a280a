//! Tickets.

use std::iter;

use serde::Serialize;
use sqlx::PgConnection;

use crate::app::App;
use crate::app::chat_message;
use crate::app::request::Begun;
use crate::app::retry::Retry;
use crate::domain::caller::Caller;
use crate::domain::chat_message::{Envelope, NewChatMessage, Stored};
use crate::domain::hold::{HoldGrounds, HoldOrder};
use crate::domain::ids::{RequestId, TicketId};
use crate::domain::list_milestone::Place;
use crate::domain::page::{Binding, Page, PageRequest, cut_to, keep_within};
use crate::domain::request::RequestKey;
use crate::domain::ticket::{Closing, DEFAULT_CLOSE_STATUS, NewTicket, Ticket, TicketChange, TicketFilter, TicketStatus};
use crate::error::Error;
use crate::measures::CALLS;
use crate::storage;
use crate::storage::append::Asked;
use crate::storage::request::Effect;

/// A change of one ticket, decided under the lock on its row.
#[derive(Serialize)]
enum Change<'a> {
    Update {
        change: &'a TicketChange,
        etag: Option<&'a str>,
    },
    Close {
        comment: &'a str,
        /// What a repeat is known by; the content is compared with the stored message.
        envelope: Option<Envelope<'a>>,
        #[serde(skip)]
        message: Option<&'a NewChatMessage>,
    },
    Reopen,
    PlaceHold {
        grounds: &'a HoldGrounds,
    },
    ReleaseHold {
        grounds: &'a HoldGrounds,
    },
}

impl App {
    /// Opens a ticket.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn create_ticket(&self, caller: &Caller, ticket: &NewTicket, request_id: Option<RequestId>) -> Result<Ticket, Error> {
        let key = request_id.map(|id| RequestKey::new(id, "CreateTicket", ticket));
        let mut retry = Retry::new();
        loop {
            let outcome = self.create_ticket_once(caller, ticket, key.as_ref()).await;
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn create_ticket_once(&self, caller: &Caller, ticket: &NewTicket, key: Option<&RequestKey>) -> Result<Ticket, Error> {
        match self.begin_write(caller, key).await? {
            Begun::Repeat(mut repeat) => find(&mut repeat.transaction, caller, repeat.effect.ticket_id).await,
            Begun::New(mut write) => {
                let id = storage::ticket::insert(&mut write.transaction, caller.application, ticket, self.now()).await?;
                let made = find(&mut write.transaction, caller, id).await?;
                write.commit(&effect_on(id)).await?;
                Ok(made)
            }
        }
    }

    /// Reads a ticket.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn get_ticket(&self, caller: &Caller, id: TicketId) -> Result<Ticket, Error> {
        find(&mut *self.connection().await?, caller, id).await
    }

    /// Finds the oldest ticket of a channel.
    ///
    /// # Errors
    /// When the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn find_ticket_by_channel_url(&self, caller: &Caller, channel_url: &str) -> Result<Option<TicketId>, Error> {
        storage::ticket::find_by_channel_url(&mut *self.connection().await?, caller.application, channel_url).await
    }

    /// Lists tickets ascending by id. A page ends early where it passes `max_bytes`.
    ///
    /// # Errors
    /// [`Error::PageTokenInvalid`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn list_tickets(
        &self,
        caller: &Caller,
        filter: &TicketFilter,
        page: &PageRequest,
        max_bytes: usize,
    ) -> Result<Page<Ticket>, Error> {
        let binding = Binding::new(caller.application, "ListTickets", filter);
        let after = page.after(binding)?;
        let (application, asked) = (caller.application, page.size + 1); // one more tells whether there is a next page
        let mut connection = self.connection().await?;
        let (mut items, total_size) = if *filter == TicketFilter::default() {
            let place = storage::list_milestone::place::among_tickets(&mut connection, application, TicketId(after), page.skip);
            let Place { after, total_size } = place.await?;
            (storage::ticket::list::all(&mut connection, application, TicketId(after), asked).await?, total_size)
        } else {
            // What a filter chooses has no milestones: it is counted and passed over row by row.
            let total_size = storage::ticket::list::count(&mut connection, application, filter).await?;
            let after = TicketId(after);
            (storage::ticket::list::chosen(&mut connection, application, filter, after, page.skip, asked).await?, total_size)
        };
        let more = cut_to(&mut items, page.size) | keep_within(&mut items, max_bytes, Ticket::answer_bytes);
        Ok(Page::of(items, total_size, more, |last| binding.token([last.id.0])))
    }

    /// Changes a ticket's fields. `etag`, where given, must be the current one.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::EtagMismatch`], [`Error::TicketStatusTransitionInvalid`], [`Error::RequestIdReused`],
    /// [`Error::WriteConflict`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn update_ticket(
        &self,
        caller: &Caller,
        id: TicketId,
        change: &TicketChange,
        etag: Option<&str>,
        request_id: Option<RequestId>,
    ) -> Result<Ticket, Error> {
        self.change_ticket(caller, id, Change::Update { change, etag }, request_id).await
    }

    /// Closes a ticket, after a last message where one is given.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::TicketAlreadyClosed`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database
    /// is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn close_ticket(
        &self,
        caller: &Caller,
        id: TicketId,
        comment: &str,
        message: Option<&NewChatMessage>,
        request_id: Option<RequestId>,
    ) -> Result<Ticket, Error> {
        self.change_ticket(
            caller,
            id,
            Change::Close { comment, envelope: message.map(NewChatMessage::envelope), message },
            request_id,
        )
        .await
    }

    /// Reopens a ticket to PENDING.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::TicketNotClosed`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is
    /// away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn reopen_ticket(&self, caller: &Caller, id: TicketId, request_id: Option<RequestId>) -> Result<Ticket, Error> {
        self.change_ticket(caller, id, Change::Reopen, request_id).await
    }

    /// Places a legal hold on a ticket: from then on none of its messages is deleted.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::TicketAlreadyHeld`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is
    /// away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn place_hold(
        &self,
        caller: &Caller,
        id: TicketId,
        grounds: &HoldGrounds,
        request_id: Option<RequestId>,
    ) -> Result<Ticket, Error> {
        self.change_ticket(caller, id, Change::PlaceHold { grounds }, request_id).await
    }

    /// Releases the legal hold on a ticket.
    ///
    /// # Errors
    /// [`Error::TicketNotFound`], [`Error::TicketNotHeld`], [`Error::RequestIdReused`], [`Error::WriteConflict`]; when the database is away.
    #[tracing::instrument(target = CALLS, skip_all)]
    pub async fn release_hold(
        &self,
        caller: &Caller,
        id: TicketId,
        grounds: &HoldGrounds,
        request_id: Option<RequestId>,
    ) -> Result<Ticket, Error> {
        self.change_ticket(caller, id, Change::ReleaseHold { grounds }, request_id).await
    }

    async fn change_ticket(
        &self,
        caller: &Caller,
        id: TicketId,
        change: Change<'_>,
        request_id: Option<RequestId>,
    ) -> Result<Ticket, Error> {
        let key = request_id.map(|request_id| RequestKey::new(request_id, "ChangeTicket", &(id, &change)));
        let mut retry = Retry::new();
        loop {
            let outcome = self.change_ticket_once(caller, id, &change, key.as_ref()).await;
            if !retry.again(&outcome).await {
                return outcome;
            }
        }
    }

    async fn change_ticket_once(
        &self,
        caller: &Caller,
        id: TicketId,
        change: &Change<'_>,
        key: Option<&RequestKey>,
    ) -> Result<Ticket, Error> {
        let mut write = match self.begin_write(caller, key).await? {
            Begun::Repeat(mut repeat) => {
                if let Change::Close { message: Some(message), .. } = change {
                    let ids = &repeat.effect.chat_message_ids;
                    let stored = chat_message::find(&mut repeat.transaction, caller, id, ids).await?;
                    repeat.compare(&stored, iter::once(*message))?;
                }
                return find(&mut repeat.transaction, caller, repeat.effect.ticket_id).await;
            }
            Begun::New(write) => write,
        };
        let stored = self.carry_out(&mut write.transaction, caller, id, change).await?;
        let changed = find(&mut write.transaction, caller, id).await?;
        let effect = Effect {
            ticket_id: id,
            chat_message_ids: stored.iter().map(|stored| stored.message.id).collect(),
            duplicates: stored.iter().map(|stored| stored.duplicate).collect(),
        };
        write.commit(&effect).await?;
        Ok(changed)
    }

    /// Answers the message that was stored with the change, if there is one.
    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        caller: &Caller,
        id: TicketId,
        change: &Change<'_>,
    ) -> Result<Option<Stored>, Error> {
        let mut stored = None;
        let application = caller.application;
        let locked = storage::ticket::lock(connection, application, id).await?.ok_or(Error::TicketNotFound { ticket_id: id })?;
        match change {
            Change::Update { change, etag } => {
                let current = locked.version.to_string();
                if etag.is_some_and(|etag| etag != current) {
                    return Err(Error::EtagMismatch { ticket_id: id, etag: current });
                }
                change.next_status(id, locked.status)?;
                storage::ticket::update(connection, application, id, change).await?;
            }
            Change::Close { comment, message, .. } => {
                if locked.status == TicketStatus::Closed {
                    return Err(Error::TicketAlreadyClosed { ticket_id: id });
                }
                let now = self.now();
                if let Some(message) = message {
                    let asked = [Asked::unclaimed(id, message)];
                    stored = storage::append::append(connection, application, &asked, now).await?.pop().flatten();
                }
                let closing = Closing { time: now, status: DEFAULT_CLOSE_STATUS.to_owned(), comment: (*comment).to_owned() };
                storage::ticket::close(connection, application, id, &closing).await?;
            }
            Change::Reopen => {
                if locked.status != TicketStatus::Closed {
                    return Err(Error::TicketNotClosed { ticket_id: id, status: locked.status });
                }
                storage::ticket::reopen(connection, application, id).await?;
            }
            Change::PlaceHold { .. } if locked.is_held => return Err(Error::TicketAlreadyHeld { ticket_id: id }),
            Change::PlaceHold { grounds } => {
                storage::hold::place(connection, application, id, &self.hold_order(caller, grounds)).await?;
            }
            Change::ReleaseHold { .. } if !locked.is_held => return Err(Error::TicketNotHeld { ticket_id: id }),
            Change::ReleaseHold { grounds } => {
                storage::hold::release(connection, application, id, &self.hold_order(caller, grounds)).await?;
            }
        }
        Ok(stored)
    }

    fn hold_order(&self, caller: &Caller, grounds: &HoldGrounds) -> HoldOrder {
        HoldOrder {
            time: self.now(),
            reason: grounds.reason.clone(),
            requested_by: grounds.requested_by.clone().or_else(|| caller.requested_by.clone()),
            token_id: caller.token_id.clone(),
        }
    }
}

async fn find(connection: &mut PgConnection, caller: &Caller, id: TicketId) -> Result<Ticket, Error> {
    storage::ticket::find(connection, caller.application, id).await?.ok_or(Error::TicketNotFound { ticket_id: id })
}

fn effect_on(ticket_id: TicketId) -> Effect {
    Effect { ticket_id, chat_message_ids: vec![], duplicates: vec![] }
}
