//! Erasing old entries of the deletion log: what is personal goes for good, and everything that was proved stays provable.

use chrono::TimeDelta;
use deskledger::domain::proof::Hash;
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::entry::Entry;
use deskledger::domain::proof::receipt::Receipt;
use deskledger::domain::proof::tree::{Head, check_consistency, check_inclusion};
use sqlx::Row;
use tonic::Code;

use crate::commands::program::run_on;
use crate::support::actor::customer_message;
use crate::support::database::as_bytes;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

/// Stands in every text of an old entry's record.
const CANARY: &str = "canary-7c2d";
pub(super) const YEAR: TimeDelta = TimeDelta::days(365);
/// Long before any clock of a machine that runs this, and long after.
pub(super) const OLD: &str = "2020-02-01T08:00:00Z";
const FUTURE: &str = "2200-02-01T08:00:00Z";

/// A deletion at a time, with its log entry and its receipt.
pub(super) struct Deleted {
    pub(super) log: pb::DeletionLog,
    receipt: String,
}

/// Deletes this many messages of a new ticket, all sent, closed and deleted at this time.
pub(super) async fn deleted_at(world: &World, actor: &mut Actor, time: &str, count: usize) -> Vec<Deleted> {
    world.clock.set(time);
    let ticket = actor.open_ticket().await;
    let sent = |number| pb::ChatMessage { user_sendbird_id: CANARY.to_owned(), ..customer_message(&format!("message {number}")) };
    let messages = actor.send_all(ticket.id, (0..count).map(sent).collect()).await;
    actor.close(ticket.id).await;
    let mut all = Vec::new();
    for message in messages {
        let agent =
            pb::Agent { id: 4, display_name: CANARY.to_owned(), sendbird_id: CANARY.to_owned(), email: format!("{CANARY}@x.org") };
        let request = pb::DeleteChatMessageRequest {
            ticket_id: ticket.id,
            id: message.id,
            requested_by: Some(agent),
            reason: pb::DeletionReason::PrivacyRequest as i32,
            reason_detail: format!("asked by {CANARY}"),
            wait_for_receipt: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            ..Default::default()
        };
        let answer = actor.messages.delete_chat_message(request).await.expect("it may be deleted").into_inner();
        all.push(Deleted { log: answer.deletion_log.expect("a log entry"), receipt: answer.receipt });
    }
    all
}

async fn list(actor: &mut Actor, day: &str) -> pb::ListDeletionLogsResponse {
    let filter = pb::DeletionLogFilter { start_date: day.to_owned(), end_date: day.to_owned(), ..Default::default() };
    let request = pb::ListDeletionLogsRequest { filter: Some(filter), ..Default::default() };
    actor.logs.list_deletion_logs(request).await.expect("a page").into_inner()
}

async fn head(world: &World, actor: &mut Actor) -> Head {
    let answer = actor.logs.get_checkpoint(pb::GetCheckpointRequest {}).await.expect("a checkpoint").into_inner();
    checkpoint::open(&answer.checkpoint, &world.key.as_ref().expect("a key").verifier_key("acme")).expect("a good one")
}

fn hashes(hashes: &[Vec<u8>]) -> Vec<Hash> {
    hashes.iter().map(|bytes| Hash(bytes.as_slice().try_into().expect("32 bytes"))).collect()
}

fn verified(world: &World) -> String {
    run_on(&world.database, &["log", "verify"]).good()
}

