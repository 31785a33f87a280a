//! The quota of deletions: how many messages a token may delete in an hour, whatever the number of processes.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deskledger::config::{AdmissionSettings, ServerSettings};
use deskledger::storage::deletion_quota::reserve;
use futures_util::future::join_all;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

fn settings(per_hour: u32) -> ServerSettings {
    let defaults = default_settings();
    let admission = AdmissionSettings { deletions_per_hour: per_hour, ..defaults.admission.clone() };
    ServerSettings { admission, ..defaults }
}

async fn limited(per_hour: u32) -> World {
    World::on(TestDatabase::create().await, settings(per_hour)).await
}

async fn delete_all(actor: &mut Actor, ticket_id: i64, ids: &[i64], validate_only: bool) -> Result<(), Status> {
    let request = pb::BatchDeleteChatMessagesRequest { ticket_id, ids: ids.to_vec(), validate_only, ..Default::default() };
    actor.messages.batch_delete_chat_messages(request).await.map(|_| ())
}

async fn delete_as(actor: &mut Actor, request_id: &str, ticket_id: i64, id: i64) -> Result<pb::DeleteChatMessageResponse, Status> {
    let request = pb::DeleteChatMessageRequest { ticket_id, id, request_id: request_id.to_owned(), ..Default::default() };
    Ok(actor.messages.delete_chat_message(request).await?.into_inner())
}

#[tokio::test]
async fn a_token_deletes_as_many_messages_in_an_hour_as_it_may_and_goes_on_in_the_next() {
    let world = limited(3).await;
    world.clock.set("2026-03-15T12:45:00Z");
    world.clock.freeze();
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(7).await;
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    actor.delete(ticket.id, ids[0]).await.expect("one");
    assert_eq!(world.http(&actor).delete(&format!("/tickets/{}/chat_messages/{}", ticket.id, ids[1])).await.status, 200);
    actor.delete(ticket.id, ids[2]).await.expect("three");

    let status = actor.delete(ticket.id, ids[3]).await.expect_err("four");
    let refused = refusal(&status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "QUOTA_EXCEEDED"));
    assert_eq!(refused.message, "The token may delete at most 3 messages in an hour.");
    assert_eq!(refused.metadata["per_hour"], "3");
    let details = status.get_error_details();
    assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(15 * 60)));
    assert_eq!(details.quota_failure().expect("a quota").violations[0].subject, "token: messages deleted, per hour");
    let answer = world.http(&actor).delete(&format!("/tickets/{}/chat_messages/{}", ticket.id, ids[3])).await;
    answer.refused(429, "deskp429100", "The token may delete at most 3 messages in an hour.");
    assert_eq!(answer.header("x-ratelimit-retryafter"), Some("900"));
    assert_eq!(actor.log().await.len(), 3, "nothing was deleted");

    world.actor().await.delete(ticket.id, ids[3]).await.expect("another token has a quota of its own");
    world.clock.advance(TimeDelta::minutes(15));
    actor.delete(ticket.id, ids[4]).await.expect("the next hour");
}

#[tokio::test]
async fn each_message_of_a_batch_counts_and_a_batch_that_does_not_fit_deletes_nothing() {
    let world = limited(5).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(8).await;
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    delete_all(&mut actor, ticket.id, &ids[..3], false).await.expect("three");

    for batch in [&ids[3..6], &ids[3..8]] {
        let refused = refusal(&delete_all(&mut actor, ticket.id, batch, false).await.expect_err("too many"));
        assert_eq!(refused.reason, "QUOTA_EXCEEDED");
    }
    assert_eq!(actor.log().await.len(), 3);
    delete_all(&mut actor, ticket.id, &ids[3..5], false).await.expect("five");
    delete_all(&mut actor, ticket.id, &ids[5..], true).await.expect("to ask is no deletion");
}

