//! Canaries: a random text in everything that is secret or somebody's content stands in nothing that the service writes, at the most
//! talkative level, in no error that it answers, and in nothing else that others on the machine or behind it see: metrics, traces, the
//! list of processes.

use std::collections::BTreeMap;
use std::fs;

use clap::Parser;
use deskledger::config::{DatabaseSettings, ServerSettings};
use deskledger::domain::clock::{Clock, SystemClock};
use deskledger::domain::random;
use http::Method;
use nix::sys::signal::Signal;
use serde_json::json;
use tonic::transport::Endpoint;

use crate::commands::demo::Demo;
use crate::commands::program::{Service, deskledger, run, run_on};
use crate::support::collector::Collector;
use crate::support::database::TestDatabase;
use crate::support::raw::call;
use crate::support::scrape::Admin;
use crate::support::webhook::{client_event, signature};
use crate::support::{Actor, Http, pb};

const WEBHOOK: &str = "/desk/api/v2/conversationmessages/webhooks.json";

/// Canaries by what they stand in.
#[derive(Default)]
struct Canaries(BTreeMap<&'static str, String>);

impl Canaries {
    fn hatch(&mut self, place: &'static str) -> String {
        self.0.entry(place).or_insert_with(|| format!("canary{}", random::hex::<12>())).clone()
    }

    /// Keeps a secret that is random by itself.
    fn keep(&mut self, place: &'static str, secret: &str) {
        self.0.insert(place, secret.to_owned());
    }

    fn are_not_in(&self, what: &str, text: &str) {
        for (place, canary) in &self.0 {
            if let Some(at) = text.find(canary.as_str()) {
                let begin = text[..at].rfind('\n').map_or(0, |begin| begin + 1);
                let line = text[begin..].lines().next().unwrap_or_default();
                panic!("the {place} stands in {what}: {line}");
            }
        }
    }
}

/// Sends canaries in every way, good and bad, and answers what the errors say.
async fn send(address: &str, token: &str, canaries: &mut Canaries) -> Vec<String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("the service listens");
    let mut actor = Actor::new(channel.clone(), token);
    let mut errors = Vec::new();

    let message = pb::ChatMessage {
        user_sendbird_id: "ada".to_owned(),
        user_type: pb::UserType::Customer as i32,
        message: canaries.hatch("message"),
        data: json!({"key": canaries.hatch("data")}).to_string(),
        files: vec![pb::File { url: format!("https://example.com/{}", canaries.hatch("URL of a file")), ..Default::default() }],
        ..Default::default()
    };
    let ticket = actor.open_ticket().await;
    let stored = actor.send_all(ticket.id, vec![message.clone(); 3]).await;
    errors.push(format!("{:?}", actor.delete(ticket.id, stored[0].id).await.expect_err("the ticket is open")));
    actor.close(ticket.id).await;
    assert_eq!(actor.list(ticket.id).await.len(), 3);
    actor.delete(ticket.id, stored[0].id).await.expect("it may be deleted");
    errors.push(format!("{:?}", actor.delete(ticket.id, stored[0].id).await.expect_err("it is deleted")));
    let bad = pb::ChatMessage { user_type: 99, external_id: "x".repeat(9999), ..message };
    let bad = pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message: Some(bad), ..Default::default() };
    errors.push(format!("{:?}", actor.messages.create_chat_message(bad).await.expect_err("it breaks rules")));

    // No protobuf; tokens that are bad in every way, and in the wrong place.
    let bearer = format!("Bearer {token}");
    let garbage = canaries.hatch("malformed body of gRPC").into_bytes();
    let refused = call(&channel, "TicketService/CreateTicket", &[("authorization", &bearer)], garbage).await;
    errors.push(format!("{:?}", refused.expect_err("it is no request")));
    let wrong = canaries.hatch("wrong token");
    let id = token.split('_').nth(1).expect("an id");
    for header in [
        wrong.clone(),
        format!("Bearer {wrong}"),
        format!("Bearer dl_{id}_{wrong}"),
        format!("Basic {wrong}"),
        format!("Bearer dl_{}_x", &wrong[..16]),
    ] {
        let refused = call(&channel, "TicketService/ListTickets", &[("authorization", &header)], Vec::new()).await;
        errors.push(format!("{:?}", refused.expect_err("the token is bad")));
    }
    let token_of_page = canaries.hatch("page token");
    let list = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_token: token_of_page, ..Default::default() };
    errors.push(format!("{:?}", actor.messages.list_chat_messages(list).await.expect_err("the page token is bad")));

    let http = Http::new(address, token);
    let query = canaries.hatch("query");
    for path in [format!("/tickets?limit={query}&q={query}"), format!("/chat_messages?created_at__gte={query}&token={query}")] {
        errors.push(format!("{:?}", http.get(&path).await.body));
    }
    let body = canaries.hatch("body of REST");
    for body in [format!("{{\"customer\": {{\"sendbirdId\": \"{body}\"}}}}"), format!("{{\"{body}"), format!("[\"{body}\"]"), body]
    {
        let answer = http.call(Method::POST, "/tickets", body).await;
        if !answer.status.is_success() {
            errors.push(format!("{:?}", answer.body));
        }
    }
    errors
}

