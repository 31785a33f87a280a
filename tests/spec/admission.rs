//! Admission: a busy service refuses calls at once, before it looks at them, and answers what must be answered always.

use std::time::Duration;

use deskledger::config::{AdmissionSettings, ServerSettings};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

/// The smallest limit that there is.
const LIMIT: usize = 32;

/// A service that works on `LIMIT` calls at a time.
async fn small_world() -> World {
    let defaults = default_settings();
    let admission = AdmissionSettings { max_calls_in_flight: 32, ..defaults.admission.clone() };
    World::on(TestDatabase::create().await, ServerSettings { admission, token_cache_seconds: 60, ..defaults }).await
}

async fn rename(mut actor: Actor, id: i64) -> Result<pb::Ticket, Status> {
    actor.update(pb::Ticket { id, channel_name: "renamed".to_owned(), ..Default::default() }, &[]).await
}

#[tokio::test]
async fn a_busy_service_refuses_more_writes_at_once_and_goes_on_with_reads_and_health() {
    let world = small_world().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(1).await;
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no write gets at the ticket");

    let calls = 8;
    let mut writes: FuturesUnordered<_> = (0..LIMIT + calls).map(|_| rename(actor.clone(), ticket.id)).collect();
    for _ in 0..calls {
        let status = writes.next().await.expect("a call").expect_err("the ticket is locked");
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        assert_eq!(refused.metadata["legacy_code"], "deskp429100");
        assert_eq!(status.get_details_retry_info().expect("a delay").retry_delay, Some(Duration::from_secs(1)));
    }

    let http = world.http(&actor);
    let answer = http.patch(&format!("/tickets/{}", ticket.id), &json!({"channelName": "x"})).await;
    answer.refused(429, "deskp429100", "The service has as many calls as it can work on. Repeat the call later.");
    assert_eq!((answer.header("retry-after"), answer.header("x-ratelimit-retryafter")), (Some("1"), Some("1")));
    let answer = world.send_events(&key, &json!([])).await;
    assert_eq!(answer.status, 429, "senders of webhooks repeat: {answer:?}");
    let stranger = Actor::new(world.channel().await, "garbage");
    assert_eq!(refusal(&rename(stranger, ticket.id).await.expect_err("busy")).reason, "OVERLOADED", "nothing is looked at");

    assert_eq!(actor.list(ticket.id).await, messages, "reads are counted apart");
    let mut health = HealthClient::new(world.channel().await);
    health.check(HealthCheckRequest { service: String::new() }).await.expect("health is always answered");
    let described = crate::spec::reflection::services_v1(world.channel().await).await;
    assert!(!described.is_empty());

    lock.rollback().await.expect("the lock is given back");
    while let Some(outcome) = writes.next().await {
        assert_eq!(outcome.expect("what was taken in is served").channel_name, "renamed");
    }
    rename(actor, ticket.id).await.expect("there is room again");
}

#[tokio::test]
async fn callers_who_send_slowly_take_no_place_from_others() {
    let world = small_world().await;
    let mut actor = world.actor().await;
    let mut slow = Vec::new();
    for _ in 0..LIMIT + 8 {
        let mut stream = TcpStream::connect(&world.address).await.expect("the service listens");
        let head = format!(
            "POST /platform/v1/tickets HTTP/1.1\r\nHost: desk\r\nSENDBIRDDESKAPITOKEN: {}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
            actor.token
        );
        stream.write_all(head.as_bytes()).await.expect("the head is sent");
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).await.expect("the service asks for the body");
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        slow.push(stream);
    }

    actor.open_ticket().await;

    for mut stream in slow {
        stream.write_all(b"{}").await.expect("the body is sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 400", "it was taken in, and lacks a customer");
    }
}

#[tokio::test]
async fn a_call_that_ends_in_any_way_makes_room() {
    let world = small_world().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut other = world.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no write gets at the ticket");
    for _ in 0..3 {
        // Each gives up: by its deadline, which the service sees too.
        let calls: FuturesUnordered<_> = (0..LIMIT)
            .map(|_| {
                let mut tickets = actor.tickets.clone();
                let ticket = pb::Ticket { id: ticket.id, channel_name: "x".to_owned(), ..Default::default() };
                let mut request = tonic::Request::new(pb::UpdateTicketRequest { ticket: Some(ticket), ..Default::default() });
                request.metadata_mut().insert("grpc-timeout", "50m".parse().expect("a header"));
                async move { tickets.update_ticket(request).await.map(|_| ()) }
            })
            .collect();
        let outcomes: Vec<Result<(), Status>> = calls.collect().await;
        for outcome in outcomes {
            // The client looks at the clock too, and may be first.
            assert!(matches!(outcome.expect_err("the ticket is locked").code(), Code::DeadlineExceeded | Code::Cancelled));
        }
    }
    lock.rollback().await.expect("the lock is given back");
    for _ in 0..2 * LIMIT {
        // Refusals make room as well.
        assert_eq!(refusal(&rename(actor.clone(), -1).await.expect_err("there is none")).reason, "TICKET_NOT_FOUND");
    }
    rename(actor, ticket.id).await.expect("there is room");
}
