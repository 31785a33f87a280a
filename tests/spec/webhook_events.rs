//! Webhooks: what becomes of each event, that one bad event spoils no other, and that a batch sent again stores nothing.

use serde_json::{Value, json};

use crate::support::webhook::{NONE, client_event, event_with_data, signed};
use crate::support::{World, pb};

fn message(id: i64) -> Value {
    json!({"id": id, "contactId": {"id": 2, "type": "contacts"}, "message": "hello", "createdAt": "2026-03-15T11:59:00Z"})
}

#[tokio::test]
async fn every_kind_of_event_of_the_contract_is_acknowledged_and_client_events_are_stored() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let kinds = ["channel_occupied", "channel_vacated", "member_added", "member_removed", "cache_miss", "subscription_count"];
    let mut events: Vec<Value> = kinds.iter().map(|kind| json!({"name": kind, "channel": "c", "user_id": "u"})).collect();
    events.push(client_event("c", &message(7)));

    assert_eq!(world.send_events(&key, &json!(events)).await.stored(), [7]);

    let mut actor = world.actor().await;
    let tickets = actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed").tickets;
    assert_eq!((tickets.len(), tickets[0].message_count, tickets[0].channel_url.as_str()), (1, 1, "c"));
    assert_eq!(actor.rejected().await, []);
}

#[tokio::test]
async fn an_answer_tells_what_was_stored_in_the_senders_own_shape() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let file = json!({"filename": "a.png", "url": "https://files.example/a", "contentType": "image/png", "size": 12});
    let with_files = json!({"id": 7, "contactId": "2", "message": "", "files": [file], "createdAt": "2026-03-15T12:59:00+01:00"});
    let from_agent = json!({"conversationmessage": {"userId": {"id": 3, "type": 1, "delete": false}, "message": "hi",
        "files": [{"filename": "b.png", "id": 4}], "filter_args": {"x": 1}, "createdAt": "2026-03-15T11:59:00.5Z"}});

    let answer = world.send_events(&key, &json!([client_event("c", &with_files), client_event("c", &from_agent)])).await;

    assert_eq!(answer.status, 201);
    let contact = json!({"id": 2, "type": "contacts"});
    let first = json!({"id": 7, "contactId": contact, "userId": null, "message": "", "files": [file], "state": "active",
        "createdAt": "2026-03-15T11:59:00.000000Z", "createdBy": contact, "updatedAt": "2026-03-15T11:59:00.000000Z", "updatedBy": contact});
    let user = json!({"id": 3, "type": "users"});
    let second = json!({"id": answer.body["conversationmessages"][1]["id"], "contactId": null, "userId": user, "message": "hi",
        "files": [{"filename": "b.png", "url": "files/4", "contentType": "", "size": 0}], "state": "active",
        "createdAt": "2026-03-15T11:59:00.500000Z", "createdBy": user, "updatedAt": "2026-03-15T11:59:00.500000Z", "updatedBy": user});
    let body = json!({"conversationmessage": second, "conversationmessages": [first, second], "included": {}});
    assert_eq!(answer.body, body);

    let deleted = json!({"id": 7, "state": "deleted", "deletedAt": "2026-03-15T12:00:00Z",
        "deletedBy": {"id": 9, "type": "users", "meta": {"displayName": "Kim", "other": 1}}});
    let answer = world.send_events(&key, &json!([client_event("c", &deleted)])).await;
    assert_eq!(answer.stored(), [7]);
    let tombstone = &answer.body["conversationmessage"];
    assert_eq!((&tombstone["state"], &tombstone["message"], &tombstone["files"]), (&json!("deleted"), &json!(""), &json!([])));
    assert_eq!((&tombstone["deletedBy"], &tombstone["updatedAt"]), (&json!({"id": 9, "type": "users"}), &first["updatedAt"]));
    let log = world.actor().await.log().await.remove(0);
    assert_eq!((log.requested_from(), log.token_id.as_str()), (pb::RequestedFrom::Dashboard, "webhook:key"));
    let by = log.requested_by.expect("somebody");
    assert_eq!((by.id, by.display_name.as_str()), (9, "Kim"));
}

#[tokio::test]
async fn a_batch_sent_again_is_acknowledged_and_stores_nothing() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let without_id = json!({"contactId": 2, "message": "hello"});
    let events =
        json!([client_event("c", &message(7)), client_event("c", &without_id), client_event("c", &without_id), {"name": "new"}]);
    let body = json!({"time_ms": world.app.milliseconds(), "events": events}).to_string();
    let headers = signed(&key, body.as_bytes());

    assert_eq!(world.post_webhook(&headers, body.as_bytes()).await.stored().len(), 3, "the same text twice is said twice");
    for _ in 0..2 {
        world.clock.advance(chrono::TimeDelta::minutes(4));
        let again = world.post_webhook(&headers, body.as_bytes()).await;
        assert_eq!(again.body, json!({"conversationmessage": null, "conversationmessages": [], "included": {}}));
        assert_eq!(again.status, 201);
    }
    assert_eq!(world.send_events(&key, &events).await.stored().len(), 2, "another time, another event; the id is known");
    assert_eq!(world.actor().await.rejected().await.len(), 2);
}

