//! Repeating a mutating call: its `request_id` gives the first answer again, and one effect.

use chrono::TimeDelta;
use deskledger::app::NewToken;
use deskledger::domain::agent::Agent;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::actor::customer_message;
use crate::support::methods::Rows;
use crate::support::raw::call;
use crate::support::world::plain_token;
use crate::support::{Actor, World, pb, refusal};

/// A mutating method with two different requests, both good once.
struct Write {
    method: &'static str,
    request: Build,
    other: Build,
}

/// Makes the bytes of a request with this request id.
type Build = Box<dyn Fn(&str) -> Vec<u8>>;

#[tokio::test]
async fn the_same_request_id_with_the_same_request_gives_the_first_answer_and_no_second_effect() {
    let stage = Stage::set().await;
    for (number, write) in stage.writes().into_iter().enumerate() {
        let id = id_of(number);
        let first = stage.send(write.method, (write.request)(&id)).await.expect(write.method);
        let after_first = stage.world.database.rows_of_calls().await;

        // The same UUID in capitals is the same id.
        for id in [id.clone(), id.to_uppercase()] {
            let again = stage.send(write.method, (write.request)(&id)).await.expect(write.method);
            assert_eq!(again, first, "{}", write.method);
        }

        assert_eq!(stage.world.database.rows_of_calls().await, after_first, "{}", write.method);
    }
}

#[tokio::test]
async fn a_request_id_with_another_request_or_for_another_method_is_refused() {
    let stage = Stage::set().await;
    let writes = stage.writes();
    stage.world.clock.set("2026-05-01T10:00:00.000001Z");
    stage.world.clock.freeze();
    for (number, write) in writes.iter().enumerate() {
        let id = id_of(number);
        stage.send(write.method, (write.request)(&id)).await.expect(write.method);
        let before = stage.world.database.rows_of_calls().await;

        let others = writes.iter().filter(|other| other.method != write.method).map(|other| (other.method, (other.request)(&id)));
        for (method, request) in others.chain([(write.method, (write.other)(&id))]) {
            let refused = refusal(&stage.send(method, request).await.expect_err(method));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"), "{method}");
            assert_eq!((&refused.metadata["request_id"], refused.metadata["legacy_code"].as_str()), (&id, "deskp400113"));
            assert_eq!(refused.metadata["first_use_time"], "2026-05-01T10:00:00.000001Z");
        }

        assert_eq!(stage.world.database.rows_of_calls().await, before, "{}", write.method);
    }
}

#[tokio::test]
async fn many_calls_at_once_with_one_request_id_have_one_effect_and_equal_answers() {
    let stage = Stage::set().await;
    for (number, write) in stage.writes().into_iter().enumerate() {
        let request = (write.request)(&id_of(number));
        let calls: Vec<_> = (0..32)
            .map(|_| {
                let (channel, token, request) = (stage.channel.clone(), stage.token.clone(), request.clone());
                tokio::spawn(async move { send(&channel, &token, write.method, request).await })
            })
            .collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.expect("the call ends").expect(write.method));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{}", write.method);
    }
    let rows = stage.world.database.rows_of_calls().await;
    // Of the stage four, seven and two, and a hold; then one ticket and two messages made, three messages deleted, a hold placed and released.
    let count = |table: &str| rows_of(&rows, table);
    assert_eq!((count("tickets"), count("chat_messages"), count("deletion_logs"), count("requests")), (5, 9, 5, 10));
    assert_eq!(count("holds"), 3);
}

