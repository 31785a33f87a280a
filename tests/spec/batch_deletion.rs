//! Deleting many messages of one ticket: whole or not at all, and only said with `validate_only`.

use tonic::{Code, Status};

use crate::support::actor::{customer_message, message_of};
use crate::support::{Actor, World, pb, refusal};
use pb::batch_delete_chat_messages_result::Outcome;

#[tokio::test]
async fn a_batch_deletes_one_to_five_hundred_messages_and_answers_in_the_order_of_the_request() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for count in [1, 2, 500] {
        let (ticket, messages) = actor.closed_ticket_with(count).await;
        // Neither ascending nor descending.
        let mut ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
        ids.rotate_left(count / 3);
        ids.swap(0, count / 2);

        let results = delete_all(&mut actor, ticket.id, &ids).await.expect("they may be deleted");

        assert_eq!(results.iter().map(|result| result.id).collect::<Vec<_>>(), ids);
        let mut tombstones: Vec<pb::ChatMessage> = Vec::new();
        for result in results {
            let Some(Outcome::Deleted(deleted)) = result.outcome else { panic!("it is deleted: {result:?}") };
            let (tombstone, log) = (deleted.chat_message.expect("a tombstone"), deleted.deletion_log.expect("a log entry"));
            assert_eq!((tombstone.id, log.chat_message_id, log.message_id), (result.id, result.id, tombstone.message_id));
            tombstones.push(tombstone);
        }
        tombstones.sort_by_key(|tombstone| tombstone.message_id);
        assert_eq!(actor.list(ticket.id).await, tombstones);
        assert!(tombstones.iter().all(|tombstone| tombstone.message.is_empty() && tombstone.delete_time.is_some()));
    }
}

#[tokio::test]
async fn a_batch_of_none_of_too_many_or_of_the_same_twice_is_refused() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let (first, second) = (messages[0].id, messages[1].id);
    for (ids, field, rule) in
        [(vec![], "ids", "REQUIRED"), (vec![first, second, first], "ids", "UNIQUE"), (vec![first, 0], "ids[1]", "REQUIRED")]
    {
        let refused = refusal(&delete_all(&mut actor, ticket.id, &ids).await.expect_err(rule));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{ids:?}");
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
    }
    let too_many: Vec<i64> = (first..first + 501).collect();

    let refused = refusal(&delete_all(&mut actor, ticket.id, &too_many).await.expect_err("too many"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "BATCH_TOO_LARGE"));
    let told = ["field", "count", "max"].map(|key| refused.metadata[key].as_str());
    assert_eq!((told, refused.field_names()), (["ids", "501", "500"], vec!["ids"]));
    assert_eq!(actor.list(ticket.id).await, messages);
}

#[tokio::test]
async fn one_refused_message_keeps_its_whole_batch_and_the_first_of_the_request_is_named() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let scene = Scene::set(&mut actor).await;
    let before = world.database.rows_of_calls().await;
    let Scene { ticket_id, plain, other_plain, event, deleted, elsewhere, .. } = scene;
    let cases = [
        (vec![plain, event, deleted, other_plain], event, "CHAT_MESSAGE_NOT_DELETABLE"),
        (vec![plain, deleted, event], deleted, "CHAT_MESSAGE_ALREADY_DELETED"),
        (vec![elsewhere, event, plain], elsewhere, "CHAT_MESSAGE_NOT_FOUND"),
        (vec![plain, other_plain, plain + 1000], plain + 1000, "CHAT_MESSAGE_NOT_FOUND"),
        (vec![event], event, "CHAT_MESSAGE_NOT_DELETABLE"),
    ];
    for (ids, named, reason) in cases {
        let refused = refusal(&delete_all(&mut actor, ticket_id, &ids).await.expect_err(reason));

        assert_eq!(refused.reason, reason, "{ids:?}");
        let of_message = ["ticket_id", "id"].map(|key| refused.metadata[key].clone());
        assert_eq!(of_message, [ticket_id.to_string(), named.to_string()], "{ids:?}");
        assert_eq!(world.database.rows_of_calls().await, before, "{ids:?}");
    }
}

