//! One caller at either door, with one vocabulary for both: JSON of the REST door, and refusals that say what both can say.

use chrono::{DateTime, SecondsFormat};
use http::Method;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{Actor, Answer, Http, pb, refusal};

/// Which door a caller goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Grpc,
    Rest,
}

impl Door {
    pub const BOTH: [Self; 2] = [Self::Grpc, Self::Rest];
}

/// A refusal as both doors tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The HTTP status, for gRPC the one that its code and reason have on the other door.
    pub status: u16,
    pub legacy_code: String,
    pub message: String,
    /// Only gRPC says it.
    pub reason: Option<String>,
}

/// A call that both doors have.
#[derive(Debug, Clone)]
pub enum Call {
    ListMessages {
        ticket: i64,
        size: Option<i64>,
        skip: Option<i64>,
    },
    ListTickets {
        size: Option<i64>,
        skip: Option<i64>,
    },
    ListLog {
        days: Option<(&'static str, &'static str)>,
        /// "" for all.
        reason: &'static str,
        size: Option<i64>,
        skip: Option<i64>,
    },
    GetTicket {
        id: i64,
    },
    CreateTicket {
        customer: &'static str,
        name: &'static str,
    },
    /// The status that the ticket is to have.
    Update {
        id: i64,
        status: &'static str,
    },
    Close {
        id: i64,
        comment: &'static str,
    },
    Reopen {
        id: i64,
    },
    Delete {
        ticket: i64,
        id: i64,
    },
    DeleteFor {
        ticket: i64,
        id: i64,
        reason: &'static str,
    },
}

/// A caller at one of the doors.
pub struct Visitor {
    pub door: Door,
    pub actor: Actor,
    pub http: Http,
}

impl Visitor {
    /// Makes a call and answers what came of it, in the words of the REST door.
    pub async fn call(&mut self, call: &Call) -> Result<Value, Told> {
        match self.door {
            Door::Grpc => self.grpc(call.clone()).await.map_err(|status| told_by_grpc(&status)),
            Door::Rest => told_by_rest(&self.rest(call).await),
        }
    }

    async fn rest(&self, call: &Call) -> Answer {
        let page = |size: &Option<i64>, skip: &Option<i64>| {
            let pairs = [("limit", size), ("offset", skip)];
            pairs.iter().filter_map(|(name, value)| value.map(|value| format!("&{name}={value}"))).collect::<String>()
        };
        let (method, path, body) = match call {
            Call::ListMessages { ticket, size, skip } => {
                (Method::GET, format!("/tickets/{ticket}/chat_messages?{}", page(size, skip)), json!({}))
            }
            Call::ListTickets { size, skip } => (Method::GET, format!("/tickets?{}", page(size, skip)), json!({})),
            Call::ListLog { days, reason, size, skip } => {
                let days = days.map(|(start, end)| format!("&start_date={start}&end_date={end}")).unwrap_or_default();
                (Method::GET, format!("/chat_messages/deletion_logs?reason={reason}{days}{}", page(size, skip)), json!({}))
            }
            Call::GetTicket { id } => (Method::GET, format!("/tickets/{id}"), json!({})),
            Call::CreateTicket { customer, name } => {
                (Method::POST, "/tickets".to_owned(), json!({"channelName": name, "customer": {"sendbirdId": customer}}))
            }
            Call::Update { id, status } => (Method::PATCH, format!("/tickets/{id}"), json!({"status2": status})),
            Call::Close { id, comment } => (Method::PATCH, format!("/tickets/{id}/close"), json!({"closeComment": comment})),
            Call::Reopen { id } => (Method::PATCH, format!("/tickets/{id}/reopen"), json!({})),
            Call::Delete { ticket, id } => (Method::DELETE, format!("/tickets/{ticket}/chat_messages/{id}"), json!({})),
            Call::DeleteFor { ticket, id, reason } => {
                (Method::DELETE, format!("/tickets/{ticket}/chat_messages/{id}"), json!({"reason": reason}))
            }
        };
        self.http.call(method, &path, body.to_string()).await
    }

