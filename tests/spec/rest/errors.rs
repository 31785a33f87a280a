//! Every code of the contract, when it comes, and which comes first.

use deskledger::domain::caller::Scope;
use http::Method;
use serde_json::json;

use crate::support::actor::{customer_message, message_of};
use crate::support::{Http, World, pb};

const NO_TOKEN: &str = "A valid token is required: authorization: Bearer <token>, or sendbirddeskapitoken: <token>.";
const NO_TICKET: &str = "The specified ticket doesn't exist.";
const NO_MESSAGE: &str = "The specified message doesn't exist.";

/// Every operation with ids that do not exist, and the scope that it needs.
const OPERATIONS: [(Method, &str, Scope); 11] = [
    (Method::GET, "/tickets", Scope::TicketsRead),
    (Method::POST, "/tickets", Scope::TicketsWrite),
    (Method::GET, "/tickets/0", Scope::TicketsRead),
    (Method::PATCH, "/tickets/0", Scope::TicketsWrite),
    (Method::PATCH, "/tickets/0/close", Scope::TicketsWrite),
    (Method::PATCH, "/tickets/0/reopen", Scope::TicketsWrite),
    (Method::GET, "/tickets/0/chat_messages", Scope::MessagesRead),
    (Method::DELETE, "/tickets/0/chat_messages/0", Scope::MessagesDelete),
    (Method::DELETE, "/chat_messages/0?ticket_id=0", Scope::MessagesDelete),
    (Method::GET, "/chat_messages", Scope::MessagesRead),
    (Method::GET, "/chat_messages/deletion_logs", Scope::LogsRead),
];

#[tokio::test]
async fn the_table_of_operations_forgets_none() {
    let template = |path: &str| {
        let path = path.split('?').next().unwrap_or_default();
        let path = path.replace("/tickets/0", "/tickets/{ticket_id}").replace("chat_messages/0", "chat_messages/{chatmessage_id}");
        format!("/platform/v1{path}")
    };
    let mut known: Vec<_> = OPERATIONS.iter().map(|(method, path, _)| (method.as_str(), template(path))).collect();
    let mut routed = deskledger::rest::operations();
    routed.retain(|(_, path)| path.starts_with("/platform/v1"));
    known.sort();
    routed.sort();
    assert_eq!(known, routed);
}

