//! An upgrade without downtime: an older program and this one side by side on one database, under load, while this one's migrations run; and
//! the way back. Behind the feature `test-with-tools`, because it needs an older program: `.ci/upgrade` builds one from this repository's
//! history.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Endpoint;

use crate::commands::program::{Service, deskledger, of_program, run};
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::{Actor, pb};

/// How many callers there are at a time.
const CALLERS: usize = 4;
/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// The older program with these arguments.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
fn older(arguments: &[&str]) -> Command {
    let program = std::env::var_os("DESKLEDGER_TEST_OLDER").map(PathBuf::from);
    let program = program.expect("DESKLEDGER_TEST_OLDER names the older program: run .ci/upgrade");
    of_program(&program, arguments)
}

/// The callers, and where they call.
struct Load {
    /// Each round of a caller goes to the next of these.
    targets: Arc<Mutex<Vec<Actor>>>,
    /// How many rounds each caller has done.
    rounds: Vec<watch::Receiver<usize>>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<i64>>>,
}

impl Load {
    fn start(first: Actor) -> Self {
        let (targets, stop) = (Arc::new(Mutex::new(vec![first])), Arc::new(AtomicBool::new(false)));
        let (counters, rounds): (Vec<_>, Vec<_>) = (0..CALLERS).map(|_| watch::channel(0)).unzip();
        let caller = |(caller, rounds): (usize, watch::Sender<usize>)| {
            let (targets, stop) = (targets.clone(), stop.clone());
            tokio::spawn(async move {
                let mut tickets = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let round = *rounds.borrow();
                    let target = {
                        let targets = targets.lock().expect("no caller panics with it");
                        targets[(caller + round) % targets.len()].clone()
                    };
                    tickets.push(work(target).await);
                    rounds.send_replace(round + 1);
                }
                tickets
            })
        };
        let callers = counters.into_iter().enumerate().map(caller).collect();
        Self { targets, rounds, stop, callers }
    }

    /// Waits until every caller has done this many whole rounds from now on: one that had begun is not counted.
    async fn go_on(&self, rounds: usize) {
        let reached = async {
            for counted in &self.rounds {
                let mut counted = counted.clone();
                let until = *counted.borrow() + 1 + rounds;
                counted.wait_for(|done| *done >= until).await.expect("no call fails");
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the callers go on");
    }

    /// From now on rounds go to these, and when this returns, no longer to others.
    async fn turn_to(&self, actors: &[&Actor]) {
        *self.targets.lock().expect("no caller panics with it") = actors.iter().map(|actor| (*actor).clone()).collect();
        self.go_on(0).await;
    }

    /// The tickets that were worked on.
    async fn end(self) -> Vec<i64> {
        self.stop.store(true, Ordering::SeqCst);
        let tickets = join_all(self.callers).await;
        tickets.into_iter().flat_map(|tickets| tickets.expect("no call failed")).collect()
    }
}

/// What a caller does in a ticket of its own. Every call succeeds, or is refused as it should be.
async fn work(mut actor: Actor) -> i64 {
    let ticket = actor.open_ticket().await;
    let request_id = |number: u8| format!("{number:08x}-0000-4000-8000-{:012x}", ticket.id);
    let stored = actor.send_all(ticket.id, (1..=4).map(|number| customer_message(&format!("message {number}"))).collect()).await;
    let once = pb::CreateChatMessageRequest {
        ticket_id: ticket.id,
        chat_message: Some(customer_message("once")),
        request_id: request_id(1),
    };
    let first = actor.messages.create_chat_message(once.clone()).await.expect("it is stored").into_inner();
    let again = actor.messages.create_chat_message(once).await.expect("it is answered again").into_inner();
    assert_eq!(first.chat_message.map(|message| message.id), again.chat_message.map(|message| message.id));
    assert_eq!(actor.list(ticket.id).await.len(), 5);

    let early = actor.delete(ticket.id, stored[0].id).await.expect_err("the ticket is open");
    assert_eq!(early.code(), Code::FailedPrecondition, "{early:?}");
    actor.close(ticket.id).await;
    let request =
        pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: stored[0].id, request_id: request_id(2), ..Default::default() };
    let deleted = actor.messages.delete_chat_message(request.clone()).await.expect("it is deleted").into_inner();
    let again = actor.messages.delete_chat_message(request).await.expect("it is answered again").into_inner();
    let log = deleted.deletion_log.expect("its entry");
    assert_eq!(Some(log.id), again.deletion_log.map(|log| log.id));
    actor.delete(ticket.id, stored[1].id).await.expect("it is deleted");
    let found = actor.logs.get_deletion_log(pb::GetDeletionLogRequest { ticket_id: ticket.id, id: log.id }).await;
    assert_eq!(found.expect("it is in the log").into_inner().deletion_log.map(|log| log.chat_message_id), Some(stored[0].id));

    let hold = pb::PlaceHoldRequest { id: ticket.id, reason: "a matter".to_owned(), ..Default::default() };
    actor.tickets.place_hold(hold).await.expect("it is held");
    let refused = actor.delete(ticket.id, stored[2].id).await.expect_err("the ticket is held");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let release = pb::ReleaseHoldRequest { id: ticket.id, reason: "it is over".to_owned(), ..Default::default() };
    actor.tickets.release_hold(release).await.expect("it is released");
    actor.reopen(ticket.id).await;
    let kept: Vec<String> = actor.list(ticket.id).await.into_iter().map(|message| message.message).collect();
    assert_eq!(kept, ["", "", "message 3", "message 4", "once"]);
    assert!(!actor.log().await.is_empty());
    ticket.id
}

