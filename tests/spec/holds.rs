//! Legal holds: while a ticket is held none of its messages is deleted, and all else goes on.

use deskledger::app::NewToken;
use deskledger::domain::agent::Agent;
use sqlx::Row;
use tonic::Code;

use crate::support::actor::{customer_message, message_of};
use crate::support::refusal::Refusal;
use crate::support::ticket::full_agent;
use crate::support::world::plain_token;
use crate::support::{Actor, World, pb, refusal};
use pb::batch_delete_chat_messages_result::Outcome;

async fn place(actor: &mut Actor, request: pb::PlaceHoldRequest) -> Result<pb::Ticket, tonic::Status> {
    Ok(actor.tickets.place_hold(request).await?.into_inner().ticket.expect("it is answered"))
}

fn why(id: i64, reason: &str) -> pb::PlaceHoldRequest {
    pb::PlaceHoldRequest { id, reason: reason.to_owned(), ..Default::default() }
}

async fn refused_deletion(actor: &mut Actor, ticket_id: i64, id: i64) -> Refusal {
    refusal(&actor.delete(ticket_id, id).await.expect_err("it is refused"))
}

#[tokio::test]
async fn a_held_ticket_shows_its_hold_until_it_is_released() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(1).await;
    assert_eq!(ticket.hold, None);
    let before = actor.ticket(ticket.id).await;
    world.clock.set("2026-03-16T08:00:00.000001Z");
    world.clock.freeze();
    // Characters, not bytes.
    let request = pb::PlaceHoldRequest { requested_by: Some(full_agent()), ..why(ticket.id, &"é".repeat(512)) };

    let shown = place(&mut actor, request.clone()).await.expect("the hold is placed");

    let hold = shown.hold.clone().expect("the ticket is held");
    let place_time = Some(prost_types::Timestamp { seconds: 1_773_648_000, nanos: 1000 });
    assert_eq!((&hold.reason, hold.place_time, hold.requested_by), (&request.reason, place_time, Some(full_agent())));
    assert!(actor.token.contains(&hold.token_id) && !hold.token_id.is_empty(), "the hold names the token that placed it");
    assert_ne!(shown.etag, before.etag);
    assert_eq!(pb::Ticket { hold: None, etag: before.etag.clone(), ..shown.clone() }, before);
    assert_eq!(actor.ticket(ticket.id).await, shown);
    assert_eq!(
        actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed").tickets,
        std::slice::from_ref(&shown)
    );

    let released = actor.release_hold(ticket.id).await;

    assert!(released.etag != shown.etag && released.etag != before.etag);
    assert_eq!(pb::Ticket { etag: before.etag.clone(), ..released.clone() }, before);
    assert_eq!(actor.ticket(ticket.id).await, released);
}

#[tokio::test]
async fn where_the_request_is_silent_the_token_says_who_places_a_hold() {
    let world = World::new().await;
    let agent = Agent { id: 3, sendbird_id: "linus".to_owned(), ..Default::default() };
    let token = world.token("acme", NewToken { requested_by: Some(agent), ..plain_token() }).await;
    let mut actor = Actor::new(world.channel().await, &token);
    let of_token = pb::Agent { id: 3, sendbird_id: "linus".to_owned(), ..Default::default() };
    for (requested_by, expected) in [(None, of_token), (Some(full_agent()), full_agent())] {
        let ticket = actor.open_ticket().await;
        let held = place(&mut actor, pb::PlaceHoldRequest { requested_by, ..why(ticket.id, "litigation") }).await;
        assert_eq!(held.expect("the hold is placed").hold.expect("it is shown").requested_by, Some(expected));
    }
}

