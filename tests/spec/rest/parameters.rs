//! Every parameter of every operation: its range, and the error for what is outside of it.

use serde_json::{Value, json};

use crate::support::actor::customer_message;
use crate::support::{World, pb};

const CHANNEL_TYPES: &str = "SENDBIRD, SENDBIRD_IOS, SENDBIRD_ANDROID, SENDBIRD_JAVASCRIPT, FACEBOOK_CONVERSATION, FACEBOOK_FEED, \
    TWITTER_STATUS, TWITTER_DIRECT_MESSAGE_EVENT, INSTAGRAM_COMMENT, WHATSAPP_MESSAGE";
const STATUSES: &str = "INITIALIZED, PROACTIVE, PENDING, ACTIVE, CLOSED, WORK_IN_PROGRESS, IDLE";

fn should(name: &str, what: &str) -> String {
    format!("The value of {name} should be {what}.")
}

#[tokio::test]
async fn limit_and_offset_of_every_list_have_their_range() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let http = world.http(&actor);
    let messages = format!("/tickets/{}/chat_messages", ticket.id);
    let lists = [(messages.as_str(), 500), ("/chat_messages", 500), ("/tickets", 500), ("/chat_messages/deletion_logs", 100)];
    for (path, max) in lists {
        let get = async |query: String| http.get(&format!("{path}?{query}")).await;
        for limit in [1, 50, max] {
            get(format!("limit={limit}")).await.ok();
        }
        let between = should("limit", &format!("between 1 to {max}"));
        for limit in ["0", "-1", &(max + 1).to_string(), "9223372036854775807", "99999999999999999999", "-99999999999999999999"] {
            get(format!("limit={limit}")).await.refused(400, "deskp400113", &between);
        }
        get("offset=-1".to_owned()).await.refused(400, "deskp400113", &should("offset", "0 or greater"));
        get("offset=99999999999999999999".to_owned()).await.ok();
        for name in ["limit", "offset"] {
            for value in ["", "abc", "1.0", "1e3", "0x10", "%201", "1%00", "%FF", "null", "undefined", "1,000", "--1"] {
                get(format!("{name}={value}")).await.refused(400, "deskp400111", &should(name, "integer"));
            }
        }
        get("limit=0&offset=abc".to_owned()).await.refused(400, "deskp400111", &should("offset", "integer"));
    }
}

#[tokio::test]
async fn an_id_in_the_path_is_an_integer() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    for wrong in ["abc", "1.5", "%20", "1%20", "%FF", "1%FF", "0x1", "१", "undefined"] {
        let wrong = if wrong.is_ascii() { wrong.to_owned() } else { "%E0%A5%A7".to_owned() };
        let ticket = should("ticket_id", "integer");
        http.get(&format!("/tickets/{wrong}")).await.refused(400, "deskp400111", &ticket);
        http.patch(&format!("/tickets/{wrong}"), &json!({})).await.refused(400, "deskp400111", &ticket);
        http.patch(&format!("/tickets/{wrong}/close"), &json!({})).await.refused(400, "deskp400111", &ticket);
        http.patch(&format!("/tickets/{wrong}/reopen"), &json!({})).await.refused(400, "deskp400111", &ticket);
        http.get(&format!("/tickets/{wrong}/chat_messages")).await.refused(400, "deskp400111", &ticket);
        http.delete(&format!("/tickets/{wrong}/chat_messages/1")).await.refused(400, "deskp400111", &ticket);
        let message = should("chatmessage_id", "integer");
        http.delete(&format!("/tickets/1/chat_messages/{wrong}")).await.refused(400, "deskp400111", &message);
        http.delete(&format!("/chat_messages/{wrong}?ticket_id=1")).await.refused(400, "deskp400111", &message);
    }
}

