//! Traces: what a collector gets of calls.

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use sqlx::Connection;
use tokio::net::TcpListener;
use tonic::Request;
use tonic::transport::Endpoint;

use crate::commands::program::Service;
use crate::support::actor::customer_message;
use crate::support::collector::{Collector, attribute};
use crate::support::database::TestDatabase;
use crate::support::scrape::Admin;
use crate::support::world::plain_token;
use crate::support::{Actor, Http, World, pb};

/// A trace that a caller has begun, and the caller's own span in it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A service that sends traces, and a caller of it.
struct Traced {
    database: TestDatabase,
    service: Service,
    actor: Actor,
    http: Http,
}

impl Traced {
    async fn new(endpoint: &str, arguments: &[&str]) -> Self {
        let world = World::new().await;
        let token = world.token("acme", plain_token()).await;
        let database = world.into_database().await;
        let mut service = Service::on(
            &database,
            &[&["--otlp-endpoint", endpoint, "--log", "debug", "--token-cache-seconds", "60"], arguments].concat(),
        );
        service.ready();
        let address = service.address();
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens");
        Self { database, service, actor: Actor::new(channel, &token), http: Http::new(&address, &token) }
    }

    /// Stops the service, which sends its last spans, and answers its log.
    fn stop(self) -> String {
        self.service.signal(Signal::SIGTERM);
        let (code, log) = self.service.end();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

fn hex(bytes: &[u8]) -> String {
    deskledger::domain::random::digits(bytes)
}

/// A request that brings a trace.
fn with_trace<T>(message: T, trace: &str, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", format!("00-{trace}-{CALLER}-{flags}").parse().expect("it is ASCII"));
    request
}

/// The only span with this name.
#[track_caller]
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} among {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_goes_on_through_the_use_case_to_the_statement() {
    let collector = Collector::start().await;
    let mut traced = Traced::new(&collector.endpoint, &["--trace-ratio", "0"]).await;
    let (ticket, messages) = traced.actor.closed_ticket_with(1).await;
    let delete = pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: messages[0].id, ..Default::default() };
    traced.actor.messages.delete_chat_message(with_trace(delete.clone(), TRACE, "01")).await.expect("it may be deleted");
    traced.actor.messages.delete_chat_message(with_trace(delete, TRACE, "00")).await.expect_err("it is deleted");
    let log = traced.stop();

    let spans = collector.spans();
    // A lane that has just connected asks for the number of its session first.
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).filter(|name| *name != "session.number").collect();
    let call = "deskledger.v1.ChatMessageService/DeleteChatMessage";
    assert_eq!(
        names,
        [call, "delete_chat_message", "lane.ask", "lane.run", "deletion.delete", "wait_for_receipt"],
        "of one call only"
    );
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let call = only(&spans, call);
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(call.kind(), SpanKind::Server);
    assert_eq!(attribute(&call.attributes, "rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(attribute(&call.attributes, "rpc.method").as_deref(), Some("deskledger.v1.ChatMessageService/DeleteChatMessage"));
    assert_eq!(attribute(&call.attributes, "rpc.response.status_code").as_deref(), Some("OK"));
    for [inner, outer] in [["delete_chat_message", &call.name], ["lane.ask", "delete_chat_message"], ["lane.run", "lane.ask"]] {
        assert_eq!(only(&spans, inner).parent_span_id, only(&spans, outer).span_id, "{inner}");
    }
    let statement = only(&spans, "deletion.delete");
    assert_eq!(statement.parent_span_id, only(&spans, "lane.run").span_id);
    assert_eq!(statement.kind(), SpanKind::Client);
    assert_eq!(attribute(&statement.attributes, "db.system.name").as_deref(), Some("postgresql"));
    assert_eq!(attribute(&statement.attributes, "db.query.summary").as_deref(), Some("deletion.delete"));
    let resource = collector.resource();
    assert_eq!(attribute(&resource, "service.name").as_deref(), Some("deskledger"));
    assert_eq!(attribute(&resource, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let of_trace = log.lines().filter(|line| line.contains(&format!("trace_id=\"{TRACE}\""))).count();
    assert!(of_trace >= 1, "the call's log lines have its trace: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_calls_are_traced_by_their_routes_and_errors_by_their_reasons() {
    let collector = Collector::start().await;
    let traced = Traced::new(&collector.endpoint, &["--trace-ratio", "0"]).await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let answer = traced.http.call_with(http::Method::GET, "/tickets/4711", &[("traceparent", &parent)], "").await;
    answer.refused(400, "deskp400201", "The specified ticket doesn't exist.");
    traced.stop();

    let spans = collector.spans();
    let call = only(&spans, "GET /platform/v1/tickets/{ticket_id}");
    assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.to_owned(), CALLER.to_owned()));
    assert_eq!(attribute(&call.attributes, "http.response.status_code").as_deref(), Some("400"));
    assert_eq!(attribute(&call.attributes, "error.type").as_deref(), Some("TICKET_NOT_FOUND"));
    assert_ne!(call.status.clone().unwrap_or_default().code(), StatusCode::Error, "it is no fault of the service");
    assert_eq!(only(&spans, "ticket.find").parent_span_id, only(&spans, "get_ticket").span_id);
    assert!(!collector.text().contains("4711"), "ids are no attributes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_without_a_trace_are_traced_as_the_ratio_says_and_nothing_of_content_or_tokens_is_sent() {
    let collector = Collector::start().await;
    let mut traced = Traced::new(&collector.endpoint, &["--trace-ratio", "1"]).await;
    let ticket = traced.actor.open_ticket().await;
    traced.actor.send_all(ticket.id, vec![customer_message("a secret of canaries")]).await;
    let list = pb::ListChatMessagesRequest { ticket_id: ticket.id, ..Default::default() };
    traced.actor.messages.list_chat_messages(list).await.expect("the page");
    let token = traced.actor.token.clone();
    traced.stop();

    let spans = collector.spans();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    assert_eq!(roots.len(), 3, "one for each call");
    let ids: std::collections::HashSet<&[u8]> = spans.iter().map(|span| span.trace_id.as_slice()).collect();
    assert_eq!(ids.len(), 3);
    let text = collector.text();
    let secret = token.rsplit('_').next().expect("the secret part");
    assert!(!text.contains("canaries") && !text.contains(secret), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_traced_calls_share_is_linked_to_all_of_them() {
    let collector = Collector::start().await;
    // Eight connections: one lane for each kind of work.
    let arguments = ["--trace-ratio", "0", "--admin-listen", "127.0.0.1:0", "--database-connections", "8"];
    let mut traced = Traced::new(&collector.endpoint, &arguments).await;
    let admin = Admin::at(&traced.service.admin_address());
    let ticket = traced.actor.open_ticket().await;
    let mut locking = traced.database.connect().await;
    let mut lock = locking.begin().await.expect("a transaction");
    sqlx::raw_sql("lock table tickets in access exclusive mode").execute(&mut *lock).await.expect("the lock");
    let list = |trace: &str| {
        let request = with_trace(pb::ListChatMessagesRequest { ticket_id: ticket.id, ..Default::default() }, trace, "01");
        let mut actor = traced.actor.clone();
        tokio::spawn(async move { actor.messages.list_chat_messages(request).await })
    };
    // The first takes the lane and waits for the lock; the others wait for the lane.
    let pages = [("db_client_connection_pool_name", "lane pages")];
    let first = list(&"a".repeat(32));
    while admin.scrape().await.sum("deskledger_database_connections", &[pages[0], ("db_client_connection_state", "used")]) < 1 {}
    let second = list(&"b".repeat(32));
    while admin.scrape().await.sum("db_client_connection_pending_requests", &pages) < 1 {}
    let third = list(&"c".repeat(32));
    while admin.scrape().await.sum("db_client_connection_pending_requests", &pages) < 2 {}
    lock.rollback().await.expect("the lock goes");
    for call in [first, second, third] {
        call.await.expect("it ends").expect("the page");
    }
    traced.stop();

    let spans = collector.spans();
    let shared: Vec<&Span> =
        spans.iter().filter(|span| attribute(&span.attributes, "deskledger.calls").as_deref() == Some("2")).collect();
    assert_eq!(shared.len(), 1);
    let asked = |trace: &str| {
        let ask = |span: &&Span| span.name == "lane.ask" && hex(&span.trace_id) == trace.repeat(32);
        spans.iter().find(ask).expect("the call's own span").span_id.clone()
    };
    assert_eq!(shared[0].parent_span_id, asked("b"), "within the first of them");
    let links: Vec<Vec<u8>> = shared[0].links.iter().map(|link| link.span_id.clone()).collect();
    assert_eq!(links, [asked("c")], "and linked to the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_one_warning() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", nobody.local_addr().expect("its address"));
    drop(nobody);
    let mut traced = Traced::new(&endpoint, &["--trace-ratio", "1"]).await;
    for _ in 0..5 {
        traced.actor.open_ticket().await;
    }
    let log = traced.stop();
    assert_eq!(log.matches("traces cannot be sent").count(), 1, "{log}");
}
