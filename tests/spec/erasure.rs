//! Erasure: what deletion leaves of the content, which is nothing but a salted digest.

use sha2::{Digest, Sha256};
use sqlx::Row;

use crate::support::actor::customer_message;
use crate::support::database::as_bytes;
use crate::support::{World, pb};

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
