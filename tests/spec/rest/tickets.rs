//! Opening, changing, closing and reopening tickets.

use serde_json::{Value, json};

use crate::support::World;

const CUSTOMER: &str = r#"{"sendbirdId": "ada"}"#;

/// A ticket to open, with one more key.
fn ticket_with(key: &str, value: Value) -> Value {
    let mut body = json!({"customer": serde_json::from_str::<Value>(CUSTOMER).expect("JSON")});
    body[key] = value;
    body
}

#[tokio::test]
async fn custom_fields_and_related_channels_are_texts_of_json_or_that_json() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let gold = json!([{"id": 0, "key": "plan", "value": "gold"}]);
    let rows = [
        ("customFields", json!("{\"plan\": \"gold\"}"), gold.clone()),
        ("customFields", json!({"plan": "gold"}), gold.clone()),
        ("customFields", json!("[{\"key\": \"plan\", \"value\": \"gold\"}]"), gold.clone()),
        ("customFields", json!([{"key": "plan", "value": "gold"}]), gold),
        (
            "customFields",
            json!({"a": 1.5, "b": null}),
            json!([{"id": 0, "key": "a", "value": "1.5"}, {"id": 0, "key": "b", "value": ""}]),
        ),
        ("customFields", json!(""), json!([])),
        ("customFields", json!(null), json!([])),
        ("customFields", json!("{}"), json!([])),
        ("relatedChannels", json!("[\"a\", \"b\"]"), json!("[\"a\", \"b\"]")),
        ("relatedChannels", json!(["a", "b"]), json!("[\"a\",\"b\"]")),
        ("relatedChannels", json!([]), json!("[]")),
        ("relatedChannels", json!(""), json!("[]")),
        ("relatedChannels", json!(null), json!("[]")),
    ];
    for (key, given, expected) in rows {
        let opened = http.post("/tickets", &ticket_with(key, given.clone())).await.ok();
        assert_eq!(opened[key], expected, "{given}");
        let changed = http.patch(&format!("/tickets/{}", opened["id"]), &json!({key: given})).await.ok();
        assert_eq!(changed[key], expected, "{given}");
    }
    for wrong in [
        json!("x"),
        json!("1"),
        json!(1),
        json!([1]),
        json!([{}]),
        json!({"a": []}),
        json!([{"key": "a", "id": "1"}]),
        json!("{\"a\":1,\"a\":2}"),
    ] {
        let refused = http.post("/tickets", &ticket_with("customFields", wrong)).await;
        refused.refused(400, "deskp400111", "The value of customFields should be a JSON object.");
    }
    for wrong in [json!("x"), json!("{}"), json!(1), json!({"a": 1})] {
        let refused = http.post("/tickets", &ticket_with("relatedChannels", wrong)).await;
        refused.refused(400, "deskp400111", "The value of relatedChannels should be the text of a JSON array.");
    }
}

fn characters(name: &str, max: usize) -> String {
    format!("The value of {name} should have at most {max} characters.")
}

fn required(name: &str) -> String {
    format!("The {name} parameter is required.")
}

/// Opens tickets with one key each, which must be refused for that.
async fn each_is_refused(rows: Vec<(&str, Value, &str, String)>) {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    for (key, value, code, message) in rows {
        let answer = http.post("/tickets", &ticket_with(key, value.clone())).await;
        assert_eq!(answer.refusal(), (400, code.to_owned(), message), "{key} {value}");
    }
    assert_eq!(http.get("/tickets").await.ok()["count"], json!(0));
}

