//! How a service stops: calls in flight end well, and nobody can keep it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use sqlx::Connection;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::commands::program::Service;
use crate::support::certificates::Authority;
use crate::support::database::TestDatabase;
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, request};
use crate::support::raw_line::frame;
use crate::support::world::{default_settings, plain_token};
use crate::support::{Actor, World, pb};

async fn actor_at(address: &str, token: &str) -> Actor {
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens");
    Actor::new(channel, token)
}

/// Waits until so many statements wait for a lock: the calls have got to the database.
async fn wait_for_locks(world: &World, count: i64) {
    let mut connection = world.database.connect().await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.expect("a count") < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_fails_no_call_that_was_sent() {
    let world = World::on(TestDatabase::create().await, default_settings()).await;
    let token = world.token("acme", plain_token()).await;
    let mut service = Service::on(&world.database, &[]);
    let address = service.address();
    service.ready();
    let mut slow = actor_at(&address, &token).await;
    let ticket = slow.open_ticket().await;
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no call gets at the ticket");
    let closing = tokio::spawn(async move {
        let close = pb::CloseTicketRequest { id: ticket.id, ..Default::default() };
        slow.tickets.close_ticket(close).await.map(|_| ())
    });
    wait_for_locks(&world, 1).await;

    let done = Arc::new(AtomicUsize::new(0));
    let callers = (0..8).map(|_| {
        let (address, token, done) = (address.clone(), token.clone(), done.clone());
        tokio::spawn(async move {
            let mut actor = actor_at(&address, &token).await;
            loop {
                let listed = actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await;
                match listed {
                    Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                    Err(status) => return status,
                };
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    while done.load(Ordering::Relaxed) < 400 {
        tokio::task::yield_now().await;
    }
    service.signal(Signal::SIGTERM);
    service.logged("draining");
    lock.rollback().await.expect("the lock is given back");

    closing.await.expect("no panic").expect("the call that was in flight ends well");
    for status in join_all(callers).await {
        let status: Status = status.expect("no panic");
        // Each caller went on until the service was gone: no call failed that had been sent.
        let mut cause: Option<&dyn std::error::Error> = Some(&status);
        let mut causes = String::new();
        while let Some(error) = cause {
            causes = format!("{causes}: {error}");
            cause = error.source();
        }
        let connects_no_more = status.code() == Code::Unavailable && causes.contains("tcp connect error");
        // The client library's word for a call that it had not sent yet when the connection closed.
        let was_not_sent = status.code() == Code::Cancelled && causes.contains("operation was canceled: connection closed");
        assert!(connects_no_more || was_not_sent, "{:?}{causes}", status.code());
    }
    assert_eq!(service.end().0, Some(0));
}

#[tokio::test]
async fn no_peer_keeps_a_service_from_stopping() {
    let world = World::on(TestDatabase::create().await, default_settings()).await;
    let token = world.token("acme", plain_token()).await;
    let mut service = Service::on(&world.database, &["--drain-seconds", "1"]);
    let address = service.address();
    service.ready();
    let mut actor = actor_at(&address, &token).await;
    let ticket = actor.open_ticket().await;
    let connect = || async { TcpStream::connect(&address).await.expect("it listens") };

    let silent = connect().await;
    let mut half_a_preface = connect().await;
    half_a_preface.write_all(&PREFACE[..12]).await.expect("the bytes are sent");
    let mut half_a_request = connect().await;
    let head = b"POST /desk/api/v2/conversationmessages/webhooks.json HTTP/1.1\r\nHost: desk\r\nContent-Length: 10\r\n\r\n{";
    half_a_request.write_all(head).await.expect("the bytes are sent");
    let mut reads_nothing = connect().await;
    let asked = b"GET /openapi.json HTTP/1.1\r\nHost: desk\r\n\r\n".repeat(200);
    reads_nothing.write_all(&asked).await.expect("the bytes are sent");
    let mut takes_nothing = Frames::connect(&address, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    takes_nothing.get(1, "/openapi.json").await;
    let mut endless = Frames::connect(&address, &[]).await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    endless.send(HEADERS, END_HEADERS, 1, &request("POST", reflection, &headers)).await;
    let mut half_a_frame = Frames::connect(&address, &[]).await;
    half_a_frame.write(&crate::support::frames::frame(DATA, END_STREAM, 1, &frame(&[]))[..7]).await.expect("the bytes are sent");
    // A call that waits for the database, and does so for longer than the service does.
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no call gets at the ticket");
    let close = pb::CloseTicketRequest { id: ticket.id, ..Default::default() };
    let stuck = tokio::spawn(async move { actor.tickets.close_ticket(close).await.map(|_| ()) });
    wait_for_locks(&world, 1).await;

    service.signal(Signal::SIGTERM);
    let (code, log) = tokio::task::spawn_blocking(move || service.end()).await.expect("no panic");

    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("calls were still in flight at the end of the drain"), "{log}");
    stuck.await.expect("no panic").expect_err("the call was dropped");
    drop((silent, half_a_preface, half_a_request, reads_nothing, takes_nothing, endless, half_a_frame, lock));
}

#[tokio::test]
async fn no_handshake_keeps_a_service_from_stopping() {
    let database = TestDatabase::create().await;
    let authority = Authority::new();
    let issued = authority.service("service");
    let files = ["--tls-cert", issued.certificate.to_str().expect("text"), "--tls-key", issued.key.to_str().expect("text")];
    let mut service = Service::on(&database, &[&files[..], &["--drain-seconds", "600"]].concat());
    let address = service.address();
    service.ready();
    let silent = TcpStream::connect(&address).await.expect("it listens");
    let mut half = TcpStream::connect(&address).await.expect("it listens");
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.expect("the bytes are sent");

    service.signal(Signal::SIGTERM);

    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    drop((silent, half));
}
