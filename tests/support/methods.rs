//! Every method of the service with the scope that it needs and a request that is good: what all methods have in common is tested over
//! this table. `spec::coverage` fails when a method is missing here.

use chrono::TimeDelta;
use deskledger::domain::caller::Scope;
use deskledger::domain::clock::Clock;
use prost::Message;

use super::{Actor, World, pb};

/// A method, and how it is called.
pub struct Method {
    /// `Service/Method`.
    pub name: &'static str,
    pub scope: Scope,
    /// A request that succeeds once for the application that has the rows.
    pub request: Vec<u8>,
    /// What another application gets for the same request.
    pub elsewhere: Elsewhere,
}

/// What a request leads to in an application that has none of the rows that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// A refusal with this reason.
    Refused(&'static str),
    /// An answer with nothing in it that is not the application's own.
    Own,
}

/// The rows that the requests of the table name.
pub struct Rows {
    /// A closed ticket with five messages, the first of which is deleted.
    pub closed: pb::Ticket,
    pub messages: Vec<pb::ChatMessage>,
    pub log: pb::DeletionLog,
    /// Another closed ticket, which may be reopened.
    pub resting: pb::Ticket,
    /// An open ticket.
    pub open: pb::Ticket,
    /// The id of the placing of a hold on the ticket that may be reopened.
    pub hold: i64,
    /// The id of a closed ticket with one message, which was deleted long ago.
    pub erased: i64,
    /// The id of the erasure of that deletion's entry.
    pub erasure: i64,
    /// The id of an event that was rejected.
    pub rejected: i64,
}

impl Rows {
    pub async fn of(world: &World, actor: &mut Actor) -> Self {
        let (erased, erasure) = erase_an_entry(world, actor).await;
        let (closed, messages) = actor.closed_ticket_with(5).await;
        let resting = actor.closed_ticket_with(1).await.0;
        let hold = actor.place_hold(resting.id).await.hold.expect("it is held").id;
        // After the erasure and the hold, whose entries are then signed, too.
        let deleted = actor.delete_with_receipt(closed.id, messages[0].id).await.expect("it may be deleted");
        let log = deleted.deletion_log.expect("a log entry");
        let open = actor.open_ticket().await;
        let rejected = actor.reject_an_event().await;
        Self { closed, messages, log, resting, open, hold, erased, erasure, rejected }
    }
}

/// Deletes a message long ago and has its log entry erased, and answers the ids of its ticket and of the erasure.
async fn erase_an_entry(world: &World, actor: &mut Actor) -> (i64, i64) {
    let now = world.clock.now().to_rfc3339();
    world.clock.set("2020-02-01T08:00:00Z");
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    world.clock.set(&now);
    loop {
        // Nothing is erased before it is in the tree.
        world.app.retain_logs(TimeDelta::days(365)).await.expect("what may be is erased");
        let listed = actor.logs.list_erasures(pb::ListErasuresRequest::default()).await.expect("they are listed").into_inner();
        if let Some(erasure) = listed.erasures.first() {
            return (ticket.id, erasure.id);
        }
    }
}

/// The table. Each request may be sent once, in this order.
pub fn every_method(rows: &Rows) -> Vec<Method> {
    [tickets(rows), holds(rows), messages(rows), deletions(rows), logs(rows), ingest(rows)].into_iter().flatten().collect()
}

fn row(name: &'static str, scope: Scope, request: &impl Message, elsewhere: Elsewhere) -> Method {
    Method { name, scope, request: request.encode_to_vec(), elsewhere }
}

fn tickets(rows: &Rows) -> Vec<Method> {
    let (read, write) = (Scope::TicketsRead, Scope::TicketsWrite);
    let missing = Elsewhere::Refused("TICKET_NOT_FOUND");
    let customer = pb::Customer { sendbird_id: "grace".to_owned(), ..Default::default() };
    let new = pb::Ticket { customer: Some(customer), ..Default::default() };
    let changed = pb::Ticket { id: rows.open.id, channel_name: "changed".to_owned(), ..Default::default() };
    vec![
        row(
            "TicketService/CreateTicket",
            write,
            &pb::CreateTicketRequest { ticket: Some(new), ..Default::default() },
            Elsewhere::Own,
        ),
        row("TicketService/GetTicket", read, &pb::GetTicketRequest { id: rows.open.id }, missing),
        row("TicketService/ListTickets", read, &pb::ListTicketsRequest::default(), Elsewhere::Own),
        row("TicketService/UpdateTicket", write, &pb::UpdateTicketRequest { ticket: Some(changed), ..Default::default() }, missing),
        row("TicketService/CloseTicket", write, &pb::CloseTicketRequest { id: rows.open.id, ..Default::default() }, missing),
        row("TicketService/ReopenTicket", write, &pb::ReopenTicketRequest { id: rows.resting.id, ..Default::default() }, missing),
    ]
}

fn holds(rows: &Rows) -> Vec<Method> {
    let (id, reason) = (rows.open.id, "litigation".to_owned());
    let place = pb::PlaceHoldRequest { id, reason: reason.clone(), ..Default::default() };
    let release = pb::ReleaseHoldRequest { id, reason, ..Default::default() };
    let missing = Elsewhere::Refused("TICKET_NOT_FOUND");
    vec![
        row("TicketService/PlaceHold", Scope::HoldsWrite, &place, missing),
        row("TicketService/ReleaseHold", Scope::HoldsWrite, &release, missing),
    ]
}

