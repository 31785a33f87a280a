//! Erasure: what deletion leaves of the content, which is nothing but a salted digest.

use sha2::{Digest, Sha256};
use sqlx::Row;

use crate::support::actor::customer_message;
use crate::support::database::as_bytes;
use crate::support::{World, pb, refusal};

/// Stands in every text of a message; no row may hold it once the message is deleted.
const CANARY: &str = "canary-5e1f";

#[tokio::test]
async fn after_a_deletion_the_content_is_in_no_row_of_the_database() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let message = actor.send(ticket.id, message_with_canary()).await;
    let others = [customer_message(CANARY), customer_message(CANARY)];
    let others = actor.send_all(ticket.id, others.to_vec()).await;
    actor.close(ticket.id).await;
    let found = world.database.every_row().await.matches(CANARY).count();
    assert_eq!(found, 7, "the message, its data, its file's url, name and type, and two messages hold it: the search finds it");

    actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    let request = pb::BatchDeleteChatMessagesRequest {
        ticket_id: ticket.id,
        ids: others.iter().map(|other| other.id).collect(),
        request_id: "6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11".to_owned(),
        ..Default::default()
    };
    actor.messages.batch_delete_chat_messages(request).await.expect("they may be deleted");

    let rows = world.database.every_row().await;
    assert!(!rows.contains(CANARY) && !rows.contains(&as_bytes(CANARY)));
}

#[tokio::test]
async fn the_log_holds_the_documented_digest_of_the_erased_content() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let with_all = actor.send(ticket.id, message_with_canary()).await;
    let empty = actor.send(ticket.id, customer_message("")).await;
    actor.close(ticket.id).await;
    let mut connection = world.database.connect().await;

    for message in [with_all, empty] {
        let files: String = sqlx::query_scalar("select files::text from chat_messages where id = $1")
            .bind(message.id)
            .fetch_one(&mut connection)
            .await
            .expect("the files as the database tells them");
        let log = actor.delete(ticket.id, message.id).await.expect("it may be deleted").deletion_log.expect("a log entry");

        let row = sqlx::query("select content_salt, content_digest from deletion_logs where id = $1")
            .bind(log.id)
            .fetch_one(&mut connection)
            .await
            .expect("the log's row");
        let salt: Vec<u8> = row.get("content_salt");
        let mut digest = Sha256::new_with_prefix(&salt);
        for text in [&message.message, &message.data, &files] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        assert_eq!(salt.len(), 32);
        assert_eq!(log.content_digest, digest.finalize().to_vec());
        assert_eq!(log.content_digest, row.get::<Vec<u8>, _>("content_digest"));
    }
    let salts: i64 = sqlx::query_scalar("select count(distinct content_salt) from deletion_logs")
        .fetch_one(&mut connection)
        .await
        .expect("the log's rows");
    assert_eq!(salts, 2, "each deletion has a salt of its own");
}

#[tokio::test]
async fn what_is_remembered_of_a_request_says_nothing_of_its_messages_content() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let requests = [1, 2].map(|number| pb::CreateChatMessageRequest {
        ticket_id: ticket.id,
        chat_message: Some(pb::ChatMessage { data: format!("{number}"), ..customer_message(&format!("guess {number}")) }),
        request_id: format!("6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d000{number}"),
    });
    let mut ids = Vec::new();
    for request in &requests {
        let stored = actor.messages.create_chat_message(request.clone()).await.expect("it is stored").into_inner();
        ids.push(stored.chat_message.expect("it is answered").id);
    }
    let digests = "select count(distinct digest) from requests where cardinality(chat_message_ids) = 1";
    let digests: i64 = sqlx::query_scalar(digests).fetch_one(&mut world.database.connect().await).await.expect("a count");
    assert_eq!(digests, 1, "it is the same for any content");

    // While the messages are there, another content is another request.
    let other = pb::CreateChatMessageRequest { request_id: requests[0].request_id.clone(), ..requests[1].clone() };
    let refused = refusal(&actor.messages.create_chat_message(other.clone()).await.expect_err("it has another content"));
    assert_eq!(refused.reason, "REQUEST_ID_REUSED");
    actor.close(ticket.id).await;
    actor.delete(ticket.id, ids[0]).await.expect("it may be deleted");
    // Then nobody knows any more, and the id still stores nothing again.
    for request in [requests[0].clone(), other] {
        let answer = actor.messages.create_chat_message(request).await.expect("it is a repeat").into_inner();
        let told = answer.chat_message.expect("the tombstone");
        assert_eq!((told.id, told.message.as_str(), told.delete_time.is_some()), (ids[0], "", true));
    }
}

#[tokio::test]
async fn a_closing_message_is_compared_with_the_stored_one_and_not_remembered() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let request = |text: &str| pb::CloseTicketRequest {
        id: ticket.id,
        close_message: text.to_owned(),
        request_id: "6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d0001".to_owned(),
        ..Default::default()
    };
    let first = actor.tickets.close_ticket(request("bye")).await.expect("it is closed").into_inner();
    assert_eq!(actor.tickets.close_ticket(request("bye")).await.expect("it is a repeat").into_inner(), first);
    let refused = refusal(&actor.tickets.close_ticket(request("so long")).await.expect_err("it has another content"));
    assert_eq!(refused.reason, "REQUEST_ID_REUSED");
}

fn message_with_canary() -> pb::ChatMessage {
    let file = pb::File {
        url: format!("https://files.example/{CANARY}"),
        name: format!("é {CANARY}.png"),
        content_type: format!("image/{CANARY}"),
        size_bytes: 12,
    };
    pb::ChatMessage {
        data: format!("{{\"k\":\"{CANARY}\"}}"),
        files: vec![file],
        ..customer_message(&format!("my card: {CANARY} é"))
    }
}
