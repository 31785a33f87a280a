//! Legal holds in the provable log: each placing and each release has its entry and its receipt, and no list of deletions counts it.

use deskledger::domain::proof::receipt::Receipt;
use deskledger::domain::proof::record::Record;
use deskledger::domain::proof::record::hold::HoldRecord;
use deskledger::domain::random::digits;
use sqlx::Row;
use tonic::Code;

use crate::commands::program::run_on;
use crate::support::ticket::full_agent;
use crate::support::{Actor, World, pb, refusal};

/// Nobody grows or signs the log from now on.
const STANDSTILL: &str = "update log_sequencer set holder = 'nobody', expire_time = 'infinity'";
/// Somebody may again.
const GO_ON: &str = "update log_sequencer set expire_time = '-infinity'";

async fn events(actor: &mut Actor, ticket_id: i64) -> Vec<pb::HoldEvent> {
    let request = pb::ListHoldEventsRequest { ticket_id, ..Default::default() };
    actor.logs.list_hold_events(request).await.expect("they are listed").into_inner().hold_events
}

async fn receipt(actor: &mut Actor, event: &pb::HoldEvent) -> Result<String, tonic::Status> {
    let request = pb::GetHoldReceiptRequest { ticket_id: event.ticket_id, id: event.id };
    Ok(actor.logs.get_hold_receipt(request).await?.into_inner().receipt)
}

/// The place and the record that a good receipt proves.
fn proved(world: &World, receipt: &str) -> (u64, HoldRecord) {
    let key = world.key.as_ref().expect("a key").verifier_key("acme");
    let proved = Receipt::parse(receipt).expect("a receipt").verify(&key).expect("a good receipt");
    let Record::Hold(record) = proved.record else { panic!("it is of a hold: {receipt}") };
    (proved.index, record)
}

/// Waits until all that was done is signed: what comes last is in no earlier tree than what came before.
async fn signed(actor: &mut Actor) {
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let answer = actor.delete_with_receipt(ticket.id, messages[0].id).await.expect("it may be deleted");
    assert!(!answer.receipt.is_empty());
}

#[tokio::test]
async fn each_placing_and_each_release_has_a_receipt_that_tells_who_when_and_why() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    world.clock.set("2026-03-16T08:00:00.000001Z");
    world.clock.freeze();
    let request = pb::PlaceHoldRequest {
        id: ticket.id,
        reason: "file 12/\"3\" \u{1f5c2}".to_owned(),
        requested_by: Some(full_agent()),
        ..Default::default()
    };
    let held = actor.tickets.place_hold(request).await.expect("the hold is placed").into_inner().ticket.expect("it is answered");
    actor.release_hold(ticket.id).await;
    actor.place_hold(ticket.id).await;
    signed(&mut actor).await;

    let events = events(&mut actor, ticket.id).await;

    let acts: Vec<_> = events.iter().map(|event| (event.action(), event.placed_id, event.reason.as_str())).collect();
    let (placed, released) = (pb::HoldAction::Placed, pb::HoldAction::Released);
    assert_eq!(acts, [(placed, 0, "file 12/\"3\" \u{1f5c2}"), (released, events[0].id, "settled"), (placed, 0, "litigation")]);
    assert_eq!(held.hold.expect("the hold").id, events[0].id, "the ticket names the placing");
    let mut previous: Option<String> = None;
    for (at, event) in (0_u64..).zip(&events) {
        let text = receipt(&mut actor, event).await.expect("it is there");
        let (index, record) = proved(&world, &text);
        assert_eq!(
            (index, record.id, record.ticket_id, record.placed_id.unwrap_or_default()),
            (at, event.id, ticket.id, event.placed_id)
        );
        assert_eq!((record.reason, record.token_id), (event.reason.clone(), event.token_id.clone()));
        assert_eq!((record.create_time.as_str(), record.previous), ("2026-03-16T08:00:00.000001Z", previous));
        assert_eq!(record.requested_by.is_some_and(|by| by.sendbird_id == "grace"), at == 0);
        previous = Some(digits(&Receipt::parse(&text).expect("a receipt").opening.entry().0));
    }
}

#[tokio::test]
async fn what_happens_in_a_ticket_is_in_the_tree_in_the_order_in_which_it_happened() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    world.database.run(STANDSTILL).await;
    for message in &messages {
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
        actor.place_hold(ticket.id).await;
        actor.release_hold(ticket.id).await;
    }
    world.database.run(GO_ON).await;
    signed(&mut actor).await;

    let statement = "select case when hold_id is null then 'deleted' else h.action end from log_leaves
        left join holds h on h.id = hold_id where leaf_index < 9 order by leaf_index";
    let rows = sqlx::query(statement).fetch_all(&mut world.database.connect().await).await.expect("the rows");

    let acts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(acts, ["deleted", "PLACED", "RELEASED"].repeat(3));
    assert_eq!(run_on(&world.database, &["log", "verify"]).good(), "acme: 10 entries, all as their rows say\n");
}

