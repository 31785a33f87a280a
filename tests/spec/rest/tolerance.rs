//! What odd clients send, and must go on sending.

use http::Method;
use serde_json::json;

use crate::support::World;

#[tokio::test]
async fn no_request_is_refused_for_its_content_type() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let body = json!({"customer": {"sendbirdId": "ada"}}).to_string();
    for kind in [
        "application/json; charset=utf8",
        "application/json, charset=utf8",
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
        "",
    ] {
        let headers = [("Content-Type", kind)];
        http.call_with(Method::POST, "/tickets", &headers, body.clone()).await.ok();
        http.call_with(Method::GET, "/tickets", &headers, "").await.ok();
    }
    http.call(Method::POST, "/tickets", body).await.ok();
    assert_eq!(http.get("/tickets").await.ok()["count"], json!(8));
}

#[tokio::test]
async fn a_token_is_taken_from_either_header_in_any_letter_case() {
    let world = World::new().await;
    let actor = world.actor().await;
    let (token, anonymous) = (actor.token.clone(), crate::support::Http { token: None, ..world.http(&actor) });
    let bearer = format!("Bearer {token}");
    let rows = [
        ("SENDBIRDDESKAPITOKEN", token.clone()),
        ("SendbirdDeskApiToken", token.clone()),
        ("sendbirddeskapitoken", token.clone()),
        ("Sendbirddeskapitoken", format!(" {token} ")),
        ("Authorization", bearer.clone()),
        ("authorization", bearer.replace("Bearer", "bearer")),
        ("AUTHORIZATION", bearer.replace("Bearer", "BEARER")),
    ];
    for (name, value) in rows {
        anonymous.call_with(Method::GET, "/tickets", &[(name, value.as_str())], "").await.ok();
    }
}

#[tokio::test]
async fn an_integer_of_a_body_may_be_written_as_a_float() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let http = world.http(&actor);
    let body = r#"{"customer": {"sendbirdId": "ada", "id": 7.0}, "group": {"id": 3e0}, "customFields": [{"key": "a", "id": 5.0}]}"#;
    let opened = http.call(Method::POST, "/tickets", body).await.ok();
    let found = (&opened["customer"]["id"], &opened["group"]["id"], &opened["customFields"][0]["id"]);
    assert_eq!(found, (&json!(7), &json!(3), &json!(5)));
    let body = format!(r#"{{"ticket_id": {}.0}}"#, ticket.id);
    http.call(Method::DELETE, &format!("/chat_messages/{}", messages[0].id), body).await.ok();
    http.call(Method::GET, "/chat_messages/deletion_logs", r#"{"limit": 1.0, "offset": 0.0}"#).await.ok();
}

#[tokio::test]
async fn a_trailing_slash_is_tolerated_on_every_path() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(2).await;
    let http = world.http(&actor);
    let (id, nothing) = (ticket.id, json!({}));
    http.post("/tickets/", &json!({"customer": {"sendbirdId": "ada"}})).await.ok();
    http.get("/tickets/?limit=1").await.ok();
    http.get(&format!("/tickets/{id}/")).await.ok();
    http.patch(&format!("/tickets/{id}/"), &nothing).await.ok();
    http.patch(&format!("/tickets/{id}/close/"), &nothing).await.ok();
    http.delete(&format!("/tickets/{id}/chat_messages/{}/", messages[0].id)).await.ok();
    http.delete(&format!("/chat_messages/{}/?ticket_id={id}", messages[1].id)).await.ok();
    http.patch(&format!("/tickets/{id}/reopen/"), &nothing).await.ok();
    http.get("/chat_messages/").await.ok();
    http.get("/chat_messages/deletion_logs/").await.ok();
    let listed = http.get(&format!("/tickets/{id}/chat_messages/?limit=1")).await.ok();
    let next = format!("http://{}/platform/v1/tickets/{id}/chat_messages/?limit=1&offset=1", world.address);
    assert_eq!(listed["next"], json!(next), "the client's own form of the path");
}

#[tokio::test]
async fn unknown_parameters_and_keys_are_ignored() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let http = world.http(&actor);
    let queries =
        ["next=undefined", "next=undefined&limit=10", "&&=&", "a=b=c", "%", "%zz", "q", "=x", "%FF=%FE", "limit=10&limit=20"];
    for query in queries {
        for path in ["/tickets", "/chat_messages", "/chat_messages/deletion_logs", &format!("/tickets/{}/chat_messages", ticket.id)]
        {
            http.get(&format!("{path}?{query}")).await.ok();
        }
    }
    let path = format!("/tickets/{}/chat_messages/{}?limit=x", ticket.id, messages[0].id);
    http.call(Method::DELETE, &path, r#"{"unknown": {"deep": [1]}}"#).await.ok();
    let body = json!({"customer": {"sendbirdId": "ada", "unknown": 1}, "id": "x", "createdAt": 5, "unknown": null});
    http.post("/tickets", &body).await.ok();
    http.patch(&format!("/tickets/{}/reopen", ticket.id), &json!({"unknown": 1})).await.ok();
}

#[tokio::test]
async fn the_last_of_several_values_of_a_parameter_counts() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(3).await;
    let http = world.http(&actor);

    let listed = http.get(&format!("/tickets/{}/chat_messages?limit=x&limit=1&limit=2", ticket.id)).await.ok();

    assert_eq!(listed["results"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(1).await;
    let http = world.http(&actor);
    for (method, path) in [
        (Method::PATCH, format!("/tickets/{}", ticket.id)),
        (Method::PATCH, format!("/tickets/{}/close", ticket.id)),
        (Method::DELETE, format!("/tickets/{}/chat_messages/{}", ticket.id, messages[0].id)),
        (Method::PATCH, format!("/tickets/{}/reopen", ticket.id)),
    ] {
        http.call(method, &path, " \r\n\t").await.ok();
    }
    http.call(Method::POST, "/tickets", "").await.refused(400, "deskp400105", "The customer parameter is required.");
}

#[tokio::test]
async fn a_list_is_asked_for_with_head_too() {
    let world = World::new().await;
    let http = world.http(&world.actor().await);
    let answer = http.call(Method::HEAD, "/tickets", "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}
