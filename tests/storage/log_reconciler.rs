//! Tombstones, log rows and entries that do not belong together are found and named, by the command and by the service itself.

use deskledger::storage::log_sequencer;

use crate::commands::program::run_on;
use crate::support::World;
use crate::support::database::TestDatabase;

#[tokio::test]
async fn a_tombstone_without_a_log_row_and_a_log_row_without_a_tombstone_are_named() {
    let unlogged = "the message 3 of ticket 1 is deleted, and no log row tells of it";
    let changes = [
        // Erased behind the service's back.
        ("update chat_messages set delete_time = now(), requested_from = 'DASHBOARD', message = '' where id = 3", unlogged),
        (
            "update chat_messages set delete_time = null, requested_from = null, message = 'back' where id = 2",
            "entry 1: the message of the deletion log 2 of ticket 1 is not there, or not deleted",
        ),
        (
            "alter table tickets drop constraint if exists tickets_message_count_check; delete from chat_messages where id = 1",
            "entry 0: the message of the deletion log 1 of ticket 1 is not there, or not deleted",
        ),
        ("delete from deletion_logs where id = 2", "entry 1: the deletion log 2 of ticket 1 is not there"),
        ("delete from log_leaves where leaf_index = 1", "entry 1 is not in the table of leaves"),
        (
            "create temporary table again as select * from deletion_logs where id = 2;
             update again set id = 9, chat_message_id = 3, message_id = 3; insert into deletion_logs select * from again",
            "the deletion log 9 of ticket 1 is neither in the tree nor waiting for it",
        ),
    ];
    for (change, flaw) in changes {
        let world = World::signing().await;
        let mut actor = world.actor().await;
        let (ticket, messages) = actor.closed_ticket_with(3).await;
        for message in &messages[..2] {
            actor.delete_with_receipt(ticket.id, message.id).await.expect("it may be deleted");
        }
        assert!(world.app.check_logs().await.expect("the database is there").is_empty());
        world.database.run(change).await;

        let found = run_on(&world.database, &["log", "verify"]);

        assert_eq!((found.code, found.stdout.as_str()), (Some(1), format!("acme: {flaw}\n").as_str()), "{change}");
        let told: Vec<String> =
            world.app.check_logs().await.expect("the database is there").iter().map(|(id, flaw)| format!("{id}: {flaw}")).collect();
        assert_eq!(told, [format!("acme: {flaw}")], "{change}");
    }
}

#[tokio::test]
async fn what_waits_longest_for_its_entry_is_found_whatever_it_is() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    database
        .run(
            "insert into applications (id, name, create_time) values ('acme', 'Acme', now());
             insert into holds (application_key, ticket_id, action, create_time, reason, token_id)
             values (1, 1, 'PLACED', '2026-01-02T00:00:00Z', 'a lawsuit', 'token');
             insert into log_erasures (application_key, erase_time, older_than, cause, leaf_indexes, remains_digest)
             values (1, '2026-01-01T00:00:00Z', now(), 'COMMAND', '{0}', sha256('remains'))",
        )
        .await;
    // What waits, and since when the first of it does.
    let steps = [
        ("select", None),
        ("insert into pending_leaves values (1, 1, 1, '2026-01-03T00:00:00Z')", Some("2026-01-03T00:00:00Z")),
        ("insert into pending_acts (application_key, hold_id) values (1, 1)", Some("2026-01-02T00:00:00Z")),
        ("insert into pending_acts (application_key, erasure_id) values (1, 1)", Some("2026-01-01T00:00:00Z")),
    ];
    for (number, (step, oldest)) in steps.into_iter().enumerate() {
        database.run(step).await;
        let backlog = log_sequencer::backlog(&mut connection).await.expect("the database is there");
        assert_eq!(backlog.pending, i64::try_from(number).expect("a few"));
        assert_eq!(backlog.oldest_time, oldest.map(|time| time.parse().expect("a time")), "{step}");
    }
}
