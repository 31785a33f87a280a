//! Deletion: when it is allowed, what it leaves, what it writes.

use deskledger::app::NewToken;
use deskledger::domain::agent::Agent;
use deskledger::domain::deletion::RequestedFrom;
use tonic::{Code, Status};

use crate::support::actor::{customer_message, message_of};
use crate::support::world::plain_token;
use crate::support::{Actor, World, pb, refusal};

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
    use pb::TicketStatus::{Active, Idle, Initialized, Pending, Proactive, WorkInProgress};
    let world = World::new().await;
    let mut actor = world.actor().await;
    let lives = [
        (Initialized, vec![], "INITIALIZED"),
        (Proactive, vec![], "PROACTIVE"),
        (Pending, vec![], "PENDING"),
        (Pending, vec![Active], "ACTIVE"),
        (Pending, vec![Active, WorkInProgress], "WORK_IN_PROGRESS"),
        (Pending, vec![Active, Idle], "IDLE"),
    ];
    for (first, steps, status) in lives {
        let ticket = open_ticket_in(&mut actor, first, &steps).await;
        let message = actor.send(ticket, customer_message("hello")).await;

        let refused = refusal(&actor.delete(ticket, message.id).await.expect_err(status));

        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_NOT_CLOSED"), "{status}");
        assert_eq!(refused.message, "The ticket is not closed yet.");
        assert_eq!(refused.metadata["legacy_code"], "deskp400600");
        assert_eq!((refused.metadata["ticket_id"].clone(), refused.metadata["status"].as_str()), (ticket.to_string(), status));
        assert_eq!(actor.list(ticket).await, vec![message]);
    }
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
    assert_eq!(refused.message, "The specified message can't be deleted.");
    assert_eq!(refused.metadata["cause"], "EVENT_MESSAGE");
    assert_eq!(refused.metadata["legacy_code"], "deskp400601");
}

#[tokio::test]
async fn messages_of_social_channels_are_refused_and_those_of_all_others_deleted() {
    use pb::ChannelType as Channel;
    let world = World::new().await;
    let mut actor = world.actor().await;
    let social = [
        Channel::FacebookConversation,
        Channel::FacebookFeed,
        Channel::TwitterStatus,
        Channel::TwitterDirectMessageEvent,
        Channel::InstagramComment,
        Channel::WhatsappMessage,
    ];
    for number in 1..=10 {
        let channel = Channel::try_from(number).expect("there are ten types of channel");
        let ticket = actor.open_ticket_of(channel).await;
        let message = actor.send(ticket.id, customer_message("hello")).await;
        actor.close(ticket.id).await;

        let outcome = actor.delete(ticket.id, message.id).await;

        assert_eq!(outcome.is_err(), social.contains(&channel), "{channel:?}");
        if let Err(refused) = outcome {
            let refused = refusal(&refused);
            assert_eq!(refused.reason, "CHAT_MESSAGE_NOT_DELETABLE", "{channel:?}");
            assert_eq!(refused.metadata["cause"], "SOCIAL_CHANNEL");
            assert_eq!(actor.list(ticket.id).await, vec![message]);
        }
    }
    assert_eq!(actor.log().await.len(), 4);
}

#[tokio::test]
async fn the_rules_are_checked_in_order_existence_already_deleted_ticket_closed_deletable() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (reopened, deleted) = actor.closed_ticket_with(1).await;
    actor.delete(reopened.id, deleted[0].id).await.expect("it may be deleted");
    actor.reopen(reopened.id).await;
    let event = actor.send(reopened.id, message_of(pb::UserType::Event, "", "reopened")).await;
    let open_social = actor.open_ticket_of(pb::ChannelType::WhatsappMessage).await;
    let social_message = actor.send(open_social.id, customer_message("hello")).await;
    let closed_social = actor.open_ticket_of(pb::ChannelType::FacebookFeed).await;
    let social_event = actor.send(closed_social.id, message_of(pb::UserType::Event, "", "assigned")).await;
    actor.close(closed_social.id).await;

    let cases = [
        ("unknown in an open ticket", reopened.id, social_event.id + 1000, "CHAT_MESSAGE_NOT_FOUND", None),
        ("deleted, its ticket open again", reopened.id, deleted[0].id, "CHAT_MESSAGE_ALREADY_DELETED", None),
        ("an event in an open ticket", reopened.id, event.id, "TICKET_NOT_CLOSED", None),
        ("social in an open ticket", open_social.id, social_message.id, "TICKET_NOT_CLOSED", None),
        ("an event in a social ticket", closed_social.id, social_event.id, "CHAT_MESSAGE_NOT_DELETABLE", Some("EVENT_MESSAGE")),
    ];
    for (case, ticket, id, reason, cause) in cases {
        let refused = refusal(&actor.delete(ticket, id).await.expect_err(case));
        assert_eq!((refused.reason.as_str(), refused.metadata.get("cause").map(String::as_str)), (reason, cause), "{case}");
    }
}