/// What `log verify` says of a log that is not good.
fn flaw(world: &World) -> String {
    let ended = run_on(&world.database, &["log", "verify"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended.stdout
}

#[tokio::test]
async fn what_is_personal_in_an_old_entry_is_in_no_row_after_its_erasure() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let old = deleted_at(&world, &mut actor, OLD, 2).await;
    let before = world.database.every_row().await;
    for text in [CANARY.to_owned(), as_bytes(CANARY)] {
        assert_eq!(before.contains(&text), text == CANARY, "the canary is where it is looked for");
    }
    let salts = "select string_agg(encode(salt, 'hex') || ' ' || encode(content_salt, 'hex'), ' ') from log_leaves join deletion_logs on id = deletion_log_id";
    let salts: String = sqlx::query_scalar(salts).fetch_one(&mut world.database.connect().await).await.expect("the salts");
    world.clock.set("2026-03-15T12:00:00Z");

    let erased = world.app.retain_logs(YEAR).await.expect("it is erased");

    assert_eq!(erased, 2);
    let after = world.database.every_row().await;
    let gone = [CANARY.to_owned(), as_bytes(CANARY)].into_iter().chain(salts.split(' ').map(str::to_owned));
    for text in gone {
        assert!(!after.contains(&text), "{text}");
    }
    let messages = actor.list(old[0].log.ticket_id).await;
    for message in messages {
        assert_eq!((message.user_sendbird_id.as_str(), message.requested_by), ("", None), "the tombstone forgets them, too");
        assert!(message.delete_time.is_some());
    }
}

#[tokio::test]
async fn an_erased_entry_says_so_and_is_listed_with_what_stays() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let mut old = deleted_at(&world, &mut actor, OLD, 1).await;
    let log = old.remove(0).log;
    world.clock.set("2026-03-15T12:00:00.000001Z");
    world.clock.freeze();
    world.app.retain_logs(YEAR).await.expect("it is erased");

    let get = pb::GetDeletionLogRequest { ticket_id: log.ticket_id, id: log.id };
    let receipt = pb::GetReceiptRequest { ticket_id: log.ticket_id, id: log.id };
    let refusals = [
        refusal(&actor.logs.get_deletion_log(get).await.expect_err("it is erased")),
        refusal(&actor.logs.get_receipt(receipt).await.expect_err("it is erased")),
    ];
    for refused in refusals {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "DELETION_LOG_ERASED"));
        assert_eq!(refused.message, "The record of the specified deletion was erased at 2026-03-15T12:00:00.000001Z.");
        assert_eq!(refused.metadata["erase_time"], "2026-03-15T12:00:00.000001Z");
    }
    let listed = list(&mut actor, "2020-02-01").await;
    let stays = pb::DeletionLog {
        user_sendbird_id: String::new(),
        requested_by: None,
        reason_detail: String::new(),
        token_id: String::new(),
        erase_time: Some(prost_types::Timestamp { seconds: 1_773_576_000, nanos: 1000 }),
        ..log
    };
    assert_eq!((listed.deletion_logs, listed.total_size), (vec![stays], 1));
}

#[tokio::test]
async fn every_proof_stays_good_after_an_erasure() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let old = deleted_at(&world, &mut actor, OLD, 3).await;
    let before = head(&world, &mut actor).await;
    let tile = "select hashes from log_tiles where level = 0";
    let tile_before: Vec<u8> = sqlx::query_scalar(tile).fetch_one(&mut world.database.connect().await).await.expect("a tile");
    world.clock.set("2026-03-15T12:00:00Z");
    world.app.retain_logs(YEAR).await.expect("they are erased");
    deleted_at(&world, &mut actor, "2026-03-15T12:00:01Z", 1).await;
    let after = head(&world, &mut actor).await;

    assert_eq!((before.size, after.size), (3, 5), "the erasure is an entry, too");
    let tile_after: Vec<u8> = sqlx::query_scalar(tile).fetch_one(&mut world.database.connect().await).await.expect("a tile");
    assert!(tile_after.starts_with(&tile_before));
    let request = pb::GetConsistencyProofRequest { old_tree_size: 3, new_tree_size: 5 };
    let proof = actor.logs.get_consistency_proof(request).await.expect("a proof").into_inner();
    check_consistency(&hashes(&proof.hashes), after, before).expect("a good proof");
    for (index, Deleted { log, receipt }) in (0_u64..).zip(&old) {
        let request = pb::GetInclusionProofRequest { ticket_id: log.ticket_id, id: log.id, ..Default::default() };
        let proof = actor.logs.get_inclusion_proof(request).await.expect("a proof").into_inner();
        let entry = Entry(proof.entry.try_into().expect("32 bytes"));
        check_inclusion(&hashes(&proof.hashes), after, index, entry.leaf_hash()).expect("a good proof");
        // Who kept the receipt can still prove what the service has forgotten.
        let key = world.key.as_ref().expect("a key").verifier_key("acme");
        let kept = Receipt::parse(receipt).expect("a receipt");
        assert_eq!(kept.opening.entry(), entry);
        kept.verify(&key).expect("a good receipt");
    }
    assert_eq!(verified(&world), "acme: 5 entries, 3 of them erased, all others as their rows say\n");
}

