//! Calls that meet at one ticket, in an order that is forced by holding the ticket's row.

use futures_util::FutureExt;
use futures_util::future::join_all;
use tonic::Status;

use super::invariants::assert_sound;
use super::{Call, in_turn, outcome};
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb};

/// The isolation levels that a database may be set to.
pub const ISOLATION_LEVELS: [&str; 2] = ["read committed", "serializable"];
/// More calls than these never meet in a test.
const CONNECTIONS: u32 = 70;

/// The calls, each the numbers of the messages that it deletes, in the order in which they come; their answers; the numbers of what is
/// deleted in the end.
type Overlap = (&'static [&'static [usize]], &'static [&'static str], &'static [i64]);

pub async fn world_at(isolation: &str) -> World {
    let database = TestDatabase::create().await;
    database.set("default_transaction_isolation", isolation).await;
    let pool = database.pool(CONNECTIONS);
    World::with_pool(database, pool, default_settings()).await
}

pub fn delete(actor: &Actor, ticket_id: i64, id: i64) -> Call {
    let mut actor = actor.clone();
    async move { outcome(actor.delete(ticket_id, id).await) }.boxed()
}

async fn batch_delete(actor: &mut Actor, ticket_id: i64, ids: Vec<i64>) -> Result<(), Status> {
    let request = pb::BatchDeleteChatMessagesRequest { ticket_id, ids, ..Default::default() };
    actor.messages.batch_delete_chat_messages(request).await.map(|_| ())
}

pub fn delete_all(actor: &Actor, ticket_id: i64, ids: Vec<i64>) -> Call {
    let mut actor = actor.clone();
    async move { outcome(batch_delete(&mut actor, ticket_id, ids).await) }.boxed()
}

fn close(actor: &Actor, id: i64) -> Call {
    let mut actor = actor.clone();
    let request = pb::CloseTicketRequest { id, close_message: "bye".to_owned(), ..Default::default() };
    async move { outcome(actor.tickets.close_ticket(request).await) }.boxed()
}

fn reopen(actor: &Actor, id: i64) -> Call {
    let mut actor = actor.clone();
    let request = pb::ReopenTicketRequest { id, ..Default::default() };
    async move { outcome(actor.tickets.reopen_ticket(request).await) }.boxed()
}

fn rename(actor: &Actor, ticket: &pb::Ticket, name: &str) -> Call {
    let mut actor = actor.clone();
    let ticket = pb::Ticket { id: ticket.id, etag: ticket.etag.clone(), channel_name: name.to_owned(), ..Default::default() };
    let request = pb::UpdateTicketRequest { ticket: Some(ticket), ..Default::default() };
    async move { outcome(actor.tickets.update_ticket(request).await) }.boxed()
}

/// Stores messages with these external ids; "" for none. The answer tells how each was numbered, and marks duplicates.
fn send(actor: &Actor, ticket_id: i64, external_ids: &[&str]) -> Call {
    let mut actor = actor.clone();
    let message = |id: &&str| pb::ChatMessage { external_id: (*id).to_owned(), ..customer_message("hello") };
    let chat_messages = external_ids.iter().map(message).collect();
    let request = pb::BatchCreateChatMessagesRequest { ticket_id, chat_messages, ..Default::default() };
    async move {
        let results = actor.messages.batch_create_chat_messages(request).await.expect("they are stored").into_inner().results;
        let told = |result: pb::CreateChatMessageResponse| {
            let number = result.chat_message.expect("it is answered").message_id;
            if result.duplicate { format!("again {number}") } else { number.to_string() }
        };
        results.into_iter().map(told).collect::<Vec<_>>().join(" ")
    }
    .boxed()
}

/// The ids of the messages that are deleted, by the messages and by the log, which must say the same.
async fn deleted(actor: &mut Actor, ticket_id: i64) -> Vec<i64> {
    let tombstones = actor.list(ticket_id).await.into_iter().filter(|message| message.delete_time.is_some());
    let tombstones: Vec<i64> = tombstones.map(|message| message.id).collect();
    let mut logged: Vec<i64> = actor.log().await.into_iter().map(|log| log.chat_message_id).collect();
    logged.sort_unstable();
    assert_eq!(tombstones, logged, "tombstones and log entries");
    tombstones
}

pub fn count(answers: &[String], wanted: &str) -> usize {
    answers.iter().filter(|answer| *answer == wanted).count()
}

