//! Two doors, one spec: each scenario goes through gRPC and through REST, in a world of its own each, and must end the same.

use chrono::TimeDelta;
use deskledger::domain::caller::Scope;
use serde_json::{Value, json};

use crate::support::actor::{customer_message, message_of};
use crate::support::door::{Call, Door, Told, Visitor};
use crate::support::{Http, World, pb};

/// A world with the same rows in the same order for each door, so that the tickets' ids are the same too.
struct Scene {
    visitor: Visitor,
    world: World,
    closed: i64,
    open: i64,
    social: i64,
    /// The messages of the closed ticket: two of the customer, one event.
    messages: [i64; 3],
    /// A message of the open ticket and one of the social ticket.
    open_message: i64,
    social_message: i64,
    /// A closed ticket under a legal hold, and its message.
    held: i64,
    held_message: i64,
    /// Another application's closed ticket with its message.
    others: (i64, i64),
}

impl Scene {
    async fn new(door: Door) -> Self {
        let world = World::new().await;
        world.clock.freeze();
        let mut actor = world.actor().await;
        let closed = actor.open_ticket().await.id;
        let mut messages = [0; 3];
        for (slot, message) in messages.iter_mut().zip([
            customer_message("first"),
            customer_message("second"),
            message_of(pb::UserType::Event, "", "assigned"),
        ]) {
            *slot = actor.send(closed, message).await.id;
        }
        actor.close(closed).await;
        let open = actor.open_ticket().await.id;
        let open_message = actor.send(open, customer_message("open")).await.id;
        let social = actor.open_ticket_of(pb::ChannelType::FacebookFeed).await.id;
        let social_message = actor.send(social, customer_message("social")).await.id;
        actor.close(social).await;
        let (held, kept) = actor.closed_ticket_with(1).await;
        actor.place_hold(held.id).await;
        let (held, held_message) = (held.id, kept[0].id);
        let (ticket, theirs) = world.actor_of("other").await.closed_ticket_with(1).await;
        let others = (ticket.id, theirs[0].id);
        let visitor = Visitor { door, http: world.http(&actor), actor };
        Self { visitor, world, closed, open, social, messages, open_message, social_message, held, held_message, others }
    }

    /// Puts names in the place of the messages' and log entries' ids, which each connection to the database gives as it likes.
    fn named(&self, mut value: Value) -> Value {
        if let Some(Value::Array(rows)) = value.get_mut("results") {
            for row in rows.iter_mut() {
                *row = self.named(row.take());
            }
        }
        let entries = value.as_object_mut().expect("every answer is an object");
        if entries.contains_key("messageId") || entries.len() == 1 {
            let others = [&self.open_message, &self.social_message, &self.held_message];
            let at = self.messages.iter().chain(others).position(|id| json!(id) == entries["id"]);
            entries.insert("id".to_owned(), json!(format!("message {}", at.expect("a message of the scene"))));
        }
        if let Some(id) = entries.remove("logId") {
            assert!(id.is_i64(), "{id}");
        }
        value
    }

    /// A visitor with another token; an empty one is none at all.
    async fn with_token(&self, token: &str) -> Visitor {
        let actor = crate::support::Actor::new(self.world.channel().await, token);
        let http = Http { token: Some(token.to_owned()).filter(|token| !token.is_empty()), ..self.visitor.http.clone() };
        Visitor { door: self.visitor.door, actor, http }
    }
}

/// What a step must end with: the reason of a refusal, or success.
type Expected = Option<&'static str>;

/// Makes the calls in order through each door; both must be told the same, and what the table says.
async fn both(name: &str, steps: impl Fn(&Scene) -> Vec<(Call, Expected)>) {
    let mut ends: Vec<Vec<Result<Value, Told>>> = Vec::new();
    for door in Door::BOTH {
        let mut scene = Scene::new(door).await;
        let mut end = Vec::new();
        for (call, expected) in steps(&scene) {
            // No two entries of the log have the same time, so that their order is the same in both worlds.
            scene.world.clock.advance(TimeDelta::seconds(1));
            let mut told = scene.visitor.call(&call).await;
            if let Err(told) = &mut told {
                // REST has no reason: that it is the same follows from code and message.
                let reason = told.reason.take();
                assert!(
                    expected.is_some() && (reason.is_none() || reason.as_deref() == expected),
                    "{name}: {call:?} {told:?} {reason:?}"
                );
            } else {
                assert_eq!(expected, None, "{name} {door:?}: {call:?} {told:?}");
            }
            end.push(told.map(|value| scene.named(value)));
        }
        ends.push(end);
    }
    assert_eq!(ends[0], ends[1], "{name}");
}

#[tokio::test]
async fn reading_ends_the_same_at_both_doors() {
    both("lists and pages", |scene| {
        let mut steps = Vec::new();
        for (size, skip) in
            [(None, None), (Some(1), None), (Some(2), Some(1)), (Some(500), None), (None, Some(2)), (None, Some(99))]
        {
            steps.push((Call::ListMessages { ticket: scene.closed, size, skip }, None));
            steps.push((Call::ListTickets { size, skip }, None));
        }
        steps.push((Call::ListMessages { ticket: scene.open, size: None, skip: None }, None));
        steps.extend([scene.closed, scene.open, scene.social, scene.held].map(|id| (Call::GetTicket { id }, None)));
        steps
    })
    .await;
}