/// Sends webhooks with canaries, and answers what the errors say.
async fn send_webhooks(address: &str, key: &str, secret: &str, canaries: &mut Canaries) -> Vec<String> {
    let mut errors = Vec::new();
    let http = Http { address: address.to_owned(), token: None };
    let now = SystemClock.now().timestamp_millis();
    let text = canaries.hatch("message of a webhook");
    let good = client_event("c", &json!({"id": 1, "contactId": {"id": 2, "type": "contacts"}, "message": text}));
    let rejected = client_event("c", &json!({"id": "no number", "message": text, "files": [{"url": text}]}));
    let whole = json!({"time_ms": now, "events": [good, rejected, {"name": text}]}).to_string();
    for (body, secret) in [(whole.clone(), secret), (whole, "wrong"), (format!("{{\"{text}"), secret)] {
        let request = http::Request::post(WEBHOOK)
            .header("Host", address)
            .header("X-Pusher-Key", key)
            .header("X-Pusher-Signature", signature(secret, body.as_bytes()));
        let answer = http.send(request.body(body.into()).expect("a request")).await;
        if !answer.status.is_success() {
            errors.push(format!("{:?}", answer.body));
        }
    }
    errors
}

/// The command line of every process of the machine, as anybody may read it.
fn processes() -> String {
    let entries = fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
    // One that has ended meanwhile has none.
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

/// The address in a line of the log as JSON.
fn address_in(line: &str) -> String {
    serde_json::from_str::<serde_json::Value>(line).expect("JSON")["address"].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_content_stands_in_anything_that_the_service_writes_or_sends_to_operators() {
    let database = TestDatabase::create().await;
    let mut canaries = Canaries::default();
    run_on(&database, &["application", "create", "acme"]).good();
    let scopes = "tickets:read,tickets:write,messages:read,messages:write,messages:delete,logs:read";
    let token = run_on(&database, &["token", "create", "acme", "--scopes", scopes]).good().trim_end().to_owned();
    canaries.keep("secret of the token", token.splitn(3, '_').nth(2).expect("a secret"));
    let secret = canaries.hatch("secret of the webhook's key");
    let mut add = deskledger(&["webhook-key", "add", "acme", "--key", "pusher", "--log", "trace"]);
    let added = run(add.env("DATABASE_URL", database.url()).env("DESKLEDGER_WEBHOOK_SECRET", &secret));
    canaries.are_not_in("the log of webhook-key", &added.stderr);

    let password = canaries.hatch("password of the database");
    let url = with_password(&database.url(), &password);
    let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    let collector = Collector::start().await;
    let command = command.env("DATABASE_URL", &url).env("DESKLEDGER_READ_URL", &url).env("DESKLEDGER_LOG", "trace");
    let command = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint).env("DESKLEDGER_TRACE_RATIO", "1");
    let mut service = Service::start(command.env("DESKLEDGER_ADMIN_LISTEN", "127.0.0.1:0"));
    let admin = Admin::at(&address_in(&service.logged("\"metrics and probes\"")));
    let address = address_in(&service.logged("\"listening\""));

    let mut errors = send(&address, &token, &mut canaries).await;
    errors.extend(send_webhooks(&address, "pusher", &secret, &mut canaries).await);
    // The database goes away and an internal error comes: their words go to the log.
    database.run("alter table tickets drop column channel_name").await;
    let http = Http::new(&address, &token);
    errors.push(format!("{:?}", http.get("/tickets").await.body));
    let metrics = admin.scrape().await;
    let processes = processes();
    assert!(processes.contains("serve --listen 127.0.0.1:0"), "{processes}");

    service.signal(Signal::SIGTERM);
    let (code, log) = service.end();
    assert_eq!(code, Some(0));
    assert!(log.lines().any(|line| line.contains("\"TRACE\"")), "it talked");
    assert!(log.contains("internal") || log.contains("INTERNAL"), "the internal error is in the log");
    canaries.are_not_in("the log", &log);
    canaries.are_not_in("an error", &errors.join("\n"));
    assert!(metrics.text().contains("DeleteChatMessage"), "{}", metrics.text());
    canaries.are_not_in("the metrics", metrics.text());
    assert!(collector.text().contains("DeleteChatMessage"), "traces came");
    canaries.are_not_in("the traces", &collector.text());
    canaries.are_not_in("the list of processes", &processes);
}

#[test]
fn neither_a_token_nor_the_logs_key_stands_in_the_list_of_processes_beside_a_private_server() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(data_dir.path());
    let mut canaries = Canaries::default();
    canaries.keep("token", demo.token.trim_start_matches("TOKEN="));
    let key = fs::read_to_string(data_dir.path().join("log.key")).expect("the key of the log");
    canaries.keep("private key of the log", key.trim().rsplit('+').next().expect("the key"));
    let processes = processes();
    assert!(processes.contains(data_dir.path().to_str().expect("a text")), "the private server is among them: {processes}");
    demo.interrupt();
    canaries.are_not_in("the list of processes", &processes);
}

