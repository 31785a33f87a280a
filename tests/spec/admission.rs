//! Admission: a busy service refuses calls at once, before it looks at them, and answers what must be answered always.

use std::time::Duration;

use deskledger::config::{AdmissionSettings, LimitSettings, ServerSettings};
use futures_util::stream::{FuturesUnordered, StreamExt};
use prost::Message;
use serde_json::json;
use sqlx::PgConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::database::TestDatabase;
use crate::support::frames::{ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, request};
use crate::support::raw_line::{RawLine, frame};
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

/// A service that works on so many calls of one connection at a time.
async fn narrow_world(max_calls_per_connection: u32) -> World {
    let defaults = default_settings();
    let limits = LimitSettings { max_calls_per_connection, ..defaults.limits.clone() };
    World::on(TestDatabase::create().await, ServerSettings { limits, ..defaults }).await
}

/// While there is one, no write gets at a ticket.
struct TicketsLock(PgConnection);

impl TicketsLock {
    async fn take(database: &TestDatabase) -> Self {
        let mut connection = database.connect().await;
        sqlx::raw_sql("begin; select from tickets for update").execute(&mut connection).await.expect("the lock is free");
        Self(connection)
    }

    async fn release(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.0).await.expect("the lock is given back");
    }
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
    let lock = TicketsLock::take(&world.database).await;

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

    lock.release().await;
    while let Some(outcome) = writes.next().await {
        assert_eq!(outcome.expect("what was taken in is served").channel_name, "renamed");
    }
    rename(actor, ticket.id).await.expect("there is room again");
}

#[tokio::test]
async fn a_refusal_for_being_busy_is_told_as_any_other_in_the_form_of_its_call() {
    let world = narrow_world(1).await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(1).await;
    let lock = TicketsLock::take(&world.database).await;
    let body = || frame(&pb::ReopenTicketRequest { id: ticket.id, ..Default::default() }.encode_to_vec());
    for (form, answered, origin, id) in [
        ("application/grpc", "application/grpc", None, "mine-1"),
        ("application/grpc+proto", "application/grpc", None, "no id"),
        ("application/grpc-web+proto", "application/grpc-web+proto", None, "mine-2"),
        ("application/grpc", "application/grpc", Some("https://desk.example.com"), "mine-3"),
    ] {
        let mut line = RawLine::new(&world, &actor.token).await;
        let waiting = line.begin("TicketService/ReopenTicket", body()).await;
        let headers = [("content-type", form), ("x-request-id", id), ("origin", origin.unwrap_or("-"))];
        let headers = &headers[..2 + usize::from(origin.is_some())];
        let answer = line.call("TicketService/ReopenTicket", headers, body()).await;

        assert_eq!(answer.headers["content-type"], answered);
        let told = answer.headers["x-request-id"].to_str().expect("text").to_owned();
        assert!(told == id || (id.contains(' ') && told.len() == 32), "{told}");
        if !form.contains("web") {
            let refused = refusal(answer.status());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
            let details = answer.status().get_error_details();
            assert_eq!(details.request_info().expect("the id").request_id, told);
            assert_eq!(details.retry_info().expect("a delay").retry_delay, Some(Duration::from_secs(1)));
        }
        waiting.abort();
    }
    lock.release().await;
}

#[tokio::test]
async fn one_connection_has_only_its_share_of_the_calls_that_are_worked_on_at_either_door() {
    let calls = 3;
    let world = narrow_world(calls).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(1).await;
    let lock = TicketsLock::take(&world.database).await;
    let mut writes: FuturesUnordered<_> = (0..=calls).map(|_| rename(actor.clone(), ticket.id)).collect();
    let refused = writes.next().await.expect("a call").expect_err("one of them is one too many");
    assert_eq!(refusal(&refused).reason, "OVERLOADED");

    let mut line = RawLine::new(&world, &actor.token).await;
    let rename_path = format!("/platform/v1/tickets/{}", ticket.id);
    let mut waiting = Vec::new();
    for _ in 0..calls {
        waiting.push(line.begin_rest("PATCH", &rename_path, br#"{"channelName": "renamed"}"#).await);
    }
    let refused = line.rest("GET", "/platform/v1/tickets", b"").await;
    assert_eq!(refused.http.as_u16(), 429, "{:?}", refused.body);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(line.rest("GET", "/docs", b"").await.http.as_u16(), 200, "what asks no database is always answered");

    let mut elsewhere = world.actor().await;
    assert_eq!(elsewhere.list(ticket.id).await, messages, "another connection has its own share");
    lock.release().await;
    while let Some(outcome) = writes.next().await {
        outcome.expect("as many as it may have are served");
    }
    for answer in waiting {
        assert_eq!(answer.await.expect("no panic").http.as_u16(), 200);
    }
    assert_eq!(line.rest("GET", "/platform/v1/tickets", b"").await.http.as_u16(), 200, "there is room again");
    assert_eq!(actor.list(ticket.id).await, messages);
}

#[tokio::test]
async fn calls_that_are_refused_before_their_bodies_come_cost_no_connection() {
    let world = narrow_world(1).await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(1).await;
    let lock = TicketsLock::take(&world.database).await;
    let mut frames = Frames::connect(&world.address, &[]).await;
    let bearer = format!("Bearer {}", actor.token);
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", bearer.as_str())];
    let call = request("POST", "/deskledger.v1.TicketService/ReopenTicket", &headers);
    let body = frame(&pb::ReopenTicketRequest { id: ticket.id, ..Default::default() }.encode_to_vec());
    // This one has the only place.
    frames.send(HEADERS, END_HEADERS, 1, &call).await;
    frames.send(DATA, END_STREAM, 1, &body).await;
    for round in 0..4 {
        let streams = || (0..100).map(|number| 2 * (round * 100 + number) + 3);
        for stream in streams() {
            frames.send(HEADERS, END_HEADERS, stream, &call).await;
        }
        frames.send(PING, 0, 0, b"8 bytes.").await;
        while frames.wait_for(PING).await.expect("the service has seen them").flags != ACK {}
        for stream in streams() {
            frames.send(DATA, END_STREAM, stream, &body).await;
        }
        for _ in streams() {
            let answer = loop {
                let came = frames.next().await.expect("the connection goes on");
                assert!(![RST_STREAM, GOAWAY].contains(&came.kind), "{came:?}");
                if came.kind == HEADERS {
                    break came;
                }
            };
            assert_eq!(answer.flags, END_HEADERS | END_STREAM, "a refusal is headers and nothing else");
        }
    }
    lock.release().await;
    assert_eq!(frames.wait_for(HEADERS).await.expect("the one that was taken in is answered").stream, 1);
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
    let lock = TicketsLock::take(&world.database).await;
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
        // What was sent after they were taken back is answered: the service knows of it.
        actor.list(ticket.id).await;
    }
    lock.release().await;
    for _ in 0..2 * LIMIT {
        // Refusals make room as well.
        assert_eq!(refusal(&rename(actor.clone(), -1).await.expect_err("there is none")).reason, "TICKET_NOT_FOUND");
    }
    rename(actor, ticket.id).await.expect("there is room");
}
