//! Legal holds and deletions that meet at one ticket, in an order that is forced by holding the ticket's row.

use futures_util::FutureExt;

use super::races::{ISOLATION_LEVELS, count, delete, delete_all, world_at};
use super::{Call, in_turn, outcome};
use crate::support::ingest::{deleted, in_channel, words};
use crate::support::{Actor, pb};

fn place_hold(actor: &Actor, id: i64) -> Call {
    let mut actor = actor.clone();
    let request = pb::PlaceHoldRequest { id, reason: "litigation".to_owned(), ..Default::default() };
    async move { outcome(actor.tickets.place_hold(request).await) }.boxed()
}

fn release_hold(actor: &Actor, id: i64) -> Call {
    let mut actor = actor.clone();
    let request = pb::ReleaseHoldRequest { id, reason: "settled".to_owned(), ..Default::default() };
    async move { outcome(actor.tickets.release_hold(request).await) }.boxed()
}

#[tokio::test]
async fn a_delete_is_decided_by_the_hold_that_the_ticket_is_under_when_its_turn_comes() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let mut logged = 0;
        // Whether the ticket is held at first, and whether the delete comes first.
        for (held, delete_first, expected) in
            [(false, true, "OK"), (false, false, "LEGAL_HOLD"), (true, true, "LEGAL_HOLD"), (true, false, "OK")]
        {
            for count in [1, 2] {
                let (ticket, messages) = actor.closed_ticket_with(2).await;
                if held {
                    actor.place_hold(ticket.id).await;
                }
                let ids = messages.iter().take(count).map(|message| message.id).collect();
                let delete =
                    if count == 1 { delete(&actor, ticket.id, messages[0].id) } else { delete_all(&actor, ticket.id, ids) };
                let change = if held { release_hold(&actor, ticket.id) } else { place_hold(&actor, ticket.id) };
                let case = format!("{isolation}, held {held}, delete first {delete_first}, {count} messages");
                let mut answers = match delete_first {
                    true => in_turn(&world.database, ticket.id, vec![delete, change]).await,
                    false => in_turn(&world.database, ticket.id, vec![change, delete]).await,
                };
                if !delete_first {
                    answers.reverse();
                }
                assert_eq!(answers, [expected, "OK"], "{case}");
                let gone = if expected == "OK" { count } else { 0 };
                let tombstones = actor.list(ticket.id).await.into_iter().filter(|message| message.delete_time.is_some()).count();
                assert_eq!(tombstones, gone, "{case}");
                logged += gone;
            }
        }
        assert_eq!(actor.log().await.len(), logged, "{isolation}");
    }
}

/// Takes in that a message is deleted where it comes from; the answer tells what became of the event.
fn delete_upstream(actor: &Actor, message: pb::ConversationMessage) -> Call {
    let mut actor = actor.clone();
    async move { words(&actor.take_in(vec![deleted(message)]).await).concat() }.boxed()
}

#[tokio::test]
async fn a_deletion_by_ingest_is_decided_by_the_hold_that_the_ticket_is_under_when_its_turn_comes() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        for (id, held, delete_first, expected) in
            [(1, false, true, "stored"), (2, false, false, "rejected"), (3, true, true, "rejected"), (4, true, false, "stored")]
        {
            let message = in_channel(&format!("c{id}"), id, "hello");
            let ticket = actor.store(message.clone()).await.ticket_id;
            if held {
                actor.place_hold(ticket).await;
            }
            let delete = delete_upstream(&actor, message);
            let change = if held { release_hold(&actor, ticket) } else { place_hold(&actor, ticket) };
            let calls = if delete_first { vec![delete, change] } else { vec![change, delete] };
            let mut answers = in_turn(&world.database, ticket, calls).await;
            if !delete_first {
                answers.reverse();
            }
            assert_eq!(answers, [expected, "OK"], "{isolation}, held {held}, delete first {delete_first}");
            let tombstone = actor.list(ticket).await.remove(0).delete_time.is_some();
            assert_eq!(tombstone, expected == "stored", "{isolation}, held {held}, delete first {delete_first}");
        }
        assert_eq!((actor.log().await.len(), actor.rejected().await.len()), (2, 2), "{isolation}");
    }
}

#[tokio::test]
async fn of_holds_placed_at_once_one_is_and_of_releases_at_once_one_is_and_each_is_recorded_once() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let ticket = actor.open_ticket().await;

        let answers = in_turn(&world.database, ticket.id, (0..4).map(|_| place_hold(&actor, ticket.id)).collect()).await;
        assert_eq!((count(&answers, "OK"), count(&answers, "TICKET_ALREADY_HELD")), (1, 3), "{isolation}: {answers:?}");
        let answers = in_turn(&world.database, ticket.id, (0..4).map(|_| release_hold(&actor, ticket.id)).collect()).await;
        assert_eq!((count(&answers, "OK"), count(&answers, "TICKET_NOT_HELD")), (1, 3), "{isolation}: {answers:?}");

        let recorded: i64 =
            sqlx::query_scalar("select count(*) from holds").fetch_one(&mut world.database.connect().await).await.expect("a count");
        assert_eq!(recorded, 2, "{isolation}");
    }
}
