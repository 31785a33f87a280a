//! Messages that are deleted where they come from while their ticket is under a legal hold: kept here, and deleted when the event is
//! replayed after the release.

use serde_json::json;

use crate::support::ingest::{deleted, in_channel, rejected, stored, words};
use crate::support::{Actor, World, pb};

const CANARY: &str = "canary-31c9";

/// A ticket of the channel `c` with one message, held.
async fn held_ticket(actor: &mut Actor) -> pb::ChatMessage {
    let message = actor.store(in_channel("c", 7, CANARY)).await;
    actor.place_hold(message.ticket_id).await;
    message
}

#[tokio::test]
async fn a_deletion_in_a_held_ticket_is_rejected_and_replayed_after_the_release() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let message = held_ticket(&mut actor).await;

    let outcomes = actor.take_in(vec![deleted(in_channel("c", 7, "another text")), in_channel("c", 8, "good")]).await;

    assert_eq!(words(&outcomes), ["rejected", "stored"]);
    let event = rejected(outcomes[0].clone());
    let ticket_id = message.ticket_id;
    let cause = format!("The ticket {ticket_id} is under a legal hold: replay the event when the hold is released.");
    assert_eq!(event.cause, cause);
    assert!(!event.event.contains("another text"), "what is kept of a deletion is no content: {}", event.event);
    assert_eq!(actor.list(ticket_id).await[0], message);
    assert_eq!(actor.log().await, []);
    assert_eq!(rejected(actor.replay(event.id, None).await.expect("it is looked at")), event, "it is still held");
    assert_eq!(actor.rejected().await, std::slice::from_ref(&event));

    actor.release_hold(ticket_id).await;
    let tombstone = stored(actor.replay(event.id, None).await.expect("it is looked at"));

    assert_eq!((tombstone.id, tombstone.message.as_str()), (message.id, ""));
    let log = actor.log().await;
    assert_eq!((log.len(), log[0].chat_message_id, actor.rejected().await), (1, message.id, vec![]));
    assert!(!world.database.every_row().await.contains(CANARY));
}

#[tokio::test]
async fn a_rejected_deletion_is_kept_once_and_goes_when_a_later_one_is_carried_out() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let message = held_ticket(&mut actor).await;
    let deletion = || deleted(in_channel("c", 7, ""));

    let first = rejected(actor.take_in(vec![deletion()]).await.remove(0));
    let again = rejected(actor.take_in(vec![deletion(), deletion()]).await.remove(1));
    assert_eq!((again, actor.rejected().await), (first.clone(), vec![first]));

    actor.release_hold(message.ticket_id).await;
    actor.store(deletion()).await;
    assert_eq!((actor.rejected().await, actor.log().await.len()), (vec![], 1));
}

#[tokio::test]
async fn what_was_rejected_of_a_held_message_is_kept_while_the_hold_lasts() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let message = held_ticket(&mut actor).await;
    let mut edited = in_channel("c", 7, "an edited text");
    edited.contact_id = -1;
    let edited = rejected(actor.take_in(vec![edited]).await.remove(0));

    let deletion = rejected(actor.take_in(vec![deleted(in_channel("c", 7, ""))]).await.remove(0));
    assert_eq!(actor.rejected().await, [edited, deletion.clone()]);

    actor.release_hold(message.ticket_id).await;
    actor.replay(deletion.id, None).await.expect("it is looked at");
    assert_eq!(actor.rejected().await, []);
    assert!(!world.database.every_row().await.contains("an edited text"));
}

#[tokio::test]
async fn in_a_batch_only_the_deletions_in_held_tickets_are_rejected_whatever_their_order() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    held_ticket(&mut actor).await;
    actor.store(in_channel("free", 1, "hello")).await;
    let batch = vec![
        deleted(in_channel("c", 7, "")),
        deleted(in_channel("free", 1, "")),
        in_channel("c", 8, "new"),
        deleted(in_channel("c", 8, "")),
        // Not seen before: no tombstone is made of it, and when it comes it is kept.
        deleted(in_channel("c", 9, "")),
        in_channel("c", 9, "late"),
        deleted(in_channel("c", 7, "")),
        pb::ConversationMessage { contact_id: 0, ..in_channel("", 10, "to nobody") },
        deleted(in_channel("new channel", 11, "")),
    ];

    let outcomes = actor.take_in(batch).await;

    let expected = ["rejected", "stored", "stored", "rejected", "rejected", "stored", "rejected", "rejected", "stored"];
    assert_eq!(words(&outcomes), expected);
    let held = stored(outcomes[2].clone()).ticket_id;
    let texts: Vec<String> = actor.list(held).await.into_iter().map(|message| message.message).collect();
    assert_eq!(texts, [CANARY, "new", "late"]);
    assert_eq!((actor.log().await.len(), actor.rejected().await.len()), (2, 4));
}

#[tokio::test]
async fn a_deletion_of_what_was_deleted_before_the_hold_is_a_repeat() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let tombstone = actor.store(deleted(in_channel("c", 7, ""))).await;
    actor.place_hold(tombstone.ticket_id).await;

    assert_eq!(words(&actor.take_in(vec![deleted(in_channel("c", 7, "")), in_channel("c", 7, CANARY)]).await), ["duplicate"; 2]);
}

#[tokio::test]
async fn the_webhook_answers_a_deletion_in_a_held_ticket_as_any_rejected_event() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let message = held_ticket(&mut actor).await;
    let key = world.webhook_key("acme", "k", "secret").await;
    let data = json!({"id": 7, "contactId": 2, "message": CANARY, "state": "deleted"});
    let event = json!({"name": "client_event", "channel": "c", "event": "client-message", "data": data.to_string()});

    let signed = world.send_events(&key, &json!([event])).await;
    let mut bare = data.clone();
    bare["channel"] = json!("c");
    let by_token = world.post_bare(&actor.token, &bare).await;

    for answer in [signed, by_token] {
        let nothing = json!({"conversationmessage": null, "conversationmessages": [], "included": {}});
        assert_eq!((answer.status, answer.body), (201, nothing));
    }
    assert_eq!(actor.rejected().await.len(), 2, "two events, known by their senders' words");
    assert!(actor.rejected().await.iter().all(|event| !event.event.contains(CANARY)));
    assert_eq!(actor.list(message.ticket_id).await, [message]);
}
