//! The address for operators: metrics and probes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Method, StatusCode};
use nix::sys::signal::Signal;
use sqlx::Connection;
use tonic::transport::Endpoint;

use crate::commands::documents::{between, read};
use crate::commands::program::{Service, deskledger, run_on};
use crate::support::database::TestDatabase;
use crate::support::scrape::{Admin, Scrape};
use crate::support::world::{TestKey, plain_token};
use crate::support::{Actor, Http, World, pb};

/// The address that a service takes when no setting says otherwise.
const DEFAULT: &str = "127.0.0.1:9464";

/// A service with metrics on a database, and a caller of it.
struct Watched {
    database: TestDatabase,
    service: Service,
    admin: Admin,
    actor: Actor,
    http: Http,
}

impl Watched {
    async fn new(arguments: &[&str]) -> Self {
        let world = World::new().await;
        let token = world.token("acme", plain_token()).await;
        // Nobody else works on it: what is counted is what the service does.
        let database = world.into_database().await;
        let mut service = Service::on(&database, &[&["--admin-listen", "127.0.0.1:0"], arguments].concat());
        service.ready();
        let address = service.address();
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens");
        let admin = Admin::at(&service.admin_address());
        Self { database, service, admin, actor: Actor::new(channel, &token), http: Http::new(&address, &token) }
    }

    async fn scrape(&self) -> Scrape {
        self.admin.scrape().await
    }
}

#[tokio::test]
async fn the_document_lists_every_metric_that_is_served() {
    let mut watched = Watched::new(&[]).await;
    watched.actor.open_ticket().await;
    watched.http.get("/tickets").await.ok();
    let scrape = watched.scrape().await;

    let document = between(&read("docs/OPERATIONS.md"), "metrics");
    let rows: Vec<Vec<&str>> =
        document.lines().skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let mut served = scrape.types();
    served.sort();
    let told: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            let name = row[0].trim_matches('`');
            let name = if row[1] == "counter" { format!("{name}_total") } else { name.to_owned() };
            (name, row[1].to_owned())
        })
        .collect();
    assert_eq!(told, served, "in the order of their names");
    for (row, (name, _)) in rows.iter().zip(&served) {
        let told: Vec<&str> = row[2].split(", ").map(|label| label.trim_matches('`')).filter(|label| !label.is_empty()).collect();
        assert_eq!(told, scrape.labels(name), "{name}");
        assert!(!row[3].is_empty(), "{name}");
    }
}