#[tokio::test]
async fn recent_entries_and_those_of_held_tickets_are_not_erased_until_they_may_be() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let held = deleted_at(&world, &mut actor, OLD, 1).await.remove(0).log;
    let old = deleted_at(&world, &mut actor, OLD, 1).await.remove(0).log;
    let recent = deleted_at(&world, &mut actor, "2026-03-14T12:00:00Z", 1).await.remove(0).log;
    actor.place_hold(held.ticket_id).await;
    world.clock.set("2026-03-15T12:00:00Z");
    let erased = async || {
        let statement = "select id from deletion_logs where erase_time is not null order by id";
        let ids: Vec<i64> = sqlx::query_scalar(statement).fetch_all(&mut world.database.connect().await).await.expect("the ids");
        ids
    };

    assert_eq!(world.app.retain_logs(YEAR).await.expect("it is erased"), 1);
    assert_eq!(erased().await, [old.id]);
    assert_eq!(world.app.retain_logs(YEAR).await.expect("nothing is left"), 0);
    actor.release_hold(held.ticket_id).await;
    assert_eq!(world.app.retain_logs(YEAR).await.expect("it is erased"), 1);
    assert_eq!(erased().await, [held.id, old.id]);
    let traces: i64 = sqlx::query_scalar("select count(*) from log_erasures")
        .fetch_one(&mut world.database.connect().await)
        .await
        .expect("a count");
    assert_eq!(traces, 2, "what erases nothing leaves no trace");
    assert!(recent.id > old.id);
}

#[tokio::test]
async fn the_database_erases_nothing_that_is_younger_than_thirty_days_whatever_it_is_told() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let ages = "select to_char(now() at time zone 'UTC' - age, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        from unnest(array['29 days 23 hours', '30 days 1 hour']::interval[]) age";
    let times: Vec<String> = sqlx::query_scalar(ages).fetch_all(&mut world.database.connect().await).await.expect("times");
    let young = deleted_at(&world, &mut actor, &times[0], 1).await.remove(0).log;
    let old = deleted_at(&world, &mut actor, &times[1], 1).await.remove(0).log;

    let row = sqlx::query("select * from erase_deletion_logs(1, 'infinity', now(), 'COMMAND', null, null, 100)");
    let row = row.fetch_one(&mut world.database.connect().await).await.expect("an answer");

    assert_eq!((row.get::<i64, _>("examined"), row.get::<i64, _>("erased")), (1, 1));
    let get = |log: &pb::DeletionLog| pb::GetDeletionLogRequest { ticket_id: log.ticket_id, id: log.id };
    assert!(actor.logs.get_deletion_log(get(&young)).await.is_ok());
    assert!(actor.logs.get_deletion_log(get(&old)).await.is_err());
}

