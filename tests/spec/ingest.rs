//! Bulk ingest: what a conversation message becomes, to which ticket it goes, and that it is stored once.

use tonic::Code;

use crate::support::ingest::{deleted, in_channel, of_contact, rejected, stored, words};
use crate::support::{World, pb, refusal};
use pb::ingest_result::Outcome;

const REQUEST: &str = "6f0f3e0c-8f9d-4b8e-9d62-0b8a2f1d7c11";

#[tokio::test]
async fn the_sender_follows_from_the_ids() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for (contact_id, user_id, user_type, sendbird_id) in [
        (7, 0, pb::UserType::Customer, "contact_7"),
        (7, 8, pb::UserType::Customer, "contact_7"),
        (0, 8, pb::UserType::Agent, "user_8"),
        (0, 0, pb::UserType::Event, "event"),
    ] {
        let message = pb::ConversationMessage { contact_id, user_id, ..in_channel("support-1", 0, "hello") };
        let stored = actor.store(message).await;
        assert_eq!((stored.user_type(), stored.user_sendbird_id.as_str()), (user_type, sendbird_id));
    }
}

#[tokio::test]
async fn everything_that_a_message_brings_is_kept_and_nothing_is_added() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let file = pb::File {
        url: "https://files.example/a.png".to_owned(),
        name: "a.png".to_owned(),
        content_type: "image/png".to_owned(),
        size_bytes: 12,
    };
    let create_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 });
    let message = pb::ConversationMessage {
        files: vec![file.clone()],
        create_time,
        ..in_channel("support-1", 9, "line 1\nline 2 \u{1f600}")
    };

    let stored = actor.store(message).await;

    assert_eq!((stored.message.as_str(), stored.data.as_str()), ("line 1\nline 2 \u{1f600}", ""));
    assert_eq!((stored.files.as_slice(), stored.create_time), ([file].as_slice(), create_time));
    assert_eq!((stored.message_id, stored.external_id.as_str()), (1, "conversationmessage:9"));
    assert_eq!(actor.list(stored.ticket_id).await, [stored]);
}

#[tokio::test]
async fn a_channel_names_the_ticket_and_opens_a_pending_one_where_there_is_none() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let own = actor.create(pb::Ticket { channel_url: "known".to_owned(), ..crate::support::ticket::plain_ticket() }).await;
    let own = own.expect("the ticket opens");
    actor.close(own.id).await;
    let longest = "é".repeat(512);

    let known = actor.store(in_channel("known", 1, "to a closed ticket")).await;
    let opened = actor.store(in_channel(&longest, 2, "to a new ticket")).await;
    let again = actor.store(in_channel(&longest, 3, "to the same")).await;

    assert_eq!(known.ticket_id, own.id, "a channel has one ticket, closed or not");
    assert_eq!((opened.ticket_id, again.message_id), (again.ticket_id, 2));
    let ticket = actor.ticket(opened.ticket_id).await;
    assert_eq!((ticket.status(), ticket.channel_url.as_str()), (pb::TicketStatus::Pending, longest.as_str()));
    assert_eq!(ticket.customer.expect("it has one").sendbird_id, "contact_2");
    assert_eq!((ticket.message_count, ticket.issue_time), (2, opened.create_time));
}

#[tokio::test]
async fn the_customer_of_a_ticket_is_the_contact_of_its_batch_wherever_that_stands_in_it() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let agents = pb::ConversationMessage { contact_id: 0, user_id: 8, ..in_channel("", 0, "from an agent") };
    for (channel, order) in [("first", [2, 0]), ("second", [0, 2])] {
        let message = |contact_id: i64| {
            let message = if contact_id == 0 { agents.clone() } else { of_contact(contact_id, 0, "from the contact") };
            pb::ConversationMessage { channel_url: channel.to_owned(), ..message }
        };
        let outcomes = actor.take_in(order.map(message).to_vec()).await;
        let ticket = actor.ticket(stored(outcomes[0].clone()).ticket_id).await;
        assert_eq!(ticket.customer.expect("it has one").sendbird_id, "contact_2", "{channel}");
    }
    let alone = pb::ConversationMessage { channel_url: "third".to_owned(), ..agents };
    let ticket_id = actor.store(alone).await.ticket_id;
    assert_eq!(actor.ticket(ticket_id).await.customer.expect("it has one").sendbird_id, "unknown");
}

#[tokio::test]
async fn a_message_without_a_channel_belongs_to_its_contacts_open_ticket() {
    let world = World::new().await;
    let mut actor = world.actor().await;

    let first = actor.store(of_contact(5, 1, "opens one")).await;
    let second = actor.store(of_contact(5, 2, "is in it")).await;
    let other = actor.store(of_contact(6, 3, "another contact")).await;
    actor.close(first.ticket_id).await;
    let third = actor.store(of_contact(5, 4, "opens the next")).await;

    assert_eq!(second.ticket_id, first.ticket_id);
    assert!(other.ticket_id != first.ticket_id && third.ticket_id != first.ticket_id);
    assert_eq!(actor.ticket(third.ticket_id).await.status(), pb::TicketStatus::Pending);
    actor.reopen(first.ticket_id).await;
    assert_eq!(actor.store(of_contact(5, 5, "two are open")).await.ticket_id, third.ticket_id, "the newest open one");
}

