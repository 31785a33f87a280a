//! Limits of a connection and of a call: bytes, headers, streams and time.

use std::time::Duration;

use deskledger::config::ServerSettings;
use futures_util::future::join_all;
use http::StatusCode;
use prost::Message;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout as timeout_after;
use tonic::Code;

use crate::support::database::TestDatabase;
use crate::support::raw_line::{RawLine, frame};
use crate::support::world::default_settings;
use crate::support::{World, pb, refusal};

/// A request of exactly so many bytes: what it lacks is a field that no method knows.
fn padded(request: &impl Message, size: usize) -> Vec<u8> {
    let mut bytes = request.encode_to_vec();
    let tag_and_length = 1 + 4; // field 15; lengths from 2^21 on take four bytes, and shorter ones may
    let padding = size - bytes.len() - tag_and_length;
    let seven_bits = |shift: u32| u8::try_from(padding >> shift & 0x7f).expect("seven bits");
    bytes.extend([15 << 3 | 2, seven_bits(0) | 0x80, seven_bits(7) | 0x80, seven_bits(14) | 0x80, seven_bits(21)]);
    bytes.resize(size, 0);
    bytes
}

#[tokio::test]
async fn a_request_has_at_most_256_kibibytes_or_8_mebibytes_where_messages_are_taken_in() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    let (ticket, messages) = actor.ticket_with(1).await;
    let get_ticket = pb::GetTicketRequest { id: ticket.id };
    let get_message = pb::GetChatMessageRequest { ticket_id: ticket.id, id: messages[0].id };
    let list_logs = pb::ListDeletionLogsRequest::default();
    let (small, large) = (256 * 1024, 8 * 1024 * 1024);
    for (method, max, at_most, too_large) in [
        ("TicketService/GetTicket", small, padded(&get_ticket, small), padded(&get_ticket, small + 1)),
        ("DeletionLogService/ListDeletionLogs", small, padded(&list_logs, small), padded(&list_logs, small + 1)),
        ("ChatMessageService/GetChatMessage", large, padded(&get_message, large), padded(&get_message, large + 1)),
    ] {
        assert_eq!((at_most.len(), too_large.len()), (max, max + 1));
        let answer = line.call(method, &[], frame(&at_most)).await;
        assert_eq!(answer.status().code(), Code::Ok, "{method}: {:?}", answer.status());
        // The length alone refuses: what it announces need not come.
        for body in [frame(&too_large), [&[0, 0xff, 0xff, 0xff, 0xff][..], b"x"].concat()] {
            let answer = line.call(method, &[], body).await;
            let refused = refusal(answer.status());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_TOO_LARGE"), "{method}");
            assert_eq!(refused.metadata["legacy_code"], "deskp400113");
        }
    }
}

#[tokio::test]
async fn a_request_with_more_than_16_kibibytes_of_headers_is_refused_and_the_connection_goes_on() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    let ticket = actor.open_ticket().await;
    let body = frame(&pb::GetTicketRequest { id: ticket.id }.encode_to_vec());
    for (bytes, expected) in [(14 * 1024, StatusCode::OK), (17 * 1024, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let headers = [("x-large", "x".repeat(bytes))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = line.call("TicketService/GetTicket", &headers, body.clone()).await;
        assert_eq!(answer.http, expected, "{bytes} bytes");
        let answer = line.call("TicketService/GetTicket", &[], body.clone()).await;
        assert_eq!(answer.status().code(), Code::Ok);
    }
}

#[tokio::test]
async fn a_connection_has_128_streams_at_a_time_and_more_calls_wait_for_their_turn() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut connection = TcpStream::connect(&world.address).await.expect("the service listens");
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("the preface is sent");
    let mut head = [0; 9];
    connection.read_exact(&mut head).await.expect("the service's first frame");
    assert_eq!(head[3], 4, "it is SETTINGS");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    connection.read_exact(&mut settings).await.expect("the whole frame");
    let value_of = |id: u16| {
        let setting = settings.chunks_exact(6).find(|setting| setting[..2] == id.to_be_bytes())?;
        Some(u32::from_be_bytes(setting[2..].try_into().expect("four bytes")))
    };
    let (max_concurrent_streams, max_header_list_size) = (value_of(3), value_of(6));
    assert_eq!((max_concurrent_streams, max_header_list_size), (Some(128), Some(16 * 1024)));

    let id = actor.open_ticket().await.id;
    let calls = (0..300).map(|_| {
        let mut actor = actor.clone();
        async move { actor.ticket(id).await.id }
    });
    assert_eq!(join_all(calls).await, vec![id; 300]);
}

