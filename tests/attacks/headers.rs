//! Headers that say two things at once, and those that only a proxy may set.

use serde_json::Value;

use super::Target;
use crate::support::raw::call;
use crate::support::refusal;

/// A request that would be a second one for a server that reads the first otherwise.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: desk\r\n\r\n";

/// How many answers came.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

#[tokio::test]
async fn a_body_of_two_lengths_is_no_place_for_a_second_request() {
    let mut target = Target::new(&["--header-timeout-seconds", "1"]).await;
    let path = "POST /desk/api/v2/conversationmessages/webhooks.json HTTP/1.1\r\nHost: desk\r\n";
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let length = SMUGGLED.len();
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}", chunked.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: 0, {length}\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: +0\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: -1\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: 0x0\r\n\r\n{SMUGGLED}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n{chunked}"),
        format!("Transfer-Encoding : chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding:\x0bchunked\r\n\r\n{chunked}"),
        format!("X: y\r\n Content-Length: 0\r\n\r\n{SMUGGLED}"),
    ] {
        let answer = target.answer([path, &headers].concat().as_bytes()).await;
        assert!(answers(&answer) <= 1, "{headers:?}: {answer}");
        assert!(!answer.contains("404"), "{headers:?}: {answer}");
    }
    // Both good requests are answered where the length is one.
    let good = format!("{path}Content-Length: 0\r\n\r\n{SMUGGLED}");
    assert_eq!(answers(&target.answer(good.as_bytes()).await), 2);
    target.stands().await;
}

#[tokio::test]
async fn of_two_tokens_in_one_call_none_is_good() {
    let target = Target::new(&[]).await;
    let good = format!("Bearer {}", target.token);
    let request = |headers: &str| format!("GET /platform/v1/tickets HTTP/1.1\r\nHost: desk\r\nConnection: close\r\n{headers}\r\n");
    for (headers, status) in [
        (format!("Authorization: {good}\r\n"), 200),
        (format!("Authorization: {good}\r\nAuthorization: {good}\r\n"), 401),
        (format!("Authorization: {good}\r\nAuthorization: Bearer other\r\n"), 401),
        (format!("Authorization: Bearer other\r\nAuthorization: {good}\r\n"), 401),
        (format!("SENDBIRDDESKAPITOKEN: other\r\nSendbirdDeskApiToken: {}\r\n", target.token), 401),
        (format!("Authorization: {good}\r\nSENDBIRDDESKAPITOKEN: a\r\nSENDBIRDDESKAPITOKEN: b\r\n"), 401),
    ] {
        let answer = target.answer(request(&headers).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
    }
}

#[tokio::test]
async fn headers_of_proxies_change_nothing_where_no_proxy_is_trusted() {
    let target = Target::new(&[]).await;
    let forged = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nForwarded: host=evil.example\r\nX-Forwarded-For: 127.0.0.1\r\n\
                  X-Original-URL: /docs\r\nX-HTTP-Method-Override: DELETE\r\nX-Application: globex\r\n";
    for _ in 0..2 {
        target.world.actor().await.open_ticket().await;
    }
    let request = format!(
        "GET /platform/v1/tickets?limit=1 HTTP/1.1\r\nHost: desk.example\r\nConnection: close\r\nSENDBIRDDESKAPITOKEN: {}\r\n{forged}\r\n",
        target.token
    );
    let answer = target.answer(request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let next = body["next"].as_str().expect("there are more");
    assert!(next.starts_with("http://desk.example/platform/v1/tickets?"), "{next}");
}

#[tokio::test]
async fn the_headers_of_a_grpc_call_do_not_say_whose_it_is() {
    let target = Target::new(&[]).await;
    let other = target.world.token("globex", crate::support::world::plain_token()).await;
    let bearer = format!("Bearer {other}");
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", target.address)).expect("an address");
    let channel = channel.connect().await.expect("it listens");
    let get = prost::Message::encode_to_vec(&crate::support::pb::GetTicketRequest { id: target.ticket });
    for name in ["x-application", "x-application-id", "application", "x-forwarded-host", "x-original-authority"] {
        for value in ["acme", "desk-api-acme.example.com"] {
            let headers = [("authorization", bearer.as_str()), (name, value)];
            let refused = call(&channel, "TicketService/GetTicket", &headers, get.clone()).await.expect_err("another's ticket");
            assert_eq!(refusal(&refused).reason, "TICKET_NOT_FOUND", "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_request_with_very_many_headers_is_refused() {
    let mut target = Target::new(&["--header-timeout-seconds", "1"]).await;
    let many = format!("GET /docs HTTP/1.1\r\nHost: desk\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    assert!(target.answer(many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let endless = format!("GET /docs HTTP/1.1\r\nHost: desk\r\nX: {}", "y".repeat(50_000_000));
    assert!(target.answer(endless.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let long = format!("GET /{} HTTP/1.1\r\nHost: desk\r\n\r\n", "y".repeat(50_000_000));
    let answer = target.answer(long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    target.stands().await;
}
