//! The exact JSON of every answer: keys, types, order of rows. Ids and times stand for themselves.

use serde_json::{Value, json};

use crate::support::actor::{customer_message, message_of};
use crate::support::{World, pb};

/// Noon of the tests' clock, on this wire.
const NOON: &str = "2026-03-15T12:00:00.000000Z";

#[tokio::test]
async fn a_list_of_messages_has_the_envelope_and_every_key_of_a_message() {
    let world = World::new().await;
    world.clock.freeze();
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let customers = pb::ChatMessage { data: r#"{"a":1}"#.to_owned(), ..customer_message("hello") };
    let first = actor.send(ticket.id, customers).await;
    let agents = actor.send(ticket.id, message_of(pb::UserType::Agent, "lou", "hi")).await;
    let events = actor.send(ticket.id, message_of(pb::UserType::Event, "", "assigned")).await;

    let listed = world.http(&actor).get(&format!("/tickets/{}/chat_messages", ticket.id)).await.ok();

    let row = |id: i64, number: i64, user: &str, kind: &str, message: &str, data: &str| {
        json!({
            "id": id, "messageId": number, "ticket": ticket.id, "userSendbirdId": user, "userType": kind, "createdAt": NOON,
            "deletedAt": null, "requestedFrom": null, "requestedBy": null, "message": message, "data": data,
        })
    };
    let rows = [
        row(first.id, 1, "ada", "CUSTOMER", "hello", r#"{"a":1}"#),
        row(agents.id, 2, "lou", "AGENT", "hi", ""),
        row(events.id, 3, "event", "EVENT", "assigned", ""),
    ];
    assert_eq!(listed, json!({"count": 3, "previous": null, "next": null, "results": rows}));
    assert_eq!(world.http(&actor).get("/chat_messages").await.ok(), listed, "the application has no other ticket");
}

#[tokio::test]
async fn a_deletion_answers_the_id_and_shows_as_a_tombstone_and_in_the_log() {
    let world = World::new().await;
    world.clock.freeze();
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let http = world.http(&actor);
    let id = messages[0].id;
    let grounds = json!({
        "requestedFrom": "DASHBOARD", "requestedBy": {"id": 7, "displayName": "Kim", "sendbirdId": "kim", "email": "kim@example.com"},
        "reason": "SENSITIVE_DATA", "reasonDetail": "A card number.",
    });

    world.clock.set("2026-03-15T13:00:00.000001Z");
    let path = format!("/tickets/{}/chat_messages/{id}", ticket.id);
    let deleted = http.call(http::Method::DELETE, &path, grounds.to_string()).await.ok();

    assert_eq!(deleted, json!({"id": id}));
    let mut tombstone = json!({
        "id": id, "messageId": 1, "ticket": ticket.id, "userSendbirdId": "ada", "userType": "CUSTOMER", "createdAt": NOON,
        "deletedAt": "2026-03-15T13:00:00.000001Z", "requestedFrom": "DASHBOARD",
        "requestedBy": {"id": 7, "displayName": "Kim", "sendbirdId": "kim", "email": "kim@example.com"}, "message": "", "data": "",
    });
    let listed = http.get(&format!("/tickets/{}/chat_messages", ticket.id)).await.ok();
    assert_eq!((&listed["count"], &listed["results"][0]), (&json!(2), &tombstone));
    let logged = http.get("/chat_messages/deletion_logs").await.ok();
    let log_id = logged["results"][0]["logId"].clone();
    assert!(log_id.is_i64(), "{logged}");
    tombstone["logId"] = log_id;
    assert_eq!(logged, json!({"count": 1, "previous": null, "next": null, "results": [tombstone]}));
}

#[tokio::test]
async fn a_deletion_without_grounds_is_the_apis_and_nobodys() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let http = world.http(&actor);

    http.delete(&format!("/tickets/{}/chat_messages/{}", ticket.id, messages[0].id)).await.ok();

    let listed = http.get(&format!("/tickets/{}/chat_messages", ticket.id)).await.ok();
    let row = &listed["results"][0];
    assert_eq!((&row["requestedFrom"], &row["requestedBy"]), (&json!("PLATFORM_API"), &Value::Null));
}

#[tokio::test]
async fn a_requester_without_a_number_has_a_null_id() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let http = world.http(&actor);

    let path = format!("/tickets/{}/chat_messages/{}", ticket.id, messages[0].id);
    http.call(http::Method::DELETE, &path, r#"{"requestedBy": {"sendbirdId": "kim"}}"#).await.ok();

    let logged = http.get("/chat_messages/deletion_logs").await.ok();
    let expected = json!({"id": null, "displayName": "", "sendbirdId": "kim", "email": ""});
    assert_eq!(logged["results"][0]["requestedBy"], expected);
}

#[tokio::test]
async fn the_log_lists_the_newest_first_and_ties_by_id() {
    let world = World::new().await;
    world.clock.freeze();
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(4).await;
    let http = world.http(&actor);
    for (at, time) in
        [(2, "2026-03-15T12:00:00Z"), (0, "2026-03-15T12:00:00Z"), (3, "2026-03-15T12:00:02Z"), (1, "2026-03-15T12:00:01Z")]
    {
        world.clock.set(time);
        http.delete(&format!("/tickets/{}/chat_messages/{}", ticket.id, messages[at].id)).await.ok();
    }

    let logged = http.get("/chat_messages/deletion_logs").await.ok();

    let rows = logged["results"].as_array().expect("rows");
    let numbers: Vec<&Value> = rows.iter().map(|row| &row["messageId"]).collect();
    assert_eq!(numbers[..2], [&json!(4), &json!(2)]);
    let key = |row: &Value| (row["deletedAt"].to_string(), row["logId"].as_i64());
    assert!(rows.iter().rev().is_sorted_by_key(key), "{logged}");
}

#[tokio::test]
async fn the_tickets_shape_is_complete_when_open_when_closed_and_in_lists() {
    let world = World::new().await;
    world.clock.freeze();
    let mut actor = world.actor().await;
    let http = world.http(&actor);

    let opened = http.post("/tickets", &json!({"customer": {"sendbirdId": "ada"}})).await.ok();
    let id = opened["id"].as_i64().expect("a number");
    let mut expected = json!({
        "id": id, "channelUrl": format!("desk_ticket_{id}"), "channelName": "", "status2": "INITIALIZED", "priority": "MEDIUM",
        "customer": {"id": null, "sendbirdId": "ada", "channelType": "SENDBIRD", "displayName": ""}, "recentAssignment": null,
        "group": null, "info": "", "customFields": [], "relatedChannels": "[]", "messageCount": 0, "lastMessage": "",
        "createdAt": NOON, "closedAt": null, "issuedAt": null, "closeStatus": null, "closeComment": null,
    });
    assert_eq!(opened, expected);
    assert_eq!(http.get(&format!("/tickets/{id}")).await.ok(), expected);

    world.clock.set("2026-03-15T12:00:01Z");
    actor.send(id, customer_message("hello")).await;
    world.clock.set("2026-03-15T12:00:02Z");
    let closed = http.patch(&format!("/tickets/{id}/close"), &json!({"closeComment": "done"})).await.ok();
    expected["status2"] = json!("CLOSED");
    expected["messageCount"] = json!(1);
    expected["lastMessage"] = json!("hello");
    expected["issuedAt"] = json!("2026-03-15T12:00:01.000000Z");
    expected["closedAt"] = json!("2026-03-15T12:00:02.000000Z");
    expected["closeStatus"] = json!("DEFAULT");
    expected["closeComment"] = json!("done");
    assert_eq!(closed, expected);
    let listed = http.get("/tickets").await.ok();
    assert_eq!(listed, json!({"count": 1, "previous": null, "next": null, "results": [expected]}));
}

#[tokio::test]
async fn a_ticket_is_opened_with_everything_that_it_is_given() {
    let world = World::new().await;
    world.clock.freeze();
    let http = world.http(&world.actor().await);
    let body = json!({
        "channelUrl": "channel_9", "channelName": "Lamp", "status2": "PENDING", "priority": "HIGH",
        "customer": {"id": 5, "sendbirdId": "ada", "channelType": "WHATSAPP_MESSAGE", "displayName": "Ada"},
        "recentAssignment": {"agent": {"id": 11, "sendbirdId": "kim", "displayName": "Kim", "email": "kim@example.com"}},
        "group": {"id": 3, "name": "Returns", "key": "returns"}, "info": "{\"a\": 1}",
        "customFields": "[{\"id\": 7, \"key\": \"plan\", \"value\": \"gold\"}]", "relatedChannels": "[\"x\"]",
    });

    let opened = http.post("/tickets", &body).await.ok();

    let id = opened["id"].clone();
    let expected = json!({
        "id": id, "channelUrl": "channel_9", "channelName": "Lamp", "status2": "PENDING", "priority": "HIGH",
        "customer": {"id": 5, "sendbirdId": "ada", "channelType": "WHATSAPP_MESSAGE", "displayName": "Ada"},
        "recentAssignment": {"agent": {"id": 11, "displayName": "Kim", "sendbirdId": "kim"}},
        "group": {"id": 3, "name": "Returns", "key": "returns"}, "info": "{\"a\": 1}",
        "customFields": [{"id": 7, "key": "plan", "value": "gold"}], "relatedChannels": "[\"x\"]", "messageCount": 0,
        "lastMessage": "", "createdAt": NOON, "closedAt": null, "issuedAt": null, "closeStatus": null, "closeComment": null,
    });
    assert_eq!(opened, expected);
}
