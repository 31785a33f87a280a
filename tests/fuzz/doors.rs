//! Everything that the doors read, through the doors: requests of every method, queries and bodies of every route, webhooks.

use bytes::Bytes;
use deskledger::storage::webhook_key::WebhookKey;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tonic::Status;
use tonic_types::StatusExt;

use super::mutation::fuzz;
use crate::support::methods::{Rows, every_method};
use crate::support::raw_line::frame;
use crate::support::webhook::{client_event, signature};
use crate::support::{Actor, World};

const COUNT: u32 = 500;

/// A service, and one connection to it that sends anything.
struct Bench {
    runtime: Runtime,
    world: World,
    actor: Actor,
    sender: SendRequest<Full<Bytes>>,
}

/// An answer: its HTTP status, the status of gRPC where it is of it, and its body.
struct Answer {
    http: u16,
    status: Option<Status>,
    body: Bytes,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (world, actor, sender) = runtime.block_on(async {
            let world = World::signing().await;
            let actor = world.actor().await;
            let stream = TcpStream::connect(&world.address).await.expect("the service listens");
            // Else a body waits 40 ms for the acknowledgement of its headers.
            stream.set_nodelay(true).expect("an option of TCP");
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
            tokio::spawn(connection);
            (world, actor, sender)
        });
        Self { runtime, world, actor, sender }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Answer, String> {
        let mut sender = self.sender.clone();
        self.runtime.block_on(async {
            sender.ready().await.map_err(|error| format!("the connection is gone: {error}"))?;
            let answer = sender.send_request(request.map(Full::new)).await.map_err(|error| format!("no answer: {error}"))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| format!("no whole answer: {error}"))?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
            Ok(Answer { http: head.status.as_u16(), status, body: body.to_bytes() })
        })
    }

    fn request(&self, method: &Method, path: &str, kind: &str, body: &[u8]) -> Request<Bytes> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.world.address));
        let request = request.header("content-type", kind).header("authorization", format!("Bearer {}", self.actor.token));
        request.header("te", "trailers").body(Bytes::copy_from_slice(body)).expect("a request")
    }

    /// Checks that an answer of the REST door is one of its own making and no accident.
    fn rest(&self, request: Request<Bytes>) -> Result<(), String> {
        let answer = self.send(request)?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        match answer.http {
            200 | 201 | 400 | 401 | 404 | 405 | 409 if serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok() => Ok(()),
            status => Err(format!("{status} {body}")),
        }
    }
}

#[test]
fn requests_of_every_method() {
    let mut bench = Bench::new();
    let rows = bench.runtime.block_on(async { Rows::of(&bench.world, &mut bench.actor).await });
    let methods = every_method(&rows);
    let seeds = methods.iter().map(|method| method.request.clone()).collect();
    let next = std::cell::Cell::new(0);
    fuzz("requests of every method", COUNT, seeds, |input| {
        let method = &methods[next.get() % methods.len()];
        next.set(next.get() + 1);
        let path = format!("/deskledger.v1.{}", method.name);
        let answer = bench.send(bench.request(&Method::POST, &path, "application/grpc", &frame(input)))?;
        let status = answer.status.ok_or_else(|| format!("{} answers {} without a status", method.name, answer.http))?;
        let reason = status.get_details_error_info().map(|info| info.reason);
        match (status.code(), reason.as_deref()) {
            (tonic::Code::Ok, None) => Ok(()),
            (_, None | Some("INTERNAL" | "LOG_CORRUPT" | "DATABASE_UNAVAILABLE" | "DEADLINE_EXCEEDED")) => {
                Err(format!("{}: {status:?}", method.name))
            }
            (_, Some(_)) => Ok(()),
        }
    });
}

#[test]
fn frames_that_are_no_grpc() {
    let bench = Bench::new();
    let seeds = [frame(b""), frame(b"\x08\x01"), vec![1, 0, 0, 0, 1, 0], vec![0, 0xff, 0xff, 0xff, 0xff]].to_vec();
    fuzz("frames", COUNT, seeds, |input| {
        let path = "/deskledger.v1.TicketService/GetTicket";
        let answer = bench.send(bench.request(&Method::POST, path, "application/grpc", input))?;
        let status = answer.status.ok_or("no status")?;
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        if reason == "INTERNAL" { Err(format!("{status:?}")) } else { Ok(()) }
    });
}

#[test]
fn queries_of_rest() {
    let bench = Bench::new();
    let seeds = [
        "/tickets?limit=50&offset=0&status2=CLOSED&agent=1&sendbird_id=ada&channel_url=c&q=x&start_date=2026-03-01&end_date=2026-03-15",
        "/chat_messages?limit=500&offset=3&created_at__gte=2026-03-15T12:00:00Z&created_at__lte=2026-03-15+12:00:00&ticket_channel_type=SENDBIRD",
        "/chat_messages/deletion_logs?limit=100&offset=1&start_date=2026-01-01&end_date=2026-03-15&reason=SPAM&next=undefined",
        "/tickets/1/chat_messages?limit=1&offset=9223372036854775807",
        "/tickets/1",
        "/tickets/1/",
    ];
    fuzz("queries", COUNT, seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(), |input| {
        let path = format!("/platform/v1{}", String::from_utf8_lossy(input));
        // What is no URI never gets onto the wire.
        let Ok(uri) = format!("http://{}{path}", bench.world.address).parse::<http::Uri>() else { return Ok(()) };
        if uri.authority().is_none_or(|authority| authority.as_str() != bench.world.address)
            || !uri.path().starts_with("/platform/v1")
        {
            return Ok(());
        }
        bench.rest(bench.request(&Method::GET, uri.path_and_query().map_or("/", |path| path.as_str()), "application/json", b""))
    });
}

