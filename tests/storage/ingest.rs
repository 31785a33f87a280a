//! Bodies that meet: the same tickets to open, the same messages to store, the same event to replay.

use futures_util::future::join_all;

use super::HeldTicket;
use super::proxy::world_behind_proxy;
use super::statements::is_of_background;
use crate::support::database::TestDatabase;
use crate::support::ingest::{deleted, in_channel, of_contact, rejected, words};
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb};
use pb::ingest_result::Outcome;

const ISOLATION_LEVELS: [&str; 2] = ["read committed", "serializable"];

/// A service on a database of this isolation level.
async fn world_at(isolation: &str) -> World {
    let database = TestDatabase::create().await;
    database.set("default_transaction_isolation", isolation).await;
    World::on(database, default_settings()).await
}

/// Takes batches in that all have seen the database before any of them has written: they meet at this table.
async fn meet(world: &World, actor: &Actor, table: &str, batches: Vec<Vec<pb::ConversationMessage>>) -> Vec<Vec<Outcome>> {
    let (mut holder, observer) = (world.database.connect().await, world.database.connect().await);
    let lock = sqlx::AssertSqlSafe(format!("begin isolation level read committed; lock table {table} in share mode"));
    sqlx::raw_sql(lock).execute(&mut holder).await.expect("the lock");
    let mut held = HeldTicket { holder, observer };
    let count = batches.len();
    let begun = batches.into_iter().map(|batch| {
        let mut actor = actor.clone();
        tokio::spawn(async move { actor.take_in(batch).await })
    });
    let begun: Vec<_> = begun.collect();
    held.queued(count).await;
    held.release().await;
    join_all(begun).await.into_iter().map(|outcomes| outcomes.expect("the call does not panic")).collect()
}

async fn tickets(actor: &mut Actor) -> Vec<pb::Ticket> {
    actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed").tickets
}

#[tokio::test]
async fn bodies_that_open_the_same_ticket_open_it_once() {
    for isolation in ISOLATION_LEVELS {
        for channel in ["c", ""] {
            let world = world_at(isolation).await;
            let mut actor = world.actor().await;
            let batches =
                (1..=4).map(|id| vec![pb::ConversationMessage { channel_url: channel.to_owned(), ..of_contact(2, id, "m") }]);
            let outcomes = meet(&world, &actor, "requests", batches.collect()).await;

            assert!(outcomes.iter().all(|outcomes| words(outcomes) == ["stored"]), "{isolation} {channel:?}: {outcomes:?}");
            let tickets = tickets(&mut actor).await;
            assert_eq!((tickets.len(), tickets[0].message_count), (1, 4), "{isolation} {channel:?}");
            let numbers: Vec<i64> = actor.list(tickets[0].id).await.iter().map(|message| message.message_id).collect();
            assert_eq!(numbers, [1, 2, 3, 4]);

            if channel.is_empty() {
                // The claim on a contact's first ticket is spent; that on the second is another one.
                actor.close(tickets[0].id).await;
                let batches = (5..=6).map(|id| vec![of_contact(2, id, "m")]).collect();
                meet(&world, &actor, "requests", batches).await;
                assert_eq!(super::ingest::tickets(&mut actor).await.len(), 2, "{isolation}");
            }
        }
    }
}

#[tokio::test]
async fn tickets_are_found_although_the_claims_by_which_they_were_opened_are_forgotten() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let opened = [actor.store(in_channel("c", 1, "m")).await, actor.store(of_contact(3, 2, "m")).await];
    world.app.forget_requests(chrono::TimeDelta::days(-1)).await.expect("all are forgotten");

    let again = [actor.store(in_channel("c", 3, "m")).await, actor.store(of_contact(3, 4, "m")).await];

    assert_eq!(again.map(|message| message.ticket_id), opened.map(|message| message.ticket_id));
}

#[tokio::test]
async fn overlapping_bodies_in_opposite_orders_all_end_and_store_each_message_once() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let forward: Vec<pb::ConversationMessage> = (0..60).map(|id| in_channel(&format!("c{}", id % 20), id + 1, "m")).collect();
        let backward: Vec<pb::ConversationMessage> = forward.iter().rev().cloned().collect();
        let bad = |batch: &[pb::ConversationMessage]| {
            let bad = batch.iter().map(|message| pb::ConversationMessage { contact_id: -1, ..message.clone() });
            batch.iter().cloned().zip(bad).flat_map(|(good, bad)| [good, bad]).collect::<Vec<_>>()
        };

        let outcomes = meet(&world, &actor, "requests", vec![bad(&forward), bad(&backward), bad(&forward)]).await;

        let stored = outcomes.iter().flat_map(|outcomes| words(outcomes)).filter(|word| *word == "stored").count();
        assert_eq!(stored, 60, "{isolation}");
        let tickets = tickets(&mut actor).await;
        assert_eq!(tickets.iter().map(|ticket| ticket.message_count).collect::<Vec<_>>(), [3; 20], "{isolation}");
        assert_eq!(actor.rejected().await.len(), 60, "{isolation}");

        let deletions: Vec<Vec<_>> = [&forward, &backward].map(|batch| batch.iter().cloned().map(deleted).collect()).to_vec();
        let outcomes = meet(&world, &actor, "chat_messages", deletions).await;
        let stored = outcomes.iter().flat_map(|outcomes| words(outcomes)).filter(|word| *word == "stored").count();
        assert_eq!((stored, actor.log().await.len()), (60, 60), "{isolation}");
    }
}

#[tokio::test]
async fn an_event_that_is_replayed_twice_at_once_is_stored_once() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let event = rejected(actor.take_in(vec![of_contact(0, 0, "m")]).await.remove(0));
        let (mut holder, observer) = (world.database.connect().await, world.database.connect().await);
        sqlx::raw_sql("begin; select from rejected_events for update").execute(&mut holder).await.expect("the lock");
        let mut held = HeldTicket { holder, observer };
        let replay = |mut actor: Actor| async move {
            let mended = Some(in_channel("c", 0, "mended"));
            super::outcome(actor.replay(event.id, mended).await)
        };
        let begun = [tokio::spawn(replay(actor.clone())), tokio::spawn(replay(actor.clone()))];
        held.queued(2).await;
        held.release().await;

        let mut answers: Vec<String> = join_all(begun).await.into_iter().map(|answer| answer.expect("no panic")).collect();
        answers.sort();

        assert_eq!(answers, ["OK", "REJECTED_EVENT_NOT_FOUND"], "{isolation}");
        assert_eq!(tickets(&mut actor).await[0].message_count, 1, "{isolation}");
    }
}

#[tokio::test]
async fn a_thousand_messages_for_a_thousand_new_tickets_take_a_handful_of_statements() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    actor.store(in_channel("warm", 0, "the token is known")).await;
    proxy.executed();
    let of = |id: i64| if id % 2 == 0 { in_channel(&format!("c{id}"), id, "m") } else { of_contact(id, id, "m") };
    let bad = |id: i64| of_contact(0, id, "m");

    let outcomes = actor.take_in((1..=990).map(of).chain((991..=1000).map(bad)).collect()).await;

    assert_eq!(words(&outcomes)[989..991], ["stored", "rejected"]);
    let executed: Vec<String> = proxy.executed().into_iter().filter(|text| !is_of_background(text) && text != "commit").collect();
    // Among them the begin of the transaction, and a setting for its plans.
    assert!(executed.len() <= 10, "{}: {executed:#?}", executed.len());
}