#[tokio::test]
async fn of_sixty_four_deletes_of_one_message_at_once_one_succeeds() {
    let world = world_at("read committed").await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;

    let calls = (0..64).map(|_| delete(&actor, ticket.id, messages[0].id)).collect();
    let answers = in_turn(&world.database, ticket.id, calls).await;

    assert_eq!((count(&answers, "OK"), count(&answers, "CHAT_MESSAGE_ALREADY_DELETED")), (1, 63), "{answers:?}");
    assert_eq!(deleted(&mut actor, ticket.id).await, [messages[0].id]);
}

#[tokio::test]
async fn under_serializable_isolation_deletes_of_one_message_at_once_are_never_answered_wrongly() {
    let world = world_at("serializable").await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;

    let calls = (0..64).map(|_| delete(&actor, ticket.id, messages[0].id)).collect();
    let answers = in_turn(&world.database, ticket.id, calls).await;

    let conflicts = count(&answers, "WRITE_CONFLICT");
    assert_eq!((count(&answers, "OK"), count(&answers, "CHAT_MESSAGE_ALREADY_DELETED")), (1, 63 - conflicts), "{answers:?}");
    assert_eq!(deleted(&mut actor, ticket.id).await, [messages[0].id]);
}

#[tokio::test]
async fn a_delete_is_decided_by_the_status_that_the_ticket_has_when_its_turn_comes() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        // Whether the ticket is closed at first, and whether the delete comes first.
        for (closed, delete_first, expected) in [
            (true, true, ["OK", "OK"]),
            (true, false, ["TICKET_NOT_CLOSED", "OK"]),
            (false, true, ["TICKET_NOT_CLOSED", "OK"]),
            (false, false, ["OK", "OK"]),
        ] {
            let (ticket, messages) = if closed { actor.closed_ticket_with(1).await } else { actor.ticket_with(1).await };
            let delete = delete(&actor, ticket.id, messages[0].id);
            let change = if closed { reopen(&actor, ticket.id) } else { close(&actor, ticket.id) };
            let mut answers = match delete_first {
                true => in_turn(&world.database, ticket.id, vec![delete, change]).await,
                false => in_turn(&world.database, ticket.id, vec![change, delete]).await,
            };
            if !delete_first {
                answers.reverse();
            }
            assert_eq!(answers, expected, "{isolation}, closed {closed}, delete first {delete_first}");
            let tombstone = actor.list(ticket.id).await.remove(0).delete_time.is_some();
            assert_eq!(tombstone, expected[0] == "OK", "{isolation}, closed {closed}, delete first {delete_first}");
        }
        assert_eq!(actor.log().await.len(), 2);
    }
}