#[tokio::test]
async fn many_creations_at_once_are_each_remembered_with_their_own_message() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let tickets = [actor.open_ticket().await.id, actor.open_ticket().await.id];
    // Of four that follow each other two are of one ticket, two send what others send too, and one has no request id.
    let request = |n: usize| {
        let external_id = if n.is_multiple_of(2) { format!("twice {}", n / 4) } else { String::new() };
        let chat_message = Some(pb::ChatMessage { external_id, ..customer_message(&format!("message {n}")) });
        let request_id = if n % 4 == 3 { String::new() } else { id_of(n) };
        pb::CreateChatMessageRequest { ticket_id: tickets[n / 2 % 2], chat_message, request_id }
    };
    let all: Vec<_> = (0..64)
        .map(request)
        .chain((0..64).step_by(2).map(|n| pb::CreateChatMessageRequest { request_id: id_of(n + 100), ..request(n) }))
        .collect();
    let calls: Vec<_> = all
        .iter()
        .map(|request| {
            let (mut messages, request) = (actor.messages.clone(), request.clone());
            tokio::spawn(async move { messages.create_chat_message(request).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("the call ends").expect("it is stored, or known").into_inner());
    }

    for (request, answer) in all.iter().zip(&answers) {
        let stored = answer.chat_message.as_ref().expect("it is answered");
        let sent = request.chat_message.as_ref().expect("it was sent");
        assert_eq!((stored.ticket_id, &stored.message, &stored.external_id), (request.ticket_id, &sent.message, &sent.external_id));
        if !request.request_id.is_empty() {
            let again = actor.messages.create_chat_message(request.clone()).await.expect("it is known").into_inner();
            assert_eq!(again, *answer);
        }
    }
    let stored = answers.iter().filter(|answer| !answer.duplicate).count();
    assert_eq!((answers.len(), stored), (96, 64), "what is sent twice is stored once");
}

#[tokio::test]
async fn request_ids_are_each_applications_own() {
    let stage = Stage::set().await;
    let token = stage.world.actor_of("other").await.token;
    let (method, id) = ("TicketService/CreateTicket", id_of(0));
    let request = (stage.writes()[0].request)(&id);
    stage.send(method, request.clone()).await.expect("it is new");
    let before = rows_of(&stage.world.database.rows_of_calls().await, "tickets");

    send(&stage.channel, &token, method, request).await.expect("it is new to the other application");

    assert_eq!(rows_of(&stage.world.database.rows_of_calls().await, "tickets"), before + 1);
}

#[tokio::test]
async fn a_refused_call_leaves_its_request_id_free() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(2).await;
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    let request_id = id_of(0);
    let delete =
        pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: ids[0], request_id: request_id.clone(), ..Default::default() };
    let batch = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, request_id: id_of(1), ..Default::default() };
    actor.messages.delete_chat_message(delete.clone()).await.expect_err("the ticket is open");
    actor.messages.batch_delete_chat_messages(batch.clone()).await.expect_err("the ticket is open");
    let nowhere = pb::CreateChatMessageRequest {
        ticket_id: ticket.id + 1000,
        chat_message: Some(customer_message("hello")),
        request_id: id_of(2),
    };
    actor.messages.create_chat_message(nowhere.clone()).await.expect_err("there is no such ticket");

    let somewhere = pb::CreateChatMessageRequest { ticket_id: ticket.id, ..nowhere };
    actor.messages.create_chat_message(somewhere).await.expect("the id was not used up");
    actor.close(ticket.id).await;
    actor.messages.batch_delete_chat_messages(batch).await.expect("the id was not used up");
    let refused = actor.messages.delete_chat_message(delete).await.expect_err("the batch has deleted it");
    assert_eq!(refusal(&refused).reason, "CHAT_MESSAGE_ALREADY_DELETED");
}

#[tokio::test]
async fn a_request_id_that_is_no_uuid_is_refused_by_every_method() {
    let stage = Stage::set().await;
    let before = stage.world.database.rows_of_calls().await;
    for write in stage.writes() {
        for id in ["x", "6f0f3e0c8f9d4b8e9d620b8a2f1d7c11", "{6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11}"] {
            let refused = refusal(&stage.send(write.method, (write.request)(id)).await.expect_err(write.method));
            assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), ("request_id", "UUID"), "{id}");
        }
    }
    assert_eq!(stage.world.database.rows_of_calls().await, before);
}

#[tokio::test]
async fn a_request_id_is_new_again_when_its_retention_has_passed() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    world.clock.freeze();
    let request =
        pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message: Some(customer_message("hello")), request_id: id_of(0) };
    let mut create = async || {
        let answer = actor.messages.create_chat_message(request.clone()).await.expect("it is stored").into_inner();
        answer.chat_message.expect("it is answered").message_id
    };
    let week = TimeDelta::days(7);
    assert_eq!(create().await, 1);

    world.clock.advance(week);
    assert_eq!(world.app.forget_requests(week).await.expect("the database"), 0, "to the microsecond");
    assert_eq!(create().await, 1);

    world.clock.advance(TimeDelta::microseconds(1));
    assert_eq!(world.app.forget_requests(week).await.expect("the database"), 1);
    assert_eq!(create().await, 2);
}

#[tokio::test]
async fn repeating_the_creation_of_a_deleted_message_answers_its_tombstone() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let request =
        pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message: Some(customer_message("secret")), request_id: id_of(0) };
    let created = actor.messages.create_chat_message(request.clone()).await.expect("it is stored").into_inner();
    let id = created.chat_message.expect("it is answered").id;
    actor.close(ticket.id).await;
    let tombstone = actor.delete(ticket.id, id).await.expect("it may be deleted").chat_message.expect("a tombstone");

    let again = actor.messages.create_chat_message(request).await.expect("it is known").into_inner();

    assert_eq!(again.chat_message, Some(tombstone));
}

#[tokio::test]
async fn repeating_a_deletion_gives_the_first_answer_whatever_has_happened_since_and_whoever_asks() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let request =
        pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: messages[0].id, request_id: id_of(0), ..Default::default() };
    let first = actor.messages.delete_chat_message(request.clone()).await.expect("it may be deleted").into_inner();
    actor.reopen(ticket.id).await;
    let agent = Agent { id: 3, ..Default::default() };
    let token = world.token("acme", NewToken { requested_by: Some(agent), ..plain_token() }).await;

    let again = Actor::new(world.channel().await, &token).messages.delete_chat_message(request).await.expect("it is known");

    assert_eq!(again.into_inner(), first);
}