#[tokio::test]
async fn a_batch_in_an_open_ticket_or_in_none_is_refused() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(2).await;
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();

    let open = refusal(&delete_all(&mut actor, ticket.id, &ids).await.expect_err("the ticket is open"));
    let unknown = refusal(&delete_all(&mut actor, ticket.id + 1000, &ids).await.expect_err("there is no such ticket"));

    assert_eq!((open.reason.as_str(), open.metadata["status"].as_str()), ("TICKET_NOT_CLOSED", "INITIALIZED"));
    assert_eq!((unknown.reason.as_str(), unknown.metadata["id"].clone()), ("CHAT_MESSAGE_NOT_FOUND", ids[0].to_string()));
    assert_eq!(actor.list(ticket.id).await, messages);
}

#[tokio::test]
async fn validate_only_says_of_each_message_what_deleting_it_would_and_changes_nothing() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let scene = Scene::set(&mut actor).await;
    let before = world.database.rows_of_calls().await;
    let Scene { ticket_id, plain, event, deleted, elsewhere, open_ticket_id, .. } = scene;
    let cases = [
        (ticket_id, vec![event, plain, elsewhere, deleted, plain + 1000]),
        (open_ticket_id, vec![elsewhere, plain]),
        (ticket_id + 1000, vec![plain]),
    ];
    let mut verdicts = Vec::new();
    for (ticket_id, ids) in &cases {
        let results = validate(&mut actor, *ticket_id, ids).await.expect("it is only asked");
        assert_eq!(results.iter().map(|result| result.id).collect::<Vec<_>>(), *ids);
        verdicts.extend(results.into_iter().map(|result| (*ticket_id, result)));
    }
    assert_eq!(world.database.rows_of_calls().await, before);
    assert_eq!(verdicts.len(), 8);

    // Then each is put to the proof.
    for (ticket_id, result) in verdicts {
        let outcome = actor.delete(ticket_id, result.id).await;
        match (result.outcome.expect("an outcome"), outcome) {
            (Outcome::Deletable(_), Ok(_)) => assert_eq!((ticket_id, result.id), (scene.ticket_id, plain)),
            (Outcome::Refused(said), Err(refused)) => {
                let refused = refusal(&refused);
                assert_eq!(said.reason().as_str_name(), format!("ERROR_REASON_{}", refused.reason));
                assert_eq!(said.message, refused.message);
            }
            (said, done) => panic!("message {} of ticket {ticket_id}: {said:?} and {done:?}", result.id),
        }
    }
}

#[tokio::test]
async fn validate_only_excludes_a_request_id() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let request = pb::BatchDeleteChatMessagesRequest {
        ticket_id: ticket.id,
        ids: vec![messages[0].id],
        validate_only: true,
        request_id: "6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11".to_owned(),
        ..Default::default()
    };

    let refused = refusal(&actor.messages.batch_delete_chat_messages(request).await.expect_err("one or the other"));

    assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), ("request_id", "EXCLUDES"));
}

/// A closed ticket with a message for each verdict.
struct Scene {
    ticket_id: i64,
    plain: i64,
    other_plain: i64,
    event: i64,
    deleted: i64,
    open_ticket_id: i64,
    /// A message of the open ticket.
    elsewhere: i64,
}

impl Scene {
    async fn set(actor: &mut Actor) -> Self {
        let ticket = actor.open_ticket().await;
        let event = message_of(pb::UserType::Event, "", "assigned");
        let messages = vec![customer_message("1"), event, customer_message("3"), customer_message("4")];
        let messages = actor.send_all(ticket.id, messages).await;
        actor.close(ticket.id).await;
        actor.delete(ticket.id, messages[3].id).await.expect("it may be deleted");
        let (open, elsewhere) = actor.ticket_with(1).await;
        Self {
            ticket_id: ticket.id,
            plain: messages[0].id,
            event: messages[1].id,
            other_plain: messages[2].id,
            deleted: messages[3].id,
            open_ticket_id: open.id,
            elsewhere: elsewhere[0].id,
        }
    }
}

type Results = Result<Vec<pb::BatchDeleteChatMessagesResult>, Status>;

async fn delete_all(actor: &mut Actor, ticket_id: i64, ids: &[i64]) -> Results {
    let request = pb::BatchDeleteChatMessagesRequest { ticket_id, ids: ids.to_vec(), ..Default::default() };
    Ok(actor.messages.batch_delete_chat_messages(request).await?.into_inner().results)
}

async fn validate(actor: &mut Actor, ticket_id: i64, ids: &[i64]) -> Results {
    let request = pb::BatchDeleteChatMessagesRequest { ticket_id, ids: ids.to_vec(), validate_only: true, ..Default::default() };
    Ok(actor.messages.batch_delete_chat_messages(request).await?.into_inner().results)
}