#[tokio::test]
async fn deleting_again_is_refused_and_changes_neither_tombstone_nor_log() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    let before = world.database.rows_of_calls().await;

    let refused = refusal(&actor.delete(ticket.id, messages[0].id).await.expect_err("it is deleted"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CHAT_MESSAGE_ALREADY_DELETED"));
    assert_eq!(refused.message, "The message was already deleted.");
    assert_eq!(refused.metadata["legacy_code"], "deskp400500");
    assert_eq!(refused.metadata["id"], messages[0].id.to_string());
    assert_eq!(world.database.rows_of_calls().await, before);
}

#[tokio::test]
async fn a_message_that_is_not_in_the_ticket_does_not_exist_whatever_the_cause() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let (other, _) = actor.closed_ticket_with(1).await;
    let cases = [
        ("unknown message", ticket.id, messages[0].id + 1000),
        ("the message's number instead of its id", other.id, 1),
        ("message of another ticket", other.id, messages[0].id),
        ("unknown ticket", other.id + 1000, messages[0].id),
        ("negative ids", -1, -1),
    ];
    for (case, ticket_id, id) in cases {
        let refused = refusal(&actor.delete(ticket_id, id).await.expect_err(case));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "CHAT_MESSAGE_NOT_FOUND"), "{case}");
        assert_eq!(refused.message, "The specified message doesn't exist.", "{case}");
        assert_eq!(refused.metadata["legacy_code"], "deskp400201");
        assert_eq!(
            (refused.metadata["ticket_id"].clone(), refused.metadata["id"].clone()),
            (ticket_id.to_string(), id.to_string())
        );
    }
    assert_eq!(actor.log().await, vec![]);
}

#[tokio::test]
async fn the_request_says_who_asks_from_where_and_why() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let agent = pb::Agent { id: 7, display_name: "Grace".to_owned(), sendbird_id: "grace".to_owned(), email: "g@x.org".to_owned() };
    // Characters, not bytes.
    let detail = "é".repeat(512);

    let deleted = try_delete(&mut actor, grounds(ticket.id, messages[0].id, &agent, &detail)).await.expect("it may be deleted");

    let (tombstone, log) = (deleted.chat_message.expect("a tombstone"), deleted.deletion_log.expect("a log entry"));
    assert_eq!((tombstone.requested_from(), tombstone.requested_by.as_ref()), (pb::RequestedFrom::Dashboard, Some(&agent)));
    assert_eq!((log.requested_from(), log.requested_by.as_ref()), (pb::RequestedFrom::Dashboard, Some(&agent)));
    assert_eq!((log.reason(), log.reason_detail.as_str()), (pb::DeletionReason::LegalOrder, detail.as_str()));
    assert_eq!((log.user_sendbird_id.as_str(), log.user_type()), ("ada", pb::UserType::Customer));
    assert!(actor.token.contains(&log.token_id), "the log names the token that made the call");
    assert_eq!(actor.list(ticket.id).await, vec![tombstone]);
    assert_eq!(actor.log().await, vec![log]);
}

