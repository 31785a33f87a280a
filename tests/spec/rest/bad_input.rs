//! Input made to break: the contract's error body, and nothing stored.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Actor, Http, World, pb};

const NO_OBJECT: &str = "The value of body should be a JSON object.";

/// A world with a closed ticket, and what it looks like.
struct Scene {
    world: World,
    http: Http,
    actor: Actor,
    ticket: pb::Ticket,
    message: i64,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let mut actor = world.actor().await;
        let (ticket, messages) = actor.closed_ticket_with(1).await;
        Self { http: world.http(&actor), world, actor, ticket, message: messages[0].id }
    }

    /// Every operation that reads a body.
    fn writes(&self) -> Vec<(Method, String)> {
        let id = self.ticket.id;
        vec![
            (Method::POST, "/tickets".to_owned()),
            (Method::PATCH, format!("/tickets/{id}")),
            (Method::PATCH, format!("/tickets/{id}/close")),
            (Method::PATCH, format!("/tickets/{id}/reopen")),
            (Method::DELETE, format!("/tickets/{id}/chat_messages/{}", self.message)),
            (Method::DELETE, format!("/chat_messages/{}?ticket_id={id}", self.message)),
            (Method::GET, "/chat_messages/deletion_logs".to_owned()),
        ]
    }

    /// Checks that nothing came of it all.
    async fn unchanged(mut self) {
        let tickets = self.http.get("/tickets").await.ok();
        assert_eq!((&tickets["count"], &tickets["results"][0]["status2"]), (&json!(1), &json!("CLOSED")));
        let found = self.actor.tickets.get_ticket(pb::GetTicketRequest { id: self.ticket.id }).await.expect("the ticket");
        assert_eq!(found.into_inner().ticket.expect("it is answered"), self.ticket, "not even its etag");
        assert_eq!(self.actor.log().await, vec![]);
        self.world.stop().await;
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_everywhere() {
    let scene = Scene::new().await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"}".to_vec(),
        b"[]".to_vec(),
        b"[{}]".to_vec(),
        b"null".to_vec(),
        b"\"{}\"".to_vec(),
        b"1".to_vec(),
        b"{} {}".to_vec(),
        b"{'a': 1}".to_vec(),
        b"{\"a\": 1,}".to_vec(),
        b"{a: 1}".to_vec(),
        b"a=1&b=2".to_vec(),
        b"<a/>".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"a\": \"\xff\"}".to_vec(),
        b"{\"\xc3\x28\": 1}".to_vec(),
        b"{\"a\": \"\\ud800\"}".to_vec(),
        b"{\"a\": 1e999}".to_vec(),
        b"{\"a\": -1e999}".to_vec(),
        b"{\"a\": NaN}".to_vec(),
        b"{\"a\": 01}".to_vec(),
        b"{\"a\": 1, \"a\": 1}".to_vec(),
        b"{\"x\": {\"a\": 1, \"a\": 2}}".to_vec(),
        b"{\"x\": [{\"a\": 1, \"\\u0061\": 2}]}".to_vec(),
        b"\x00".to_vec(),
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        format!("{{\"a\": {}}}", deep("[", "]")).into_bytes(),
    ];
    for (method, path) in scene.writes() {
        for body in &bodies {
            let answer = scene.http.call(method.clone(), &path, body.clone()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
            assert_eq!(answer.refusal(), (400, "deskp400111".to_owned(), NO_OBJECT.to_owned()), "{method} {path} {shown}");
        }
    }
    scene.unchanged().await;
}

#[tokio::test]
async fn a_body_has_at_most_256_kib() {
    let scene = Scene::new().await;
    let body = |size: usize| {
        let mut body = b"{\"unknown\": \"".to_vec();
        body.resize(size - 2, b'x');
        body.extend(b"\"}");
        body
    };
    let too_large = "The request has more bytes than this method takes.";
    for (method, path) in scene.writes() {
        for size in [256 * 1024 + 1, 3 * 1024 * 1024] {
            scene.http.call(method.clone(), &path, body(size)).await.refused(400, "deskp400113", too_large);
        }
    }
    scene.http.call(Method::GET, "/chat_messages/deletion_logs", body(256 * 1024)).await.ok();
    scene.unchanged().await;
}

/// What a field takes, in the words of its refusal.
fn kinds() -> [(&'static str, Vec<Value>); 3] {
    let not_text = vec![json!(1), json!(true), json!([]), json!({}), json!(1.5), json!(99_999_999_999_999_999_999_f64)];
    let not_integer = vec![json!("1"), json!(true), json!([]), json!({}), json!(1.5)];
    let not_object = vec![json!(1), json!(true), json!([]), json!("{}"), json!("")];
    [("string", not_text), ("integer", not_integer), ("a JSON object", not_object)]
}

/// Puts a value at a path of keys into an object.
fn with(mut object: Value, path: &str, value: Value) -> Value {
    let mut at = &mut object;
    for key in path.split('.') {
        at = &mut at[key];
    }
    *at = value;
    object
}

#[tokio::test]
async fn every_field_of_a_ticket_refuses_the_wrong_type() {
    let scene = Scene::new().await;
    let whole = json!({"customer": {"sendbirdId": "ada"}, "recentAssignment": {"agent": {"id": 1}}, "group": {"id": 1}});
    let texts = [
        "channelUrl",
        "channelName",
        "status2",
        "priority",
        "customer.sendbirdId",
        "customer.channelType",
        "customer.displayName",
        "recentAssignment.agent.displayName",
        "recentAssignment.agent.sendbirdId",
        "recentAssignment.agent.email",
        "group.name",
        "group.key",
        "info",
        "requestId",
    ];
    let integers = ["customer.id", "recentAssignment.agent.id", "group.id"];
    let objects = ["customer", "recentAssignment", "recentAssignment.agent", "group"];
    let fields: [&[&str]; 3] = [&texts, &integers, &objects];
    for ((what, wrong), fields) in kinds().into_iter().zip(fields) {
        for field in fields {
            for value in &wrong {
                let body = with(whole.clone(), field, value.clone());
                let message = format!("The value of {field} should be {what}.");
                scene.http.post("/tickets", &body).await.refused(400, "deskp400111", &message);
                let path = format!("/tickets/{}", scene.ticket.id);
                scene.http.patch(&path, &body).await.refused(400, "deskp400111", &message);
            }
        }
    }
    scene.unchanged().await;
}

#[tokio::test]
async fn every_field_of_a_deletion_and_a_closing_refuses_the_wrong_type() {
    let scene = Scene::new().await;
    let (id, message) = (scene.ticket.id, scene.message);
    let [(text, not_text), (integer, not_integer), (object, not_object)] = kinds();
    let delete = format!("/tickets/{id}/chat_messages/{message}");
    let (close, reopen) = (format!("/tickets/{id}/close"), format!("/tickets/{id}/reopen"));
    let (get_rid, change) = (Method::DELETE, Method::PATCH);
    let rows = [
        (&get_rid, &delete, "requestedFrom", text, &not_text),
        (&get_rid, &delete, "reason", text, &not_text),
        (&get_rid, &delete, "reasonDetail", text, &not_text),
        (&get_rid, &delete, "requestId", text, &not_text),
        (&get_rid, &delete, "requestedBy", object, &not_object),
        (&get_rid, &delete, "requestedBy.id", integer, &not_integer),
        (&get_rid, &delete, "requestedBy.displayName", text, &not_text),
        (&get_rid, &delete, "requestedBy.sendbirdId", text, &not_text),
        (&get_rid, &delete, "requestedBy.email", text, &not_text),
        (&change, &close, "closeComment", text, &not_text),
        (&change, &close, "closeMessage", text, &not_text),
        (&change, &close, "requestId", text, &not_text),
        (&change, &reopen, "requestId", text, &not_text),
    ];
    for (method, path, field, what, wrong) in rows {
        for value in wrong {
            let whole = if field.starts_with("requestedBy.") { json!({"requestedBy": {"id": 1}}) } else { json!({}) };
            let body = with(whole, field, value.clone()).to_string();
            let message = format!("The value of {field} should be {what}.");
            scene.http.call(method.clone(), path, body).await.refused(400, "deskp400111", &message);
        }
    }
    scene.unchanged().await;
}

#[tokio::test]
async fn numbers_of_any_size_are_out_of_range_and_no_more() {
    let scene = Scene::new().await;
    let between = |field: &str, min: i64| format!("The value of {field} should be between {min} to 9007199254740991.");
    for number in
        ["-1", "9007199254740992", "9223372036854775807", "18446744073709551615", "99999999999999999999", "-99999999999999999999"]
    {
        for (field, min, body) in [
            ("customer.id", 0, format!(r#"{{"customer": {{"sendbirdId": "a", "id": {number}}}}}"#)),
            ("group.id", 1, format!(r#"{{"customer": {{"sendbirdId": "a"}}, "group": {{"id": {number}}}}}"#)),
        ] {
            let answer = scene.http.call(Method::POST, "/tickets", body).await;
            assert_eq!(answer.refusal(), (400, "deskp400113".to_owned(), between(field, min)), "{number}");
        }
    }
    scene.unchanged().await;
}

#[tokio::test]
async fn raw_bytes_in_path_and_query_never_reach_a_handler_that_breaks() {
    let scene = Scene::new().await;
    for target in ["/platform/v1/tickets/\u{ff}", "/platform/v1/tickets?q=\u{ff}\u{fe}", "/platform/v1/\u{1f4a9}"] {
        let mut stream = TcpStream::connect(&scene.world.address).await.expect("the service listens");
        // Each character below U+0100 goes out as that one byte: not UTF-8.
        let mut head = b"GET ".to_vec();
        head.extend(target.chars().flat_map(|c| u8::try_from(c).map_or_else(|_| c.to_string().into_bytes(), |byte| vec![byte])));
        let token = scene.http.token.clone().unwrap_or_default();
        head.extend(format!(" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSENDBIRDDESKAPITOKEN: {token}\r\n\r\n").bytes());
        stream.write_all(&head).await.expect("it is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it is answered");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            ["HTTP/1.1 400", "HTTP/1.1 404", "HTTP/1.1 200"].iter().any(|start| answer.starts_with(start)),
            "{target} {answer}"
        );
    }
    scene.unchanged().await;
}

#[tokio::test]
async fn a_token_header_that_is_not_ascii_is_a_bad_token() {
    let scene = Scene::new().await;
    for name in ["SENDBIRDDESKAPITOKEN", "Authorization"] {
        let value = http::HeaderValue::from_bytes(b"Bearer \xff\xfe").expect("bytes that HTTP allows");
        let request = Request::builder().uri("/platform/v1/tickets").header("Host", "x").header(name, value);
        let answer = scene.http.send(request.body(Bytes::new()).expect("a request")).await;
        assert_eq!(answer.refusal().1, "deskp401100");
    }
    scene.unchanged().await;
}