#[tokio::test]
async fn nobody_deletes_a_message_of_a_held_ticket_by_any_call_and_releasing_the_hold_allows_it_again() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    let (other_ticket, others) = actor.closed_ticket_with(1).await;
    actor.place_hold(ticket.id).await;
    let (mut another, http) = (world.actor().await, world.http(&actor));
    let before = world.database.rows_of_calls().await;
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    let batch = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids: ids.clone(), ..Default::default() };

    let refused = refused_deletion(&mut actor, ticket.id, ids[0]).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "LEGAL_HOLD"));
    assert_eq!(refused.message, "The specified message can't be deleted.");
    let told = ["ticket_id", "id", "legacy_code"].map(|key| refused.metadata[key].clone());
    assert_eq!(told, [ticket.id.to_string(), ids[0].to_string(), "deskp400601".to_owned()]);
    assert_eq!(refused_deletion(&mut another, ticket.id, ids[0]).await, refused);
    let of_batch = actor.messages.batch_delete_chat_messages(batch.clone()).await.expect_err("it is refused");
    assert_eq!(refusal(&of_batch), refused);
    for path in
        [format!("/tickets/{}/chat_messages/{}", ticket.id, ids[0]), format!("/chat_messages/{}?ticket_id={}", ids[0], ticket.id)]
    {
        http.delete(&path).await.refused(400, "deskp400601", "The specified message can't be deleted.");
    }
    let validate = pb::BatchDeleteChatMessagesRequest { validate_only: true, ..batch.clone() };
    let verdicts = actor.messages.batch_delete_chat_messages(validate.clone()).await.expect("it is only asked").into_inner();
    let said = pb::Refusal { reason: pb::ErrorReason::LegalHold as i32, message: refused.message };
    for verdict in verdicts.results {
        assert_eq!(verdict.outcome, Some(Outcome::Refused(said.clone())));
    }
    assert_eq!(world.database.rows_of_calls().await, before, "nothing has changed");
    actor.delete(other_ticket.id, others[0].id).await.expect("the hold is on one ticket alone");

    actor.release_hold(ticket.id).await;

    let verdicts = actor.messages.batch_delete_chat_messages(validate).await.expect("it is only asked").into_inner();
    assert!(verdicts.results.iter().all(|verdict| matches!(verdict.outcome, Some(Outcome::Deletable(_)))));
    actor.messages.batch_delete_chat_messages(batch).await.expect("they may be deleted");
}

#[tokio::test]
async fn a_hold_is_told_after_already_deleted_and_an_open_ticket_and_before_an_event_and_a_social_channel() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let event = actor.send(ticket.id, message_of(pb::UserType::Event, "", "assigned")).await;
    let (gone, plain) = (actor.send(ticket.id, customer_message("1")).await, actor.send(ticket.id, customer_message("2")).await);
    actor.close(ticket.id).await;
    actor.delete(ticket.id, gone.id).await.expect("it may be deleted");
    let social = actor.open_ticket_of(pb::ChannelType::WhatsappMessage).await;
    let comment = actor.send(social.id, customer_message("nice")).await;
    actor.close(social.id).await;
    for id in [ticket.id, social.id] {
        actor.place_hold(id).await;
    }
    let told = async |ticket_id: i64, id: i64| refused_deletion(&mut actor.clone(), ticket_id, id).await.reason;

    assert_eq!(told(ticket.id, gone.id).await, "CHAT_MESSAGE_ALREADY_DELETED");
    assert_eq!(told(ticket.id, plain.id).await, "LEGAL_HOLD");
    assert_eq!(told(ticket.id, event.id).await, "LEGAL_HOLD");
    assert_eq!(told(social.id, comment.id).await, "LEGAL_HOLD");
    assert_eq!(told(ticket.id, comment.id).await, "CHAT_MESSAGE_NOT_FOUND");
    actor.clone().reopen(ticket.id).await;
    assert_eq!(told(ticket.id, gone.id).await, "CHAT_MESSAGE_ALREADY_DELETED");
    assert_eq!(told(ticket.id, plain.id).await, "TICKET_NOT_CLOSED");
}