#[test]
fn bodies_of_rest() {
    let mut bench = Bench::new();
    let (ticket, messages) = bench.runtime.block_on(bench.actor.closed_ticket_with(2));
    let routes = [
        (Method::POST, "/platform/v1/tickets".to_owned()),
        (Method::PATCH, format!("/platform/v1/tickets/{}", ticket.id)),
        (Method::PATCH, format!("/platform/v1/tickets/{}/close", ticket.id)),
        (Method::PATCH, format!("/platform/v1/tickets/{}/reopen", ticket.id)),
        (Method::DELETE, format!("/platform/v1/chat_messages/{}", messages[0].id)),
        (Method::GET, "/platform/v1/chat_messages/deletion_logs".to_owned()),
    ];
    let seeds = [
        json!({"customer": {"sendbirdId": "ada", "displayName": "Ada", "channelType": "SENDBIRD"}, "priority": "HIGH", "status2": "PENDING",
            "customFields": [{"id": 1, "key": "k", "value": "v"}], "relatedChannels": "[]", "info": "{}", "group": {"id": 1, "name": "g", "key": "g"}}),
        json!({"closeComment": "done", "closeMessage": {"message": "bye"}, "requestId": "0b2ae5ae-1c7e-4c37-ae0a-5a3e6b2a8f01"}),
        json!({"ticket_id": ticket.id, "reason": "SPAM", "reasonDetail": "x", "requestedFrom": "DASHBOARD", "requestedBy": {"id": 1, "email": "a@b.c"}}),
        json!({"limit": 10, "offset": 0, "start_date": "2026-03-01", "end_date": "2026-03-15"}),
    ];
    let next = std::cell::Cell::new(0);
    fuzz("bodies", COUNT, seeds.iter().map(|seed| seed.to_string().into_bytes()).collect(), |input| {
        let (method, path) = &routes[next.get() % routes.len()];
        next.set(next.get() + 1);
        bench.rest(bench.request(method, path, "application/json", input))
    });
}

#[test]
fn paths_of_the_log() {
    let mut bench = Bench::new();
    bench.runtime.block_on(async {
        let (ticket, messages) = bench.actor.closed_ticket_with(1).await;
        bench.actor.delete_with_receipt(ticket.id, messages[0].id).await.expect("it may be deleted");
    });
    let seeds = [
        "acme/checkpoint",
        "acme/tile/0/000.p/1",
        "acme/tile/entries/000.p/1",
        "acme/tile/0/x001/x234/067",
        "other/tile/63/x999/999.p/255",
        "acme/tile/1/../0/000",
    ];
    fuzz("paths of the log", COUNT, seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(), |input| {
        let path = format!("/log/{}", String::from_utf8_lossy(input));
        let Ok(uri) = format!("http://{}{path}", bench.world.address).parse::<http::Uri>() else { return Ok(()) };
        if uri.authority().is_none_or(|authority| authority.as_str() != bench.world.address) || !uri.path().starts_with("/log/") {
            return Ok(());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let answer = bench.send(bench.request(&Method::GET, path, "application/json", b""))?;
        match answer.http {
            200 | 400 | 401 | 404 => Ok(()),
            status => Err(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
        }
    });
}

#[test]
fn bodies_of_webhooks() {
    let bench = Bench::new();
    let key: WebhookKey = bench.runtime.block_on(bench.world.webhook_key("acme", "key", "secret"));
    let now = bench.world.app.milliseconds();
    let message = json!({"id": 1, "contactId": {"id": 2, "type": "contacts"}, "message": "hello", "files": [], "state": "active"});
    let seeds = [
        json!({"time_ms": now, "events": [client_event("c", &message), {"name": "member_added", "channel": "c"}, 7]}),
        json!({"conversationmessages": [message, {"conversationmessage": message}]}),
        message,
    ];
    fuzz("webhooks", COUNT, seeds.iter().map(|seed| seed.to_string().into_bytes()).collect(), |input| {
        let path = "/desk/api/v2/conversationmessages/webhooks.json";
        let mut signed = bench.request(&Method::POST, path, "application/json", input);
        let headers = signed.headers_mut();
        headers.remove("authorization");
        headers.insert("x-pusher-key", key.key.parse().expect("a header"));
        headers.insert("x-pusher-signature", signature(&key.secret, input).parse().expect("a header"));
        bench.rest(signed)?;
        bench.rest(bench.request(&Method::POST, path, "application/json", input))
    });
}