fn messages(rows: &Rows) -> Vec<Method> {
    let (read, write) = (Scope::MessagesRead, Scope::MessagesWrite);
    let (ticket_id, id) = (rows.closed.id, rows.messages[4].id);
    let no_ticket = Elsewhere::Refused("TICKET_NOT_FOUND");
    let message = super::actor::customer_message("hello");
    let create = pb::CreateChatMessageRequest { ticket_id, chat_message: Some(message.clone()), ..Default::default() };
    let batch = pb::BatchCreateChatMessagesRequest { ticket_id, chat_messages: vec![message], ..Default::default() };
    let list = pb::ListChatMessagesRequest { ticket_id, ..Default::default() };
    let get = pb::GetChatMessageRequest { ticket_id, id };
    let export = pb::ExportChatMessagesRequest { ticket_id, ..Default::default() };
    vec![
        row("ChatMessageService/ListChatMessages", read, &list, no_ticket),
        row("ChatMessageService/GetChatMessage", read, &get, Elsewhere::Refused("CHAT_MESSAGE_NOT_FOUND")),
        row("ChatMessageService/CreateChatMessage", write, &create, no_ticket),
        row("ChatMessageService/BatchCreateChatMessages", write, &batch, no_ticket),
        row("ChatMessageService/ExportChatMessages", read, &export, no_ticket),
    ]
}

fn deletions(rows: &Rows) -> Vec<Method> {
    let ticket_id = rows.closed.id;
    let no_message = Elsewhere::Refused("CHAT_MESSAGE_NOT_FOUND");
    let one = pb::DeleteChatMessageRequest { ticket_id, id: rows.messages[1].id, ..Default::default() };
    let ids = vec![rows.messages[2].id, rows.messages[3].id];
    let batch = pb::BatchDeleteChatMessagesRequest { ticket_id, ids, ..Default::default() };
    vec![
        row("ChatMessageService/DeleteChatMessage", Scope::MessagesDelete, &one, no_message),
        row("ChatMessageService/BatchDeleteChatMessages", Scope::MessagesDelete, &batch, no_message),
    ]
}

fn logs(rows: &Rows) -> Vec<Method> {
    let get = pb::GetDeletionLogRequest { ticket_id: rows.closed.id, id: rows.log.id };
    let (ticket_id, id) = (rows.closed.id, rows.log.id);
    let inclusion = pb::GetInclusionProofRequest { ticket_id, id, ..Default::default() };
    let receipt = pb::GetReceiptRequest { ticket_id, id };
    let holds = pb::ListHoldEventsRequest { ticket_id: rows.resting.id, ..Default::default() };
    let hold_receipt = pb::GetHoldReceiptRequest { ticket_id: rows.resting.id, id: rows.hold };
    let (erasures, erasure_receipt) = (pb::ListErasuresRequest::default(), pb::GetErasureReceiptRequest { id: rows.erasure });
    let (list, export) = (pb::ListDeletionLogsRequest::default(), pb::ExportDeletionLogsRequest::default());
    vec![
        row("DeletionLogService/ListDeletionLogs", Scope::LogsRead, &list, Elsewhere::Own),
        row("DeletionLogService/GetDeletionLog", Scope::LogsRead, &get, Elsewhere::Refused("DELETION_LOG_NOT_FOUND")),
        row("DeletionLogService/ExportDeletionLogs", Scope::LogsRead, &export, Elsewhere::Own),
        row("DeletionLogService/GetCheckpoint", Scope::LogsRead, &pb::GetCheckpointRequest {}, Elsewhere::Own),
        row("DeletionLogService/GetInclusionProof", Scope::LogsRead, &inclusion, Elsewhere::Refused("DELETION_LOG_NOT_FOUND")),
        row("DeletionLogService/GetConsistencyProof", Scope::LogsRead, &pb::GetConsistencyProofRequest::default(), Elsewhere::Own),
        row("DeletionLogService/GetReceipt", Scope::LogsRead, &receipt, Elsewhere::Refused("DELETION_LOG_NOT_FOUND")),
        row("DeletionLogService/ListHoldEvents", Scope::LogsRead, &holds, Elsewhere::Own),
        row("DeletionLogService/GetHoldReceipt", Scope::LogsRead, &hold_receipt, Elsewhere::Refused("HOLD_EVENT_NOT_FOUND")),
        row("DeletionLogService/ListErasures", Scope::LogsRead, &erasures, Elsewhere::Own),
        row("DeletionLogService/GetErasureReceipt", Scope::LogsRead, &erasure_receipt, Elsewhere::Refused("ERASURE_NOT_FOUND")),
    ]
}

fn ingest(rows: &Rows) -> Vec<Method> {
    let message = pb::ConversationMessage { contact_id: 2, message: "hello".to_owned(), ..Default::default() };
    let take_in = pb::IngestConversationMessagesRequest { conversation_messages: vec![message.clone()], ..Default::default() };
    let list = pb::ListRejectedEventsRequest::default();
    let replay = pb::ReplayRejectedEventRequest { id: rows.rejected, conversation_message: Some(message) };
    vec![
        row("IngestService/IngestConversationMessages", Scope::MessagesWrite, &take_in, Elsewhere::Own),
        row("IngestService/ListRejectedEvents", Scope::MessagesRead, &list, Elsewhere::Own),
        row("IngestService/ReplayRejectedEvent", Scope::MessagesWrite, &replay, Elsewhere::Refused("REJECTED_EVENT_NOT_FOUND")),
    ]
}