#[tokio::test]
async fn a_ticket_is_held_once_at_a_time_and_released_only_when_it_is_held() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let release = pb::ReleaseHoldRequest { id: ticket.id, reason: "settled".to_owned(), ..Default::default() };
    for round in 0..2 {
        let refused = refusal(&actor.tickets.release_hold(release.clone()).await.expect_err("it is not held"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_NOT_HELD"), "round {round}");
        assert_eq!(refused.metadata["ticket_id"], ticket.id.to_string());

        let held = place(&mut actor, why(ticket.id, "first")).await.expect("the hold is placed");
        let refused = refusal(&place(&mut actor, why(ticket.id, "second")).await.expect_err("it is held"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_ALREADY_HELD"), "round {round}");
        assert_eq!(refused.metadata["ticket_id"], ticket.id.to_string());
        assert_eq!(actor.ticket(ticket.id).await, held, "the first one stays as it was");
        actor.release_hold(ticket.id).await;
    }
}

#[tokio::test]
async fn placing_and_releasing_want_a_reason_and_break_no_other_rule() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let nobody = pb::Agent { email: "g@x.org".to_owned(), ..Default::default() };
    let rows = [
        (why(ticket.id, ""), "reason", "REQUIRED"),
        (why(ticket.id, &"x".repeat(513)), "reason", "LENGTH"),
        (why(ticket.id, "a\0b"), "reason", "NO_NUL"),
        (why(0, "litigation"), "id", "REQUIRED"),
        (pb::PlaceHoldRequest { requested_by: Some(nobody), ..why(ticket.id, "litigation") }, "requested_by.id", "REQUIRED"),
        (pb::PlaceHoldRequest { request_id: "x".to_owned(), ..why(ticket.id, "litigation") }, "request_id", "UUID"),
    ];
    for (request, field, rule) in rows {
        let pb::PlaceHoldRequest { id, reason, requested_by, request_id } = request.clone();
        let release = pb::ReleaseHoldRequest { id, reason, requested_by, request_id };
        let answers = [actor.tickets.place_hold(request).await.map(|_| ()), actor.tickets.release_hold(release).await.map(|_| ())];
        for answer in answers {
            let refused = refusal(&answer.expect_err("it breaks a rule"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
        }
    }
    assert_eq!(actor.ticket(ticket.id).await, ticket);
}

#[tokio::test]
async fn a_held_ticket_takes_messages_and_is_changed_closed_and_reopened_as_any_other() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let hold = actor.place_hold(ticket.id).await.hold;

    actor.send(ticket.id, customer_message("hello")).await;
    actor.update(pb::Ticket { id: ticket.id, info: "new".to_owned(), ..Default::default() }, &[]).await.expect("it changes");
    assert_eq!(actor.close(ticket.id).await.hold, hold);
    actor.send(ticket.id, customer_message("one more")).await;
    let reopened = actor.reopen(ticket.id).await;

    assert_eq!((reopened.hold, reopened.info.as_str(), reopened.message_count), (hold, "new", 2));
}

#[tokio::test]
async fn a_hold_takes_no_answer_back_and_uses_no_request_id_up() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let request_of = |number: usize| pb::DeleteChatMessageRequest {
        ticket_id: ticket.id,
        id: messages[number].id,
        request_id: format!("6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d000{number}"),
        ..Default::default()
    };
    let first = actor.messages.delete_chat_message(request_of(0)).await.expect("it may be deleted").into_inner();
    actor.place_hold(ticket.id).await;

    let again = actor.messages.delete_chat_message(request_of(0)).await.expect("it was deleted before the hold").into_inner();
    assert_eq!(again, first);
    let refused = refusal(&actor.messages.delete_chat_message(request_of(1)).await.expect_err("it is held"));
    assert_eq!(refused.reason, "LEGAL_HOLD");
    actor.release_hold(ticket.id).await;
    actor.messages.delete_chat_message(request_of(1)).await.expect("the id was not used up");
}

#[tokio::test]
async fn each_placing_and_release_is_recorded_with_who_when_and_why() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    world.clock.freeze();
    place(&mut actor, pb::PlaceHoldRequest { requested_by: Some(full_agent()), ..why(ticket.id, "litigation") })
        .await
        .expect("the hold is placed");
    world.clock.advance(chrono::TimeDelta::seconds(1));
    let mut other = world.actor().await;
    other.release_hold(ticket.id).await;
    // A clock that is behind dates no release before its placing.
    actor.place_hold(ticket.id).await;
    world.clock.advance(chrono::TimeDelta::seconds(-60));
    actor.release_hold(ticket.id).await;

    let statement = "select action, reason, requested_by ->> 'sendbird_id', token_id, placed_id,
            (select min(id) from holds) as first, id, create_time >= lag(create_time, 1, create_time) over (order by id)
        from holds where ticket_id = $1 order by id";
    let mut connection = world.database.connect().await;
    let rows = sqlx::query(statement).bind(ticket.id).fetch_all(&mut connection).await.expect("the rows");

    let told = |row: &sqlx::postgres::PgRow| (row.get::<String, _>(0), row.get::<String, _>(1), row.get::<Option<String>, _>(2));
    let agent = Some("grace".to_owned());
    let acts: Vec<_> = rows.iter().map(told).collect();
    let act = |action: &str, reason: &str, agent: Option<String>| (action.to_owned(), reason.to_owned(), agent);
    let expected = [
        act("PLACED", "litigation", agent),
        act("RELEASED", "settled", None),
        act("PLACED", "litigation", None),
        act("RELEASED", "settled", None),
    ];
    assert_eq!(acts, expected);
    for (row, by) in rows.iter().zip([&actor, &other, &actor, &actor]) {
        assert!(by.token.contains(&row.get::<String, _>(3)), "each names its own token");
        assert!(row.get::<bool, _>(7), "in the order of their times");
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
    let placings: Vec<Option<i64>> = rows.iter().map(|row| row.get("placed_id")).collect();
    assert_eq!(placings, [None, Some(ids[0]), None, Some(ids[2])]);
}
