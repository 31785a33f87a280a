//! Words for what tests do with tickets.

use tonic::Status;

use super::{Actor, pb};
use pb::TicketStatus::{self, Active, Closed, Idle, Initialized, Pending, Proactive, WorkInProgress};

pub const EVERY_STATUS: [TicketStatus; 7] = [Initialized, Proactive, Pending, Active, Closed, WorkInProgress, Idle];

impl Actor {
    pub async fn create(&mut self, ticket: pb::Ticket) -> Result<pb::Ticket, Status> {
        let request = pb::CreateTicketRequest { ticket: Some(ticket), ..Default::default() };
        Ok(self.tickets.create_ticket(request).await?.into_inner().ticket.expect("it is answered"))
    }

    pub async fn ticket(&mut self, id: i64) -> pb::Ticket {
        let answer = self.tickets.get_ticket(pb::GetTicketRequest { id }).await.expect("the ticket is there");
        answer.into_inner().ticket.expect("it is answered")
    }

    pub async fn place_hold(&mut self, id: i64) -> pb::Ticket {
        let request = pb::PlaceHoldRequest { id, reason: "litigation".to_owned(), ..Default::default() };
        self.tickets.place_hold(request).await.expect("the hold is placed").into_inner().ticket.expect("it is answered")
    }

    pub async fn release_hold(&mut self, id: i64) -> pb::Ticket {
        let request = pb::ReleaseHoldRequest { id, reason: "settled".to_owned(), ..Default::default() };
        self.tickets.release_hold(request).await.expect("the hold is released").into_inner().ticket.expect("it is answered")
    }

    /// Changes the fields that `paths` name; no paths are those with a value.
    pub async fn update(&mut self, ticket: pb::Ticket, paths: &[&str]) -> Result<pb::Ticket, Status> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let update_mask = (!paths.is_empty()).then_some(prost_types::FieldMask { paths });
        let request = pb::UpdateTicketRequest { ticket: Some(ticket), update_mask, ..Default::default() };
        Ok(self.tickets.update_ticket(request).await?.into_inner().ticket.expect("it is answered"))
    }

    /// A ticket that was led into a status along its life cycle.
    pub async fn ticket_in(&mut self, status: TicketStatus) -> pb::Ticket {
        let (opening, path): (TicketStatus, &[TicketStatus]) = match status {
            Initialized | Proactive => (status, &[]),
            Active => (Pending, &[Active]),
            WorkInProgress => (Pending, &[Active, WorkInProgress]),
            Idle => (Pending, &[Active, Idle]),
            _ => (Pending, &[]),
        };
        let mut ticket = self.create(pb::Ticket { status: opening as i32, ..plain_ticket() }).await.expect("the ticket opens");
        for step in path {
            let next = pb::Ticket { id: ticket.id, status: *step as i32, ..Default::default() };
            ticket = self.update(next, &["status"]).await.expect("a step of the life cycle");
        }
        if status == Closed { self.close(ticket.id).await } else { ticket }
    }

    /// A page of the tickets that a filter chooses.
    pub async fn list_tickets(&mut self, filter: pb::TicketFilter) -> Result<pb::ListTicketsResponse, Status> {
        let request = pb::ListTicketsRequest { filter: Some(filter), page_size: 500, ..Default::default() };
        Ok(self.tickets.list_tickets(request).await?.into_inner())
    }
}

/// A ticket of a plain customer, as a caller gives it.
pub fn plain_ticket() -> pb::Ticket {
    let customer = pb::Customer { sendbird_id: "ada".to_owned(), ..Default::default() };
    pb::Ticket { customer: Some(customer), ..Default::default() }
}

/// A ticket with a value in every field that a caller gives.
pub fn full_ticket() -> pb::Ticket {
    pb::Ticket {
        channel_url: "sendbird_desk_42".to_owned(),
        channel_name: "My parcel is late".to_owned(),
        status: pb::TicketStatus::Pending as i32,
        priority: pb::TicketPriority::Urgent as i32,
        customer: Some(pb::Customer {
            id: 7,
            sendbird_id: "ada".to_owned(),
            channel_type: pb::ChannelType::WhatsappMessage as i32,
            display_name: "Ada Lovelace".to_owned(),
        }),
        recent_assignment: Some(pb::Assignment { agent: Some(full_agent()) }),
        group: Some(pb::Group { id: 3, name: "First level".to_owned(), key: "first".to_owned() }),
        info: r#"{"order": 1}"#.to_owned(),
        custom_fields: vec![custom_field("order"), custom_field("shop")],
        related_channels: r#"[{"channelUrl":"a" }]"#.to_owned(),
        ..Default::default()
    }
}

pub fn full_agent() -> pb::Agent {
    pb::Agent { id: 5, display_name: "Grace".to_owned(), sendbird_id: "grace".to_owned(), email: "grace@example.com".to_owned() }
}

pub fn custom_field(key: &str) -> pb::CustomField {
    pb::CustomField { id: 9, key: key.to_owned(), value: "12".to_owned() }
}