/// The settings that may hold secrets.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    server: ServerSettings,
}

#[test]
fn settings_that_hold_secrets_do_not_show_them() {
    let mut canaries = Canaries::default();
    let url = |canary: &str| format!("postgres://user:{canary}@host/deskledger");
    let (primary, replica) = (url(&canaries.hatch("database's password")), url(&canaries.hatch("replica's password")));
    let settings = Settings::parse_from(["deskledger", "--database-url", &primary, "--read-url", &replica]);
    assert_eq!(settings.database.url(), Some(primary.as_str()));
    assert_eq!(settings.server.replicas.urls().collect::<Vec<_>>(), [replica.as_str()]);
    canaries.are_not_in("the settings", &format!("{settings:?} {settings:#?}"));
}

#[test]
fn a_database_that_cannot_be_reached_is_told_without_its_password() {
    let mut canaries = Canaries::default();
    let password = canaries.hatch("password of the database");
    for url in [
        format!("postgres://user:{password}@127.0.0.1:1/deskledger"),
        format!("postgres://user:{password}@/deskledger?host=/nowhere"),
    ] {
        for arguments in [&["migrate", "--log", "trace"][..], &["token", "list", "acme", "--log", "trace"]] {
            let ended = run(deskledger(arguments).env("DATABASE_URL", &url));
            assert_ne!(ended.code, Some(0));
            canaries.are_not_in("what the command says", &format!("{}{}", ended.stdout, ended.stderr));
        }
    }
}

/// The same URL with a password, which a server that trusts its socket does not ask for.
fn with_password(url: &str, password: &str) -> String {
    let (head, rest) = url.split_once("postgres@").expect("a URL of the user postgres");
    format!("{head}postgres:{password}@{rest}")
}
