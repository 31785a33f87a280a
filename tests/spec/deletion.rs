//! Deletion: when it is allowed, what it leaves, what it writes.

use tonic::Code;

use crate::support::actor::{customer_message, message_of};
use crate::support::{World, pb, refusal};

#[tokio::test]
async fn deleting_a_message_of_a_closed_ticket_leaves_a_tombstone_and_a_log_entry() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;

    let deleted = actor.delete(ticket.id, messages[1].id).await.expect("it may be deleted");
    let (tombstone, log) = (deleted.chat_message.expect("a tombstone"), deleted.deletion_log.expect("a log entry"));

    assert_eq!((tombstone.id, tombstone.message_id, tombstone.ticket_id), (messages[1].id, 2, ticket.id));
    assert_eq!((tombstone.message.as_str(), tombstone.data.as_str()), ("", ""));
    assert!(tombstone.delete_time.is_some());
    assert_eq!(tombstone.requested_from(), pb::RequestedFrom::PlatformApi);
    assert_eq!((log.chat_message_id, log.message_id, log.ticket_id), (messages[1].id, 2, ticket.id));
    assert_eq!(log.delete_time, tombstone.delete_time);
    assert_eq!(log.create_time, messages[1].create_time);
    assert_eq!(log.content_digest.len(), 32);
    assert_eq!(actor.log().await, vec![log]);
    let listed = actor.list(ticket.id).await;
    assert_eq!(listed, vec![messages[0].clone(), tombstone, messages[2].clone()]);
}

#[tokio::test]
async fn a_message_of_an_open_ticket_is_refused_whatever_the_status() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(1).await;

    let refused = refusal(&actor.delete(ticket.id, messages[0].id).await.expect_err("the ticket is open"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_NOT_CLOSED"));
    assert_eq!(refused.message, "The ticket is not closed yet.");
    assert_eq!(refused.metadata["legacy_code"], "deskp400600");
    assert_eq!(refused.metadata["status"], "INITIALIZED");
    assert_eq!(actor.list(ticket.id).await, messages);
    assert_eq!(actor.log().await, vec![]);
}

#[tokio::test]
async fn an_event_message_is_refused() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let event = actor.send(ticket.id, message_of(pb::UserType::Event, "", "assigned")).await;
    actor.send(ticket.id, customer_message("hello")).await;
    actor.close(ticket.id).await;

    let refused = refusal(&actor.delete(ticket.id, event.id).await.expect_err("an event stays"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CHAT_MESSAGE_NOT_DELETABLE"));
    assert_eq!(refused.metadata["cause"], "EVENT_MESSAGE");
    assert_eq!(refused.metadata["legacy_code"], "deskp400601");
}
