//! Webhooks: who may send them, and which bodies are no batch.

use deskledger::domain::caller::Scope;
use serde_json::{Value, json};

use crate::support::webhook::{Answer, NONE, client_event, signature, signed};
use crate::support::{World, pb};

/// The one answer to whoever cannot be known.
fn unknown() -> Answer {
    let detail = "A valid token is required: authorization: Bearer <token>, or sendbirddeskapitoken: <token>.";
    Answer { status: 401, body: json!({"errors": [{"detail": detail}]}) }
}

fn hello(id: i64) -> Value {
    client_event("c", &json!({"id": id, "contactId": 2, "message": "hello"}))
}

#[tokio::test]
async fn both_official_signatures_are_accepted() {
    let world = World::new().await;
    world.webhook_key("acme", "first", "secret").await;
    world.webhook_key("acme", "second", "tofu").await;
    let headers = |key: &str, signature: &str| [format!("X-Pusher-Key: {key}"), format!("X-Pusher-Signature: {signature}")];

    // A body that is no batch tells that it was read, so that the signature was good.
    let hello = headers("first", "2677ad3e7c090b2fa2c0fb13020d66d5420879b8316eb356a2d60fb9073bc778");
    assert_eq!(world.post_webhook(&hello, br#"{"hello":"world"}"#).await.status, 400);

    world.clock.set("2014-06-19T10:58:31Z");
    let vacated = headers("second", "c17257e92037cd7de407ebc1ed174ceb7b2e518db127f44411b9ffc4f5b28cc5");
    let body = br#"{"time_ms":1403175510755,"events":[{"channel":"test_channel","name":"channel_vacated"}]}"#;
    assert_eq!(world.post_webhook(&vacated, body).await.stored(), NONE);
}

#[tokio::test]
async fn whoever_cannot_be_known_gets_the_same_answer_whatever_the_cause() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "ours", "secret").await;
    let revoked = world.webhook_key("acme", "revoked", "secret").await;
    assert!(world.owner.revoke_webhook_key("revoked").await.expect("the database"));
    let body = json!({"time_ms": world.app.milliseconds(), "events": [hello(1)]}).to_string();
    let good = signature("secret", body.as_bytes());
    let row = |key: &str, signature: &str| vec![format!("x-pusher-key: {key}"), format!("x-pusher-signature: {signature}")];
    let host = |host: &str| [signed(&key, body.as_bytes()), vec![format!("host: {host}")]].concat();

    for headers in [
        vec![],
        vec!["authorization: Bearer nonsense".to_owned()],
        row("ours", &signature("another", body.as_bytes())),
        row("ours", &signature("secret", b"another body")),
        row("ours", &good.to_uppercase()),
        row("ours", &good[..63]),
        row("ours", ""),
        row("theirs", &good),
        row("theirs", &signature("", body.as_bytes())),
        row("", &good),
        vec![format!("x-pusher-key: {}", key.key)],
        vec![format!("x-pusher-signature: {good}")],
        signed(&revoked, body.as_bytes()),
        host("desk-api-other.sendbird.com"),
    ] {
        assert_eq!(world.post_webhook(&headers, body.as_bytes()).await, unknown(), "{headers:?}");
    }
    assert_eq!(world.post_webhook(&host("desk-api-acme.sendbird.com"), body.as_bytes()).await.stored(), [1]);
    // The bytes are signed, not what they mean.
    let spaced = body.replace("\"events\":", "\"events\": ");
    assert_eq!(world.post_webhook(&signed(&key, body.as_bytes()), spaced.as_bytes()).await, unknown());
}

#[tokio::test]
async fn while_keys_rotate_both_are_good_and_each_is_of_its_application() {
    let world = World::new().await;
    let (old, new) = (world.webhook_key("acme", "old", "one").await, world.webhook_key("acme", "new", "two").await);
    let theirs = world.webhook_key("other", "theirs", "one").await;

    assert_eq!(world.send_events(&old, &json!([hello(1)])).await.stored(), [1]);
    assert_eq!(world.send_events(&new, &json!([hello(1), hello(2)])).await.stored(), [2], "a message is known whoever signs");
    assert_eq!(world.send_events(&theirs, &json!([hello(1)])).await.stored(), [1]);
    assert!(world.owner.revoke_webhook_key("old").await.expect("the database"));

    assert_eq!(world.send_events(&old, &json!([hello(3)])).await, unknown());
    assert_eq!(world.send_events(&new, &json!([hello(3)])).await.stored(), [3]);
    for (application, count) in [("acme", 3), ("other", 1)] {
        let tickets = world.actor_of(application).await.list_tickets(pb::TicketFilter::default()).await.expect("a list");
        assert_eq!(tickets.tickets.iter().map(|ticket| ticket.message_count).collect::<Vec<_>>(), [count], "{application}");
    }
}

#[tokio::test]
async fn a_token_stands_for_a_signature_and_needs_the_scope() {
    let world = World::new().await;
    let reader = world.actor_with("acme", &[Scope::MessagesRead]).await.token;
    let writer = world.actor_with("acme", &[Scope::MessagesWrite]).await.token;
    let message = json!({"id": 1, "contactId": 2, "message": "hello"});

    let refused = world.post_bare(&reader, &message).await;
    assert_eq!((refused.status, refused.body), (403, json!({"errors": [{"detail": "The token lacks the scope messages:write."}]})));
    assert_eq!(world.post_bare(&writer, &message).await.stored(), [1]);
    let headers = [format!("SENDBIRDDESKAPITOKEN: {writer}"), "content-type: application/json, charset=utf8".to_owned()];
    assert_eq!(world.post_webhook(&headers, message.to_string().as_bytes()).await.stored(), NONE);
    // May write, may not delete.
    let deleted = json!({"id": 1, "contactId": 2, "state": "deleted"});
    assert_eq!(world.post_bare(&writer, &deleted).await.stored(), NONE);
    assert_eq!(world.actor().await.rejected().await[0].cause, "The token lacks the scope messages:delete.");
}