#[tokio::test]
async fn the_ticket_of_a_message_to_delete_stands_in_the_query_or_the_body() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(4).await;
    let http = world.http(&actor);
    let delete = async |at: usize, query: String, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http.call(http::Method::DELETE, &format!("/chat_messages/{}{query}", messages[at].id), body).await
    };
    let id = ticket.id;

    let required = "The ticket_id parameter is required.";
    for body in [Value::Null, json!({}), json!({"ticket_id": null}), json!({"ticketId": id})] {
        delete(0, String::new(), body).await.refused(400, "deskp400105", required);
    }
    for (query, body) in
        [("?ticket_id=x", json!({"ticket_id": id})), ("", json!({"ticket_id": "x"})), ("", json!({"ticket_id": 1.5}))]
    {
        delete(0, query.to_owned(), body).await.refused(400, "deskp400111", &should("ticket_id", "integer"));
    }
    assert_eq!(delete(0, format!("?ticket_id={id}"), Value::Null).await.ok(), json!({"id": messages[0].id}));
    assert_eq!(delete(1, String::new(), json!({"ticket_id": id})).await.ok(), json!({"id": messages[1].id}));
    assert_eq!(delete(2, String::new(), json!({"ticket_id": id.to_string()})).await.ok(), json!({"id": messages[2].id}));
    // The query goes first.
    assert_eq!(delete(3, format!("?ticket_id={id}"), json!({"ticket_id": 0})).await.ok(), json!({"id": messages[3].id}));
}