#[tokio::test]
async fn a_tickets_life_ends_the_same_at_both_doors() {
    both("life of a ticket", |scene| {
        // The next id is the same in both worlds: ids are dense.
        let id = scene.others.0 + 1;
        let update = |status| Call::Update { id, status };
        vec![
            (Call::CreateTicket { customer: "eve", name: "New" }, None),
            (Call::GetTicket { id }, None),
            (Call::Reopen { id }, Some("TICKET_NOT_CLOSED")),
            (update("ACTIVE"), Some("TICKET_STATUS_TRANSITION_INVALID")),
            (update("PENDING"), None),
            (update("ACTIVE"), None),
            (update("IDLE"), None),
            (update("CLOSED"), Some("TICKET_STATUS_TRANSITION_INVALID")),
            (Call::Close { id, comment: "done" }, None),
            (Call::Close { id, comment: "again" }, Some("TICKET_ALREADY_CLOSED")),
            (update("ACTIVE"), Some("TICKET_STATUS_TRANSITION_INVALID")),
            (Call::Reopen { id }, None),
            (Call::GetTicket { id }, None),
            (Call::ListTickets { size: None, skip: None }, None),
        ]
    })
    .await;
}

#[tokio::test]
async fn deletion_ends_the_same_at_both_doors() {
    both("deletion and its refusals", |scene| {
        let delete = |ticket, id| Call::Delete { ticket, id };
        let [first, second, event] = scene.messages;
        let log = Call::ListLog { days: None, reason: "", size: None, skip: None };
        vec![
            (delete(scene.closed, first), None),
            (delete(scene.closed, first), Some("CHAT_MESSAGE_ALREADY_DELETED")),
            (delete(scene.closed, event), Some("CHAT_MESSAGE_NOT_DELETABLE")),
            (delete(scene.social, scene.social_message), Some("CHAT_MESSAGE_NOT_DELETABLE")),
            (delete(scene.open, scene.open_message), Some("TICKET_NOT_CLOSED")),
            (delete(scene.held, scene.held_message), Some("LEGAL_HOLD")),
            (Call::Reopen { id: scene.held }, None),
            (delete(scene.held, scene.held_message), Some("TICKET_NOT_CLOSED")),
            (delete(scene.closed, scene.open_message), Some("CHAT_MESSAGE_NOT_FOUND")),
            (delete(scene.open, first), Some("CHAT_MESSAGE_NOT_FOUND")),
            (delete(scene.closed, 987_654), Some("CHAT_MESSAGE_NOT_FOUND")),
            (delete(scene.others.0, scene.others.1), Some("CHAT_MESSAGE_NOT_FOUND")),
            (delete(987_654, second), Some("CHAT_MESSAGE_NOT_FOUND")),
            (log.clone(), None),
            (Call::ListMessages { ticket: scene.closed, size: None, skip: None }, None),
            (Call::Reopen { id: scene.closed }, None),
            (delete(scene.closed, first), Some("CHAT_MESSAGE_ALREADY_DELETED")),
            (delete(scene.closed, second), Some("TICKET_NOT_CLOSED")),
            (Call::Close { id: scene.closed, comment: "" }, None),
            (delete(scene.closed, second), None),
            (Call::ListLog { days: None, reason: "", size: Some(1), skip: None }, None),
            (Call::ListLog { days: None, reason: "", size: Some(1), skip: Some(1) }, None),
            (log, None),
        ]
    })
    .await;
}

#[tokio::test]
async fn the_logs_range_ends_the_same_at_both_doors() {
    both("range of the log", |scene| {
        let days = |start, end| Call::ListLog { days: Some((start, end)), reason: "", size: None, skip: None };
        let invalid = Some("INVALID_FIELD");
        vec![
            (Call::Delete { ticket: scene.closed, id: scene.messages[0] }, None),
            (days("2026-03-15", "2026-03-15"), None),
            (days("2026-03-14", "2026-03-14"), None),
            (days("", "2026-03-15"), None),
            (days("2025-03-15", "2026-03-15"), None),
            (days("2025-03-14", "2026-03-15"), invalid),
            (days("2026-03-16", "2026-03-15"), invalid),
            (Call::ListLog { days: None, reason: "", size: Some(100), skip: Some(5) }, None),
        ]
    })
    .await;
}

#[tokio::test]
async fn the_log_of_a_reason_ends_the_same_at_both_doors() {
    both("log of a reason", |scene| {
        let of = |reason, size, skip| Call::ListLog { days: None, reason, size, skip };
        let delete = |at: usize, reason| Call::DeleteFor { ticket: scene.closed, id: scene.messages[at], reason };
        vec![
            (delete(0, "SPAM"), None),
            (delete(1, "SPAM"), None),
            (delete(1, "ABUSE"), Some("CHAT_MESSAGE_ALREADY_DELETED")),
            (of("", None, None), None),
            (of("SPAM", None, None), None),
            (of("SPAM", Some(1), None), None),
            (of("SPAM", Some(1), Some(1)), None),
            (of("SPAM", Some(1), Some(2)), None),
            (of("ABUSE", None, None), None),
            (of("ABUSE", None, Some(1)), None),
            (Call::ListLog { days: Some(("2026-03-14", "2026-03-14")), reason: "SPAM", size: None, skip: None }, None),
        ]
    })
    .await;
}

