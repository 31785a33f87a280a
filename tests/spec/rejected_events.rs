//! Events that cannot be stored: they fail no other, are kept once with their reason, and are stored when they are replayed.

use tonic::Code;

use crate::support::ingest::{deleted, in_channel, of_contact, rejected, stored, words};
use crate::support::{Actor, World, pb, refusal};

/// A way in which a message can be bad, and the reason told.
type Row = (pb::ConversationMessage, &'static str);

fn every_badness() -> Vec<Row> {
    let good = || in_channel("c", 0, "m");
    let file = |name: &str, url: &str| pb::File { name: name.to_owned(), url: url.to_owned(), ..Default::default() };
    let files = |files: Vec<pb::File>| pb::ConversationMessage { files, ..good() };
    let at = |seconds, nanos| pb::ConversationMessage { create_time: Some(prost_types::Timestamp { seconds, nanos }), ..good() };
    let agent = |agent| pb::ConversationMessage { deleted_by: Some(agent), ..deleted(in_channel("c", 7, "")) };
    let range = |field: &str| -> &'static str { format!("The value of {field} should be between 0 to 9007199254740991.").leak() };
    let time = "The value of createdAt should be a time from year 1 to 9999.";
    vec![
        (of_contact(0, 0, "m"), "The contactId parameter is required."),
        (in_channel("c", 0, ""), "The message parameter is required."),
        (in_channel("c", 0, "a\0b"), "The value of message should not hold the character U+0000."),
        (in_channel("a\0b", 0, "m"), "The value of channel should not hold the character U+0000."),
        (in_channel("c", 0, &"x".repeat(32_769)), "The value of message should have at most 32768 bytes."),
        (in_channel(&"x".repeat(513), 0, "m"), "The value of channel should have at most 512 characters."),
        (in_channel("c", -1, "m"), range("id")),
        (in_channel("c", i64::MAX, "m"), range("id")),
        (pb::ConversationMessage { contact_id: -1, ..good() }, range("contactId")),
        (pb::ConversationMessage { user_id: 1 << 53, ..good() }, range("userId")),
        (pb::ConversationMessage { state: 9, ..good() }, "The value of state should be one of active, deleted."),
        (at(253_402_300_800, 0), time),
        (at(0, -1), time),
        (at(i64::MIN, 0), time),
        (files(vec![file("a", "u"); 21]), "The list files should have 0 to 20 items."),
        (files(vec![file("", "u")]), "The files[0].filename parameter is required."),
        (files(vec![file("a", "")]), "The files[0].url parameter is required."),
        (files(vec![file(&"x".repeat(256), "u")]), "The value of files[0].filename should have at most 255 characters."),
        (files(vec![pb::File { size_bytes: -1, ..file("a", "u") }]), range("files[0].size")),
        (deleted(in_channel("c", 0, "")), "The id parameter is required."),
        (agent(pb::Agent { email: "kim@example.com".to_owned(), ..Default::default() }), "The deletedBy.id parameter is required."),
        (agent(pb::Agent { id: -1, ..Default::default() }), range("deletedBy.id")),
    ]
}

#[tokio::test]
async fn a_bad_message_is_kept_with_its_reason_and_fails_no_other() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let rows = every_badness();
    let mut messages: Vec<pb::ConversationMessage> = rows.iter().map(|(message, _)| message.clone()).collect();
    messages.insert(0, in_channel("good", 1, "first"));
    messages.push(in_channel("good", 2, "last"));

    let mut outcomes = actor.take_in(messages).await;

    let (last, first) = (stored(outcomes.pop().expect("one for each")), stored(outcomes.remove(0)));
    assert_eq!((first.message_id, last.message_id), (1, 2));
    let events: Vec<pb::RejectedEvent> = outcomes.into_iter().map(rejected).collect();
    for (event, (message, cause)) in events.iter().zip(&rows) {
        assert!(event.cause.contains(cause), "{message:?}: {}", event.cause);
        assert!(event.id > 0 && event.receive_time.is_some());
    }
    let tickets = actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed");
    assert_eq!(tickets.total_size, 1, "no ticket is opened for what is rejected");
    let mut kept = events;
    kept.sort_by_key(|event| event.id);
    assert_eq!(actor.rejected().await, kept);
}

#[tokio::test]
async fn an_event_is_kept_once_however_often_it_is_repeated() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let bad = [of_contact(0, 1, "m"), of_contact(0, 0, "m"), of_contact(0, 1, "another text of it"), of_contact(-1, 1, "m")];
    let request = "6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11";

    let first: Vec<pb::RejectedEvent> =
        actor.take_in_as(request, [&bad[..], &bad[..1]].concat()).await.into_iter().map(rejected).collect();
    let again: Vec<pb::RejectedEvent> =
        actor.take_in_as(request, [&bad[..], &bad[..1]].concat()).await.into_iter().map(rejected).collect();

    assert_eq!(first, again);
    assert_eq!(first[0], first[4]);
    assert_eq!(actor.rejected().await.len(), 4, "each is an event of its own");
}