#[tokio::test]
async fn what_is_not_deleted_does_not_count() {
    let world = limited(3).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(4).await;
    let (open, kept) = actor.ticket_with(1).await;
    let id = "0b2ae5ae-1c7e-4c37-ae0a-5a3e6b2a8f01";
    delete_as(&mut actor, id, ticket.id, messages[0].id).await.expect("one");
    for _ in 0..3 {
        let refused = [
            actor.delete(open.id, kept[0].id).await.map(|_| ()),
            actor.delete(ticket.id, messages[0].id).await.map(|_| ()),
            actor.delete(ticket.id, 1 << 40).await.map(|_| ()),
            delete_all(&mut actor, ticket.id, &[messages[1].id, messages[0].id], false).await,
        ];
        for (outcome, reason) in refused.into_iter().zip([
            "TICKET_NOT_CLOSED",
            "CHAT_MESSAGE_ALREADY_DELETED",
            "CHAT_MESSAGE_NOT_FOUND",
            "CHAT_MESSAGE_ALREADY_DELETED",
        ]) {
            assert_eq!(refusal(&outcome.expect_err(reason)).reason, reason);
        }
        delete_as(&mut actor, id, ticket.id, messages[0].id).await.expect("a repeat deletes nothing");
    }
    actor.delete(ticket.id, messages[1].id).await.expect("two");
    actor.delete(ticket.id, messages[2].id).await.expect("three");

    assert_eq!(refusal(&actor.delete(ticket.id, messages[3].id).await.expect_err("four")).reason, "QUOTA_EXCEEDED");
    delete_as(&mut actor, id, ticket.id, messages[0].id).await.expect("a repeat is answered though the quota is used up");
    let other = "0b2ae5ae-1c7e-4c37-ae0a-5a3e6b2a8f02";
    let refused = delete_as(&mut actor, other, ticket.id, messages[3].id).await.expect_err("four");
    assert_eq!(refusal(&refused).reason, "QUOTA_EXCEEDED");
    assert_eq!(actor.log().await.len(), 3);
}

#[tokio::test]
async fn messages_that_ingest_says_are_deleted_count_and_are_kept_to_be_replayed_when_the_quota_is_used_up() {
    use crate::support::ingest::{deleted, in_channel, rejected, words};
    let world = limited(1).await;
    world.clock.freeze();
    let mut actor = world.actor().await;
    for id in 1..=3 {
        actor.store(in_channel("c", id, "hello")).await;
    }

    let mut outcomes = actor.take_in((1..=2).map(|id| deleted(in_channel("c", id, "hello"))).collect()).await;
    assert_eq!(words(&outcomes), ["stored", "rejected"]);
    let event = rejected(outcomes.remove(1));
    assert!(event.cause.contains("at most 1 messages in an hour"), "{}", event.cause);
    assert_eq!(words(&actor.take_in(vec![deleted(in_channel("c", 1, "hello"))]).await), ["rejected"]);
    assert_eq!(words(&actor.take_in(vec![in_channel("c", 4, "hello")]).await), ["stored"]);

    // Pusher has deleted them already, and a signature is not a token.
    let key = world.webhook_key("acme", "key", "secret").await;
    let message = json!({"id": 3, "contactId": {"id": 2, "type": "contacts"}, "message": "hello", "state": "deleted"});
    let events = json!([crate::support::webhook::client_event("c", &message)]);
    assert_eq!(world.send_events(&key, &events).await.stored(), [3]);

    world.clock.advance(TimeDelta::hours(1));
    actor.replay(event.id, None).await.expect("it is replayed in the next hour");
    assert_eq!(actor.log().await.len(), 3);
}

#[tokio::test]
async fn a_service_that_starts_again_goes_on_counting() {
    let world = limited(3).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(4).await;
    for message in &messages[..2] {
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let token = actor.token.clone();
    drop(actor);
    let world = World::on(world.into_database().await, settings(3)).await;
    let mut actor = Actor::new(world.channel().await, &token);

    actor.delete(ticket.id, messages[2].id).await.expect("three");
    assert_eq!(refusal(&actor.delete(ticket.id, messages[3].id).await.expect_err("four")).reason, "QUOTA_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_reserve_at_the_same_time_get_no_more_than_there_is() {
    let world = limited(0).await;
    let caller = Arc::new(world.app.authenticate(&world.actor().await.token, None).await.expect("a good token"));
    let pool = world.database.pool(8);
    let hour: DateTime<Utc> = "2026-03-15T12:00:00Z".parse().expect("a time");
    let ask = |hour: DateTime<Utc>| {
        let (pool, caller) = (pool.clone(), caller.clone());
        tokio::spawn(async move {
            let mut connection = pool.acquire().await.expect("a connection");
            reserve(&mut connection, caller.application, &caller.token_id, hour, 3, 100).await.expect("the database")
        })
    };
    let granted =
        |outcomes: Vec<Result<bool, _>>| outcomes.into_iter().filter(|granted| *granted.as_ref().expect("no panic")).count();

    assert_eq!(granted(join_all((0..60).map(|_| ask(hour))).await), 33, "99 of 100");

    // A clock that is an hour behind counts in the hour that has begun.
    let next = hour + TimeDelta::hours(1);
    assert!(ask(next).await.expect("no panic"));
    assert_eq!(granted(join_all((0..60).map(|at| ask(if at % 2 == 0 { hour } else { next }))).await), 32);
}