#[tokio::test]
async fn what_a_contact_sent_is_known_although_its_ticket_was_closed_since() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let by_id = of_contact(5, 1, "with an id");
    let by_request = of_contact(5, 0, "without an id");
    let first = actor.take_in_as(REQUEST, vec![by_id.clone(), by_request.clone()]).await;
    let ticket_id = stored(first[0].clone()).ticket_id;
    actor.close(ticket_id).await;

    let again = actor.take_in_as(REQUEST, vec![by_id.clone(), by_request]).await;
    let deletion = actor.store(deleted(by_id)).await;

    assert_eq!(words(&again), ["duplicate", "duplicate"]);
    assert_eq!((deletion.ticket_id, deletion.message_id), (ticket_id, 1), "it deletes what was meant");
    let tickets = actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed");
    assert_eq!(tickets.total_size, 1, "a repeat opens no ticket");
}

#[tokio::test]
async fn a_repeat_is_answered_with_what_is_there_and_stores_nothing() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (by_id, by_place) = (in_channel("c", 1, "one"), in_channel("c", 0, "two"));

    let first = actor.take_in_as(REQUEST, vec![by_id.clone(), by_place.clone(), by_id.clone(), by_place.clone()]).await;
    assert_eq!(words(&first), ["stored", "stored", "duplicate", "stored"], "the same id twice; the same text twice is said twice");
    let again = actor.take_in_as(REQUEST, vec![by_id.clone(), by_place.clone(), by_id, by_place.clone()]).await;

    assert_eq!(words(&again), ["duplicate"; 4]);
    let messages = actor.list(stored(first[0].clone()).ticket_id).await;
    let found: Vec<pb::ChatMessage> = again.into_iter().map(duplicate).collect();
    assert_eq!(found, [&messages[0], &messages[1], &messages[0], &messages[2]].map(Clone::clone));
    assert_eq!(messages.iter().map(|message| message.message_id).collect::<Vec<_>>(), [1, 2, 3], "no repeat takes a number");

    assert_eq!(words(&actor.take_in(vec![by_place.clone()]).await), ["stored"], "by nothing it is not known");
    assert_eq!(words(&actor.take_in(vec![by_place]).await), ["stored"]);
    assert_eq!(words(&actor.take_in(vec![in_channel("d", 1, "one")]).await), ["stored"], "an id is known in its ticket");
}

#[tokio::test]
async fn an_application_sees_nothing_of_anothers_messages_events_and_ids() {
    let world = World::new().await;
    let (mut ours, mut theirs) = (world.actor().await, world.actor_of("other").await);
    let messages = [in_channel("c", 1, "m"), of_contact(2, 3, "m"), of_contact(0, 4, "to nobody")].to_vec();

    let outcomes = ours.take_in_as(REQUEST, messages.clone()).await;
    let others = theirs.take_in_as(REQUEST, messages).await;

    assert_eq!((words(&outcomes), words(&others)), (vec!["stored", "stored", "rejected"], vec!["stored", "stored", "rejected"]));
    assert_ne!(stored(outcomes[0].clone()).ticket_id, stored(others[0].clone()).ticket_id);
    let event = rejected(outcomes[2].clone());
    assert_ne!(event.id, rejected(others[2].clone()).id);
    assert_eq!(ours.rejected().await, std::slice::from_ref(&event));
    let refused = refusal(&theirs.replay(event.id, None).await.expect_err("it is not theirs"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "REJECTED_EVENT_NOT_FOUND"));
    // A deletion there does not reach what was rejected here.
    theirs.store(deleted(in_channel("c", 4, ""))).await;
    assert_eq!(ours.rejected().await.len(), 1);
}

#[tokio::test]
async fn a_request_has_one_to_a_thousand_messages() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for (count, reason) in [(0, "INVALID_FIELD"), (1001, "BATCH_TOO_LARGE")] {
        let conversation_messages = vec![in_channel("c", 0, "m"); count];
        let request = pb::IngestConversationMessagesRequest { conversation_messages, ..Default::default() };
        let refused = actor.ingest.ingest_conversation_messages(request).await.expect_err("too few or too many");
        assert_eq!(refusal(&refused).reason, reason);
    }
    let outcomes = actor.take_in((1..=1000).map(|id| in_channel(&format!("c{}", id % 10), id, "m")).collect()).await;
    assert_eq!(words(&outcomes), ["stored"; 1000]);
    let tickets = actor.list_tickets(pb::TicketFilter::default()).await.expect("they are listed");
    assert_eq!(tickets.tickets.iter().map(|ticket| ticket.message_count).collect::<Vec<_>>(), [100; 10]);
    let numbers = actor.list(stored(outcomes[0].clone()).ticket_id).await;
    assert_eq!(numbers.iter().map(|message| message.message_id).collect::<Vec<_>>(), (1..=100).collect::<Vec<i64>>());
}

fn duplicate(outcome: Outcome) -> pb::ChatMessage {
    match outcome {
        Outcome::Duplicate(message) => message,
        other => panic!("it is a duplicate: {other:?}"),
    }
}
