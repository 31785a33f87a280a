//! The log's trees under many hands and sudden deaths: nothing is lost, repeated or put into another order, and what was signed stays.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deskledger::app::{App, LogSequencer};
use deskledger::domain::caller::Caller;
use deskledger::domain::deletion::Grounds;
use deskledger::domain::ids::{ChatMessageId, TicketId};
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::tile::TileId;
use deskledger::domain::proof::tree::{Head, Tiles, check_consistency};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{PgConnection, Row};
use tokio::task::spawn_blocking;

use super::PATIENCE;
use super::invariants::assert_sound;
use crate::commands::program::{Service, deskledger, run, run_on};
use crate::support::clock::TestClock;
use crate::support::database::TestDatabase;
use crate::support::world::{TestKey, app_settings, default_settings};
use crate::support::{Actor, World};

const KILLS: usize = 50;
/// How many tickets the load is spread over, and how many messages of each are deleted in the life of one process.
const TICKETS: usize = 20;
const PER_LIFE: usize = 8;
/// How often at most the database is looked at before the next kill: a life is longer or shorter than its load.
const LOOKS: u32 = 6000;

/// Tickets whose messages may be deleted, and who may.
struct Load {
    database: TestDatabase,
    app: Arc<App>,
    caller: Caller,
    tickets: Vec<(TicketId, Vec<ChatMessageId>)>,
}

impl Load {
    /// Made through the doors of a service that is gone then: nobody sequences.
    async fn new(messages: usize) -> Self {
        let world = World::new().await;
        let mut actor = world.actor().await;
        let mut tickets = Vec::new();
        for _ in 0..TICKETS {
            let (ticket, messages) = actor.closed_ticket_with(messages).await;
            tickets.push((TicketId(ticket.id), messages.iter().map(|message| ChatMessageId(message.id)).collect()));
        }
        let token = actor.token.clone();
        let database = world.into_database().await;
        let app = Arc::new(App::new(database.pool(8), Arc::new(TestClock::new()), app_settings(&default_settings())));
        let caller = app.authenticate(&token, None).await.expect("the token is good");
        Self { database, app, caller, tickets }
    }

    /// Deletes some messages of every ticket, one after the other in each.
    async fn delete(&self, messages: Range<usize>) {
        let of_ticket = |(ticket_id, ids): &(TicketId, Vec<ChatMessageId>)| {
            let (ticket_id, ids) = (*ticket_id, ids[messages.clone()].to_vec());
            async move {
                for id in ids {
                    let grounds = Grounds::default();
                    self.app.delete_chat_message(&self.caller, ticket_id, id, grounds, None).await.expect("it may be deleted");
                }
            }
        };
        join_all(self.tickets.iter().map(of_ticket)).await;
    }

    /// The checkpoint that is published now, if there is one.
    async fn checkpoint(&self) -> Option<String> {
        let statement = "select checkpoint from log_heads where application_key = 1";
        sqlx::query_scalar(statement).fetch_one(&mut self.database.connect().await).await.expect("the head")
    }

    /// All tiles of the tree.
    async fn tiles(&self) -> Tiles {
        let statement = "select level, tile_index, hashes from log_tiles where application_key = 1";
        let rows = sqlx::query(statement).fetch_all(&mut self.database.connect().await).await.expect("the tiles");
        let mut tiles = Tiles::default();
        for row in rows {
            let (level, index): (i16, i64) = (row.get(0), row.get(1));
            tiles.insert(TileId { level: u8::try_from(level).expect("small"), index: index.unsigned_abs() }, row.get(2));
        }
        tiles
    }

    async fn waiting(&self) -> i64 {
        waiting(&mut self.database.connect().await).await
    }

    /// Checks that the log holds just what was deleted, and that all heads that were ever seen are heads of its past.
    async fn assert_whole(&self, deleted: usize, seen: &BTreeMap<u64, String>, key: &TestKey) {
        assert_sound(&self.database).await;
        let verified = run_on(&self.database, &["log", "verify"]).good();
        assert_eq!(verified, format!("acme: {deleted} entries, all as their rows say\n"));
        let tiles = self.tiles().await;
        let heads: Vec<Head> =
            seen.values().map(|text| checkpoint::open(text, &key.verifier_key("acme")).expect("signed")).collect();
        let last = heads.last().expect("heads were seen");
        for head in &heads {
            let proof = tiles.consistency(head.size, last.size).expect("all tiles are there");
            check_consistency(&proof, *last, *head).expect("a head of the past");
        }
    }
}

async fn waiting(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from pending_leaves").fetch_one(connection).await.expect("a count")
}

/// Keeps what is published, by the size of the tree. Two checkpoints of one size must be the same.
fn see(seen: &mut BTreeMap<u64, String>, checkpoint: Option<String>) {
    let Some(text) = checkpoint else { return };
    let size = checkpoint::head_of(&text).expect("a checkpoint").size;
    let first = seen.entry(size).or_insert_with(|| text.clone());
    assert_eq!(*first, text, "one tree of {size} entries");
}