#[tokio::test]
async fn where_the_request_is_silent_the_token_says_who_asks_and_from_where() {
    let world = World::new().await;
    let agent = Agent { id: 3, sendbird_id: "linus".to_owned(), ..Default::default() };
    let token = NewToken { requested_from: RequestedFrom::Dashboard, requested_by: Some(agent), ..plain_token() };
    let token = world.token("acme", token).await;
    let mut actor = Actor::new(world.channel().await, &token);
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let named = pb::Agent { sendbird_id: "grace".to_owned(), ..Default::default() };

    let silent = actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted").deletion_log.expect("a log entry");
    let request = pb::DeleteChatMessageRequest {
        ticket_id: ticket.id,
        id: messages[1].id,
        requested_by: Some(named.clone()),
        ..Default::default()
    };
    let spoken = try_delete(&mut actor, request).await.expect("it may be deleted").deletion_log.expect("a log entry");

    let of_token = pb::Agent { id: 3, sendbird_id: "linus".to_owned(), ..Default::default() };
    assert_eq!((silent.requested_from(), silent.requested_by.as_ref()), (pb::RequestedFrom::Dashboard, Some(&of_token)));
    assert_eq!((silent.reason(), silent.reason_detail.as_str()), (pb::DeletionReason::Unspecified, ""));
    assert_eq!((spoken.requested_from(), spoken.requested_by), (pb::RequestedFrom::Dashboard, Some(named)));
}

#[tokio::test]
async fn grounds_that_break_a_rule_are_refused_and_nothing_is_deleted() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let (agent, nobody) =
        (pb::Agent { id: 7, ..Default::default() }, pb::Agent { email: "g@x.org".to_owned(), ..Default::default() });
    let good = grounds(ticket.id, messages[0].id, &agent, "");
    let cases = [
        (pb::DeleteChatMessageRequest { reason_detail: "x".repeat(513), ..good.clone() }, "reason_detail", "LENGTH"),
        (pb::DeleteChatMessageRequest { reason_detail: "a\0b".to_owned(), ..good.clone() }, "reason_detail", "NO_NUL"),
        (pb::DeleteChatMessageRequest { requested_by: Some(nobody), ..good.clone() }, "requested_by.id", "REQUIRED"),
        (pb::DeleteChatMessageRequest { requested_from: 99, ..good.clone() }, "requested_from", "ONE_OF"),
        (pb::DeleteChatMessageRequest { reason: 99, ..good.clone() }, "reason", "ONE_OF"),
        (pb::DeleteChatMessageRequest { ticket_id: 0, ..good.clone() }, "ticket_id", "REQUIRED"),
        (pb::DeleteChatMessageRequest { id: 0, ..good.clone() }, "id", "REQUIRED"),
        (pb::DeleteChatMessageRequest { wait_for_receipt: Some(seconds(11)), ..good.clone() }, "wait_for_receipt", "RANGE"),
        (pb::DeleteChatMessageRequest { wait_for_receipt: Some(seconds(-1)), ..good.clone() }, "wait_for_receipt", "RANGE"),
    ];
    for (request, field, rule) in cases {
        let refused = refusal(&try_delete(&mut actor, request).await.expect_err(field));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
    }
    assert_eq!(actor.list(ticket.id).await, messages);
}

fn grounds(ticket_id: i64, id: i64, agent: &pb::Agent, detail: &str) -> pb::DeleteChatMessageRequest {
    pb::DeleteChatMessageRequest {
        ticket_id,
        id,
        requested_from: pb::RequestedFrom::Dashboard as i32,
        requested_by: Some(agent.clone()),
        reason: pb::DeletionReason::LegalOrder as i32,
        reason_detail: detail.to_owned(),
        ..Default::default()
    }
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

async fn try_delete(actor: &mut Actor, request: pb::DeleteChatMessageRequest) -> Result<pb::DeleteChatMessageResponse, Status> {
    Ok(actor.messages.delete_chat_message(request).await?.into_inner())
}

/// Opens a ticket and leads it through statuses; answers its id.
async fn open_ticket_in(actor: &mut Actor, first: pb::TicketStatus, steps: &[pb::TicketStatus]) -> i64 {
    let customer = pb::Customer { sendbird_id: "ada".to_owned(), ..Default::default() };
    let ticket = pb::Ticket { customer: Some(customer), status: first as i32, ..Default::default() };
    let request = pb::CreateTicketRequest { ticket: Some(ticket), ..Default::default() };
    let id = actor.tickets.create_ticket(request).await.expect("the ticket opens").into_inner().ticket.expect("it is answered").id;
    for status in steps {
        let ticket = pb::Ticket { id, status: *status as i32, ..Default::default() };
        let request = pb::UpdateTicketRequest { ticket: Some(ticket), ..Default::default() };
        actor.tickets.update_ticket(request).await.expect("the life cycle has this step");
    }
    id
}