#[tokio::test]
async fn what_is_another_applications_or_nobodys_ends_the_same_at_both_doors() {
    both("not found", |scene| {
        let mut steps = Vec::new();
        for id in [scene.others.0, 987_654] {
            steps.push((Call::GetTicket { id }, Some("TICKET_NOT_FOUND")));
            steps.push((Call::ListMessages { ticket: id, size: None, skip: None }, Some("TICKET_NOT_FOUND")));
            steps.push((Call::Update { id, status: "PENDING" }, Some("TICKET_NOT_FOUND")));
            steps.push((Call::Close { id, comment: "" }, Some("TICKET_NOT_FOUND")));
            steps.push((Call::Reopen { id }, Some("TICKET_NOT_FOUND")));
            steps.push((Call::Delete { ticket: id, id: scene.others.1 }, Some("CHAT_MESSAGE_NOT_FOUND")));
        }
        steps
    })
    .await;
}

/// A text with the names that a door has for its fields taken out.
fn nameless(told: Told) -> Told {
    let names = [
        "filter.start_date",
        "filter.end_date",
        "ticket.customer",
        "page_size",
        "start_date",
        "end_date",
        "customer",
        "limit",
        "offset",
        "skip",
    ];
    let message = names.iter().fold(told.message, |message, name| message.replace(name, "it"));
    Told { message, reason: None, ..told }
}

#[tokio::test]
async fn a_field_that_is_wrong_has_the_same_code_and_text_but_for_its_name() {
    let mut ends = Vec::new();
    for door in Door::BOTH {
        let mut scene = Scene::new(door).await;
        let page = |size, skip| {
            [
                Call::ListMessages { ticket: scene.closed, size, skip },
                Call::ListTickets { size, skip },
                Call::ListLog { days: None, reason: "", size, skip },
            ]
        };
        let mut calls: Vec<Call> =
            [(Some(501), None), (Some(-1), None), (None, Some(-1))].into_iter().flat_map(|(size, skip)| page(size, skip)).collect();
        calls.push(Call::ListLog { days: None, reason: "", size: Some(101), skip: None });
        calls.push(Call::ListLog { days: Some(("2026-3-1", "2026-03-15")), reason: "", size: None, skip: None });
        calls.push(Call::ListLog { days: Some(("2026-03-01", "15.3.2026")), reason: "", size: None, skip: None });
        let mut end = Vec::new();
        for call in calls {
            let told = scene.visitor.call(&call).await.expect_err("it is refused");
            assert!(told.reason.as_deref().is_none_or(|reason| reason == "INVALID_FIELD"), "{call:?} {told:?}");
            end.push(nameless(told));
        }
        ends.push(end);
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test]
async fn who_may_not_call_is_told_the_same_at_both_doors() {
    let calls = |scene: &Scene| {
        let (id, message) = (scene.closed, scene.messages[0]);
        vec![
            (Call::ListMessages { ticket: id, size: None, skip: None }, Scope::MessagesRead),
            (Call::ListTickets { size: Some(501), skip: None }, Scope::TicketsRead),
            (Call::ListLog { days: None, reason: "", size: None, skip: None }, Scope::LogsRead),
            (Call::GetTicket { id: 987_654 }, Scope::TicketsRead),
            (Call::CreateTicket { customer: "eve", name: "" }, Scope::TicketsWrite),
            (Call::Update { id, status: "PENDING" }, Scope::TicketsWrite),
            (Call::Close { id, comment: "" }, Scope::TicketsWrite),
            (Call::Reopen { id }, Scope::TicketsWrite),
            (Call::Delete { ticket: id, id: message }, Scope::MessagesDelete),
        ]
    };
    let mut ends = Vec::new();
    for door in Door::BOTH {
        let scene = Scene::new(door).await;
        let mut end = Vec::new();
        for (call, scope) in calls(&scene) {
            let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
            let limited = scene.world.actor_with("acme", &others).await;
            let expected =
                [("", "CREDENTIALS_MISSING"), ("nonsense", "CREDENTIALS_INVALID"), (limited.token.as_str(), "SCOPE_MISSING")];
            for (token, reason) in expected {
                let mut told = scene.with_token(token).await.call(&call).await.expect_err("it is refused");
                let said = told.reason.take();
                assert!(said.as_deref().is_none_or(|said| said == reason), "{call:?} {said:?}");
                end.push(told);
            }
        }
        assert_eq!(json!(scene.visitor.http.get("/chat_messages/deletion_logs").await.ok()["count"]), json!(0));
        ends.push(end);
    }
    assert_eq!(ends[0], ends[1]);
}
