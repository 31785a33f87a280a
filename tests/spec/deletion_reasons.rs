//! The setting that wants a reason for each deletion.

use serde_json::json;
use tonic::Code;

use crate::support::database::TestDatabase;
use crate::support::ingest::{deleted, in_channel};
use crate::support::world::default_settings;
use crate::support::{World, pb, refusal};

async fn strict_world() -> World {
    let mut settings = default_settings();
    assert!(!settings.require_deletion_reason, "a service that nobody configured wants no reason");
    settings.require_deletion_reason = true;
    World::on(TestDatabase::create().await, settings).await
}

#[tokio::test]
async fn where_a_reason_is_required_a_deletion_without_one_is_refused_by_its_field() {
    let world = strict_world().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    let before = world.database.every_row().await;
    // Words alone are no reason: the log is searched by the list.
    let one = pb::DeleteChatMessageRequest {
        ticket_id: ticket.id,
        id: messages[0].id,
        reason_detail: "because".to_owned(),
        ..Default::default()
    };
    let batch = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids: vec![messages[1].id], ..Default::default() };
    let validate = pb::BatchDeleteChatMessagesRequest { validate_only: true, ..batch.clone() };
    // A field goes before existence.
    let nowhere = pb::DeleteChatMessageRequest { ticket_id: ticket.id + 1, ..one.clone() };

    let answers = [
        actor.messages.delete_chat_message(one.clone()).await.map(|_| ()),
        actor.messages.delete_chat_message(nowhere).await.map(|_| ()),
        actor.messages.batch_delete_chat_messages(batch.clone()).await.map(|_| ()),
        actor.messages.batch_delete_chat_messages(validate.clone()).await.map(|_| ()),
    ];

    for answer in answers {
        let refused = refusal(&answer.expect_err("it says no reason"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert_eq!((refused.field_names(), refused.metadata["rule"].as_str()), (vec!["reason"], "REQUIRED"));
        assert_eq!(refused.message, "The reason parameter is required.");
    }
    assert_eq!(world.database.every_row().await, before);

    let reason = pb::DeletionReason::Spam as i32;
    actor
        .messages
        .batch_delete_chat_messages(pb::BatchDeleteChatMessagesRequest { reason, ..validate })
        .await
        .expect("one is said");
    actor.messages.delete_chat_message(pb::DeleteChatMessageRequest { reason, ..one }).await.expect("one is said");
    actor.messages.batch_delete_chat_messages(pb::BatchDeleteChatMessagesRequest { reason, ..batch }).await.expect("one is said");
    assert_eq!(actor.log().await.iter().map(pb::DeletionLog::reason).collect::<Vec<_>>(), [pb::DeletionReason::Spam; 2]);
}

#[tokio::test]
async fn a_reason_that_is_required_and_cannot_be_read_is_told_once_with_the_other_fields() {
    let world = strict_world().await;
    let mut actor = world.actor().await;
    let request = pb::DeleteChatMessageRequest { reason: 99, request_id: "x".to_owned(), ..Default::default() };

    let refused = refusal(&actor.messages.delete_chat_message(request).await.expect_err("it breaks rules"));

    assert_eq!(refused.field_names(), ["ticket_id", "id", "reason", "request_id"]);
}

#[tokio::test]
async fn where_a_reason_is_required_rest_wants_it_in_the_body() {
    let world = strict_world().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let http = world.http(&actor);
    let of_ticket = format!("/tickets/{}/chat_messages/{}", ticket.id, messages[0].id);
    let of_application = format!("/chat_messages/{}?ticket_id={}", messages[1].id, ticket.id);

    for path in [&of_ticket, &of_application] {
        http.delete(path).await.refused(400, "deskp400105", "The reason parameter is required.");
    }
    assert_eq!(actor.log().await, []);
    for path in [&of_ticket, &of_application] {
        http.call(http::Method::DELETE, path, json!({"reason": "ABUSE"}).to_string()).await.ok();
    }
    assert_eq!(actor.log().await.iter().map(pb::DeletionLog::reason).collect::<Vec<_>>(), [pb::DeletionReason::Abuse; 2]);
}

#[tokio::test]
async fn what_is_deleted_where_it_comes_from_is_deleted_without_a_reason_all_the_same() {
    let world = strict_world().await;
    let mut actor = world.actor().await;
    actor.store(in_channel("c", 7, "hello")).await;

    actor.store(deleted(in_channel("c", 7, ""))).await;

    let log = actor.log().await.remove(0);
    assert_eq!((log.reason(), log.reason_detail.as_str()), (pb::DeletionReason::Unspecified, ""));
}
