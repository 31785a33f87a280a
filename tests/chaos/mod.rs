//! Sudden deaths under load: the service and its database are killed, again and again, while callers create, delete and ingest.
//! `DESKLEDGER_TEST_KILLS` makes it longer (docs/TESTING.md).

mod load;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::block_in_place;

use self::load::{Acknowledged, Load};
use crate::commands::program::{Service, deskledger, run_on};
use crate::storage::invariants::assert_sound;
use crate::support::database::TestDatabase;
use crate::support::own_server::OwnServer;

/// How many calls are acknowledged between two deaths.
const CALLS_PER_LIFE: usize = 25;
/// How long the load may take for them, with all that has to start again.
const PATIENCE: Duration = Duration::from_mins(3);

/// Who dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    Service,
    Database,
}

/// The deaths in a random order: a number of the service's, and three for each ten of the database's.
fn deaths() -> Vec<Death> {
    #[expect(clippy::disallowed_methods, reason = "settings of the tests, not of the service")]
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let of_service = usize::try_from(variable("DESKLEDGER_TEST_KILLS").unwrap_or(4)).expect("a small number");
    let of_database = (of_service * 3 / 10).max(2);
    let seed = variable("DESKLEDGER_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    println!("DESKLEDGER_TEST_SEED={seed} DESKLEDGER_TEST_KILLS={of_service}");
    let mut deaths = [vec![Death::Service; of_service], vec![Death::Database; of_database]].concat();
    deaths.shuffle(&mut StdRng::seed_from_u64(seed));
    deaths
}

fn serve(database: &TestDatabase, address: &str) -> Service {
    let mut command = deskledger(&["serve", "--listen", address, "--database-connections", "12"]);
    Service::start(command.env("DATABASE_URL", database.service_url()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_service_and_database_are_killed_nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    let deaths = deaths();
    let mut server = block_in_place(|| OwnServer::start(60));
    let database = TestDatabase::on(&server.options()).await;
    run_on(&database, &["application", "create", "acme"]).good();
    let scopes = "tickets:read,tickets:write,messages:read,messages:write,messages:delete,logs:read";
    let token = run_on(&database, &["token", "create", "acme", "--scopes", scopes]).good();
    // The same for all its lives.
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let begun = Instant::now();
    let mut service = serve(&database, &address);
    block_in_place(|| service.ready());
    let mut load = Load::start(&address, token.trim()).await;

    for death in &deaths {
        load.acknowledged_more(CALLS_PER_LIFE, PATIENCE).await;
        match death {
            Death::Service => {
                block_in_place(|| service.killed());
                service = serve(&database, &address);
            }
            Death::Database => block_in_place(|| server.kill_and_restart()),
        }
    }
    load.acknowledged_more(CALLS_PER_LIFE, PATIENCE).await;
    let acknowledged = load.end().await;

    let mut connection = database.connect().await;
    all_in_the_tree(&mut connection).await;
    block_in_place(|| service.stopped());
    assert_kept(&mut connection, &acknowledged).await;
    assert_sound(&database).await;
    let deletions = acknowledged.deletions();
    let verified = run_on(&database, &["log", "verify"]).good();
    assert_eq!(verified, format!("acme: {deletions} entries, all as their rows say\n"));
    println!(
        "{} deaths in {:?}: {} messages created, {} ingested, {} deletions, {} calls repeated",
        deaths.len(),
        begun.elapsed(),
        acknowledged.created.len(),
        acknowledged.ingested.len(),
        deletions,
        acknowledged.repeated,
    );
}

/// Waits until every deletion is in the log's tree.
async fn all_in_the_tree(connection: &mut PgConnection) {
    let waiting = "select count(*) from pending_leaves";
    let taken = async { while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *connection).await.expect("a count") > 0 {} };
    tokio::time::timeout(PATIENCE, taken).await.expect("what waits is taken");
}

/// What is there is what was acknowledged, each once.
async fn assert_kept(connection: &mut PgConnection, acknowledged: &Acknowledged) {
    let created = ids(connection, "select id from chat_messages where external_id like 'created %'").await;
    assert_same("created messages", &created, acknowledged.created.values());
    let ingested = ids(connection, "select id from chat_messages where external_id not like 'created %'").await;
    assert_same("ingested messages", &ingested, acknowledged.ingested.values());
    let logged = ids(connection, "select chat_message_id from deletion_logs where token_id <> '' order by id").await;
    assert_same("deletions", &logged, acknowledged.deleted.keys().chain(&acknowledged.deleted_by_ingest));
    for (id, log_id) in &acknowledged.deleted {
        let found = ids(connection, &format!("select id from deletion_logs where chat_message_id = {id}")).await;
        assert_eq!(found, [*log_id], "the deletion of {id} is the one that was answered");
    }
    let leaves = ids(connection, "select deletion_log_id from log_leaves where deletion_log_id is not null").await;
    let rows = ids(connection, "select id from deletion_logs").await;
    assert_same("entries of the tree", &leaves, &rows);
}

async fn ids(connection: &mut PgConnection, statement: &str) -> Vec<i64> {
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_all(connection).await.expect("the rows")
}

fn assert_same<'a>(what: &str, found: &[i64], expected: impl IntoIterator<Item = &'a i64>) {
    let distinct: BTreeSet<i64> = found.iter().copied().collect();
    let expected: BTreeSet<i64> = expected.into_iter().copied().collect();
    let lost: Vec<_> = expected.difference(&distinct).collect();
    let unknown: Vec<_> = distinct.difference(&expected).collect();
    assert!(lost.is_empty() && unknown.is_empty(), "{what}: lost {lost:?}, never acknowledged {unknown:?}");
    assert_eq!(found.len(), distinct.len(), "{what}: each is there once");
}
