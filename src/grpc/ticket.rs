//! TicketService.

use tonic::{Request, Response, Status};

use crate::domain::caller::Scope;
use crate::domain::chat_message::NewChatMessage;
use crate::domain::hold::{Hold, HoldGrounds};
use crate::domain::page::PAGE_BYTES;
use crate::domain::text;
use crate::domain::ticket::{
    CustomField, CustomerDraft, Group, MAX_PAGE_SIZE, NewTicket, Ticket, TicketChange, TicketDraft, TicketFilter,
};
use crate::domain::violation::{Rule, Violations};
use crate::grpc::enums::{Enumeration, enumeration};
use crate::grpc::servers::ticket_service_server::TicketService;
use crate::grpc::{Door, authorize, parse, proto};

#[tonic::async_trait]
impl TicketService for Door {
    async fn create_ticket(
        &self,
        request: Request<proto::CreateTicketRequest>,
    ) -> Result<Response<proto::CreateTicketResponse>, Status> {
        let (caller, request) = authorize(request, Scope::TicketsWrite)?;
        let ticket = parse::required("ticket", request.ticket)?;
        let mut violations = Violations::default();
        let draft = draft("ticket", ticket, &mut violations);
        let ticket = NewTicket::parse("ticket", draft, &mut violations);
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let (ticket, request_id) = violations.finish(ticket.zip(request_id))?;
        let ticket = self.app.create_ticket(&caller, &ticket, request_id).await?;
        Ok(Response::new(proto::CreateTicketResponse { ticket: Some(render(ticket)) }))
    }

    async fn get_ticket(&self, request: Request<proto::GetTicketRequest>) -> Result<Response<proto::GetTicketResponse>, Status> {
        let (caller, request) = authorize(request, Scope::TicketsRead)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::ticket_id("id", request.id));
        let ticket = self.app.get_ticket(&caller, violations.finish(id)?).await?;
        Ok(Response::new(proto::GetTicketResponse { ticket: Some(render(ticket)) }))
    }

    async fn list_tickets(
        &self,
        request: Request<proto::ListTicketsRequest>,
    ) -> Result<Response<proto::ListTicketsResponse>, Status> {
        let (caller, request) = authorize(request, Scope::TicketsRead)?;
        let mut violations = Violations::default();
        let filter = filter(request.filter.unwrap_or_default(), &mut violations);
        let page = parse::page(request.page_size, request.skip, request.page_token, MAX_PAGE_SIZE, &mut violations);
        let (filter, page) = violations.finish(filter.zip(page))?;
        let page = self.app.list_tickets(&caller, &filter, &page, PAGE_BYTES).await?;
        Ok(Response::new(proto::ListTicketsResponse {
            tickets: page.items.into_iter().map(render).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            total_size: page.total_size,
        }))
    }

    async fn update_ticket(
        &self,
        request: Request<proto::UpdateTicketRequest>,
    ) -> Result<Response<proto::UpdateTicketResponse>, Status> {
        let (caller, request) = authorize(request, Scope::TicketsWrite)?;
        let ticket = parse::required("ticket", request.ticket)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::ticket_id("ticket.id", ticket.id));
        let etag = (!ticket.etag.is_empty()).then(|| ticket.etag.clone());
        let mask = ("update_mask", request.update_mask.map(|mask| mask.paths).unwrap_or_default());
        let draft = draft("ticket", ticket, &mut violations);
        let change = TicketChange::parse("ticket", draft, mask, &mut violations);
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let ((id, change), request_id) = violations.finish(id.zip(change).zip(request_id))?;
        let ticket = self.app.update_ticket(&caller, id, &change, etag.as_deref(), request_id).await?;
        Ok(Response::new(proto::UpdateTicketResponse { ticket: Some(render(ticket)) }))
    }

    async fn close_ticket(
        &self,
        request: Request<proto::CloseTicketRequest>,
    ) -> Result<Response<proto::CloseTicketResponse>, Status> {
        let (caller, request) = authorize(request, Scope::TicketsWrite)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::ticket_id("id", request.id));
        let comment = violations.check(text::characters("close_comment", request.close_comment, 0, 2048));
        let message = match request.close_message.is_empty() {
            true => Some(None),
            false => NewChatMessage::event("close_message", request.close_message, &mut violations).map(Some),
        };
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let (((id, comment), message), request_id) = violations.finish(id.zip(comment).zip(message).zip(request_id))?;
        let ticket = self.app.close_ticket(&caller, id, &comment, message.as_ref(), request_id).await?;
        Ok(Response::new(proto::CloseTicketResponse { ticket: Some(render(ticket)) }))
    }

    async fn reopen_ticket(
        &self,
        request: Request<proto::ReopenTicketRequest>,
    ) -> Result<Response<proto::ReopenTicketResponse>, Status> {
        let (caller, request) = authorize(request, Scope::TicketsWrite)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::ticket_id("id", request.id));
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let (id, request_id) = violations.finish(id.zip(request_id))?;
        let ticket = self.app.reopen_ticket(&caller, id, request_id).await?;
        Ok(Response::new(proto::ReopenTicketResponse { ticket: Some(render(ticket)) }))
    }

    async fn place_hold(&self, request: Request<proto::PlaceHoldRequest>) -> Result<Response<proto::PlaceHoldResponse>, Status> {
        let (caller, request) = authorize(request, Scope::HoldsWrite)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::ticket_id("id", request.id));
        let grounds = hold_grounds(request.reason, request.requested_by, &mut violations);
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let ((id, grounds), request_id) = violations.finish(id.zip(grounds).zip(request_id))?;
        let ticket = self.app.place_hold(&caller, id, &grounds, request_id).await?;
        Ok(Response::new(proto::PlaceHoldResponse { ticket: Some(render(ticket)) }))
    }

    async fn release_hold(
        &self,
        request: Request<proto::ReleaseHoldRequest>,
    ) -> Result<Response<proto::ReleaseHoldResponse>, Status> {
        let (caller, request) = authorize(request, Scope::HoldsWrite)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::ticket_id("id", request.id));
        let grounds = hold_grounds(request.reason, request.requested_by, &mut violations);
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let ((id, grounds), request_id) = violations.finish(id.zip(grounds).zip(request_id))?;
        let ticket = self.app.release_hold(&caller, id, &grounds, request_id).await?;
        Ok(Response::new(proto::ReleaseHoldResponse { ticket: Some(render(ticket)) }))
    }
}

