//! The wire: what is no request, what is ignored, and compression.

use prost::Message;
use tonic::Code;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};

use crate::support::actor::customer_message;
use crate::support::raw_line::{RawLine, frame};
use crate::support::ticket::plain_ticket;
use crate::support::{World, pb, refusal};

#[tokio::test]
async fn bytes_that_are_no_request_are_malformed() {
    let world = World::new().await;
    let actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    let bodies: [(&str, Vec<u8>); 11] = [
        ("a tag without a value", frame(&[0x08])),
        ("a wire type that is none", frame(&[0x0f, 0x01])),
        ("a number of eleven bytes", frame(&[&[0x08][..], &[0xff; 11]].concat())),
        ("a text longer than the request", frame(&[0x1a, 0x7f, b'a'])),
        ("a text for a number", frame(&[0x0a, 0x01, b'a'])),
        ("a text that is not UTF-8", frame(&[0x1a, 0x02, 0xc3, 0x28])),
        ("a lone surrogate", frame(&[0x1a, 0x03, 0xed, 0xa0, 0x80])),
        ("half a message", frame(b"0123456789")[..8].to_vec()),
        ("half a head", vec![0, 0]),
        ("no message at all", vec![]),
        ("a head that says compressed where nothing is", vec![1, 0, 0, 0, 1, 0]),
    ];
    for (what, body) in bodies {
        // Of its request field 1 is a number and field 3 a text.
        let answer = line.call("TicketService/CloseTicket", &[], body).await;
        let refused = refusal(answer.status());
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_MALFORMED"), "{what}");
        assert_eq!(refused.metadata["legacy_code"], "deskp400111");
    }
}

#[tokio::test]
async fn fields_that_the_service_does_not_know_are_ignored() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    let ticket = actor.open_ticket().await;
    let mut request = pb::GetTicketRequest { id: ticket.id }.encode_to_vec();
    // Fields 100 to 103: a number, eight bytes, a text, four bytes.
    request.extend([0xa0, 0x06, 0x2a, 0xa9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xb2, 0x06, 0x01, b'a', 0xbd, 0x06, 1, 2, 3, 4]);

    let answer = line.call("TicketService/GetTicket", &[], frame(&request)).await;

    let read = pb::GetTicketResponse::decode(&answer.body[5..]).expect("a ticket");
    assert_eq!(read.ticket, Some(ticket));
}