#[tokio::test]
async fn tampering_with_what_an_erasure_left_or_did_is_found() {
    let changes = [
        ("update deletion_logs set message_id = 9 where erase_time is not null", "entry 0: the message of the deletion log 1 of ticket 1 is not there, or not deleted"),
        ("update deletion_logs set reason = 'SPAM' where erase_time is not null", "what stays of the entries 0 to 1 that the erasure 1 erased is not what stayed then"),
        ("update deletion_logs set delete_time = now() where id = 1", "what stays of the entries 0 to 1 that the erasure 1 erased is not what stayed then"),
        ("update log_leaves set entry = sha256(entry) where leaf_index = 1", "the first 5 entries do not make the root"),
        ("update log_erasures set older_than = now()", "entry 3: the erasure 1 is not what the entry was made of"),
        ("update log_erasures set leaf_indexes = '{0}'", "entry 3: the erasure 1 is not what the entry was made of"),
        ("delete from log_erasures", "entry 3: the erasure 1 is not there"),
        (
            "update log_leaves set salt = null where leaf_index = 2;
             update deletion_logs set erase_time = now(), content_salt = null, user_sendbird_id = '', requested_by = null, reason_detail = '',
                token_id = '' where id = 3",
            "entry 2 is erased, and no erasure tells of it",
        ),
        ("update log_leaves set salt = null where leaf_index = 2", "entry 2: the deletion log 3 of ticket 2 is not what the entry was made of"),
        ("update log_leaves set salt = sha256('') where leaf_index = 0", "entry 0: the deletion log 1 of ticket 1 is not what the entry was made of"),
    ];
    for (change, expected) in changes {
        let world = World::signing().await;
        let mut actor = world.actor().await;
        deleted_at(&world, &mut actor, OLD, 2).await;
        deleted_at(&world, &mut actor, "2026-03-15T12:00:00Z", 1).await;
        world.app.retain_logs(YEAR).await.expect("they are erased");
        deleted_at(&world, &mut actor, "2026-03-15T13:00:00Z", 1).await;
        assert_eq!(verified(&world), "acme: 5 entries, 2 of them erased, all others as their rows say\n");
        world.database.run(change).await;
        assert_eq!(flaw(&world), format!("acme: {expected}\n"), "{change}");
    }
}

#[tokio::test]
async fn an_operator_erases_by_age_and_application() {
    let world = World::signing().await;
    let (mut actor, mut other) = (world.actor().await, world.actor_of("other").await);
    for actor in [&mut actor, &mut other] {
        deleted_at(&world, actor, OLD, 2).await;
        deleted_at(&world, actor, FUTURE, 1).await;
    }
    let erase = |arguments: &[&str]| run_on(&world.database, &[&["log", "erase"], arguments].concat());

    assert_eq!(erase(&["--older-than-days", "400", "acme"]).good(), "acme: 2 entries erased\n");
    assert_eq!(erase(&["--older-than-days", "400"]).good(), "acme: 0 entries erased\nother: 2 entries erased\n");

    let causes: Vec<String> = sqlx::query_scalar("select cause from log_erasures")
        .fetch_all(&mut world.database.connect().await)
        .await
        .expect("the causes");
    assert_eq!(causes, ["COMMAND", "COMMAND"]);
    assert!(erase(&["--older-than-days", "400", "nobody"]).failed(1).contains("there is no application nobody"));
    for days in ["29", "36501"] {
        assert!(erase(&["--older-than-days", days]).failed(2).contains("is not in 30..=36500"), "{days}");
    }
    assert!(erase(&[]).failed(2).contains("--older-than-days"));
}

#[tokio::test]
async fn a_service_with_a_retention_erases_by_itself_and_one_without_never() {
    assert_eq!(default_settings().log_retention(), None);
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let old = deleted_at(&world, &mut actor, OLD, 1).await.remove(0).log;
    let (key, token) = (world.key.clone().expect("a key"), actor.token.clone());
    let mut settings = default_settings();
    settings.log_retention_days = Some(365);

    let world = World::signing_on(world.into_database().await, key, settings).await;
    let mut actor = Actor::new(world.channel().await, &token);
    let get = pb::GetDeletionLogRequest { ticket_id: old.ticket_id, id: old.id };
    let erased = async { while actor.logs.get_deletion_log(get).await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), erased).await.expect("it is erased");

    let cause: String = sqlx::query_scalar("select cause from log_erasures")
        .fetch_one(&mut world.database.connect().await)
        .await
        .expect("the cause");
    assert_eq!(cause, "RETENTION");
}
