//! The drill of docs/OPERATIONS.md: a backup by `pg_dump` is restored, and whoever has the log's key can tell a whole one from an older one.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use tonic::transport::Endpoint;

use crate::commands::program::{Service, deskledger, run, run_on};
use crate::support::database::TestDatabase;
use crate::support::world::TestKey;
use crate::support::{Actor, pb};

/// One of the programs beside the server's own.
async fn postgres_program(database: &TestDatabase, name: &str) -> Command {
    let folder: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
        .fetch_one(&mut database.connect().await)
        .await
        .expect("the server says where its programs are");
    Command::new(PathBuf::from(folder).join(name))
}

/// The options by which these programs reach a database.
fn reaching<'a>(command: &'a mut Command, database: &TestDatabase) -> &'a mut Command {
    let options = &database.options;
    let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |folder| folder.display().to_string());
    let name = options.get_database().expect("a name");
    command.args([
        "--host",
        &host,
        "--port",
        &options.get_port().to_string(),
        "--username",
        options.get_username(),
        "--dbname",
        name,
    ])
}

async fn dump(database: &TestDatabase, file: &str) {
    let mut command = postgres_program(database, "pg_dump").await;
    run(reaching(&mut command, database).args(["--format=custom", "--file", file])).good();
}

async fn restored(server: &TestDatabase, file: &str) -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    let mut command = postgres_program(server, "pg_restore").await;
    run(reaching(&mut command, &database).args(["--exit-on-error", file])).good();
    database
}

fn serve(database: &TestDatabase, key: &TestKey) -> Command {
    let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("DATABASE_URL", database.url());
    command.env("DESKLEDGER_LOG_KEY_FILE", key.key_file()).env("DESKLEDGER_LOG_STATE_FILE", key.state_file());
    command
}

async fn caller(service: &mut Service, token: &str) -> Actor {
    let address = service.address();
    service.ready();
    Actor::new(Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens"), token)
}

fn stop(service: Service) {
    service.signal(Signal::SIGTERM);
    assert_eq!(service.end().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_whole_and_one_that_lacks_signed_deletions_is_refused_by_who_has_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (database, key) = (TestDatabase::create().await, TestKey::new());
    run_on(&database, &["application", "create", "acme"]).good();
    let scopes = "tickets:read,tickets:write,messages:read,messages:write,messages:delete,logs:read";
    let token = run_on(&database, &["token", "create", "acme", "--name", "drill", "--scopes", scopes]).good();
    let token = token.trim();
    let mut service = Service::start(&mut serve(&database, &key));
    let mut actor = caller(&mut service, token).await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    actor.delete_with_receipt(ticket.id, messages[0].id).await.expect("it is deleted");
    dump(&database, &file("older")).await;
    let deleted = actor.delete_with_receipt(ticket.id, messages[1].id).await.expect("it is deleted");
    assert!(!deleted.receipt.is_empty(), "somebody has the receipt");
    let (listed, logged) = (actor.list(ticket.id).await, actor.log().await);
    stop(service);
    dump(&database, &file("newest")).await;

    let older = restored(&database, &file("older")).await;
    let refused = run(&mut serve(&older, &key)).failed(1);
    assert!(refused.contains("Was an older backup restored?"), "{refused}");

    let newest = restored(&database, &file("newest")).await;
    let mut service = Service::start(&mut serve(&newest, &key));
    let mut actor = caller(&mut service, token).await;
    assert_eq!((actor.list(ticket.id).await, actor.log().await), (listed, logged));
    // It goes on where it was: new ids, the same log.
    let next = actor.delete_with_receipt(ticket.id, messages[2].id).await.expect("it is deleted");
    assert!(next.deletion_log.expect("its entry").id > deleted.deletion_log.expect("its entry").id);
    let request = pb::GetConsistencyProofRequest { old_tree_size: 2, new_tree_size: 3 };
    actor.logs.get_consistency_proof(request).await.expect("the log before the backup is the beginning of this one");
    stop(service);
    run_on(&newest, &["log", "verify", "acme"]).good();
}