#[tokio::test]
async fn deletes_of_different_messages_of_one_ticket_at_once_all_succeed() {
    let world = world_at("read committed").await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(32).await;

    let calls = messages.iter().map(|message| delete(&actor, ticket.id, message.id)).collect();
    let answers = in_turn(&world.database, ticket.id, calls).await;

    assert_eq!(count(&answers, "OK"), 32, "{answers:?}");
    assert_eq!(deleted(&mut actor, ticket.id).await, messages.iter().map(|message| message.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn deletes_that_overlap_go_one_after_the_other_and_a_batch_is_whole_or_nothing() {
    const GONE: &str = "CHAT_MESSAGE_ALREADY_DELETED";
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor_of("acme").await;
        let table: [Overlap; 5] = [
            (&[&[2], &[1, 2, 3]], &["OK", GONE], &[2]),
            (&[&[1, 2, 3], &[2]], &["OK", GONE], &[1, 2, 3]),
            (&[&[1, 2, 3], &[3, 2, 1]], &["OK", GONE], &[1, 2, 3]),
            (&[&[1, 2], &[4, 3]], &["OK", "OK"], &[1, 2, 3, 4]),
            (&[&[1, 2], &[2, 3], &[3, 4]], &["OK", GONE, "OK"], &[1, 2, 3, 4]),
        ];
        for (calls, expected, numbers) in table {
            let (ticket, messages) = actor.closed_ticket_with(4).await;
            let call = |numbers: &&[usize]| match numbers {
                [number] => delete(&actor, ticket.id, messages[number - 1].id),
                numbers => delete_all(&actor, ticket.id, numbers.iter().map(|number| messages[number - 1].id).collect()),
            };
            let answers = in_turn(&world.database, ticket.id, calls.iter().map(call).collect()).await;
            assert_eq!(answers, expected, "{isolation} {calls:?}");
            let tombstones = actor.list(ticket.id).await.into_iter().filter(|message| message.delete_time.is_some());
            assert_eq!(tombstones.map(|message| message.message_id).collect::<Vec<_>>(), numbers, "{isolation} {calls:?}");
        }
        assert_eq!(actor.log().await.len(), 1 + 3 + 3 + 4 + 4);
    }
}

#[tokio::test]
async fn messages_that_arrive_at_once_are_numbered_without_gap_or_repeat() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let ticket = actor.open_ticket().await;
        let mut calls: Vec<Call> = (0..5).map(|_| send(&actor, ticket.id, &["", "", ""])).collect();
        calls.insert(2, close(&actor, ticket.id));

        let answers = in_turn(&world.database, ticket.id, calls).await;

        assert_eq!(count(&answers, "OK"), 1, "the close, with its last message: {answers:?}");
        let listed = actor.list(ticket.id).await;
        assert_eq!(listed.iter().map(|message| message.message_id).collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
        let mut batches: Vec<&str> = answers.iter().map(String::as_str).filter(|answer| *answer != "OK").collect();
        batches.sort_unstable();
        batches.dedup();
        assert_eq!(batches.len(), 5, "each batch has numbers of its own: {answers:?}");
    }
}

#[tokio::test]
async fn two_senders_of_the_same_new_external_ids_at_once_both_get_the_one_message() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let ticket = actor.open_ticket().await;

        let calls = vec![send(&actor, ticket.id, &["a", "b"]), send(&actor, ticket.id, &["b", "c", "a", "c"])];
        let answers = in_turn(&world.database, ticket.id, calls).await;

        assert_eq!(answers, ["1 2", "again 2 3 again 1 again 3"], "{isolation}");
        let stored: Vec<String> = actor.list(ticket.id).await.into_iter().map(|message| message.external_id).collect();
        assert_eq!(stored, ["a", "b", "c"], "{isolation}");
    }
}

#[tokio::test]
async fn of_calls_that_change_a_ticket_at_once_one_wins_and_the_others_are_told_why() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;

        let ticket = actor.open_ticket().await;
        let closes = (0..4).map(|_| close(&actor, ticket.id)).collect();
        let answers = in_turn(&world.database, ticket.id, closes).await;
        assert_eq!((count(&answers, "OK"), count(&answers, "TICKET_ALREADY_CLOSED")), (1, 3), "{isolation}: {answers:?}");
        assert_eq!(actor.list(ticket.id).await.len(), 1, "one last message");

        let reopens = (0..4).map(|_| reopen(&actor, ticket.id)).collect();
        let answers = in_turn(&world.database, ticket.id, reopens).await;
        assert_eq!((count(&answers, "OK"), count(&answers, "TICKET_NOT_CLOSED")), (1, 3), "{isolation}: {answers:?}");

        let ticket = actor.open_ticket().await;
        let renames = (0..4).map(|number| rename(&actor, &ticket, &format!("name {number}"))).collect();
        let answers = in_turn(&world.database, ticket.id, renames).await;
        assert_eq!((count(&answers, "OK"), count(&answers, "ETAG_MISMATCH")), (1, 3), "{isolation}: {answers:?}");
    }
}

#[tokio::test]
async fn no_deletion_is_dated_before_the_close_that_allowed_it() {
    let world = world_at("read committed").await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(1).await;

    let calls = vec![close(&actor, ticket.id), delete(&actor, ticket.id, messages[0].id)];
    assert_eq!(in_turn(&world.database, ticket.id, calls).await, ["OK", "OK"]);

    let request = pb::GetTicketRequest { id: ticket.id };
    let ticket = actor.tickets.get_ticket(request).await.expect("it is there").into_inner().ticket.expect("it is answered");
    let (closed, log) = (ticket.close_time.expect("it is closed"), actor.log().await.remove(0));
    let deleted = log.delete_time.expect("a log entry has it");
    assert!((deleted.seconds, deleted.nanos) >= (closed.seconds, closed.nanos), "closed at {closed}, deleted at {deleted}");
    assert_eq!(actor.list(ticket.id).await[0].delete_time, log.delete_time);
}