#[tokio::test]
async fn a_signed_body_that_is_no_batch_is_told_which_field_makes_it_none() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    world.clock.freeze();
    let now = world.app.milliseconds();
    let field = |field: &str, text: &str| json!({"errors": {field: [text]}});
    let no_object = || field("body", "must be a JSON object");
    let no_time = || field("time_ms", "must be an integer");
    let outside = || field("time_ms", "must be within the last minutes");
    let time = |time: &str| format!(r#"{{"time_ms":{time},"events":[]}}"#).into_bytes();
    let rows: Vec<(Vec<u8>, Value)> = vec![
        (b"".to_vec(), no_object()),
        (b"null".to_vec(), no_object()),
        (format!("[{now},[]]").into_bytes(), no_object()),
        (b"{".to_vec(), no_object()),
        (b"\xef\xbb\xbf{}".to_vec(), no_object()),
        (b"{\"time_ms\":1,\"events\":[\"\xff\"]}".to_vec(), no_object()),
        (format!(r#"{{"time_ms":{now},"time_ms":{now},"events":[]}}"#).into_bytes(), no_object()),
        (format!(r#"{{"time_ms":{now},"events":[]}} more"#).into_bytes(), no_object()),
        (br#"{"events":[]}"#.to_vec(), no_time()),
        (time("null"), no_time()),
        (time(&format!("\"{now}\"")), no_time()),
        (time(&format!("{now}.5")), no_time()),
        (time("1e999"), no_time()),
        (time("99999999999999999999"), no_time()),
        (time(&(now - 600_001).to_string()), outside()),
        (time(&(now + 600_001).to_string()), outside()),
        (time("-9223372036854775808"), outside()),
        (format!(r#"{{"time_ms":{now}}}"#).into_bytes(), field("events", "must be set")),
        (format!(r#"{{"time_ms":{now},"events":{{}}}}"#).into_bytes(), field("events", "must be an array")),
        (
            json!({"time_ms": now, "events": vec![0; 10_001]}).to_string().into_bytes(),
            field("events", "must have at most 10000 items"),
        ),
    ];
    for (body, expected) in rows {
        let answer = world.post_webhook(&signed(&key, &body), &body).await;
        let begin = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!((answer.status, answer.body), (400, expected), "{begin}");
    }
    for time_ms in [now - 600_000, now + 600_000] {
        let body = json!({"time_ms": time_ms, "events": [], "more": 1}).to_string();
        assert_eq!(world.post_webhook(&signed(&key, body.as_bytes()), body.as_bytes()).await.stored(), NONE);
    }
}

#[tokio::test]
async fn a_bare_message_that_is_wrong_is_told_each_field() {
    let world = World::new().await;
    let token = world.actor().await.token;
    let set = || json!(["must be set"]);
    for (body, errors) in [
        (json!({"files": [{"url": "u"}]}), json!({"message": set(), "files[0].filename": set()})),
        (json!({"conversationmessage": {"files": [{}], "contactId": 2}}), json!({"message": set(), "files[0].filename": set()})),
        (json!({}), json!({"message": set()})),
        (json!({"message": ""}), json!({"message": set()})),
        (json!({"message": "m"}), json!({"contactId": set()})),
        (json!({"message": "m", "files": [{"filename": "a"}, {"filename": ""}]}), json!({"files[1].filename": set()})),
        (json!({"contactId": 2, "state": "deleted"}), json!({"id": set()})),
        (
            json!({"conversationmessage": []}),
            json!({"conversationmessage": ["The value of conversationmessage should be a JSON object."]}),
        ),
        (json!({"conversationmessages": {}}), json!({"conversationmessages": ["must be an array"]})),
        (json!({"name": "channel_occupied"}), json!({"message": set()})),
        (json!([{"message": "m", "contactId": 2}]), json!({"body": ["must be a JSON object"]})),
        (
            json!({"message": "m", "contactId": 2, "files": [{"filename": "a", "size": -1}]}),
            json!({"files[0].size": ["The value of files[0].size should be between 0 to 9007199254740991."]}),
        ),
    ] {
        let answer = world.post_bare(&token, &body).await;
        assert_eq!((answer.status, answer.body), (400, json!({ "errors": errors })), "{body}");
    }
    assert_eq!(world.actor().await.rejected().await, [], "what stands alone is not kept");
}

#[tokio::test]
async fn a_body_has_at_most_eight_mebibytes() {
    let world = World::new().await;
    let key = world.webhook_key("acme", "key", "secret").await;
    let mut body = json!({"time_ms": world.app.milliseconds(), "events": []}).to_string().into_bytes();
    body.resize(8 * 1024 * 1024, b' ');
    assert_eq!(world.post_webhook(&signed(&key, &body), &body).await.stored(), NONE);
    body.push(b' ');
    let refused = world.post_webhook(&signed(&key, &body), &body).await;
    let detail = "The request has more bytes than this method takes.";
    assert_eq!((refused.status, refused.body), (400, json!({"errors": [{"detail": detail}]})));
}