#[tokio::test]
async fn a_bad_event_is_kept_as_it_came_and_spoils_no_other() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let with = |data: &str| event_with_data("c", data).to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let name = "The value of name should be one of client_event and the kinds that are not stored.";
    let data = "The value of data should be a JSON object.";
    let event = "The value of event should be a JSON object.";
    let required = "The message parameter is required.";
    let rows = [
        (json!({"name": "something_new"}).to_string(), name),
        (json!({"name": null}).to_string(), "The value of name should be string."),
        (
            json!({"name": "client_event", "event": "message", "data": "{}"}).to_string(),
            "The value of event should be one of client-....",
        ),
        (json!({"name": "client_event", "event": "client-x"}).to_string(), "The value of data should be string."),
        (
            json!({"name": "client_event", "event": "client-x", "data": {"message": "m"}}).to_string(),
            "The value of data should be string.",
        ),
        (
            json!({"name": "client_event", "event": "client-x", "channel": 5, "data": r#"{"message":"m"}"#}).to_string(),
            "The value of channel should be string.",
        ),
        (with("not JSON"), data),
        (with("[1]"), data),
        (with(""), data),
        (with(&deep), data),
        (with(r#"{"message":"a","message":"b"}"#), data),
        (with(r#"{"message":"a","id":1e999}"#), data),
        (with(r#"{"message":"\ud800"}"#), data),
        (with(r#"{"message":"a\u0000b"}"#), "The value of message should not hold the character U+0000."),
        (with(r#"{"message":"a","id":7.5}"#), "The value of id should be integer."),
        (
            with(r#"{"message":"a","id":123456789012345678901234567890}"#),
            "The value of id should be between 0 to 9007199254740991.",
        ),
        (with(r#"{"message":"a","id":9007199254740992}"#), "The value of id should be between 0 to 9007199254740991."),
        (with(r#"{"message":"a","createdAt":"yesterday"}"#), "The value of createdAt should be a time from year 1 to 9999."),
        (with(r#"{"message":"a","state":"gone"}"#), "The value of state should be one of active, deleted."),
        (with("{}"), required),
        // What cannot be read as JSON at all still fails no other.
        ("7".to_owned(), event),
        ("null".to_owned(), event),
        (deep.clone(), event),
        (r#"{"name":"client_event","name":"cache_miss"}"#.to_owned(), event),
        (r#"{"name":1e999}"#.to_owned(), event),
        (r#"{"name":"\ud800"}"#.to_owned(), event),
    ];
    let good = |id| client_event("c", &message(id)).to_string();
    let all: Vec<String> = [good(1)].into_iter().chain(rows.iter().map(|(event, _)| event.clone())).chain([good(2)]).collect();
    let body = format!(r#"{{"time_ms":{},"events":[{}]}}"#, world.app.milliseconds(), all.join(","));

    for stored in [vec![1, 2], vec![]] {
        assert_eq!(world.post_webhook(&signed(&key, body.as_bytes()), body.as_bytes()).await.stored(), stored);
    }

    let mut actor = world.actor().await;
    let mut kept = actor.rejected().await;
    assert_eq!(kept.len(), rows.len(), "each once");
    for (event, cause) in &rows {
        let at = kept.iter().position(|kept| kept.event == *event).unwrap_or_else(|| panic!("{event} is kept as it came"));
        assert_eq!(kept.remove(at).cause, *cause, "{event}");
    }
}

#[tokio::test]
async fn an_array_of_bare_messages_is_a_batch_of_either_form() {
    let world = World::new().await;
    let token = world.actor().await.token;
    let dated = json!({"contactId": 2, "message": "dated", "createdAt": "2026-03-15T11:59:00Z"});
    let body =
        json!({"conversationmessages": [message(1), {"conversationmessage": message(2)}, {"message": "no place"}, dated, 5]});

    assert_eq!(world.post_bare(&token, &body).await.stored().len(), 3);
    assert_eq!(world.post_bare(&token, &body).await.stored(), NONE, "what has an id or says when it was sent is known");
    assert_eq!(world.post_bare(&token, &json!({"conversationmessage": message(3)})).await.stored(), [3]);
    assert_eq!(world.post_bare(&token, &message(4)).await.stored(), [4]);
    let said = json!({"contactId": 2, "message": "said twice"});
    for _ in 0..2 {
        assert_eq!(world.post_bare(&token, &said).await.stored().len(), 1);
    }
    let mut actor = world.actor().await;
    assert_eq!(actor.rejected().await.len(), 2);
    let tickets = actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed").tickets;
    assert_eq!(tickets.iter().map(|ticket| ticket.message_count).collect::<Vec<_>>(), [7], "all are in the contact's ticket");
}

#[tokio::test]
async fn a_webhooks_event_is_replayed_as_it_came_once_it_can_be_stored() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let mut actor = world.actor().await;
    world.send_events(&key, &json!([event_with_data("c", r#"{"id":7,"contactId":2,"message":5}"#)])).await.stored();
    let event = actor.rejected().await.remove(0);
    let mended = pb::ConversationMessage {
        id: 7,
        contact_id: 2,
        message: "5".to_owned(),
        channel_url: "c".to_owned(),
        ..Default::default()
    };

    let stored = crate::support::ingest::stored(actor.replay(event.id, Some(mended)).await.expect("it is good"));

    assert_eq!(stored.message, "5");
    assert_eq!(world.send_events(&key, &json!([client_event("c", &message(7))])).await.stored(), NONE, "its id is known");
}

#[tokio::test]
async fn ten_thousand_events_are_one_batch() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let events: Vec<Value> = (1..=10_000).map(|id| client_event(&format!("c{}", id % 100), &message(id))).collect();
    assert_eq!(world.send_events(&key, &json!(events)).await.stored(), (1..=10_000).collect::<Vec<i64>>());
}