#[tokio::test]
async fn without_a_good_token_every_operation_answers_the_same_text() {
    let world = World::new().await;
    let actor = world.actor().await;
    let anonymous = Http { token: None, ..world.http(&actor) };
    let with = |token: &str| Http::new(&world.address, token);
    let mut other_secret = actor.token.clone();
    other_secret.replace_range(other_secret.len() - 1.., if actor.token.ends_with('a') { "b" } else { "a" });
    for (method, path, _) in OPERATIONS {
        for http in [&anonymous, &with("x"), &with(""), &with(&other_secret), &with(&format!("{}x", actor.token))] {
            let answer = http.call(method.clone(), path, "not even JSON").await;
            answer.refused(401, "deskp401100", NO_TOKEN);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        for authorization in ["Basic eDp5", "Bearer", "Bearer ", &actor.token, "Bearer x"] {
            let headers = [("Authorization", authorization), ("sendbirddeskapitoken", actor.token.as_str())];
            anonymous.call_with(method.clone(), path, &headers, "").await.refused(401, "deskp401100", NO_TOKEN);
        }
    }
}

#[tokio::test]
async fn without_its_scope_no_operation_looks_at_anything() {
    let world = World::new().await;
    for (method, path, scope) in OPERATIONS {
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let http = world.http(&world.actor_with("acme", &others).await);
        let message = format!("The token lacks the scope {scope}.");
        for body in ["", "{", r#"{"limit": "x"}"#] {
            http.call(method.clone(), path, body).await.refused(403, "deskp403100", &message);
        }
        let worse = path.replace("/0", "/x");
        http.call(method.clone(), &worse, "").await.refused(403, "deskp403100", &message);
    }
}

#[tokio::test]
async fn what_is_another_applications_answers_as_what_never_was() {
    let world = World::new().await;
    let mut owner = world.actor_of("other").await;
    let (ticket, messages) = owner.closed_ticket_with(2).await;
    owner.delete(ticket.id, messages[1].id).await.expect("it may be deleted");
    let mut actor = world.actor().await;
    let (own, own_messages) = actor.closed_ticket_with(1).await;
    let http = world.http(&actor);
    for id in [ticket.id, ticket.id + 1_000_000, 0, -1, i64::MAX] {
        http.get(&format!("/tickets/{id}")).await.refused(400, "deskp400201", NO_TICKET);
        http.patch(&format!("/tickets/{id}"), &json!({"priority": "HIGH"})).await.refused(400, "deskp400201", NO_TICKET);
        http.patch(&format!("/tickets/{id}/close"), &json!({})).await.refused(400, "deskp400201", NO_TICKET);
        http.patch(&format!("/tickets/{id}/reopen"), &json!({})).await.refused(400, "deskp400201", NO_TICKET);
        http.get(&format!("/tickets/{id}/chat_messages")).await.refused(400, "deskp400201", NO_TICKET);
        for message in [messages[0].id, messages[1].id, own_messages[0].id, 0] {
            let path = format!("/tickets/{id}/chat_messages/{message}");
            http.delete(&path).await.refused(400, "deskp400201", NO_MESSAGE);
            http.delete(&format!("/chat_messages/{message}?ticket_id={id}")).await.refused(400, "deskp400201", NO_MESSAGE);
        }
    }
    let path = format!("/tickets/{}/chat_messages/{}", own.id, messages[0].id);
    http.delete(&path).await.refused(400, "deskp400201", NO_MESSAGE);
    assert_eq!(http.get("/tickets").await.ok()["count"], json!(1));
    assert_eq!(http.get("/chat_messages").await.ok()["count"], json!(1));
    assert_eq!(http.get("/chat_messages/deletion_logs").await.ok()["count"], json!(0));
}

#[tokio::test]
async fn the_refusals_of_a_deletion_come_in_their_order() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let http = world.http(&actor);
    let ticket = actor.open_ticket().await;
    let plain = actor.send(ticket.id, customer_message("hello")).await;
    let event = actor.send(ticket.id, message_of(pb::UserType::Event, "", "assigned")).await;
    let social = actor.open_ticket_of(pb::ChannelType::InstagramComment).await;
    let comment = actor.send(social.id, customer_message("nice")).await;
    let delete = async |ticket: i64, id: i64| http.delete(&format!("/tickets/{ticket}/chat_messages/{id}")).await;
    let not_closed = "The ticket is not closed yet.";
    let not_deletable = "The specified message can't be deleted.";

    // Open goes before not deletable; parameters go before existence.
    for (ticket, id) in [(ticket.id, plain.id), (ticket.id, event.id), (social.id, comment.id)] {
        delete(ticket, id).await.refused(400, "deskp400600", not_closed);
    }
    let path = format!("/tickets/{}/chat_messages/{}", ticket.id, i64::MAX);
    let refused = http.call(Method::DELETE, &path, r#"{"reason": 5}"#).await;
    refused.refused(400, "deskp400111", "The value of reason should be string.");
    actor.close(ticket.id).await;
    actor.close(social.id).await;
    delete(ticket.id, event.id).await.refused(400, "deskp400601", not_deletable);
    delete(social.id, comment.id).await.refused(400, "deskp400601", not_deletable);
    delete(ticket.id, plain.id).await.ok();
    // Already deleted goes before open.
    for reopened in [false, true] {
        if reopened {
            actor.reopen(ticket.id).await;
        }
        delete(ticket.id, plain.id).await.refused(400, "deskp400500", "The message was already deleted.");
    }
    assert_eq!(http.get("/chat_messages/deletion_logs").await.ok()["count"], json!(1));
}

#[tokio::test]
async fn a_host_named_after_another_application_is_as_good_as_no_token() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    for host in ["desk-api-acme.sendbird.com", "DESK-API-acme.sendbird.com:443", "desk-api-acme", "desk.example.com", "127.0.0.1"] {
        http.call_with(Method::GET, "/tickets", &[("Host", host)], "").await.ok();
    }
    for host in ["desk-api-other.sendbird.com", "desk-api-.sendbird.com", "desk-api-acm", "desk-api-acme2.sendbird.com"] {
        http.call_with(Method::GET, "/tickets", &[("Host", host)], "").await.refused(401, "deskp401100", NO_TOKEN);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_the_body_of_every_error() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    for path in ["", "/", "/ticket", "/tickets/1/close/now", "/TICKETS", "/chat_messages/1/2"] {
        http.get(path).await.refused(404, "deskp404100", "There is no such path.");
    }
    let rows = [
        (Method::PUT, "/tickets", "GET,HEAD,POST"),
        (Method::DELETE, "/tickets/1", "GET,HEAD,PATCH"),
        (Method::POST, "/tickets/1/close", "PATCH"),
        (Method::POST, "/tickets/1/chat_messages", "GET,HEAD"),
        (Method::GET, "/chat_messages/1", "DELETE"),
        (Method::DELETE, "/chat_messages/deletion_logs", "GET,HEAD"),
        (Method::PATCH, "/tickets/", "GET,HEAD,POST"),
    ];
    for (method, path, allowed) in rows {
        let answer = http.call(method, path, "").await;
        answer.refused(405, "deskp405100", "The method is not allowed.");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
}

#[tokio::test]
async fn an_answer_has_the_request_id_that_the_call_brought_or_a_new_one() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    for path in ["/tickets", "/tickets/0", "/nowhere"] {
        let answer = http.call_with(Method::GET, path, &[("X-Request-Id", "mine-1")], "").await;
        assert_eq!(answer.header("x-request-id"), Some("mine-1"));
        assert!(http.get(path).await.header("x-request-id").is_some_and(|id| id.len() == 32));
    }
}

#[tokio::test]
async fn what_goes_wrong_inside_says_nothing_of_itself() {
    let world = World::new().await;
    let actor = world.actor().await;
    let http = world.http(&actor);
    http.get("/tickets").await.ok();
    let mut connection = world.database.connect().await;
    sqlx::query("alter table tickets rename to hidden").execute(&mut connection).await.expect("the table is renamed");

    http.get("/tickets").await.refused(500, "desk500500", "An internal error has occurred.");
    http.get("/tickets/1/chat_messages").await.refused(500, "desk500500", "An internal error has occurred.");
}
