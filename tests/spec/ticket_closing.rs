//! Closing and reopening tickets, and what a ticket tells of its messages.

use prost_types::Timestamp;
use tonic::Code;

use crate::support::actor::{customer_message, message_of};
use crate::support::ticket::full_ticket;
use crate::support::{World, pb, refusal};

#[tokio::test]
async fn closing_keeps_the_comment_the_time_and_a_last_message_and_reopening_removes_them_but_the_message() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let open = actor.create(full_ticket()).await.expect("the ticket opens");
    world.clock.set("2026-03-16T08:00:00.000001Z");
    world.clock.freeze();
    let time = Some(Timestamp { seconds: 1_773_648_000, nanos: 1000 });
    let (close_comment, close_message) = ("é".repeat(2048), "é".repeat(16_384));

    let request = pb::CloseTicketRequest { id: open.id, close_comment, close_message, ..Default::default() };
    let closed = actor.tickets.close_ticket(request.clone()).await.expect("the ticket closes").into_inner().ticket;

    let closed = closed.expect("it is answered");
    let expected = pb::Ticket {
        status: pb::TicketStatus::Closed as i32,
        close_time: time,
        close_status: "DEFAULT".to_owned(),
        close_comment: request.close_comment,
        message_count: 1,
        last_message: request.close_message.clone(),
        etag: closed.etag.clone(),
        ..open.clone()
    };
    assert_ne!(closed.etag, open.etag);
    assert_eq!(closed, expected);
    let messages = actor.list(open.id).await;
    let event = pb::ChatMessage {
        id: messages[0].id,
        message_id: 1,
        ticket_id: open.id,
        create_time: time,
        ..message_of(pb::UserType::Event, "event", &request.close_message)
    };
    assert_eq!(messages, [event]);

    let reopened = actor.reopen(open.id).await;
    let pending = pb::Ticket {
        status: pb::TicketStatus::Pending as i32,
        message_count: 1,
        last_message: request.close_message,
        etag: reopened.etag.clone(),
        ..open
    };
    assert_ne!(reopened.etag, closed.etag);
    assert_eq!(reopened, pending);
    assert_eq!(actor.ticket(reopened.id).await, pending);
}

#[tokio::test]
async fn a_closed_ticket_does_not_close_again_and_an_open_one_does_not_reopen() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let open = actor.open_ticket().await;

    let refused = actor.tickets.reopen_ticket(pb::ReopenTicketRequest { id: open.id, ..Default::default() }).await;
    let refused = refusal(&refused.expect_err("it is open"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_NOT_CLOSED"));
    assert_eq!((&refused.metadata["ticket_id"], refused.metadata["status"].as_str()), (&open.id.to_string(), "INITIALIZED"));
    assert_eq!(actor.ticket(open.id).await, open);

    let closed = actor.close(open.id).await;
    assert_eq!((closed.close_status.as_str(), closed.close_comment.as_str(), closed.message_count), ("DEFAULT", "", 0));
    let again = pb::CloseTicketRequest { id: open.id, close_message: "again".to_owned(), ..Default::default() };
    let refused = refusal(&actor.tickets.close_ticket(again).await.expect_err("it is closed"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_ALREADY_CLOSED"));
    assert_eq!(refused.metadata["ticket_id"], open.id.to_string());
    assert_eq!(actor.ticket(open.id).await, closed);
}

#[tokio::test]
async fn a_close_that_breaks_a_rule_closes_nothing() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let open = actor.open_ticket().await;
    let close = pb::CloseTicketRequest { id: open.id, ..Default::default() };
    let rows = [
        (pb::CloseTicketRequest { close_comment: "é".repeat(2049), ..close.clone() }, "close_comment", "LENGTH"),
        (pb::CloseTicketRequest { close_message: "x".repeat(32_769), ..close.clone() }, "close_message", "LENGTH"),
        (pb::CloseTicketRequest { close_comment: "\0".to_owned(), ..close.clone() }, "close_comment", "NO_NUL"),
        (pb::CloseTicketRequest { close_message: "\0".to_owned(), ..close.clone() }, "close_message", "NO_NUL"),
        (pb::CloseTicketRequest { id: 0, ..close }, "id", "REQUIRED"),
    ];
    for (request, field, rule) in rows {
        let refused = refusal(&actor.tickets.close_ticket(request).await.expect_err("it breaks a rule"));
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
    }
    assert_eq!(actor.ticket(open.id).await, open);
}

#[tokio::test]
async fn every_call_on_a_ticket_that_is_not_there_says_so() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let foreign = world.actor_of("globex").await.open_ticket().await.id;
    for id in [foreign, foreign + 1, -1, i64::MAX] {
        let answers = [
            actor.tickets.get_ticket(pb::GetTicketRequest { id }).await.map(|_| ()),
            actor.update(pb::Ticket { id, info: "new".to_owned(), ..Default::default() }, &[]).await.map(|_| ()),
            actor.tickets.close_ticket(pb::CloseTicketRequest { id, ..Default::default() }).await.map(|_| ()),
            actor.tickets.reopen_ticket(pb::ReopenTicketRequest { id, ..Default::default() }).await.map(|_| ()),
        ];
        for answer in answers {
            let refused = refusal(&answer.expect_err("there is no such ticket"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "TICKET_NOT_FOUND"));
            assert_eq!(refused.message, "The specified ticket doesn't exist.");
            assert_eq!(refused.metadata["ticket_id"], id.to_string());
        }
    }
}

#[tokio::test]
async fn a_ticket_tells_its_newest_message_until_that_is_deleted() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    assert_eq!((ticket.last_message.as_str(), ticket.message_count), ("", 0));
    let mut etags = vec![ticket.etag];
    let mut newest = 0;
    for number in 1..=3 {
        newest = actor.send(ticket.id, customer_message(&format!("message {number}"))).await.id;
        let ticket = actor.ticket(ticket.id).await;
        assert_eq!((ticket.last_message, ticket.message_count), (format!("message {number}"), number));
        etags.push(ticket.etag);
    }
    etags.push(actor.close(ticket.id).await.etag);

    actor.delete(ticket.id, newest).await.expect("it may be deleted");

    let ticket = actor.ticket(ticket.id).await;
    assert_eq!((ticket.last_message.as_str(), ticket.message_count), ("", 3));
    etags.push(ticket.etag);
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 6, "every change gives another etag");
}

#[tokio::test]
async fn the_issue_time_is_when_the_customer_first_sent_a_message() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let sent = |user_type, seconds| pb::ChatMessage {
        create_time: at(seconds),
        ..message_of(user_type, if user_type == pb::UserType::Event { "" } else { "ada" }, "hello")
    };
    actor.send_all(ticket.id, vec![sent(pb::UserType::Agent, 1), sent(pb::UserType::Event, 2)]).await;
    assert_eq!(actor.ticket(ticket.id).await.issue_time, None);

    actor
        .send_all(ticket.id, vec![sent(pb::UserType::Agent, 3), sent(pb::UserType::Customer, 4), sent(pb::UserType::Customer, 5)])
        .await;
    assert_eq!(actor.ticket(ticket.id).await.issue_time, at(4));

    let late = actor.send(ticket.id, sent(pb::UserType::Customer, 6)).await;
    actor.close(ticket.id).await;
    actor.delete(ticket.id, late.id).await.expect("it may be deleted");
    assert_eq!(actor.ticket(ticket.id).await.issue_time, at(4));
}
