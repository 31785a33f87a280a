//! What calls on tickets should be answered.

use super::{Answer, Refused, Tenant, Ticket, name, refused};
use crate::support::pb;

impl Tenant {
    pub(super) fn close(&mut self, request: &pb::CloseTicketRequest, got: &Answer) -> Result<Answer, Refused> {
        let at = self.at(request.id)?;
        if self.tickets[at].shown.status() == pb::TicketStatus::Closed {
            return Err(refused("TICKET_ALREADY_CLOSED", "deskp400602", &[("ticket_id", request.id.to_string())]));
        }
        let Answer::Ticket(closed) = got else { return Ok(Answer::Ticket(pb::Ticket::default())) };
        let close_time = closed.close_time.and_then(|time| self.told(time));
        if !request.close_message.is_empty() {
            // Its id and time are not in the answer: they are learned by a look at it.
            let message = pb::ChatMessage {
                user_type: pb::UserType::Event as i32,
                message: request.close_message.clone(),
                ..Default::default()
            };
            self.keep(at, &message, &pb::ChatMessage::default());
        }
        let shown = &mut self.tickets[at].shown;
        shown.set_status(pb::TicketStatus::Closed);
        shown.close_time = close_time;
        "DEFAULT".clone_into(&mut shown.close_status);
        shown.close_comment.clone_from(&request.close_comment);
        shown.etag.clear();
        self.show(request.id, got)
    }

    pub(super) fn reopen(&mut self, id: i64, got: &Answer) -> Result<Answer, Refused> {
        let at = self.at(id)?;
        let shown = &mut self.tickets[at].shown;
        if shown.status() != pb::TicketStatus::Closed {
            let status = name(shown.status());
            return Err(refused("TICKET_NOT_CLOSED", "deskp400600", &[("ticket_id", id.to_string()), ("status", status)]));
        }
        shown.set_status(pb::TicketStatus::Pending);
        shown.close_time = None;
        shown.close_status.clear();
        shown.close_comment.clear();
        shown.etag.clear();
        self.show(id, got)
    }

    pub(super) fn place_hold(&mut self, request: &pb::PlaceHoldRequest, got: &Answer) -> Result<Answer, Refused> {
        let at = self.at(request.id)?;
        if self.tickets[at].shown.hold.is_some() {
            return Err(refused("TICKET_ALREADY_HELD", "deskp400602", &[("ticket_id", request.id.to_string())]));
        }
        let Answer::Ticket(held) = got else { return Ok(Answer::Ticket(pb::Ticket::default())) };
        let id = held.hold.as_ref().map(|hold| hold.id).unwrap_or_default();
        let place_time = held.hold.as_ref().and_then(|hold| hold.place_time).and_then(|time| self.told(time));
        let (reason, requested_by) = (request.reason.clone(), request.requested_by.clone());
        let shown = &mut self.tickets[at].shown;
        shown.hold = Some(pb::Hold { id, reason, place_time, requested_by, token_id: self.token_id.clone() });
        shown.etag.clear();
        self.show(request.id, got)
    }

    pub(super) fn release_hold(&mut self, id: i64, got: &Answer) -> Result<Answer, Refused> {
        let at = self.at(id)?;
        let shown = &mut self.tickets[at].shown;
        if shown.hold.take().is_none() {
            return Err(refused("TICKET_NOT_HELD", "deskp400602", &[("ticket_id", id.to_string())]));
        }
        shown.etag.clear();
        self.show(id, got)
    }

    pub(super) fn update(&mut self, ticket: &pb::Ticket, got: &Answer) -> Result<Answer, Refused> {
        use pb::TicketStatus::{Active, Closed, Idle, Initialized, Pending, Proactive, WorkInProgress};
        let at = self.at(ticket.id)?;
        let shown = &mut self.tickets[at].shown;
        let allowed = match (shown.status(), ticket.status()) {
            (Initialized | Proactive, Pending) | (Pending | Idle | WorkInProgress, Active) | (Active, Idle | WorkInProgress) => {
                true
            }
            (from, to) => from == to && from != Closed,
        };
        if !allowed {
            let metadata = [("ticket_id", ticket.id.to_string()), ("from", name(shown.status())), ("to", name(ticket.status()))];
            return Err(refused("TICKET_STATUS_TRANSITION_INVALID", "deskp400602", &metadata));
        }
        shown.status = ticket.status;
        shown.etag.clear();
        self.show(ticket.id, got)
    }

    pub(super) fn show(&mut self, id: i64, got: &Answer) -> Result<Answer, Refused> {
        let at = self.at(id)?;
        let Ticket { shown, last_etag, messages, .. } = &mut self.tickets[at];
        shown.last_message = messages.last().map(|message| message.message.clone()).unwrap_or_default();
        if let (Answer::Ticket(got), true) = (got, shown.etag.is_empty()) {
            assert_ne!(&got.etag, last_etag, "a change changes the etag");
            shown.etag.clone_from(&got.etag);
            last_etag.clone_from(&got.etag);
        }
        Ok(Answer::Ticket(shown.clone()))
    }
}