#[tokio::test]
async fn a_number_that_an_enumeration_does_not_have_is_refused_by_the_name_of_its_field() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (open, messages) = actor.ticket_with(1).await;
    let (ticket_id, id) = (open.id, messages[0].id);
    for number in [-1, 99, i32::MIN, i32::MAX] {
        let ticket = pb::Ticket { id: ticket_id, status: number, priority: number, ..plain_ticket() };
        let customer = pb::Customer { channel_type: number, ..plain_ticket().customer.expect("it has one") };
        let social = pb::Ticket { customer: Some(customer), ..plain_ticket() };
        let filter = pb::TicketFilter { status: number, ..Default::default() };
        let message = pb::ChatMessage { user_type: number, ..customer_message("hello") };
        let create = pb::CreateChatMessageRequest { ticket_id, chat_message: Some(message.clone()), ..Default::default() };
        let batch = pb::BatchCreateChatMessagesRequest {
            ticket_id,
            chat_messages: vec![customer_message("hello"), message],
            ..Default::default()
        };
        let (requested_from, reason) = (number, number);
        let delete = pb::DeleteChatMessageRequest { ticket_id, id, requested_from, reason, ..Default::default() };
        let deletes = pb::BatchDeleteChatMessagesRequest { ticket_id, ids: vec![id], requested_from, reason, ..Default::default() };
        let log_filter = Some(pb::DeletionLogFilter { requested_from, reason, ..Default::default() });
        let logs = pb::ListDeletionLogsRequest { filter: log_filter.clone(), ..Default::default() };
        let log_export = pb::ExportDeletionLogsRequest { filter: log_filter, ..Default::default() };
        let rows: [(&[&str], Option<tonic::Status>); 10] = [
            (&["ticket.status", "ticket.priority"], actor.create(ticket.clone()).await.err()),
            (&["ticket.status", "ticket.priority"], actor.update(ticket, &[]).await.err()),
            (&["ticket.customer.channel_type"], actor.create(social).await.err()),
            (&["filter.status"], actor.list_tickets(filter).await.err()),
            (&["chat_message.user_type"], actor.messages.create_chat_message(create).await.err()),
            (&["chat_messages[1].user_type"], actor.messages.batch_create_chat_messages(batch).await.err()),
            (&["requested_from", "reason"], actor.messages.delete_chat_message(delete).await.err()),
            (&["requested_from", "reason"], actor.messages.batch_delete_chat_messages(deletes).await.err()),
            (&["filter.requested_from", "filter.reason"], actor.logs.list_deletion_logs(logs).await.err()),
            (&["filter.requested_from", "filter.reason"], actor.logs.export_deletion_logs(log_export).await.err()),
        ];
        for (fields, answer) in rows {
            let refused = refusal(&answer.expect("the number is refused"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            assert_eq!((refused.field_names(), refused.metadata["rule"].as_str()), (fields.to_vec(), "ONE_OF"));
        }
    }
}

#[tokio::test]
async fn a_method_or_a_service_that_is_not_there_is_unimplemented() {
    let world = World::new().await;
    let actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    for method in ["TicketService/DeleteTicket", "TicketService/getticket", "TicketService/GetTicket/", "NoService/GetTicket"] {
        let answer = line.call(method, &[], frame(&[])).await;
        assert_eq!(answer.status().code(), Code::Unimplemented, "{method}");
    }
}

#[tokio::test]
async fn requests_and_answers_may_be_compressed() {
    let world = World::new().await;
    let actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    for (encoding, name) in [(Gzip, "gzip"), (Zstd, "zstd")] {
        let mut actor = compressing(&actor, encoding);
        let ticket = actor.open_ticket().await;
        let sent = actor.send(ticket.id, customer_message(&"again ".repeat(5000))).await;
        assert_eq!(actor.list(ticket.id).await, [sent]);

        let body = frame(&pb::ListChatMessagesRequest { ticket_id: ticket.id, ..Default::default() }.encode_to_vec());
        let headers = [("grpc-accept-encoding", name)];
        let answer = line.call("ChatMessageService/ListChatMessages", &headers, body).await;
        assert_eq!(answer.headers["grpc-encoding"], name);
        assert_eq!(answer.body[0], 1, "it says that it is compressed");
        assert!(answer.body.len() < 1000, "{} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn a_request_is_as_large_as_it_is_without_compression() {
    let world = World::new().await;
    let actor = world.actor().await;
    for encoding in [Gzip, Zstd] {
        let mut actor = compressing(&actor, encoding);
        let bomb = pb::Ticket { info: "x".repeat(100 * 1024 * 1024), ..plain_ticket() };
        let refused = refusal(&actor.create(bomb).await.expect_err("small on the wire, large in the service"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_TOO_LARGE"), "{encoding:?}");
    }
}

#[tokio::test]
async fn a_compression_that_the_service_does_not_have_is_refused() {
    let world = World::new().await;
    let actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    let headers = [("grpc-encoding", "snappy")];
    let body = vec![1, 0, 0, 0, 1, 0];
    let answer = line.call("TicketService/GetTicket", &headers, body).await;
    assert_eq!(answer.status().code(), Code::Unimplemented);
    assert_eq!(answer.headers["grpc-accept-encoding"], "gzip,zstd,identity");
}

fn compressing(actor: &crate::support::Actor, encoding: CompressionEncoding) -> crate::support::Actor {
    let mut actor = actor.clone();
    actor.tickets = actor.tickets.send_compressed(encoding).accept_compressed(encoding);
    actor.messages = actor.messages.send_compressed(encoding).accept_compressed(encoding);
    actor
}