    async fn grpc(&mut self, call: Call) -> Result<Value, Status> {
        let size_of = |size: Option<i64>| size.map_or(Ok(0), |size| i32::try_from(size).map_err(|_| Status::internal("no int32")));
        Ok(match call {
            Call::ListMessages { ticket, size, skip } => {
                let request = pb::ListChatMessagesRequest {
                    ticket_id: ticket,
                    page_size: size_of(size)?,
                    skip: skip.unwrap_or(0),
                    ..Default::default()
                };
                let listed = self.actor.messages.list_chat_messages(request).await?.into_inner();
                list(listed.total_size, listed.chat_messages.iter().map(message), &listed.next_page_token)
            }
            Call::ListTickets { size, skip } => {
                let request = pb::ListTicketsRequest { page_size: size_of(size)?, skip: skip.unwrap_or(0), ..Default::default() };
                let listed = self.actor.tickets.list_tickets(request).await?.into_inner();
                list(listed.total_size, listed.tickets.iter().map(ticket), &listed.next_page_token)
            }
            Call::ListLog { days, reason, size, skip } => {
                let (start_date, end_date) = days.unwrap_or_default();
                let filter = pb::DeletionLogFilter {
                    start_date: start_date.to_owned(),
                    end_date: end_date.to_owned(),
                    reason: reason_of(reason),
                    ..Default::default()
                };
                let request = pb::ListDeletionLogsRequest {
                    filter: Some(filter),
                    page_size: size_of(size)?,
                    skip: skip.unwrap_or(0),
                    ..Default::default()
                };
                let listed = self.actor.logs.list_deletion_logs(request).await?.into_inner();
                list(listed.total_size, listed.deletion_logs.iter().map(log), &listed.next_page_token)
            }
            Call::GetTicket { id } => {
                ticket(&self.actor.tickets.get_ticket(pb::GetTicketRequest { id }).await?.into_inner().ticket.expect("a ticket"))
            }
            Call::CreateTicket { customer, name } => {
                let customer =
                    Some(pb::Customer { sendbird_id: customer.to_owned(), ..Default::default() }).filter(|_| !customer.is_empty());
                let new = pb::Ticket { channel_name: name.to_owned(), customer, ..Default::default() };
                let request = pb::CreateTicketRequest { ticket: Some(new), ..Default::default() };
                ticket(&self.actor.tickets.create_ticket(request).await?.into_inner().ticket.expect("a ticket"))
            }
            Call::Update { id, status } => {
                let status = pb::TicketStatus::from_str_name(&format!("TICKET_STATUS_{status}")).expect("a status");
                let changed = pb::Ticket { id, status: status as i32, ..Default::default() };
                let request = pb::UpdateTicketRequest { ticket: Some(changed), ..Default::default() };
                ticket(&self.actor.tickets.update_ticket(request).await?.into_inner().ticket.expect("a ticket"))
            }
            Call::Close { id, comment } => {
                let request = pb::CloseTicketRequest { id, close_comment: comment.to_owned(), ..Default::default() };
                ticket(&self.actor.tickets.close_ticket(request).await?.into_inner().ticket.expect("a ticket"))
            }
            Call::Reopen { id } => {
                let request = pb::ReopenTicketRequest { id, ..Default::default() };
                ticket(&self.actor.tickets.reopen_ticket(request).await?.into_inner().ticket.expect("a ticket"))
            }
            Call::Delete { ticket, id } => {
                json!({"id": self.actor.delete(ticket, id).await?.chat_message.expect("a tombstone").id})
            }
            Call::DeleteFor { ticket, id, reason } => {
                let request =
                    pb::DeleteChatMessageRequest { ticket_id: ticket, id, reason: reason_of(reason), ..Default::default() };
                let deleted = self.actor.messages.delete_chat_message(request).await?.into_inner();
                json!({"id": deleted.chat_message.expect("a tombstone").id})
            }
        })
    }
}

/// The number of a reason; that of "" is none's.
fn reason_of(name: &str) -> i32 {
    if name.is_empty() {
        return 0;
    }
    pb::DeletionReason::from_str_name(&format!("DELETION_REASON_{name}")).expect("a reason") as i32
}