#[tokio::test]
async fn the_log_takes_days_of_at_most_a_year_from_query_or_body() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    // Closed before all of them: no deletion is dated before the close that allows it.
    world.clock.freeze();
    world.clock.set("2020-01-01T00:00:00Z");
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    // The tests' today is 2026-03-15; the default range begins on 2026-02-13.
    for (message, time) in messages.iter().zip(["2026-02-12T23:59:59.999999Z", "2026-02-13T00:00:00Z", "2026-03-15T12:00:00Z"]) {
        world.clock.set(time);
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let http = world.http(&actor);
    let count = async |query: &str, body: &str| {
        let path = format!("/chat_messages/deletion_logs{query}");
        http.call(http::Method::GET, &path, body.to_owned()).await.ok()["count"].clone()
    };
    let rows = [
        ("", "", 2),
        ("?start_date=&end_date=", "", 2),
        ("?start_date=2026-02-12", "", 3),
        ("?end_date=2026-02-13", "", 2),
        ("?start_date=2026-02-13&end_date=2026-02-13", "", 1),
        ("?start_date=2026-02-12&end_date=2026-02-12", "", 1),
        ("?start_date=2025-03-15&end_date=2026-03-15", "", 3),
        ("", r#"{"start_date": "2026-02-12"}"#, 3),
        ("?start_date=2026-03-15", r#"{"start_date": "2026-02-12"}"#, 1),
        ("", r#"{"start_date": null, "limit": "2", "offset": 0, "more": []}"#, 2),
    ];
    for (query, body, expected) in rows {
        assert_eq!(count(query, body).await, json!(expected), "{query} {body}");
    }
    let refused = async |query: &str, body: &str| {
        let path = format!("/chat_messages/deletion_logs{query}");
        http.call(http::Method::GET, &path, body.to_owned()).await
    };
    for span in
        ["?start_date=2025-03-14&end_date=2026-03-15", "?start_date=2026-03-16", "?start_date=2026-03-02&end_date=2026-03-01"]
    {
        refused(span, "").await.refused(400, "deskp400113", "The date range should be within 1 year.");
    }
    for name in ["start_date", "end_date"] {
        for wrong in ["20260301", "2026-3-1", "2026-02-30", "yesterday", "2026-03-01T00:00:00Z", "%FF", "2026-03-01%20"] {
            refused(&format!("?{name}={wrong}"), "").await.refused(400, "deskp400111", &should(name, "YYYY-MM-DD"));
        }
        for wrong in [json!(20_260_301), json!([]), json!({}), json!(true)] {
            refused("", &json!({name: wrong}).to_string()).await.refused(400, "deskp400111", &should(name, "YYYY-MM-DD"));
        }
    }
    for wrong in [json!("x"), json!(1.5), json!([1]), json!(true)] {
        refused("", &json!({"limit": wrong}).to_string()).await.refused(400, "deskp400111", &should("limit", "integer"));
    }
    refused("", r#"{"limit": 101}"#).await.refused(400, "deskp400113", &should("limit", "between 1 to 100"));
}

#[tokio::test]
async fn the_log_takes_a_reason_from_query_or_body() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(4).await;
    let http = world.http(&actor);
    for (message, reason) in messages.iter().zip([json!("SPAM"), json!("ABUSE"), json!("SPAM"), Value::Null]) {
        let path = format!("/tickets/{}/chat_messages/{}", ticket.id, message.id);
        http.call(http::Method::DELETE, &path, json!({"reason": reason}).to_string()).await.ok();
    }
    let get = async |query: &str, body: Value| {
        http.call(http::Method::GET, &format!("/chat_messages/deletion_logs{query}"), body.to_string()).await
    };
    let rows = [
        ("", json!({}), 4),
        ("?reason=", json!({"reason": "SPAM"}), 4),
        ("?reason=SPAM", json!({"reason": "ABUSE"}), 2),
        ("", json!({"reason": "ABUSE"}), 1),
        ("", json!({"reason": ""}), 4),
        ("", json!({"reason": null}), 4),
        ("?reason=OTHER", json!({}), 0),
        ("?reason=SPAM&end_date=2026-03-14", json!({}), 0),
    ];
    for (query, body, expected) in rows {
        assert_eq!(get(query, body.clone()).await.ok()["count"], json!(expected), "{query} {body}");
    }
    let page = get("?reason=SPAM&limit=1", json!({})).await.ok();
    assert_eq!(page["results"][0]["id"], json!(messages[2].id));
    let next = page["next"].as_str().expect("a URL of the next page");
    assert!(next.ends_with("?reason=SPAM&limit=1&offset=1"), "{next}");
    let page = get("?reason=SPAM&limit=1&offset=1", json!({})).await.ok();
    assert_eq!((&page["results"][0]["id"], &page["next"]), (&json!(messages[0].id), &Value::Null));
    let one_of = "one of PRIVACY_REQUEST, SENSITIVE_DATA, ABUSE, SPAM, SENT_BY_MISTAKE, LEGAL_ORDER, RETENTION_ENDED, OTHER";
    for (query, body) in [("?reason=spam", json!({})), ("", json!({"reason": "Spam"})), ("", json!({"reason": 4}))] {
        get(query, body).await.refused(400, "deskp400111", &should("reason", one_of));
    }
}

#[tokio::test]
async fn messages_of_the_application_are_chosen_by_time_and_channel() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let plain = actor.open_ticket().await;
    let social = actor.open_ticket_of(pb::ChannelType::WhatsappMessage).await;
    world.clock.freeze();
    for (ticket, time) in [(&plain, "2026-03-01T00:00:00Z"), (&social, "2026-03-02T00:00:00Z"), (&plain, "2026-03-03T00:00:00Z")] {
        world.clock.set(time);
        actor.send(ticket.id, customer_message(time)).await;
    }
    let http = world.http(&actor);
    let rows = [
        ("", 3),
        ("created_at__gte=2026-03-02T00:00:00Z", 2),
        ("created_at__lte=2026-03-02T00:00:00Z", 2),
        ("created_at__gte=2026-03-02T00:00:00.000001Z", 1),
        ("created_at__gte=2026-03-02T09:00:00%2B09:00&created_at__lte=2026-03-01T19:00:00-05:00", 1),
        ("created_at__gte=2026-03-02T09:00:00+09:00", 2),
        ("created_at__gte=2026-03-02T09:00:01 09:00", 1),
        ("created_at__gte=2026-03-03T00:00:00Z&created_at__lte=2026-03-01T00:00:00Z", 0),
        ("ticket_channel_type=WHATSAPP_MESSAGE", 1),
        ("ticket_channel_type=SENDBIRD", 2),
        ("ticket_channel_type=SENDBIRD&created_at__gte=2026-03-02T00:00:00Z", 1),
        ("ticket_channel_type=FACEBOOK_FEED", 0),
        ("created_at__gte=&ticket_channel_type=", 3),
    ];
    for (query, expected) in rows {
        let page = http.get(&format!("/chat_messages?{}", query.replace(' ', "%20"))).await.ok();
        assert_eq!((&page["count"], page["results"].as_array().map(Vec::len)), (&json!(expected), Some(expected)), "{query}");
    }
    for name in ["created_at__gte", "created_at__lte"] {
        for wrong in
            ["yesterday", "2026-03-01", "1751328000", "2026-13-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-03-01T00:00:00", "%FF"]
        {
            let message = should(name, "a time from year 1 to 9999");
            http.get(&format!("/chat_messages?{name}={wrong}")).await.refused(400, "deskp400111", &message);
        }
    }
    let message = should("ticket_channel_type", &format!("one of {CHANNEL_TYPES}"));
    for wrong in ["sendbird", "EMAIL", "%FF"] {
        http.get(&format!("/chat_messages?ticket_channel_type={wrong}")).await.refused(400, "deskp400111", &message);
    }
    let page = http.get("/chat_messages").await.ok();
    assert!(page["results"].as_array().expect("rows").is_sorted_by_key(|row| row["id"].as_i64()), "ascending by id: {page}");
}

#[tokio::test]
async fn tickets_are_chosen_by_every_filter_and_all_at_once() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let opened = [
        ("2026-03-01T00:00:00Z", json!({"channelName": "Broken LAMP", "customer": {"sendbirdId": "ada", "displayName": "Ada L"}})),
        (
            "2026-03-02T23:59:59.999Z",
            json!({"channelUrl": "c2", "status2": "PENDING", "customer": {"sendbirdId": "ben", "displayName": "Ben"}}),
        ),
        (
            "2026-03-03T00:00:00Z",
            json!({"recentAssignment": {"agent": {"id": 11}}, "customer": {"sendbirdId": "ada", "displayName": "100%"}}),
        ),
    ];
    world.clock.freeze();
    for (time, body) in opened {
        world.clock.set(time);
        http.post("/tickets", &body).await.ok();
    }
    let all = http.get("/tickets").await.ok();
    let ids: Vec<Value> = all["results"].as_array().expect("rows").iter().map(|ticket| ticket["id"].clone()).collect();
    let rows: [(&str, &[usize]); 18] = [
        ("", &[0, 1, 2]),
        ("status2=PENDING", &[1]),
        ("status2=", &[0, 1, 2]),
        ("agent=11", &[2]),
        ("agent=99999999999999999999", &[]),
        ("sendbird_id=ada", &[0, 2]),
        ("sendbird_id=ad", &[]),
        ("channel_url=c2", &[1]),
        ("q=lamp", &[0]),
        ("q=ada", &[0]),
        ("q=0%25", &[2]),
        ("q=_", &[]),
        ("q=", &[0, 1, 2]),
        ("start_date=2026-03-02", &[1, 2]),
        ("end_date=2026-03-02", &[0, 1]),
        ("start_date=2026-03-02&end_date=2026-03-02", &[1]),
        ("sendbird_id=ada&start_date=2026-03-02", &[2]),
        ("sendbird_id=ada&status2=PENDING", &[]),
    ];
    for (query, expected) in rows {
        let page = http.get(&format!("/tickets?{query}")).await.ok();
        let found: Vec<&Value> = page["results"].as_array().expect("rows").iter().map(|ticket| &ticket["id"]).collect();
        assert_eq!(found, expected.iter().map(|at| &ids[*at]).collect::<Vec<_>>(), "{query}");
        assert_eq!(page["count"], json!(expected.len()), "{query}");
    }
    let text = "a".repeat(256);
    let refusals = [
        ("status2=closed".to_owned(), "deskp400111", should("status2", &format!("one of {STATUSES}"))),
        ("agent=kim".to_owned(), "deskp400111", should("agent", "integer")),
        ("start_date=1.3.2026".to_owned(), "deskp400111", should("start_date", "YYYY-MM-DD")),
        ("end_date=x".to_owned(), "deskp400111", should("end_date", "YYYY-MM-DD")),
        (
            "start_date=2026-03-02&end_date=2026-03-01".to_owned(),
            "deskp400113",
            "The value of end_date should not be before the start of the range.".to_owned(),
        ),
        (format!("q={text}"), "deskp400113", "The value of q should have at most 255 characters.".to_owned()),
        (format!("sendbird_id={text}"), "deskp400113", "The value of sendbird_id should have at most 80 characters.".to_owned()),
        (
            format!("channel_url={text}{text}{text}"),
            "deskp400113",
            "The value of channel_url should have at most 512 characters.".to_owned(),
        ),
        ("q=%00".to_owned(), "deskp400113", "The value of q should not hold the character U+0000.".to_owned()),
    ];
    for (query, code, message) in refusals {
        http.get(&format!("/tickets?{query}")).await.refused(400, code, &message);
    }
}