fn hold_grounds(reason: String, requested_by: Option<proto::Agent>, violations: &mut Violations) -> Option<HoldGrounds> {
    HoldGrounds::parse(HoldGrounds { reason, requested_by: requested_by.map(Into::into) }, violations)
}

/// What cannot be read is told and left out, so that the other fields are looked at too.
fn draft(path: &str, ticket: proto::Ticket, violations: &mut Violations) -> TicketDraft {
    let status = violations.check(enumeration(&format!("{path}.status"), ticket.status));
    let priority = violations.check(enumeration(&format!("{path}.priority"), ticket.priority));
    let agent = match ticket.recent_assignment {
        None => None,
        Some(proto::Assignment { agent: Some(agent) }) => Some(agent.into()),
        Some(proto::Assignment { agent: None }) => {
            violations.add(format!("{path}.recent_assignment.agent"), Rule::Required);
            None
        }
    };
    TicketDraft {
        channel_url: ticket.channel_url,
        channel_name: ticket.channel_name,
        status: status.flatten(),
        priority: priority.flatten(),
        customer: ticket.customer.map(|customer| customer_draft(path, customer, violations)),
        agent,
        group: ticket.group.map(|group| Group { id: group.id, name: group.name, key: group.key }),
        info: ticket.info,
        custom_fields: ticket
            .custom_fields
            .into_iter()
            .map(|field| CustomField { id: field.id, key: field.key, value: field.value })
            .collect(),
        related_channels: ticket.related_channels,
    }
}

fn customer_draft(path: &str, customer: proto::Customer, violations: &mut Violations) -> CustomerDraft {
    let channel_type = violations.check(enumeration(&format!("{path}.customer.channel_type"), customer.channel_type)).flatten();
    CustomerDraft { id: customer.id, sendbird_id: customer.sendbird_id, channel_type, display_name: customer.display_name }
}

fn filter(filter: proto::TicketFilter, violations: &mut Violations) -> Option<TicketFilter> {
    let status = violations.check(enumeration("filter.status", filter.status));
    let sendbird_id = violations.check(parse::filter_text("filter.sendbird_id", filter.sendbird_id, 80));
    let channel_url = violations.check(parse::filter_text("filter.channel_url", filter.channel_url, 512));
    let query = violations.check(parse::filter_text("filter.query", filter.query, 255));
    let start_date = violations.check(text::date("filter.start_date", &filter.start_date));
    let end_date = violations.check(text::date("filter.end_date", &filter.end_date));
    let filter = TicketFilter {
        status: status?,
        agent_id: parse::filter_id(filter.agent_id),
        sendbird_id: sendbird_id?,
        channel_url: channel_url?,
        query: query?,
        start_date: start_date?,
        end_date: end_date?,
    };
    if filter.start_date.zip(filter.end_date).is_some_and(|(start, end)| start > end) {
        violations.add("filter.end_date", Rule::DateOrder);
    }
    Some(filter)
}

fn render(ticket: Ticket) -> proto::Ticket {
    let closing = ticket.closing;
    proto::Ticket {
        id: ticket.id.0,
        channel_url: ticket.channel_url,
        channel_name: ticket.channel_name,
        status: ticket.status.number(),
        priority: ticket.priority.number(),
        customer: Some(proto::Customer {
            id: ticket.customer.id.unwrap_or_default(),
            sendbird_id: ticket.customer.sendbird_id,
            channel_type: ticket.customer.channel_type.number(),
            display_name: ticket.customer.display_name,
        }),
        recent_assignment: ticket.agent.map(|agent| proto::Assignment { agent: Some(agent.into()) }),
        group: ticket.group.map(|group| proto::Group { id: group.id, name: group.name, key: group.key }),
        info: ticket.info,
        custom_fields: ticket
            .custom_fields
            .into_iter()
            .map(|field| proto::CustomField { id: field.id, key: field.key, value: field.value })
            .collect(),
        related_channels: ticket.related_channels,
        message_count: ticket.message_count,
        last_message: ticket.last_message,
        create_time: Some(parse::timestamp(ticket.create_time)),
        close_time: closing.as_ref().map(|closing| parse::timestamp(closing.time)),
        issue_time: ticket.issue_time.map(parse::timestamp),
        close_status: closing.as_ref().map(|closing| closing.status.clone()).unwrap_or_default(),
        close_comment: closing.map(|closing| closing.comment).unwrap_or_default(),
        etag: ticket.version.to_string(),
        hold: ticket.hold.map(render_hold),
    }
}

fn render_hold(hold: Hold) -> proto::Hold {
    proto::Hold {
        id: hold.id.0,
        reason: hold.reason,
        place_time: Some(parse::timestamp(hold.place_time)),
        requested_by: hold.requested_by.map(Into::into),
        token_id: hold.token_id,
    }
}
