//! ETags: a list is the caller's own copy until something in its ticket changes.

use http::{Method, StatusCode};
use serde_json::json;

use crate::support::actor::customer_message;
use crate::support::{Answer, Http, World, pb};

async fn list_if_none_match(http: &Http, path: &str, etags: &str) -> Answer {
    http.call_with(Method::GET, path, &[("If-None-Match", etags)], "").await
}

fn etag(answer: &Answer) -> String {
    answer.header("etag").expect("a list has an ETag").to_owned()
}

#[tokio::test]
async fn a_list_that_the_caller_has_is_not_sent_again() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(2).await;
    let http = world.http(&actor);
    let path = format!("/tickets/{}/chat_messages", ticket.id);
    let first = http.get(&path).await;
    let tag = etag(&first);

    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = list_if_none_match(&http, &path, &known).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(etag(&again), tag);
    }
    for unknown in ["\"other\"", "", "W/\"1\"", &tag[1..tag.len() - 1]] {
        let again = list_if_none_match(&http, &path, unknown).await;
        assert_eq!(again.ok(), first.ok(), "{unknown}");
    }
}

#[tokio::test]
async fn every_change_in_the_ticket_makes_a_new_etag() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(2).await;
    let http = world.http(&actor);
    let (ticket_path, path) = (format!("/tickets/{}", ticket.id), format!("/tickets/{}/chat_messages", ticket.id));
    let mut seen = vec![etag(&http.get(&path).await)];
    let mut is_new = async |change: &str| {
        let answer = list_if_none_match(&http, &path, seen.last().expect("one")).await;
        assert_eq!(answer.status, StatusCode::OK, "{change}");
        let tag = etag(&answer);
        assert!(!seen.contains(&tag), "{change}");
        seen.push(tag);
    };

    actor.send(ticket.id, customer_message("another")).await;
    is_new("a message came in").await;
    http.patch(&ticket_path, &json!({"priority": "HIGH"})).await.ok();
    is_new("the ticket changed").await;
    actor.close(ticket.id).await;
    is_new("the ticket closed").await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    is_new("a message was deleted").await;
    actor.reopen(ticket.id).await;
    is_new("the ticket reopened").await;
}

#[tokio::test]
async fn a_change_in_another_ticket_changes_no_etag() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(1).await;
    let other = actor.open_ticket().await;
    let http = world.http(&actor);
    let path = format!("/tickets/{}/chat_messages", ticket.id);
    let tag = etag(&http.get(&path).await);

    actor.send(other.id, customer_message("elsewhere")).await;

    assert_eq!(list_if_none_match(&http, &path, &tag).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn each_page_and_each_host_has_an_etag_of_its_own() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(3).await;
    let http = world.http(&actor);
    let path = format!("/tickets/{}/chat_messages", ticket.id);
    let tag = etag(&http.get(&path).await);

    assert_ne!(etag(&http.get(&format!("{path}?offset=1")).await), tag);
    let other = http.call_with(Method::GET, &path, &[("Host", "desk.example.com")], "").await;
    assert_ne!(etag(&other), tag, "its URLs are others");
}

#[tokio::test]
async fn no_cache_between_keeps_what_may_have_to_be_erased() {
    let world = World::new().await;
    let mut actor = world.actor_with("acme", &deskledger::domain::caller::Scope::ALL).await;
    let ticket: pb::Ticket = actor.open_ticket().await;
    let http = world.http(&actor);

    let list = http.get(&format!("/tickets/{}/chat_messages", ticket.id)).await;
    assert_eq!(list.header("cache-control"), Some("private, no-cache"));
    let known = list_if_none_match(&http, &format!("/tickets/{}/chat_messages", ticket.id), &etag(&list)).await;
    assert_eq!(known.header("cache-control"), Some("private, no-cache"));
    for path in ["/chat_messages", "/chat_messages/deletion_logs", "/tickets", "/tickets/0", &format!("/tickets/{}", ticket.id)] {
        assert_eq!(http.get(path).await.header("cache-control"), Some("no-store"), "{path}");
    }
}