#[test]
fn the_document_says_what_to_do_at_every_alert() {
    let rules = read("deploy/prometheus/alerts.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "the alerts are read");
    let document = between(&read("docs/OPERATIONS.md"), "alerts");
    let told: Vec<&str> =
        document.lines().skip(2).filter_map(|row| row.split('|').nth(1)).map(|cell| cell.trim().trim_matches('`')).collect();
    assert_eq!(told, alerts, "in the order of the file");
    let tests = read("deploy/prometheus/alerts_test.yml");
    for alert in alerts {
        let tested = tests.matches(&format!("alertname: {alert}")).count();
        assert!(tested >= 2, "{alert} is tested when it should fire and when not");
    }
}

#[tokio::test]
async fn calls_are_counted_by_method_and_reason_at_both_doors() {
    let mut watched = Watched::new(&[]).await;
    let (ticket, messages) = watched.actor.closed_ticket_with(2).await;
    watched.actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    watched.actor.delete(ticket.id, messages[0].id).await.expect_err("it is deleted already");
    watched.http.delete(&format!("/tickets/{}/chat_messages/{}", ticket.id, messages[1].id)).await.ok();
    watched.http.delete(&format!("/tickets/{}/chat_messages/{}/", ticket.id, messages[1].id)).await.refusal();
    watched.http.get("/tickets/one").await.refusal();
    let export = pb::ExportChatMessagesRequest { ticket_id: ticket.id, ..Default::default() };
    let mut parts = watched.actor.messages.export_chat_messages(export).await.expect("an export").into_inner();
    while parts.message().await.expect("it goes well to its end").is_some() {}

    let scrape = watched.scrape().await;
    let rpc = |method: &str, code: &str, reason: &str| {
        let method = format!("deskledger.v1.ChatMessageService/{method}");
        let labels = [("rpc_method", method.as_str()), ("rpc_response_status_code", code), ("error_type", reason)];
        scrape.sum("rpc_server_call_duration_seconds_count", &labels)
    };
    assert_eq!(rpc("DeleteChatMessage", "OK", ""), 1);
    assert_eq!(rpc("DeleteChatMessage", "FAILED_PRECONDITION", "CHAT_MESSAGE_ALREADY_DELETED"), 1);
    assert_eq!(rpc("ExportChatMessages", "OK", ""), 1);
    let rest = |method: &str, route: &str, status: &str, reason: &str| {
        let labels =
            [("http_request_method", method), ("http_route", route), ("http_response_status_code", status), ("error_type", reason)];
        scrape.sum("http_server_request_duration_seconds_count", &labels)
    };
    let delete = "/platform/v1/tickets/{ticket_id}/chat_messages/{chatmessage_id}";
    assert_eq!(rest("DELETE", delete, "200", ""), 1);
    assert_eq!(rest("DELETE", delete, "400", "CHAT_MESSAGE_ALREADY_DELETED"), 1);
    assert_eq!(rest("GET", "/platform/v1/tickets/{ticket_id}", "400", "INVALID_FIELD"), 1);
    assert_eq!(scrape.sum("deskledger_rpc_calls_in_flight", &[]), 0);
    assert_eq!(scrape.sum("http_server_active_requests", &[]), 0);
    let deletions = [("db_query_summary", "deletion.delete")];
    assert!(scrape.sum("db_client_operation_duration_seconds_count", &deletions) >= 4, "what was refused was tried");
    let lane = [("db_client_connection_pool_name", "lane deletions")];
    assert_eq!(scrape.sum("deskledger_lane_statement_calls_sum", &lane), 4);
}

#[tokio::test]
async fn what_is_refused_and_by_what_is_counted() {
    let arguments = ["--max-calls-in-flight", "32", "--reads-per-minute", "6", "--log-retention-days", "30"];
    let mut watched = Watched::new(&arguments).await;
    let (ticket, messages) = watched.actor.ticket_with(1).await;
    watched.actor.delete(ticket.id, messages[0].id).await.expect_err("its ticket is open");
    let get = async |mut actor: Actor| actor.tickets.get_ticket(pb::GetTicketRequest { id: ticket.id }).await;
    get(watched.actor.clone()).await.expect("one read may come at once");
    get(watched.actor.clone()).await.expect_err("no second one");
    let nobody = Http { token: Some("garbage".to_owned()), ..watched.http.clone() };
    nobody.get("/tickets").await.refusal();
    let mut other = watched.database.connect().await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("select from tickets for update").execute(&mut *lock).await.expect("no write gets at the ticket");
    let rename = |mut actor: Actor| async move {
        let renamed = pb::Ticket { id: ticket.id, channel_name: "renamed".to_owned(), ..Default::default() };
        actor.update(renamed, &[]).await
    };
    let mut writes: FuturesUnordered<_> = (0..32 + 3).map(|_| rename(watched.actor.clone())).collect();
    for _ in 0..3 {
        writes.next().await.expect("a call").expect_err("the service is busy");
    }

    let scrape = watched.scrape().await;
    let access = |metric: &str| ["read", "write"].map(|access| scrape.sum(metric, &[("access", access)]));
    assert_eq!(access("deskledger_admission_limit"), [32, 32]);
    assert_eq!(access("deskledger_admission_calls"), [0, 32]);
    assert_eq!(access("deskledger_admission_refused_calls_total"), [0, 3]);
    assert_eq!(scrape.sum("deskledger_rate_limited_calls_total", &[]), 1);
    let audited =
        ["authentication", "permission", "deletion"].map(|kind| scrape.sum("deskledger_audit_refusals_total", &[("kind", kind)]));
    assert_eq!(audited, [1, 0, 1]);
    let last = |name| scrape.sum("deskledger_loop_last_success_timestamp_seconds", &[("loop", name)]) > 1_000_000_000;
    let loops = ["readiness", "log_check", "log_retention", "replicas", "embedded_postgres"];
    assert_eq!(loops.map(last), [true, true, true, false, false], "those that run");
    lock.rollback().await.expect("the ticket is free");
    while writes.next().await.is_some() {}
}

#[tokio::test]
async fn what_callers_make_up_makes_no_new_names() {
    let mut watched = Watched::new(&[]).await;
    watched.http.get("/nonsense-1").await;
    watched.http.call(Method::from_bytes(b"NONSENSE").expect("a method"), "/tickets", "").await;
    for path in ["/nonsense.v1.Service/Nonsense", "/deskledger.v1.TicketService/Nonsense"] {
        let request =
            http::Request::post(format!("http://{}{path}", watched.http.address)).header("content-type", "application/grpc");
        let answer = watched.http.send_over_http2(request.body(bytes::Bytes::new()).expect("a request")).await;
        assert_eq!(answer.header("grpc-status"), Some(if path.starts_with("/desk") { "16" } else { "12" }));
    }
    watched.actor.open_ticket().await;

    let scrape = watched.scrape().await;
    assert!(!scrape.text().to_ascii_lowercase().contains("nonsense"), "{}", scrape.text());
    assert_eq!(scrape.sum("rpc_server_call_duration_seconds_count", &[("rpc_method", "_OTHER")]), 2);
    assert_eq!(scrape.sum("http_server_request_duration_seconds_count", &[("http_request_method", "_OTHER")]), 1);
    assert_eq!(scrape.sum("http_server_request_duration_seconds_count", &[("http_route", "")]), 1);
}

#[tokio::test]
async fn how_far_the_log_is_behind_is_measured() {
    let key = TestKey::new();
    let file = key.key_file().display().to_string();
    let mut watched = Watched::new(&["--log-key-file", &file]).await;
    let (ticket, messages) = watched.actor.closed_ticket_with(1).await;
    let answer = watched.actor.delete_with_receipt(ticket.id, messages[0].id).await.expect("it may be deleted");
    assert!(!answer.receipt.is_empty());

    let scrape = watched.scrape().await;
    assert_eq!(scrape.sum("deskledger_log_merge_delay_seconds_count", &[]), 1);
    assert_eq!(scrape.sum("deskledger_log_damaged_trees", &[]), 0);
    assert!(scrape.sum("deskledger_loop_last_success_timestamp_seconds", &[("loop", "log_sequencer")]) > 1_000_000_000);
}

#[tokio::test]
async fn what_is_kept_in_memory_is_measured() {
    let mut watched = Watched::new(&[]).await;
    let (ticket, _) = watched.actor.closed_ticket_with(3).await;
    for _ in 0..3 {
        watched.http.get(&format!("/tickets/{}/chat_messages", ticket.id)).await.ok();
    }
    let scrape = watched.scrape().await;
    let pages = [("cache", "pages")];
    assert_eq!(scrape.sum("deskledger_cache_misses_total", &pages), 1);
    assert_eq!(scrape.sum("deskledger_cache_hits_total", &pages), 2);
    assert_eq!(scrape.sum("deskledger_cache_misses_total", &[("cache", "tokens")]), 1);
}

#[tokio::test]
async fn metrics_come_as_open_metrics_to_who_asks_for_them() {
    let watched = Watched::new(&[]).await;
    let plain = watched.admin.get("/metrics").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = watched.admin.get_as("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.body.ends_with(b"# EOF\n"));
    assert_eq!(watched.admin.get("/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_service_that_drains_is_alive_and_not_ready() {
    let mut watched = Watched::new(&["--drain-seconds", "600", "--request-timeout-seconds", "600"]).await;
    let probe = async |path: &str| watched.admin.get(path).await.status;
    assert_eq!(probe("/livez").await, StatusCode::OK);
    assert_eq!(probe("/readyz").await, StatusCode::OK);
    // A call whose body never comes, and that the service has.
    let mut stream = TcpStream::connect(&watched.http.address).expect("the service listens");
    let token = watched.http.token.as_deref().expect("it has one");
    let call = format!(
        "POST /desk/api/v2/conversationmessages/webhooks.json HTTP/1.1\r\nHost: desk\r\nSENDBIRDDESKAPITOKEN: {token}\r\n\
         Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(call.as_bytes()).expect("the call is sent");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("an answer");
    assert_eq!(line.trim(), "HTTP/1.1 100 Continue");

    watched.service.signal(Signal::SIGTERM);
    watched.service.logged("draining");

    assert_eq!(watched.admin.get("/livez").await.status, StatusCode::OK);
    assert_eq!(watched.admin.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(watched.scrape().await.sum("http_server_active_requests", &[]), 1);
    watched.service.signal(Signal::SIGTERM);
    watched.service.end();
}

#[tokio::test]
async fn an_address_that_is_set_must_be_had_and_the_default_one_need_not() {
    let database = TestDatabase::create().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let refused = run_on(&database, &["serve", "--listen", "127.0.0.1:0", "--admin-listen", &address]).failed(1);
    assert!(refused.starts_with(&format!("deskledger: cannot listen on {address} for metrics: ")), "{refused}");

    // Taken by this test, or by whoever has it already.
    let _taken = TcpListener::bind(DEFAULT);
    let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0"]);
    let mut service = Service::start(command.env("DATABASE_URL", database.url()).env_remove("DESKLEDGER_ADMIN_LISTEN"));
    service.logged("no metrics and probes");
    service.ready();

    let mut service = Service::on(&database, &["--admin-listen", "off"]);
    service.ready();
    service.signal(Signal::SIGTERM);
    let (_, log) = service.end();
    assert!(!log.contains("metrics"), "{log}");
}