#[tokio::test]
async fn the_list_goes_on_page_by_page_oldest_first() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(rejected(actor.take_in(vec![of_contact(0, 0, &format!("{number}"))]).await.remove(0)).id);
    }
    assert_eq!(pages(&mut actor, 2).await, ids.chunks(2).map(<[i64]>::to_vec).collect::<Vec<_>>());
    assert_eq!(pages(&mut actor, 5).await, [ids.clone()]);
    assert_eq!(pages(&mut actor, 0).await, [ids]);
    for (page_size, page_token, reason) in
        [(101, "", "INVALID_FIELD"), (-1, "", "INVALID_FIELD"), (0, "not one of ours", "PAGE_TOKEN_INVALID")]
    {
        let request = pb::ListRejectedEventsRequest { page_size, page_token: page_token.to_owned() };
        let refused = actor.ingest.list_rejected_events(request).await.expect_err("no such page");
        assert_eq!(refusal(&refused).reason, reason);
    }
}

#[tokio::test]
async fn a_page_of_long_events_ends_early_so_that_any_client_can_read_it() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut ids = Vec::new();
    for letter in ["a", "b", "c", "d", "e"] {
        let message = in_channel("c", 0, &letter.repeat(1_300_000));
        ids.push(rejected(actor.take_in(vec![message]).await.remove(0)).id);
    }
    assert_eq!(pages(&mut actor, 0).await, [vec![ids[0], ids[1]], vec![ids[2], ids[3]], vec![ids[4]]]);
}

#[tokio::test]
async fn a_mended_event_is_stored_and_gone_from_the_list() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let bad = of_contact(0, 0, "to nobody");
    let event = rejected(actor.take_in(vec![bad.clone()]).await.remove(0));

    let still = rejected(actor.replay(event.id, None).await.expect("it is looked at again"));
    assert_eq!(still, event, "as it came it is as bad as it was");
    let other = rejected(actor.replay(event.id, Some(in_channel("c", 0, ""))).await.expect("it is looked at again"));
    assert_eq!((other.id, other.cause.as_str()), (event.id, "The message parameter is required."));
    assert_eq!(
        (actor.rejected().await, other.event),
        (vec![pb::RejectedEvent { cause: other.cause, ..event.clone() }], event.event)
    );

    let message = stored(actor.replay(event.id, Some(in_channel("c", 0, "to ada"))).await.expect("it is good now"));
    assert_eq!((message.message.as_str(), message.message_id), ("to ada", 1));
    assert_eq!(actor.rejected().await, []);
    let refused = refusal(&actor.replay(event.id, None).await.expect_err("it is stored"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "REJECTED_EVENT_NOT_FOUND"));

    let again = rejected(actor.take_in(vec![bad]).await.remove(0));
    let outcome = actor.replay(again.id, Some(in_channel("c", 0, "to ada"))).await.expect("it is good now");
    assert_eq!(words(&[outcome]), ["duplicate"], "sent again, rejected again and replayed again, it is stored once");
}

#[tokio::test]
async fn a_replayed_event_that_was_sent_again_meanwhile_is_a_duplicate() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let event = rejected(actor.take_in(vec![of_contact(0, 7, "mended by its sender")]).await.remove(0));
    let theirs = actor.store(in_channel("c", 7, "mended by its sender")).await;

    let outcome = actor.replay(event.id, Some(in_channel("c", 7, "mended by us"))).await.expect("it is good now");

    assert_eq!(outcome, pb::ingest_result::Outcome::Duplicate(theirs));
    assert_eq!(actor.rejected().await, []);
}

#[tokio::test]
async fn a_rejected_deletion_is_carried_out_when_a_token_that_may_delete_replays_it() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let scopes = [deskledger::domain::caller::Scope::MessagesWrite, deskledger::domain::caller::Scope::MessagesRead];
    let mut writer = world.actor_with("acme", &scopes).await;
    let message = writer.store(in_channel("c", 7, "hello")).await;

    let outcomes = writer.take_in(vec![deleted(in_channel("c", 7, "hello")), in_channel("c", 8, "good")]).await;

    assert_eq!(words(&outcomes), ["rejected", "stored"]);
    let event = rejected(outcomes[0].clone());
    assert_eq!(event.cause, "The token lacks the scope messages:delete.");
    assert_eq!(words(&[writer.replay(event.id, None).await.expect("it is looked at")]), ["rejected"]);
    assert_eq!(actor.list(message.ticket_id).await[0], message);
    let tombstone = stored(actor.replay(event.id, None).await.expect("it is looked at"));
    assert_eq!((tombstone.id, tombstone.message.as_str()), (message.id, ""));
    assert_eq!((actor.log().await.len(), actor.rejected().await), (1, vec![]));
}

/// The ids of all rejected events, page by page.
async fn pages(actor: &mut Actor, page_size: i32) -> Vec<Vec<i64>> {
    let mut request = pb::ListRejectedEventsRequest { page_size, page_token: String::new() };
    let mut pages = Vec::new();
    loop {
        let page = actor.ingest.list_rejected_events(request.clone()).await.expect("a page").into_inner();
        pages.push(page.rejected_events.iter().map(|event| event.id).collect());
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}