fn told_by_rest(answer: &Answer) -> Result<Value, Told> {
    if answer.status.is_success() {
        let mut value = answer.ok();
        if value.get("results").is_some() {
            value["next"] = json!(value["next"].is_string());
            value.as_object_mut().expect("an object").remove("previous");
        }
        return Ok(value);
    }
    let (status, legacy_code, message) = answer.refusal();
    Err(Told { status, legacy_code, message, reason: None })
}

fn told_by_grpc(status: &Status) -> Told {
    let told = refusal(status);
    let http = match told.code {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        code => panic!("no scenario of both doors ends with {code:?}"),
    };
    Told { status: http, legacy_code: told.metadata["legacy_code"].clone(), message: told.message, reason: Some(told.reason) }
}

fn list(count: i64, results: impl Iterator<Item = Value>, next: &str) -> Value {
    json!({"count": count, "next": !next.is_empty(), "results": results.collect::<Vec<_>>()})
}

fn time(time: Option<&prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    let nanos = u32::try_from(time.nanos).expect("not negative");
    Some(DateTime::from_timestamp(time.seconds, nanos).expect("in range").to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn name_in(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

fn requester(agent: Option<&pb::Agent>) -> Option<Value> {
    agent.map(|agent| {
        let id = (agent.id != 0).then_some(agent.id);
        json!({"id": id, "displayName": agent.display_name, "sendbirdId": agent.sendbird_id, "email": agent.email})
    })
}

fn message(message: &pb::ChatMessage) -> Value {
    let deleted = message.delete_time.is_some();
    let requested_from = name_in(message.requested_from().as_str_name(), "REQUESTED_FROM_");
    json!({
        "id": message.id, "messageId": message.message_id, "ticket": message.ticket_id, "userSendbirdId": message.user_sendbird_id,
        "userType": name_in(message.user_type().as_str_name(), "USER_TYPE_"), "createdAt": time(message.create_time.as_ref()),
        "deletedAt": time(message.delete_time.as_ref()), "requestedFrom": deleted.then_some(requested_from),
        "requestedBy": requester(message.requested_by.as_ref()), "message": message.message, "data": message.data,
    })
}

fn log(log: &pb::DeletionLog) -> Value {
    json!({
        "logId": log.id, "id": log.chat_message_id, "messageId": log.message_id, "ticket": log.ticket_id,
        "userSendbirdId": log.user_sendbird_id, "userType": name_in(log.user_type().as_str_name(), "USER_TYPE_"),
        "createdAt": time(log.create_time.as_ref()), "deletedAt": time(log.delete_time.as_ref()),
        "requestedFrom": name_in(log.requested_from().as_str_name(), "REQUESTED_FROM_"),
        "requestedBy": requester(log.requested_by.as_ref()), "message": "", "data": "",
    })
}

fn ticket(ticket: &pb::Ticket) -> Value {
    let customer = ticket.customer.as_ref().expect("a customer");
    let closed = ticket.close_time.is_some();
    json!({
        "id": ticket.id, "channelUrl": ticket.channel_url, "channelName": ticket.channel_name,
        "status2": name_in(ticket.status().as_str_name(), "TICKET_STATUS_"),
        "priority": name_in(ticket.priority().as_str_name(), "TICKET_PRIORITY_"),
        "customer": {
            "id": (customer.id != 0).then_some(customer.id), "sendbirdId": customer.sendbird_id,
            "channelType": name_in(customer.channel_type().as_str_name(), "CHANNEL_TYPE_"), "displayName": customer.display_name,
        },
        // No scenario assigns a ticket or gives it a group or fields.
        "recentAssignment": null, "group": null, "customFields": [],
        "info": ticket.info, "relatedChannels": ticket.related_channels, "messageCount": ticket.message_count,
        "lastMessage": ticket.last_message, "createdAt": time(ticket.create_time.as_ref()),
        "closedAt": time(ticket.close_time.as_ref()), "issuedAt": time(ticket.issue_time.as_ref()),
        "closeStatus": closed.then_some(&ticket.close_status), "closeComment": closed.then_some(&ticket.close_comment),
    })
}