#[tokio::test]
async fn holds_are_in_no_list_of_deletions_and_count_in_none() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    actor.place_hold(ticket.id).await;
    actor.release_hold(ticket.id).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    actor.delete_with_receipt(ticket.id, messages[1].id).await.expect("it may be deleted");

    for skip in 0..3 {
        let request = pb::ListDeletionLogsRequest { skip, ..Default::default() };
        let page = actor.logs.list_deletion_logs(request).await.expect("a page").into_inner();
        assert_eq!((page.total_size, i64::try_from(page.deletion_logs.len()).expect("small")), (2, (2 - skip).max(0)));
    }
    let checkpoint = actor.logs.get_checkpoint(pb::GetCheckpointRequest {}).await.expect("a checkpoint").into_inner();
    assert_eq!(checkpoint.tree_size, 4, "the tree has all of them");
}

#[tokio::test]
async fn the_events_of_a_ticket_are_listed_page_by_page() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, other) = (actor.open_ticket().await, actor.open_ticket().await);
    actor.place_hold(other.id).await;
    for _ in 0..3 {
        actor.place_hold(ticket.id).await;
        actor.release_hold(ticket.id).await;
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    for size in [4, 2] {
        let request = pb::ListHoldEventsRequest { ticket_id: ticket.id, page_size: 4, page_token };
        let page = actor.logs.list_hold_events(request).await.expect("a page").into_inner();
        assert_eq!(page.hold_events.len(), size);
        found.extend(page.hold_events);
        page_token = page.next_page_token;
    }
    assert_eq!((found, page_token.as_str()), (events(&mut actor, ticket.id).await, ""));

    let request = pb::ListHoldEventsRequest { ticket_id: ticket.id, page_size: 101, ..Default::default() };
    let refused = refusal(&actor.logs.list_hold_events(request).await.expect_err("it is too large"));
    assert_eq!((refused.reason.as_str(), refused.metadata["field"].as_str()), ("INVALID_FIELD", "page_size"));
    let token = pb::ListHoldEventsRequest { ticket_id: other.id, page_size: 4, page_token: "x".to_owned() };
    let refused = refusal(&actor.logs.list_hold_events(token).await.expect_err("it is no token"));
    assert_eq!(refused.reason, "PAGE_TOKEN_INVALID");
    assert_eq!(events(&mut actor, 4711).await, [], "a ticket that there is not has none");
}

#[tokio::test]
async fn an_event_that_waits_is_told_from_one_that_there_is_not() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let (ticket, other) = (actor.open_ticket().await, actor.open_ticket().await);
    signed(&mut actor).await;
    world.database.run(STANDSTILL).await;
    actor.place_hold(ticket.id).await;
    let event = events(&mut actor, ticket.id).await.remove(0);

    let refused = refusal(&receipt(&mut actor, &event).await.expect_err("it waits"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "RECEIPT_NOT_READY"));
    for absent in [pb::HoldEvent { id: event.id + 1, ..event.clone() }, pb::HoldEvent { ticket_id: other.id, ..event }] {
        let refused = refusal(&receipt(&mut actor, &absent).await.expect_err("there is none"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "HOLD_EVENT_NOT_FOUND"));
    }
}

#[tokio::test]
async fn a_placing_or_release_that_was_changed_or_taken_away_in_the_database_is_found() {
    let changes = [
        (
            "update holds set reason = 'a whim' where action = 'PLACED'",
            "entry 0: the hold event 1 is not what the entry was made of",
        ),
        (
            "update holds set requested_by = null where action = 'RELEASED'",
            "entry 1: the hold event 2 is not what the entry was made of",
        ),
        ("delete from holds where action = 'RELEASED'", "entry 1: the hold event 2 is not there"),
        (
            "insert into holds select application_key, ticket_id, 9, 'PLACED', null, create_time, reason, null, token_id
             from holds where action = 'PLACED'",
            "the hold event 9 is neither in the tree nor waiting for it",
        ),
    ];
    for (change, flaw) in changes {
        let world = World::signing().await;
        let mut actor = world.actor().await;
        let ticket = actor.open_ticket().await;
        actor.place_hold(ticket.id).await;
        let release = pb::ReleaseHoldRequest {
            id: ticket.id,
            reason: "settled".to_owned(),
            requested_by: Some(full_agent()),
            ..Default::default()
        };
        actor.tickets.release_hold(release).await.expect("the hold is released");
        signed(&mut actor).await;
        let before = events(&mut actor, ticket.id).await;
        world.database.run(change).await;

        let found = run_on(&world.database, &["log", "verify"]);

        assert_eq!((found.code, found.stdout.as_str()), (Some(1), format!("acme: {flaw}\n").as_str()), "{change}");
        if change.starts_with("update") {
            let mut refusals = 0;
            for event in &before {
                if let Err(status) = receipt(&mut actor, event).await {
                    assert_eq!((status.code(), refusal(&status).reason.as_str()), (Code::DataLoss, "LOG_CORRUPT"), "{change}");
                    refusals += 1;
                }
            }
            assert_eq!(refusals, 1, "{change}");
        }
    }
}