#[tokio::test]
async fn a_call_ends_at_its_callers_deadline() {
    // The service's own limit is far off, so that it cannot stand in for the caller's.
    let settings = ServerSettings { request_timeout_seconds: 600, ..default_settings() };
    let world = World::on(TestDatabase::create().await, settings).await;
    let mut actor = world.actor().await;
    let mut line = RawLine::new(&world, &actor.token).await;
    let ticket = actor.open_ticket().await;
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no call gets at the ticket");
    let body = frame(&pb::CloseTicketRequest { id: ticket.id, ..Default::default() }.encode_to_vec());
    for timeout in ["0n", "1n", "99999999n", "1u", "20m", "0S", "0H"] {
        let headers = [("grpc-timeout", timeout)];
        let call = line.call("TicketService/CloseTicket", &headers, body.clone());
        let answer = timeout_after(Duration::from_secs(30), call).await.expect("the deadline ends the call");
        let refused = refusal(answer.status());
        assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{timeout}");
        assert_eq!(refused.metadata["legacy_code"], "desk500500");
    }
    lock.rollback().await.expect("the lock is given back");
    assert_eq!(actor.ticket(ticket.id).await, ticket, "what was refused did not happen");

    // A deadline that is far off, or none that can be read, does not end a call.
    for timeout in ["1H", "99999999S", "30M", "", "n", "10", "1s", "-1S", "1.5S", "123456789n", "１n"] {
        let headers = [("grpc-timeout", timeout)];
        let body = frame(&pb::GetTicketRequest { id: ticket.id }.encode_to_vec());
        let answer = line.call("TicketService/GetTicket", &headers, body).await;
        assert_eq!(answer.status().code(), Code::Ok, "{timeout}");
    }
}

#[tokio::test]
async fn a_call_ends_at_the_services_own_limit() {
    let settings = ServerSettings { request_timeout_seconds: 1, ..default_settings() };
    let world = World::on(TestDatabase::create().await, settings).await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no call gets at the ticket");

    let mut request = tonic::Request::new(pb::CloseTicketRequest { id: ticket.id, ..Default::default() });
    request.set_timeout(Duration::from_secs(300));
    let refused = refusal(&actor.tickets.close_ticket(request).await.expect_err("the ticket is locked"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn the_violations_of_a_large_request_fit_into_an_answer() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket_id = actor.open_ticket().await.id;
    let chat_messages = vec![pb::ChatMessage::default(); 1000];
    let batch = pb::BatchCreateChatMessagesRequest { ticket_id, chat_messages, ..Default::default() };
    let paths = vec!["x".repeat(100_000), "y".repeat(100_000)];
    let update_mask = Some(prost_types::FieldMask { paths });
    let ticket = Some(pb::Ticket { id: ticket_id, ..Default::default() });
    let update = pb::UpdateTicketRequest { ticket, update_mask, ..Default::default() };

    let answers = [
        actor.messages.batch_create_chat_messages(batch).await.expect_err("all are bad"),
        actor.tickets.update_ticket(update).await.expect_err("no such paths"),
    ];

    assert_eq!(refusal(&answers[0]).fields.len(), 10, "the first ten");
    for (answer, first) in answers.iter().zip(["chat_messages[0].user_type", "update_mask"]) {
        let refused = refusal(answer);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert_eq!((refused.field_names()[0], refused.metadata["field"].as_str()), (first, first));
        // Clients in other languages take 8 KiB of metadata by default.
        let bytes = answer.message().len() + answer.details().len() * 4 / 3;
        assert!(bytes < 7 * 1024, "{bytes} bytes");
    }
}
