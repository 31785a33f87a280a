//! Limits of connections: how many, and how long each lives.

use std::time::Duration;

use deskledger::config::{LimitSettings, ServerSettings};
use http::{Request, StatusCode};
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::database::TestDatabase;
use crate::support::frames::{DATA, END_HEADERS, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, RST_STREAM, request};
use crate::support::frames::{END_STREAM, error_code};
use crate::support::raw_line::frame;
use crate::support::world::default_settings;
use crate::support::{Http, World, pb};

/// How long what must come is waited for. Only a broken service lets it pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service with these limits.
async fn world(limit: impl FnOnce(&mut LimitSettings)) -> World {
    let mut settings = default_settings();
    limit(&mut settings.limits);
    World::on(TestDatabase::create().await, settings).await
}

/// Whether a call on this connection is answered; if not, it was closed.
async fn is_served(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: desk\r\n\r\n").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => return false,
        }
    }
    asked.is_ok() && answer.starts_with(b"HTTP/1.1 404 ")
}

/// Reads until the connection is closed, and answers what came.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the service closes the connection");
    bytes
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(&world.address).await.expect("the service listens")
}

#[tokio::test]
async fn there_are_as_many_connections_as_may_be_and_one_that_ends_makes_room() {
    let world = world(|limits| limits.max_connections = 2).await;
    let (mut first, mut second) = (connect(&world).await, connect(&world).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);

    assert!(!is_served(&mut connect(&world).await).await, "the third is closed");

    drop(first);
    let served = async { while !is_served(&mut connect(&world).await).await {} };
    timeout(PATIENCE, served).await.expect("there is room again");
    assert!(is_served(&mut second).await, "the others are let be");
}

#[tokio::test]
async fn one_address_does_not_take_the_connections_of_all() {
    let world = world(|limits| limits.max_connections_per_address = 1).await;
    let mut first = connect(&world).await;
    assert!(is_served(&mut first).await);

    assert!(!is_served(&mut connect(&world).await).await, "the second of the same address is closed");

    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("another address of this machine");
    let mut other = socket.connect(world.address.parse().expect("an address")).await.expect("the service listens");
    assert!(is_served(&mut other).await, "another address is served");
    assert!(is_served(&mut first).await);
}

#[tokio::test]
async fn a_connection_that_does_not_begin_is_closed() {
    let world = world(|limits| limits.handshake_timeout_seconds = 1).await;
    for beginning in [&b""[..], b"P", &PREFACE[..23], b"GET / HTTP/1.1\r\nHost: "] {
        let mut stream = connect(&world).await;
        stream.write_all(beginning).await.expect("the bytes are sent");
        assert_eq!(closed(&mut stream).await, b"", "{beginning:?}");
    }
    // What is short and whole has begun.
    let mut short = connect(&world).await;
    short.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("the request is sent");
    assert!(closed(&mut short).await.starts_with(b"HTTP/1.0 404 Not Found"));
}

#[tokio::test]
async fn headers_of_http_1_that_come_slowly_are_not_waited_for() {
    let world = world(|limits| limits.header_timeout_seconds = 1).await;
    let mut stream = connect(&world).await;
    stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: desk\r\nX-Slow: ").await.expect("the headers begin");
    assert_eq!(closed(&mut stream).await, b"");

    let mut idle = connect(&world).await;
    assert!(is_served(&mut idle).await);
    closed(&mut idle).await;
}

