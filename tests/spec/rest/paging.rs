//! Following `next` to its end: every row once, whatever happens underneath.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Answer, Http, World};

/// The path below the base of a URL that the service answered.
fn path_of<'a>(http: &Http, url: &'a Value) -> Option<&'a str> {
    let url = url.as_str()?;
    let path = url.strip_prefix(&format!("http://{}/platform/v1", http.address));
    Some(path.unwrap_or_else(|| panic!("an absolute URL of the service: {url}")))
}

fn ids(page: &Value) -> Vec<i64> {
    page["results"].as_array().expect("rows").iter().map(|row| row["id"].as_i64().expect("a number")).collect()
}

/// Follows a list from `first` to null and answers the ids, after `between` each page.
async fn follow(http: &Http, first: &str, mut between: impl AsyncFnMut()) -> Vec<i64> {
    let mut all = Vec::new();
    let mut page = http.get(first).await.ok();
    loop {
        all.extend(ids(&page));
        between().await;
        let Some(next) = path_of(http, &page["next"]) else { break };
        page = http.get(next).await.ok();
    }
    assert_eq!(json!(all.len()), page["count"]);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "each once: {all:?}");
    all
}

#[tokio::test]
async fn following_next_collects_every_message_once_while_messages_are_deleted_underneath() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(23).await;
    let expected: Vec<i64> = messages.iter().map(|message| message.id).collect();
    let mut victims = expected.clone().into_iter();

    let first = format!("/tickets/{}/chat_messages?limit=4", ticket.id);
    let found = follow(&world.http(&actor), &first, async || {
        for id in victims.by_ref().take(3) {
            actor.clone().delete(ticket.id, id).await.expect("it may be deleted");
        }
    })
    .await;

    assert_eq!(found, expected);
}

#[tokio::test]
async fn following_next_collects_every_ticket_log_entry_and_message_of_the_application() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut tickets = Vec::new();
    let mut all_messages = Vec::new();
    for count in [2, 3, 2] {
        let (ticket, messages) = actor.closed_ticket_with(count).await;
        tickets.push(ticket.id);
        for message in messages {
            actor.delete(ticket.id, message.id).await.expect("it may be deleted");
            all_messages.push(message.id);
        }
    }
    let http = world.http(&actor);

    assert_eq!(follow(&http, "/tickets?limit=2", async || ()).await, tickets);
    // In the order of ids, which is not that of arrival: each connection to the database has ids of its own to give.
    let mut ascending = all_messages.clone();
    ascending.sort_unstable();
    assert_eq!(follow(&http, "/chat_messages?limit=2", async || ()).await, ascending);
    let newest_first: Vec<i64> = all_messages.into_iter().rev().collect();
    assert_eq!(follow(&http, "/chat_messages/deletion_logs?limit=2", async || ()).await, newest_first);
}

#[tokio::test]
async fn next_and_previous_keep_every_other_parameter_and_the_first_page_has_no_offset() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(5).await;
    let http = world.http(&actor);
    let base = format!("http://{}/platform/v1/tickets/{}/chat_messages", http.address, ticket.id);
    let rows = [
        ("", json!(null), json!(null)),
        ("?limit=2", json!(null), json!(format!("{base}?limit=2&offset=2"))),
        ("?limit=2&offset=0", json!(null), json!(format!("{base}?limit=2&offset=2"))),
        ("?limit=2&offset=2", json!(format!("{base}?limit=2")), json!(format!("{base}?limit=2&offset=4"))),
        ("?offset=4&limit=2", json!(format!("{base}?limit=2&offset=2")), json!(null)),
        ("?limit=2&offset=3", json!(format!("{base}?limit=2&offset=1")), json!(null)),
        ("?limit=2&offset=1", json!(format!("{base}?limit=2")), json!(format!("{base}?limit=2&offset=3"))),
        ("?offset=1", json!(base), json!(null)),
        (
            "?next=undefined&limit=2&a=b%26c&offset=2",
            json!(format!("{base}?next=undefined&limit=2&a=b%26c")),
            json!(format!("{base}?next=undefined&limit=2&a=b%26c&offset=4")),
        ),
    ];
    for (query, previous, next) in rows {
        let page = http.get(&format!("/tickets/{}/chat_messages{query}", ticket.id)).await.ok();
        assert_eq!((&page["previous"], &page["next"]), (&previous, &next), "{query}");
    }
}

#[tokio::test]
async fn an_offset_past_the_end_is_an_empty_page() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    let http = world.http(&actor);
    let lists = [
        (format!("/tickets/{}/chat_messages", ticket.id), 2),
        ("/chat_messages".to_owned(), 2),
        ("/tickets".to_owned(), 1),
        ("/chat_messages/deletion_logs".to_owned(), 1),
    ];
    for (path, count) in lists {
        for offset in [count, 7, 1_000_000, i64::MAX] {
            let page = http.get(&format!("{path}?offset={offset}")).await.ok();
            assert_eq!((&page["count"], &page["next"]), (&json!(count), &Value::Null), "{path} {offset}");
            assert_eq!(page["results"], json!([]), "{path} {offset}");
        }
    }
}

#[tokio::test]
async fn a_page_has_fifty_items_by_default_and_as_many_as_it_is_asked_for() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(501).await;
    let http = world.http(&actor);
    for path in [format!("/tickets/{}/chat_messages", ticket.id), "/chat_messages".to_owned()] {
        for (query, length) in [("", 50), ("?limit=1", 1), ("?limit=500", 500), ("?limit=500&offset=500", 1)] {
            assert_eq!(ids(&http.get(&format!("{path}{query}")).await.ok()).len(), length, "{path}{query}");
        }
    }
}

#[tokio::test]
async fn parameters_from_a_body_stand_in_the_urls_of_the_other_pages() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    for message in &messages {
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let http = world.http(&actor);

    let body = json!({"limit": 2, "start_date": "2026-03-01", "end_date": "2026-03-31"}).to_string();
    let page: Answer = http.call(http::Method::GET, "/chat_messages/deletion_logs", body).await;

    let page = page.ok();
    let next = path_of(&http, &page["next"]).expect("a next page");
    assert_eq!(next, "/chat_messages/deletion_logs?limit=2&start_date=2026-03-01&end_date=2026-03-31&offset=2");
    assert_eq!(ids(&http.get(next).await.ok()), [messages[0].id]);
}
