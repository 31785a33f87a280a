//! Storing messages: numbers without gaps, all or none, and each external id once.

use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::actor::customer_message;
use crate::support::{Actor, World, pb, refusal};

async fn create_batch(
    actor: &mut Actor,
    ticket_id: i64,
    chat_messages: Vec<pb::ChatMessage>,
) -> Result<Vec<pb::CreateChatMessageResponse>, Status> {
    let request = pb::BatchCreateChatMessagesRequest { ticket_id, chat_messages, ..Default::default() };
    Ok(actor.messages.batch_create_chat_messages(request).await?.into_inner().results)
}

/// What a batch answers of each message: its number, its text, and whether it is a duplicate.
fn told(results: &[pb::CreateChatMessageResponse]) -> Vec<(i64, &str, bool)> {
    let mut told = Vec::new();
    for result in results {
        let message = result.chat_message.as_ref().expect("it is answered");
        told.push((message.message_id, message.message.as_str(), result.duplicate));
    }
    told
}

fn message(external_id: &str, text: &str) -> pb::ChatMessage {
    pb::ChatMessage { external_id: external_id.to_owned(), ..customer_message(text) }
}

#[tokio::test]
async fn a_batch_has_one_to_a_thousand_messages() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    for (count, before) in [(1_i64, 0), (1000, 1)] {
        let texts: Vec<String> = (1..=count).map(|number| format!("message {number}")).collect();
        let batch = texts.iter().map(|text| customer_message(text)).collect();
        let results = create_batch(&mut actor, ticket.id, batch).await.expect("the batch is stored");
        let expected: Vec<_> =
            (1..).map(|number| before + number).zip(&texts).map(|(at, text)| (at, text.as_str(), false)).collect();
        assert_eq!(told(&results), expected);
    }
    let refused = refusal(&create_batch(&mut actor, ticket.id, vec![]).await.expect_err("nothing to store"));
    assert_eq!((refused.code, refused.fields.len()), (Code::InvalidArgument, 1));
    assert_eq!(refused.message, "The chat_messages parameter is required.");
    let many = vec![customer_message("hello"); 1001];
    let refused = refusal(&create_batch(&mut actor, ticket.id, many).await.expect_err("one too many"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "BATCH_TOO_LARGE"));
    assert_eq!(refused.message, "The list chat_messages should have at most 1000 items, not 1001.");
    let metadata = ["field", "count", "max"].map(|key| refused.metadata[key].as_str());
    assert_eq!((metadata, refused.field_names()), (["chat_messages", "1001", "1000"], vec!["chat_messages"]));
    assert_eq!(actor.ticket(ticket.id).await.message_count, 1001);
}