#[tokio::test]
async fn every_bound_of_a_ticket_names_its_key() {
    let bytes = |name: &str| format!("The value of {name} should have at most 8192 bytes.");
    let text = |length: usize| json!("é".repeat(length));
    let field = |key: &str, value: &str| json!({"key": key, "value": value});
    let too_many: Vec<Value> = (0..101).map(|number| field(&number.to_string(), "")).collect();
    let differ = "The items of customFields[1].key should differ from each other.".to_owned();
    let items = "The list customFields should have 0 to 100 items.".to_owned();
    let nul = "The value of channelName should not hold the character U+0000.".to_owned();
    let status = "The value of status2 should be one of INITIALIZED, PROACTIVE, PENDING.".to_owned();
    let priority = "The value of priority should be one of URGENT, HIGH, MEDIUM, LOW.".to_owned();
    each_is_refused(vec![
        ("channelUrl", text(513), "deskp400113", characters("channelUrl", 512)),
        ("channelName", text(513), "deskp400113", characters("channelName", 512)),
        ("channelName", json!("a\u{0}b"), "deskp400113", nul),
        ("info", text(4097), "deskp400113", bytes("info")),
        ("relatedChannels", json!([text(4096)]), "deskp400113", bytes("relatedChannels")),
        ("customFields", json!(too_many), "deskp400113", items),
        ("customFields", json!([field("a", ""), field("a", "")]), "deskp400113", differ),
        ("customFields", json!([field("", "")]), "deskp400105", required("customFields[0].key")),
        ("customFields", json!({"a": text(1025)}), "deskp400113", characters("customFields[0].value", 1024)),
        ("status2", json!("ACTIVE"), "deskp400111", status),
        ("priority", json!("high"), "deskp400111", priority),
        ("requestId", json!("x"), "deskp400111", "The value of requestId should be a UUID.".to_owned()),
    ])
    .await;
}

#[tokio::test]
async fn every_bound_of_a_tickets_people_names_its_key() {
    let long = |length: usize| "é".repeat(length);
    let sendbird_id = "The value of customer.sendbirdId should have 1 to 80 characters.".to_owned();
    let group_id = "The value of group.id should be between 1 to 9007199254740991.".to_owned();
    let display_name = json!({"sendbirdId": "a", "displayName": long(256)});
    let agent = characters("recentAssignment.agent.sendbirdId", 80);
    each_is_refused(vec![
        ("customer", json!({"sendbirdId": long(81)}), "deskp400113", sendbird_id),
        ("customer", json!({"sendbirdId": ""}), "deskp400105", required("customer.sendbirdId")),
        ("customer", json!({}), "deskp400105", required("customer.sendbirdId")),
        ("customer", json!(null), "deskp400105", required("customer")),
        ("customer", display_name, "deskp400113", characters("customer.displayName", 255)),
        ("recentAssignment", json!({}), "deskp400105", required("recentAssignment.agent")),
        ("recentAssignment", json!({"agent": {}}), "deskp400105", required("recentAssignment.agent.id")),
        ("recentAssignment", json!({"agent": {"sendbirdId": long(81)}}), "deskp400113", agent),
        ("group", json!({}), "deskp400113", group_id),
        ("group", json!({"id": 1, "key": long(256)}), "deskp400113", characters("group.key", 255)),
    ])
    .await;
}

#[tokio::test]
async fn a_ticket_may_have_as_much_as_its_bounds_allow() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let most = json!({"channelName": "é".repeat(512), "info": "é".repeat(4096), "customer": {"sendbirdId": "é".repeat(80)}});
    let opened = http.post("/tickets", &most).await.ok();
    assert_eq!((&opened["channelName"], &opened["info"]), (&most["channelName"], &most["info"]));
}

#[tokio::test]
async fn a_change_touches_the_keys_that_it_names_and_no_others() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let body = json!({
        "channelName": "a", "priority": "HIGH", "info": "b", "customer": {"sendbirdId": "ada"},
        "recentAssignment": {"agent": {"id": 11, "displayName": "Kim", "sendbirdId": ""}}, "group": {"id": 3, "name": "", "key": ""},
        "customFields": {"k": "v"}, "relatedChannels": "[1]",
    });
    let mut expected = http.post("/tickets", &body).await.ok();
    let path = format!("/tickets/{}", expected["id"]);
    let rows = [
        (json!({}), vec![]),
        (json!({"channelUrl": "x", "customer": {"sendbirdId": "eve"}, "unknown": 1}), vec![]),
        (json!({"channelName": "z"}), vec![("channelName", json!("z"))]),
        (json!({"channelName": ""}), vec![("channelName", json!(""))]),
        (json!({"channelName": null, "info": null}), vec![("info", json!(""))]),
        (json!({"priority": "LOW", "status2": "PENDING"}), vec![("priority", json!("LOW")), ("status2", json!("PENDING"))]),
        (json!({"recentAssignment": null}), vec![("recentAssignment", Value::Null)]),
        (json!({"group": null}), vec![("group", Value::Null)]),
        (json!({"customFields": {}}), vec![("customFields", json!([]))]),
        (json!({"relatedChannels": []}), vec![("relatedChannels", json!("[]"))]),
    ];
    for (change, changed) in rows {
        for (key, value) in changed {
            expected[key] = value;
        }
        assert_eq!(http.patch(&path, &change).await.ok(), expected, "{change}");
    }
    for key in ["status2", "priority"] {
        let message = format!("The {key} parameter is required.");
        http.patch(&path, &json!({key: null})).await.refused(400, "deskp400105", &message);
    }
    let transition = http.patch(&path, &json!({"status2": "IDLE"})).await;
    transition.refused(400, "deskp400602", "A ticket does not go from PENDING to IDLE by an update.");
    let closing = http.patch(&path, &json!({"status2": "CLOSED"})).await;
    closing.refused(400, "deskp400602", "A ticket does not go from PENDING to CLOSED by an update.");
    assert_eq!(http.get(&path).await.ok(), expected);
}