/// What a service says of these tickets, in what both versions know: messages, and the log without its end.
async fn told(actor: &mut Actor, tickets: &[i64]) -> Vec<String> {
    let mut told = Vec::new();
    for ticket in tickets {
        for message in actor.list(*ticket).await {
            told.push(format!("{} {} {} {:?}", message.id, message.message_id, message.message, message.delete_time));
        }
    }
    let mut export =
        actor.logs.export_deletion_logs(pb::ExportDeletionLogsRequest::default()).await.expect("a stream").into_inner();
    while let Some(part) = export.message().await.expect("it goes on") {
        told.extend(part.deletion_logs.into_iter().map(|log| format!("{} {:?} {:?}", log.id, log.delete_time, log.content_digest)));
    }
    told
}

/// Serves with a program, and answers a caller of it.
async fn serve(command: &mut Command, database: &TestDatabase, key: &TempDir, token: &str) -> (Service, Actor) {
    // Each process remembers what it has signed: in a file of its own, as they may be on two machines.
    let state = tempfile::NamedTempFile::new_in(key.path()).expect("a name").into_temp_path();
    std::fs::remove_file(&state).expect("only the name is wanted");
    command.env("DATABASE_URL", database.url()).env("DESKLEDGER_LOG_KEY_FILE", key.path().join("log.key"));
    let mut service = Service::start(command.env("DESKLEDGER_LOG_STATE_FILE", &state));
    let address = service.address();
    service.ready();
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens");
    (service, Actor::new(channel, token))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_program_and_this_one_serve_side_by_side_across_the_migrations_and_no_call_fails() {
    const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
    let database = TestDatabase::create_empty().await;
    let url = database.url();
    let key = tempfile::tempdir().expect("a directory");
    let key_file = key.path().join("log.key");
    let key_file = key_file.to_str().expect("UTF-8");
    run(&mut older(&["log", "key", "generate", "desk.example.com/log", "--log-key-file", key_file])).good();
    run(older(&["migrate"]).env("DATABASE_URL", &url)).good();
    run(older(&["application", "create", "acme"]).env("DATABASE_URL", &url)).good();
    let scopes = "tickets:read,tickets:write,messages:read,messages:write,messages:delete,holds:write,logs:read";
    let token = run(older(&["token", "create", "acme", "--name", "load", "--scopes", scopes]).env("DATABASE_URL", &url)).good();
    let token = token.trim();

    let (old, before) = serve(&mut older(&SERVE), &database, &key, token).await;
    let load = Load::start(before.clone());
    load.go_on(2).await;
    run(deskledger(&["migrate"]).env("DATABASE_URL", &url)).good();
    load.go_on(2).await;
    let (new, after) = serve(&mut deskledger(&SERVE), &database, &key, token).await;
    load.turn_to(&[&before, &after]).await;
    load.go_on(3).await;

    // The older one goes.
    load.turn_to(&[&after]).await;
    old.signal(Signal::SIGTERM);
    assert_eq!(old.end().0, Some(0));
    load.go_on(2).await;

    // And the way back: it comes again, on the newer database, and takes over.
    let (old, mut before) = serve(&mut older(&SERVE), &database, &key, token).await;
    load.turn_to(&[&before]).await;
    load.go_on(2).await;
    load.turn_to(&[&before, &after]).await;
    let tickets = load.end().await;
    assert!(tickets.len() >= CALLERS * 8, "{} rounds", tickets.len());

    let mut after = after;
    let told_by_old = told(&mut before, &tickets).await;
    assert!(told_by_old.len() >= tickets.len() * 7, "five messages and two deletions of each ticket");
    assert_eq!(told_by_old, told(&mut after, &tickets).await);
    for mut service in [old, new] {
        service.signal(Signal::SIGTERM);
        service.logged("stopped");
        let (code, log) = service.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("ERROR"), "{log}");
    }
    // What both have logged and signed is one log. What the older one does not log itself is taken in by the next that starts.
    let (last, _) = serve(&mut deskledger(&SERVE), &database, &key, token).await;
    last.signal(Signal::SIGTERM);
    assert_eq!(last.end().0, Some(0));
    run(deskledger(&["log", "verify", "acme"]).env("DATABASE_URL", &url).env("DESKLEDGER_LOG_KEY_FILE", key_file)).good();
}