#[tokio::test]
async fn headers_of_http_1_have_at_most_16_kibibytes() {
    let world = World::new().await;
    let http = Http { address: world.address.clone(), token: None };
    for (bytes, expected) in [(15 * 1024, StatusCode::OK), (16 * 1024, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let request = Request::get("/openapi.json").header("host", "desk").header("x-large", "x".repeat(bytes));
        let answer = http.send(request.body(bytes::Bytes::new()).expect("a request")).await;
        assert_eq!(answer.status, expected, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_left() {
    let world = world(|limits| limits.keepalive_seconds = 1).await;
    let mut frames = Frames::connect(&world.address, &[]).await;
    timeout(PATIENCE, frames.rest()).await.expect("the service closes the connection");
}

#[tokio::test]
async fn an_idle_connection_is_asked_to_go_and_then_closed() {
    let world = world(|limits| limits.idle_timeout_seconds = 1).await;
    let mut frames = Frames::connect(&world.address, &[]).await;
    let going = timeout(PATIENCE, frames.wait_for(GOAWAY)).await.expect("a frame").expect("before the end");
    assert_eq!(error_code(&going), 0, "nothing is wrong");
}

#[tokio::test]
async fn a_connection_of_its_age_takes_no_more_calls_and_ends_those_in_flight_well() {
    let world = world(|limits| limits.max_connection_age_seconds = 1).await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no call gets at the ticket");
    let mut frames = Frames::connect(&world.address, &[]).await;
    let bearer = format!("Bearer {}", actor.token);
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", bearer.as_str())];
    let close = prost::Message::encode_to_vec(&pb::CloseTicketRequest { id: ticket.id, ..Default::default() });
    frames.send(HEADERS, END_HEADERS, 1, &request("POST", "/deskledger.v1.TicketService/CloseTicket", &headers)).await;
    frames.send(DATA, END_STREAM, 1, &frame(&close)).await;

    let going = timeout(PATIENCE, frames.wait_for(GOAWAY)).await.expect("a frame").expect("before the end");
    assert_eq!(error_code(&going), 0, "nothing is wrong");
    lock.rollback().await.expect("the lock is given back");

    let answered = timeout(PATIENCE, frames.wait_for(DATA)).await.expect("a frame").expect("the call's answer");
    assert_eq!(answered.stream, 1);
    // Whoever keeps to the protocol notices nothing.
    assert!(actor.ticket(ticket.id).await.close_time.is_some());
}

#[tokio::test]
async fn a_connection_of_its_age_is_cut_off_when_its_grace_is_over() {
    let world = world(|limits| (limits.max_connection_age_seconds, limits.connection_grace_seconds) = (1, 1)).await;
    let mut frames = Frames::connect(&world.address, &[]).await;
    // A stream that never ends, of a client that does not let go.
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    frames.send(HEADERS, END_HEADERS, 1, &request("POST", "/grpc.health.v1.Health/Watch", &headers)).await;
    frames.send(DATA, END_STREAM, 1, &frame(&[])).await;

    let came = timeout(PATIENCE, frames.rest()).await.expect("the service closes the connection");

    assert!(came.iter().any(|frame| frame.kind == DATA), "it was served: {came:?}");
    assert!(came.iter().any(|frame| frame.kind == GOAWAY), "it was asked to go: {came:?}");
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_of_the_answer_is_reset() {
    let world = world(|limits| limits.stall_timeout_seconds = 1).await;
    for window in [0, 1] {
        let mut frames = Frames::connect(&world.address, &[(INITIAL_WINDOW_SIZE, window)]).await;
        frames.get(1, "/openapi.json").await;
        let reset = timeout(PATIENCE, frames.wait_for(RST_STREAM)).await.expect("a frame").expect("before the end");
        assert_eq!(reset.stream, 1, "window {window}");
        // The connection, which may serve others, goes on.
        frames.send(HEADERS, END_STREAM | END_HEADERS, 3, &request("GET", "/nothing", &[])).await;
        assert_eq!(timeout(PATIENCE, frames.wait_for(HEADERS)).await.expect("a frame").expect("an answer").stream, 3);
    }
}

#[tokio::test]
async fn a_stream_that_waits_for_the_service_is_not_taken_for_one_that_waits_for_its_client() {
    let settings = LimitSettings { stall_timeout_seconds: 1, ..default_settings().limits };
    let world = World::on(TestDatabase::create().await, ServerSettings { limits: settings, ..default_settings() }).await;
    let mut watching = Frames::connect(&world.address, &[]).await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    watching.send(HEADERS, END_HEADERS, 1, &request("POST", "/grpc.health.v1.Health/Watch", &headers)).await;
    watching.send(DATA, END_STREAM, 1, &frame(&[])).await;
    assert!(timeout(PATIENCE, watching.wait_for(DATA)).await.expect("a frame").is_some());
    // Two that stall one after the other, so that the one that watches has waited for longer than they.
    for _ in 0..2 {
        let mut stalling = Frames::connect(&world.address, &[(INITIAL_WINDOW_SIZE, 0)]).await;
        stalling.get(1, "/openapi.json").await;
        timeout(PATIENCE, stalling.wait_for(RST_STREAM)).await.expect("a frame").expect("before the end");
    }

    world.stop().await;

    let came = watching.rest().await;
    assert!(came.iter().any(|frame| frame.kind == DATA), "it is told of the stop: {came:?}");
    assert!(!came.iter().any(|frame| frame.kind == RST_STREAM), "{came:?}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_left() {
    let world = world(|limits| limits.stall_timeout_seconds = 1).await;
    let mut stream = connect(&world).await;
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: desk\r\n\r\n";
    // The service stops reading when it cannot write; then it is gone, and so is what is written to it.
    let writing = async { while stream.write_all(request).await.is_ok() {} };
    timeout(PATIENCE, writing).await.expect("the service closes the connection");
}
