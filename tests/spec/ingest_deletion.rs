//! Messages that are deleted where they come from: erased and logged here, whatever the ticket's state, with nothing of them left.

use crate::support::database::as_bytes;
use crate::support::ingest::{deleted, in_channel, of_contact, rejected, stored, words};
use crate::support::{World, pb};

const CANARY: &str = "canary-77b0";

fn kim() -> pb::Agent {
    pb::Agent { id: 11, display_name: "Kim".to_owned(), sendbird_id: "kim".to_owned(), email: "kim@example.com".to_owned() }
}

#[tokio::test]
async fn a_deletion_erases_and_logs_whatever_the_tickets_state_and_the_sender() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut number = 0;
    for channel_type in [pb::ChannelType::Sendbird, pb::ChannelType::WhatsappMessage] {
        for is_closed in [false, true] {
            for (contact_id, user_id) in [(2, 0), (0, 3), (0, 0)] {
                number += 1;
                let customer =
                    pb::Customer { sendbird_id: "ada".to_owned(), channel_type: channel_type as i32, ..Default::default() };
                let channel_url = format!("c{number}");
                let ticket = pb::Ticket { customer: Some(customer), channel_url: channel_url.clone(), ..Default::default() };
                let ticket = actor.create(ticket).await.expect("the ticket opens");
                let message = pb::ConversationMessage { contact_id, user_id, ..in_channel(&channel_url, number, "hello") };
                let before = actor.store(message.clone()).await;
                if is_closed {
                    actor.close(ticket.id).await;
                }

                let tombstone = actor.store(pb::ConversationMessage { deleted_by: Some(kim()), ..deleted(message) }).await;

                assert_eq!((tombstone.id, tombstone.message_id, tombstone.message.as_str()), (before.id, before.message_id, ""));
                assert_eq!(
                    (tombstone.requested_from(), tombstone.requested_by.clone()),
                    (pb::RequestedFrom::Dashboard, Some(kim()))
                );
                assert!(tombstone.delete_time.is_some());
                let log = actor.log().await.remove(0);
                assert_eq!((log.chat_message_id, log.requested_from()), (before.id, pb::RequestedFrom::Dashboard));
                assert_eq!((log.requested_by, log.delete_time), (Some(kim()), tombstone.delete_time));
                assert_eq!(actor.list(ticket.id).await[0], tombstone);
            }
        }
    }
    assert_eq!(actor.log().await.len(), 12);
}

#[tokio::test]
async fn a_deletion_names_whom_it_names() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let by_sendbird_id = pb::Agent { sendbird_id: "kim".to_owned(), ..Default::default() };
    let by_id = pb::Agent { id: 11, ..Default::default() };
    for (id, agent) in [(1, None), (2, Some(by_sendbird_id)), (3, Some(by_id)), (4, Some(kim()))] {
        actor.store(in_channel("c", id, "m")).await;
        let message = pb::ConversationMessage { deleted_by: agent.clone(), ..deleted(in_channel("c", id, "m")) };
        assert_eq!(actor.store(message).await.requested_by, agent);
        assert_eq!(actor.log().await[0].requested_by, agent);
    }
}

#[tokio::test]
async fn an_unknown_message_that_is_deleted_becomes_a_tombstone_that_stays_one() {
    let world = World::new().await;
    let mut actor = world.actor().await;

    let tombstone = actor.store(deleted(in_channel("c", 7, CANARY))).await;
    let late = actor.take_in(vec![in_channel("c", 7, CANARY), deleted(in_channel("c", 7, CANARY))]).await;

    assert_eq!((tombstone.message_id, tombstone.message.as_str()), (1, ""));
    assert!(tombstone.delete_time.is_some());
    assert_eq!(late, [0, 1].map(|_| pb::ingest_result::Outcome::Duplicate(tombstone.clone())), "it does not come back");
    assert_eq!(actor.log().await.len(), 1);
    assert!(!world.database.every_row().await.contains(CANARY));
}

#[tokio::test]
async fn a_message_and_its_deletion_in_one_batch_end_as_a_tombstone_in_either_order() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (first, second) = (in_channel("c", 1, CANARY), in_channel("c", 2, CANARY));
    let batch = vec![first.clone(), deleted(first.clone()), deleted(second.clone()), second, deleted(first)];

    let outcomes = actor.take_in(batch).await;

    assert_eq!(words(&outcomes), ["stored", "stored", "stored", "duplicate", "duplicate"]);
    let messages = actor.list(stored(outcomes[0].clone()).ticket_id).await;
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message.delete_time.is_some() && message.message.is_empty()));
    assert_eq!(actor.log().await.len(), 2);
    assert!(!world.database.every_row().await.contains(CANARY));
}

#[tokio::test]
async fn deletions_by_many_agents_in_many_tickets_are_one_batch() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let messages: Vec<pb::ConversationMessage> = (1..=40).map(|id| in_channel(&format!("c{}", id % 4), id, "m")).collect();
    actor.take_in(messages.clone()).await;
    let by = |message: pb::ConversationMessage| {
        let agent = pb::Agent { id: 1 + message.id % 3, ..Default::default() };
        pb::ConversationMessage { deleted_by: Some(agent), ..deleted(message) }
    };

    let outcomes = actor.take_in(messages.into_iter().map(by).collect()).await;

    for (id, outcome) in (1..=40).zip(outcomes) {
        let tombstone = stored(outcome);
        assert_eq!(tombstone.external_id, format!("conversationmessage:{id}"));
        assert_eq!(tombstone.requested_by.expect("somebody").id, 1 + id % 3);
    }
    assert_eq!(actor.log().await.len(), 40);
}

#[tokio::test]
async fn of_a_deleted_message_nothing_is_left_though_it_or_its_deletion_was_rejected_once() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut writer = world.actor_with("acme", &[deskledger::domain::caller::Scope::MessagesWrite]).await;
    let file = pb::File { name: CANARY.to_owned(), url: CANARY.to_owned(), ..Default::default() };
    let message = pb::ConversationMessage { files: vec![file], ..in_channel("c", 7, CANARY) };
    // No place to go; too long; of a time that there is not.
    let homeless = pb::ConversationMessage { channel_url: String::new(), contact_id: 0, ..message.clone() };
    let too_long = in_channel("c", 7, &CANARY.repeat(4000));
    let timeless =
        pb::ConversationMessage { create_time: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }), ..message.clone() };
    let stays = rejected(actor.take_in(vec![of_contact(0, 8, "of another message")]).await.remove(0));
    assert_eq!(words(&actor.take_in(vec![homeless, too_long, timeless, message.clone()]).await)[2..], ["rejected", "stored"]);
    let refused = rejected(writer.take_in(vec![deleted(message.clone())]).await.remove(0));
    assert!(!refused.event.contains(CANARY), "what is kept of a deletion is no content: {}", refused.event);
    assert!(world.database.every_row().await.contains(CANARY), "the search finds it");

    actor.store(deleted(message)).await;

    let rows = world.database.every_row().await;
    assert!(!rows.contains(CANARY) && !rows.contains(&as_bytes(CANARY)));
    assert_eq!(actor.rejected().await, [stays]);
}