/// A world with rows, and a caller of it.
struct Stage {
    world: World,
    rows: Rows,
    channel: Channel,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let mut actor = world.actor().await;
        let rows = Rows::of(&world, &mut actor).await;
        let channel = world.channel().await;
        Self { world, rows, channel, token: actor.token }
    }

    async fn send(&self, method: &str, request: Vec<u8>) -> Result<Vec<Vec<u8>>, Status> {
        send(&self.channel, &self.token, method, request).await
    }

    /// Every mutating method; the requests succeed in this order.
    fn writes(&self) -> Vec<Write> {
        let (open, resting) = (self.rows.open.id, self.rows.resting.id);
        let update = |name: &str| pb::UpdateTicketRequest {
            ticket: Some(pb::Ticket { id: open, channel_name: name.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let close = |comment: &str| pb::CloseTicketRequest { id: open, close_comment: comment.to_owned(), ..Default::default() };
        let reopen = |id| pb::ReopenTicketRequest { id, ..Default::default() };
        let place = |reason: &str| pb::PlaceHoldRequest { id: open, reason: reason.to_owned(), ..Default::default() };
        let release = |reason: &str| pb::ReleaseHoldRequest { id: open, reason: reason.to_owned(), ..Default::default() };
        let mut writes = vec![
            write("TicketService/CreateTicket", new_ticket("grace"), new_ticket("ada"), |call, id| call.request_id = id),
            write("TicketService/UpdateTicket", update("one"), update("two"), |call, id| call.request_id = id),
            write("TicketService/CloseTicket", close("one"), close("two"), |call, id| call.request_id = id),
            write("TicketService/ReopenTicket", reopen(resting), reopen(open), |call, id| call.request_id = id),
            write("TicketService/PlaceHold", place("one"), place("two"), |call, id| call.request_id = id),
            write("TicketService/ReleaseHold", release("one"), release("two"), |call, id| call.request_id = id),
        ];
        writes.extend(self.writes_of_messages());
        writes
    }

    fn writes_of_messages(&self) -> Vec<Write> {
        let (resting, closed) = (self.rows.resting.id, self.rows.closed.id);
        let ids: Vec<i64> = self.rows.messages.iter().map(|message| message.id).collect();
        let create = |text: &str| pb::CreateChatMessageRequest {
            ticket_id: resting,
            chat_message: Some(customer_message(text)),
            ..Default::default()
        };
        let create_all = |text: &str| pb::BatchCreateChatMessagesRequest {
            ticket_id: resting,
            chat_messages: vec![customer_message(text)],
            ..Default::default()
        };
        let delete = |detail: &str| pb::DeleteChatMessageRequest {
            ticket_id: closed,
            id: ids[1],
            reason_detail: detail.to_owned(),
            ..Default::default()
        };
        let delete_all =
            |ids: &[i64]| pb::BatchDeleteChatMessagesRequest { ticket_id: closed, ids: ids.to_vec(), ..Default::default() };
        let (both, swapped) = (delete_all(&[ids[2], ids[3]]), delete_all(&[ids[3], ids[2]]));
        vec![
            write("ChatMessageService/CreateChatMessage", create("one"), create("two"), |call, id| call.request_id = id),
            write("ChatMessageService/BatchCreateChatMessages", create_all("1"), create_all("2"), |call, id| call.request_id = id),
            write("ChatMessageService/DeleteChatMessage", delete("one"), delete("two"), |call, id| call.request_id = id),
            write("ChatMessageService/BatchDeleteChatMessages", both, swapped, |call, id| call.request_id = id),
        ]
    }
}

fn write<M: Message + Clone + 'static>(method: &'static str, request: M, other: M, set_id: fn(&mut M, String)) -> Write {
    let with_id = move |message: M| -> Build {
        Box::new(move |id| {
            let mut message = message.clone();
            set_id(&mut message, id.to_owned());
            message.encode_to_vec()
        })
    };
    Write { method, request: with_id(request), other: with_id(other) }
}

fn new_ticket(sendbird_id: &str) -> pb::CreateTicketRequest {
    let customer = pb::Customer { sendbird_id: sendbird_id.to_owned(), ..Default::default() };
    pb::CreateTicketRequest { ticket: Some(pb::Ticket { customer: Some(customer), ..Default::default() }), ..Default::default() }
}

async fn send(channel: &Channel, token: &str, method: &str, request: Vec<u8>) -> Result<Vec<Vec<u8>>, Status> {
    Ok(call(channel, method, &[("authorization", &format!("Bearer {token}"))], request).await?.messages)
}

fn id_of(number: usize) -> String {
    format!("6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d{number:04x}")
}

fn rows_of(rows: &str, table: &str) -> usize {
    rows.lines().skip_while(|line| *line != table).skip(1).take_while(|line| line.starts_with('(')).count()
}