#[tokio::test]
async fn calls_that_share_a_statement_are_each_answered_for_themselves() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let mut other = world.actor_of("other").await;
        let (open, unsent) = actor.ticket_with(1).await;
        let (ticket, messages) = actor.closed_ticket_with(20).await;
        let (another, elsewhere) = actor.closed_ticket_with(20).await;
        let (foreign, theirs) = other.closed_ticket_with(1).await;

        // All at once, more than there are lanes: whatever comes to share a statement, with what cannot be deleted in between.
        let mut calls = Vec::new();
        let mut wanted = Vec::new();
        for (message, neighbour) in messages.iter().zip(&elsewhere) {
            calls.push(delete(&actor, ticket.id, message.id));
            calls.push(delete(&actor, another.id, neighbour.id));
            calls.push(delete(&actor, another.id, message.id));
            calls.push(delete(&actor, open.id, unsent[0].id));
            wanted.extend(["OK", "OK", "CHAT_MESSAGE_NOT_FOUND", "TICKET_NOT_CLOSED"]);
        }
        calls.push(delete(&actor, foreign.id, theirs[0].id));
        calls.push(delete(&other, foreign.id, theirs[0].id));
        wanted.extend(["CHAT_MESSAGE_NOT_FOUND", "OK"]);

        assert_eq!(join_all(calls).await, wanted, "{isolation}");
        let sorted = |messages: Vec<pb::ChatMessage>| messages.into_iter().map(|message| message.id).collect::<Vec<_>>();
        let tombstones = [actor.list(ticket.id).await, actor.list(another.id).await].concat();
        assert!(tombstones.iter().all(|message| message.delete_time.is_some() && message.message.is_empty()));
        assert_eq!(sorted(tombstones), sorted([messages, elsewhere].concat()));
        assert_eq!((actor.log().await.len(), other.log().await.len()), (40, 1));
        assert_sound(&world.database).await;
    }
}

#[tokio::test]
async fn repeats_of_a_request_id_at_once_get_one_answer_and_its_reuse_is_refused() {
    let world = world_at("read committed").await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let request = |id| pb::DeleteChatMessageRequest {
        ticket_id: ticket.id,
        id,
        request_id: uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000).to_string(),
        ..Default::default()
    };
    let call = |id| {
        let (mut actor, request) = (actor.clone(), request(id));
        async move { actor.messages.delete_chat_message(request).await.map(tonic::Response::into_inner) }
    };

    let answers = join_all((0..16).map(|_| call(messages[0].id))).await;

    let first = answers[0].as_ref().expect("it is deleted");
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer == first)), "{answers:?}");
    assert_eq!(outcome(call(messages[1].id).await), "REQUEST_ID_REUSED");
    assert_eq!(deleted(&mut actor, ticket.id).await, [messages[0].id]);
}

#[tokio::test]
async fn senders_that_share_a_statement_are_each_answered_for_themselves() {
    for isolation in ISOLATION_LEVELS {
        let world = world_at(isolation).await;
        let mut actor = world.actor().await;
        let (one, other) = (actor.open_ticket().await, actor.open_ticket().await);
        let store = |ticket_id, external_id: String| {
            let mut actor = actor.clone();
            let chat_message = Some(pb::ChatMessage { external_id, ..customer_message("hello") });
            let request = pb::CreateChatMessageRequest { ticket_id, chat_message, ..Default::default() };
            async move { actor.messages.create_chat_message(request).await.map(tonic::Response::into_inner) }
        };
        let mut calls = Vec::new();
        for number in 0..20 {
            calls.push(store(one.id, format!("mine {}", number % 10)));
            calls.push(store(other.id, String::new()));
            calls.push(store(other.id + 1000, String::new()));
        }

        let answers = join_all(calls).await;

        let refused = answers.iter().filter(|answer| answer.is_err()).map(|answer| outcome(answer.clone()));
        assert_eq!(refused.collect::<Vec<_>>(), ["TICKET_NOT_FOUND"; 20], "{isolation}");
        let stored: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(stored.iter().filter(|answer| answer.duplicate).count(), 10, "each external id was sent twice");
        for answer in stored {
            let message = answer.chat_message.expect("it is answered");
            let listed = actor.list(message.ticket_id).await;
            assert!(listed.contains(&message), "it is stored as it was answered: {message:?}");
        }
        assert_eq!((actor.list(one.id).await.len(), actor.list(other.id).await.len()), (10, 20));
        assert_sound(&world.database).await;
    }
}