#[tokio::test]
async fn one_bad_message_keeps_the_whole_batch_out() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut batch: Vec<_> = (0..5).map(|number| message(&format!("id {number}"), "hello")).collect();
    batch[3].user_type = pb::UserType::Unspecified as i32;

    let refused = refusal(&create_batch(&mut actor, ticket.id, batch.clone()).await.expect_err("one is bad"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    let expected = "The chat_messages[3].user_type parameter is required.";
    assert_eq!(refused.fields, [("chat_messages[3].user_type".to_owned(), expected.to_owned())]);

    batch[1].message = "\0".to_owned();
    batch[4].data = "x".repeat(32_769);
    let refused = refusal(&create_batch(&mut actor, ticket.id, batch).await.expect_err("three are bad"));
    assert_eq!(refused.field_names(), ["chat_messages[1].message", "chat_messages[3].user_type", "chat_messages[4].data"]);
    assert_eq!(actor.ticket(ticket.id).await, ticket);
    assert_eq!(actor.list(ticket.id).await, []);
}

#[tokio::test]
async fn an_external_id_is_stored_once_in_a_ticket_and_the_first_message_is_answered() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;

    let batch = vec![message("a", "first a"), message("", "plain"), message("a", "second a"), message("b", "first b")];
    let results = create_batch(&mut actor, ticket.id, batch).await.expect("the batch is stored");
    assert_eq!(told(&results), [(1, "first a", false), (2, "plain", false), (1, "first a", true), (3, "first b", false)]);

    // Over calls too, and only what is new takes a number.
    let batch = vec![message("c", "first c"), message("b", "second b"), message("A", "letter case counts"), message("c", "again")];
    let results = create_batch(&mut actor, ticket.id, batch).await.expect("the batch is stored");
    let expected = [(4, "first c", false), (3, "first b", true), (5, "letter case counts", false), (4, "first c", true)];
    assert_eq!(told(&results), expected);

    let before = actor.ticket(ticket.id).await;
    let request =
        pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message: Some(message("a", "third a")), ..Default::default() };
    let again = actor.messages.create_chat_message(request).await.expect("the first one is answered").into_inner();
    assert_eq!(told(&[again]), [(1, "first a", true)]);
    assert_eq!(actor.ticket(ticket.id).await, before, "a duplicate changes nothing");
    let numbers: Vec<i64> = actor.list(ticket.id).await.iter().map(|message| message.message_id).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_external_id_is_the_tickets_own() {
    let world = World::new().await;
    let (mut actor, mut other) = (world.actor().await, world.actor_of("globex").await);
    let (first, second, foreign) = (actor.open_ticket().await.id, actor.open_ticket().await.id, other.open_ticket().await.id);
    for (actor, ticket_id) in [(&mut actor, first), (&mut other, foreign)] {
        let results = create_batch(actor, ticket_id, vec![message("a", "hello")]).await.expect("it is stored");
        assert_eq!(told(&results), [(1, "hello", false)]);
    }
    let results = create_batch(&mut actor, second, vec![message("a", "hello")]).await.expect("it is stored");
    assert_eq!(told(&results), [(1, "hello", false)]);
}

#[tokio::test]
async fn a_deleted_message_that_is_sent_again_answers_its_tombstone_and_stays_erased() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let sent = pb::ChatMessage {
        data: "data".to_owned(),
        files: vec![pb::File { url: "https://files.example.com/1".to_owned(), ..Default::default() }],
        ..message("a", "secret")
    };
    let first = actor.send(ticket.id, sent.clone()).await;
    actor.close(ticket.id).await;
    let tombstone = actor.delete(ticket.id, first.id).await.expect("it may be deleted").chat_message.expect("a tombstone");

    let results = create_batch(&mut actor, ticket.id, vec![sent, message("b", "new")]).await.expect("the batch is stored");

    assert_eq!(told(&results), [(1, "", true), (2, "new", false)]);
    assert_eq!(results[0].chat_message.as_ref(), Some(&tombstone));
    assert_eq!((tombstone.data.as_str(), tombstone.files.len(), tombstone.external_id.as_str()), ("", 0, "a"));
    assert_eq!(actor.list(ticket.id).await[0], tombstone);
}

#[tokio::test]
async fn senders_at_the_same_time_leave_no_gap_and_no_second_copy() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket_id = actor.open_ticket().await.id;
    // All send the same twenty with one of their own before them.
    let senders = (0..8).map(|sender| {
        let mut actor = actor.clone();
        async move {
            let own = customer_message(&format!("own of {sender}"));
            let shared = (0..20).map(|number| message(&format!("id {number}"), &format!("shared by {sender}")));
            create_batch(&mut actor, ticket_id, std::iter::once(own).chain(shared).collect()).await.expect("the batch is stored")
        }
    });

    let answers = join_all(senders).await;

    let listed = actor.list(ticket_id).await;
    let numbers: Vec<i64> = listed.iter().map(|message| message.message_id).collect();
    assert_eq!(numbers, (1..=28).collect::<Vec<i64>>());
    assert_eq!(actor.ticket(ticket_id).await.message_count, 28);
    let stored = answers.iter().flatten().filter(|result| !result.duplicate).count();
    assert_eq!(stored, 28, "each message was new to one sender");
    for result in answers.into_iter().flatten() {
        let message = result.chat_message.expect("it is answered");
        let at = usize::try_from(message.message_id).expect("a number from 1") - 1;
        assert_eq!(listed[at], message, "all were answered what is stored");
    }
}
