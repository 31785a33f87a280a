//! The audit of access: what is refused stands in the log, with who, from where, what and why; never a secret.

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::Value;
use tonic::transport::Endpoint;

use crate::commands::program::{Service, run_on};
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::{Actor, Http, pb};

struct Scene {
    database: TestDatabase,
    service: Service,
    address: String,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        run_on(&database, &["application", "create", "acme"]).good();
        let token = token(&database, "tickets:write,messages:write,messages:delete");
        let mut service = Service::on(&database, &["--log-format", "json"]);
        let address = service.logged("\"listening\"");
        let address = serde_json::from_str::<Value>(&address).expect("JSON")["address"].as_str().expect("a text").to_owned();
        Self { database, service, address, token }
    }

    async fn actor(&self, token: &str) -> Actor {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        Actor::new(endpoint.connect().await.expect("the service listens"), token)
    }

    /// Stops the service, and answers the lines of the audit.
    fn audit(self) -> (TestDatabase, Vec<Value>) {
        self.service.signal(Signal::SIGTERM);
        let (code, log) = self.service.end();
        assert_eq!(code, Some(0), "{log}");
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        (self.database, lines.filter(|line| line["target"] == "deskledger::audit").collect())
    }
}

fn token(database: &TestDatabase, scopes: &str) -> String {
    run_on(database, &["token", "create", "acme", "--scopes", scopes]).good().trim_end().to_owned()
}

fn id_of(token: &str) -> &str {
    token.split('_').nth(1).expect("the part between the underscores")
}

#[tokio::test]
async fn who_was_refused_what_stands_in_the_audit() {
    let scene = Scene::new().await;
    let (reader, revoked) = (token(&scene.database, "messages:read"), token(&scene.database, "messages:delete"));
    run_on(&scene.database, &["token", "revoke", id_of(&revoked)]).good();
    let mut actor = scene.actor(&scene.token).await;
    let (closed, messages) = actor.closed_ticket_with(2).await;
    let open = actor.open_ticket().await;
    let kept = actor.send(open.id, customer_message("kept")).await;

    let wrong = format!("dl_{}_swordfish", id_of(&scene.token));
    for bad in ["", "swordfish", "dl_0123456789abcdef_swordfish", &wrong, &revoked] {
        let refused = scene.actor(bad).await.tickets.list_tickets(pb::ListTicketsRequest::default()).await;
        refused.expect_err("the token is bad");
    }
    scene.actor(&reader).await.delete(closed.id, messages[0].id).await.expect_err("it may only read");
    actor.delete(open.id, kept.id).await.expect_err("the ticket is open");
    let http = Http::new(&scene.address, &scene.token);
    assert_eq!(http.delete(&format!("/tickets/{}/chat_messages/x?secret=swordfish", closed.id)).await.status, 400);
    // What is not refused, and refusals of other calls, are no matter of the audit.
    actor.delete(closed.id, messages[0].id).await.expect("it may be deleted");
    actor.tickets.close_ticket(pb::CloseTicketRequest { id: closed.id, ..Default::default() }).await.expect_err("it is closed");

    let (id, reader_id, revoked_id) = (id_of(&scene.token).to_owned(), id_of(&reader).to_owned(), id_of(&revoked).to_owned());
    let (database, lines) = scene.audit();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let told: Vec<(String, String, String)> =
        lines.iter().map(|line| (text(line, "message"), text(line, "cause"), text(line, "token_id"))).collect();
    let row = |message: &str, cause: &str, token_id: &str| (message.to_owned(), cause.to_owned(), token_id.to_owned());
    let expected = [
        row("authentication failed", "missing", ""),
        row("authentication failed", "malformed", ""),
        row("authentication failed", "unknown", ""),
        row("authentication failed", "wrong secret", &id),
        row("authentication failed", "revoked", &revoked_id),
        row("permission denied", "scope missing", &reader_id),
        row("deletion refused", "TICKET_NOT_CLOSED", &id),
        row("deletion refused", "INVALID_FIELD", &id),
    ];
    assert_eq!(told, expected);
    for line in &lines {
        assert!(text(line, "peer").starts_with("127.0.0.1:"), "{line}");
        assert_eq!(line["suppressed"], 0);
        assert!(!line.to_string().contains("swordfish"), "{line}");
    }
    assert_eq!(text(&lines[5], "scope"), "messages:delete");
    assert_eq!(text(&lines[5], "path"), "/deskledger.v1.ChatMessageService/DeleteChatMessage");
    assert_eq!((lines[6]["ticket_id"].as_i64(), lines[6]["id"].as_i64()), (Some(open.id), Some(kept.id)));
    assert_eq!(lines[6]["count"], 1);
    assert_eq!((text(&lines[7], "method").as_str(), text(&lines[7], "level").as_str()), ("DELETE", "INFO"));
    assert_eq!(text(&lines[0], "level"), "WARN");

    let listed = run_on(&database, &["token", "list", "acme"]).good();
    let row =
        |id: &str| listed.lines().find(|line| line.starts_with(id)).expect("the token").rsplit('\t').next().map(str::to_owned);
    assert!(row(&id).is_some_and(|used| used.starts_with("used 20")), "{listed}");
    assert!(row(&reader_id).is_some_and(|used| used.starts_with("used 20")), "a call without its scope is one: {listed}");
    assert_eq!(row(&revoked_id).as_deref(), Some("never used"), "{listed}");
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_fill_the_log_and_is_counted() {
    let scene = Scene::new().await;
    let actor = scene.actor("garbage").await;
    let calls = 1000;
    let ask = |mut actor: Actor| async move { actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await.map(|_| ()) };
    for _ in 0..calls / 100 {
        for outcome in join_all((0..100).map(|_| ask(actor.clone()))).await {
            outcome.expect_err("the token is bad");
        }
    }
    let (_, lines) = scene.audit();
    let suppressed: u64 = lines.iter().map(|line| line["suppressed"].as_u64().expect("a count")).sum();
    assert!(lines.len() >= 100, "the first are written: {}", lines.len());
    assert!(lines.len() < calls, "not all are: {}", lines.len());
    assert!(lines.len() as u64 + suppressed <= calls as u64);
}
