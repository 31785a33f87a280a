//! Rate limits: how often a token may call, by both doors together, reads and writes apart.

use std::time::Duration;

use deskledger::config::{AdmissionSettings, ServerSettings};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::database::TestDatabase;
use crate::support::door::Door;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

/// A service at which a token may make so many calls in a minute: one at once, and then none for a minute.
async fn limited(reads: u32, writes: u32) -> World {
    let defaults = default_settings();
    let admission = AdmissionSettings { reads_per_minute: reads, writes_per_minute: writes, ..defaults.admission.clone() };
    World::on(TestDatabase::create().await, ServerSettings { admission, ..defaults }).await
}

async fn read(actor: &mut Actor) -> Result<(), Status> {
    actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await.map(|_| ())
}

#[tokio::test]
async fn a_token_that_reads_too_often_is_told_so_and_when_to_come_again_by_either_door() {
    for first in Door::BOTH {
        let world = limited(1, 0).await;
        let mut actor = world.actor().await;
        let http = world.http(&actor);
        match first {
            Door::Grpc => read(&mut actor).await.expect("the first"),
            Door::Rest => assert_eq!(http.get("/tickets").await.status, 200),
        }

        let status = read(&mut actor).await.expect_err("the second");
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
        assert_eq!((refused.metadata["calls"].as_str(), refused.metadata["per_minute"].as_str()), ("READ", "1"));
        let details = status.get_error_details();
        let delay = details.retry_info().and_then(|info| info.retry_delay).expect("a delay");
        assert!(delay > Duration::ZERO && delay <= Duration::from_secs(60), "{delay:?}");
        assert_eq!(details.quota_failure().expect("a quota").violations[0].subject, "token: calls that read, per minute");

        let answer = http.get("/tickets").await;
        answer.refused(429, "deskp429100", "Too many requests.");
        let seconds: u64 = answer.header("retry-after").expect("a delay").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(answer.header("x-ratelimit-retryafter"), answer.header("retry-after"));

        actor.open_ticket().await;
        actor.open_ticket().await;
        read(&mut world.actor().await).await.expect("another token of the same application");
    }
}

#[tokio::test]
async fn a_token_that_writes_too_often_may_still_read() {
    let world = limited(0, 1).await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;

    let refused = refusal(&actor.create(crate::support::ticket::plain_ticket()).await.expect_err("the second"));
    assert_eq!((refused.reason.as_str(), refused.metadata["calls"].as_str()), ("RATE_LIMITED", "WRITE"));
    for _ in 0..10 {
        assert_eq!(actor.ticket(ticket.id).await, ticket);
    }
}

#[tokio::test]
async fn the_rate_is_looked_at_before_the_scope_and_counts_what_is_refused() {
    let world = limited(1, 1).await;
    let mut actor = world.actor_with("acme", &[]).await;
    assert_eq!(refusal(&read(&mut actor).await.expect_err("no scope")).reason, "SCOPE_MISSING");
    assert_eq!(refusal(&read(&mut actor).await.expect_err("too often")).reason, "RATE_LIMITED");
}

#[tokio::test]
async fn senders_of_webhooks_and_readers_of_the_tree_have_a_rate_too() {
    let world = limited(1, 1).await;
    let key = world.webhook_key("acme", "key", "secret").await;
    assert_eq!(world.send_events(&key, &json!([])).await.status, 201);
    let answer = world.send_events(&key, &json!([])).await;
    assert_eq!((answer.status, answer.body), (429, json!({"errors": [{"detail": "Too many requests."}]})));

    let actor = world.actor().await;
    assert_eq!(world.post_bare(&actor.token, &json!({"conversationmessages": []})).await.status, 201);
    assert_eq!(world.post_bare(&actor.token, &json!({"conversationmessages": []})).await.status, 429);

    let http = world.http(&actor);
    let tile =
        || http::Request::get("/log/acme/checkpoint").header("Host", &world.address).header("SENDBIRDDESKAPITOKEN", &actor.token);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(http.send(tile().body(bytes::Bytes::new()).expect("a request")).await.status.as_u16());
    }
    assert_eq!(statuses, [400, 429], "there is no tree yet, and then it is too often");
}