#[tokio::test]
async fn closing_keeps_comment_and_last_message_and_reopening_forgets_the_closing() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let opened = http.post("/tickets", &ticket_with("channelName", json!("a"))).await.ok();
    let path = format!("/tickets/{}", opened["id"]);

    http.patch(&format!("{path}/reopen"), &json!({})).await.refused(400, "deskp400600", "The ticket is not closed yet.");
    let closed = http.patch(&format!("{path}/close"), &json!({"closeComment": "done", "closeMessage": "Goodbye!"})).await.ok();
    assert_eq!((&closed["status2"], &closed["closeComment"]), (&json!("CLOSED"), &json!("done")));
    assert_eq!((&closed["lastMessage"], &closed["messageCount"]), (&json!("Goodbye!"), &json!(1)));
    let listed = http.get(&format!("{path}/chat_messages")).await.ok();
    let row = &listed["results"][0];
    assert_eq!((&row["userType"], &row["userSendbirdId"], &row["message"]), (&json!("EVENT"), &json!("event"), &json!("Goodbye!")));
    http.patch(&format!("{path}/close"), &json!({})).await.refused(400, "deskp400602", "The ticket is already closed.");
    let reopened = http.patch(&format!("{path}/reopen"), &json!({})).await.ok();
    assert_eq!((&reopened["status2"], &reopened["closedAt"]), (&json!("PENDING"), &Value::Null));
    assert_eq!((&reopened["closeStatus"], &reopened["closeComment"]), (&Value::Null, &Value::Null));
    let again = http.patch(&format!("{path}/close"), &json!({"closeComment": null, "closeMessage": ""})).await.ok();
    assert_eq!((&again["closeComment"], &again["messageCount"]), (&json!(""), &json!(1)), "an empty message is none");
}

#[tokio::test]
async fn a_request_id_makes_every_write_safe_to_repeat() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(1).await;
    let http = world.http(&actor);
    let id = |number: u8| format!("6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c{number:02}");
    let path = format!("/tickets/{}", ticket.id);
    let rows = [
        (http::Method::POST, "/tickets".to_owned(), ticket_with("requestId", json!(id(1)))),
        (http::Method::PATCH, path.clone(), json!({"requestId": id(2), "priority": "LOW"})),
        (http::Method::PATCH, format!("{path}/close"), json!({"requestId": id(3)})),
        (http::Method::DELETE, format!("{path}/chat_messages/{}", messages[0].id), json!({"requestId": id(4)})),
        (http::Method::PATCH, format!("{path}/reopen"), json!({"requestId": id(5)})),
    ];
    for (method, path, body) in rows {
        let first = http.call(method.clone(), &path, body.to_string()).await.ok();
        assert_eq!(http.call(method, &path, body.to_string()).await.ok(), first, "{path}");
    }
    let other = http.patch(&path, &json!({"requestId": id(2), "priority": "HIGH"})).await.refusal();
    assert_eq!((other.0, other.1.as_str()), (400, "deskp400113"));
    assert!(other.2.starts_with(&format!("The request_id {} was used at 2026-03-15T", id(2))), "{}", other.2);
    assert_eq!(http.get("/tickets").await.ok()["count"], json!(2));
}