#[tokio::test]
async fn many_sequencers_at_once_make_one_log() {
    let load = Load::new(40).await;
    let key = TestKey::new();
    let done = AtomicBool::new(false);
    let sequence = |_| async {
        let mut sequencer = LogSequencer::new(Some(key.signer()));
        let mut seen = BTreeMap::new();
        while !done.load(Ordering::Relaxed) || load.waiting().await > 0 {
            sequencer.run(&load.app).await.expect("the database is there");
            sequencer.release(&load.app).await.expect("the database is there");
            see(&mut seen, load.checkpoint().await);
        }
        sequencer.run(&load.app).await.expect("the database is there");
        see(&mut seen, load.checkpoint().await);
        seen
    };
    let deletes = async {
        load.delete(0..40).await;
        done.store(true, Ordering::Relaxed);
    };
    let ((), all) = tokio::join!(deletes, join_all((0..4).map(sequence)));

    let mut seen = BTreeMap::new();
    for text in all.into_iter().flat_map(BTreeMap::into_values) {
        see(&mut seen, Some(text));
    }
    assert!(seen.len() > 2, "it grew step by step: {:?}", seen.keys());
    load.assert_whole(TICKETS * 40, &seen, &key).await;
}

#[tokio::test]
async fn a_sequencer_killed_fifty_times_under_a_load_of_deletes_loses_repeats_and_reorders_nothing() {
    let mut random = StdRng::seed_from_u64(20_261_121);
    let load = Load::new(KILLS * PER_LIFE).await;
    let key = TestKey::new();
    let serve = || serve(&load.database, &key, &key.state_file());
    let (mut seen, mut observer) = (BTreeMap::new(), load.database.connect().await);
    for life in 0..KILLS {
        let service = started(serve()).await;
        let looks = random.random_range(0..LOOKS);
        let kill = async {
            for _ in 0..looks {
                waiting(&mut observer).await;
            }
            service.killed()
        };
        tokio::join!(load.delete(life * PER_LIFE..(life + 1) * PER_LIFE), kill);
        see(&mut seen, load.checkpoint().await);
    }

    let service = started(serve()).await;
    let emptied = async { while load.waiting().await > 0 {} };
    tokio::time::timeout(PATIENCE, emptied).await.expect("what waited is taken");
    service.signal(Signal::SIGTERM);
    let (code, log) = spawn_blocking(move || service.end()).await.expect("it ends");
    assert_eq!(code, Some(0), "{log}");
    see(&mut seen, load.checkpoint().await);
    let deleted = TICKETS * PER_LIFE * KILLS;
    assert!(seen.len() > 10, "it grew between the kills: {:?}", seen.keys());
    assert_eq!(seen.keys().last(), Some(&(deleted as u64)), "all is signed in the end");
    load.assert_whole(deleted, &seen, &key).await;
}

/// A service as a process, which signs with this key.
fn serve(database: &TestDatabase, key: &TestKey, state: &Path) -> Command {
    let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("DATABASE_URL", database.service_url());
    command.env("DESKLEDGER_LOG_KEY_FILE", key.key_file()).env("DESKLEDGER_LOG_STATE_FILE", state);
    command
}

async fn started(mut command: Command) -> Service {
    let start = move || {
        let mut service = Service::start(&mut command);
        service.ready();
        service
    };
    spawn_blocking(start).await.expect("it starts")
}

#[tokio::test]
async fn a_restored_older_database_is_refused_and_one_that_went_on_is_not() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let token = actor.token.clone();
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    actor.delete_with_receipt(ticket.id, messages[0].id).await.expect("it may be deleted");
    let key = world.key.clone().expect("a key");
    let database = world.into_database().await;
    let backup = database.copy().await;

    // Life goes on: another head is signed and seen.
    let world = World::signing_on(database, key.clone(), default_settings()).await;
    let mut actor = Actor::new(world.channel().await, &token);
    actor.delete(ticket.id, messages[1].id).await.expect("it may be deleted");
    let receipt = actor.delete_with_receipt(ticket.id, messages[2].id).await.expect("it may be deleted").receipt;
    assert!(receipt.contains("\ndesk.example.com/log/acme\n3\n"), "{receipt}");
    let database = world.into_database().await;

    let refused = run(&mut serve(&backup, &key, &key.state_file())).failed(1);
    let told = "the database is not the one whose log was signed: the tree has 1 entries, and 3 was asked for. Was an older backup restored?";
    assert!(refused.contains(told), "{refused}");
    started(serve(&database, &key, &key.state_file())).await;

    database.run("update log_tiles set hashes = sha256(hashes) || substr(hashes, 33) where level = 0").await;
    let refused = run(&mut serve(&database, &key, &key.state_file())).failed(1);
    assert!(refused.contains("the tiles do not make the root of the signed tree of 3 entries"), "{refused}");
}
