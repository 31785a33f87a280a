//! Several processes on one database, which know nothing of each other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tonic::transport::Endpoint;

use super::program::Service;
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::world::plain_token;
use crate::support::{Actor, World, pb};

const MESSAGES: usize = 120;
const PAGE: i32 = 50;

/// The messages whose deletion has been answered.
type Deleted = Arc<Mutex<HashSet<i64>>>;

async fn actor_at(address: &str, token: &str) -> Actor {
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens");
    Actor::new(channel, token)
}

/// Reads every page of the ticket again and again until all is deleted: what was deleted before a read began is never in its answer.
async fn read_until_all_is_deleted(mut actor: Actor, ticket_id: i64, deleted: Deleted) -> usize {
    let mut seen_again = 0;
    loop {
        let before = deleted.lock().expect("nobody panics").clone();
        for skip in [0, 50, 100] {
            let request = pb::ListChatMessagesRequest { ticket_id, page_size: PAGE, skip, ..Default::default() };
            let page = actor.messages.list_chat_messages(request).await.expect("the page").into_inner();
            for message in page.chat_messages {
                let is_deleted = before.contains(&message.id);
                assert!(!is_deleted || message.message.is_empty() && message.delete_time.is_some(), "{message:?}");
                seen_again += usize::from(is_deleted);
            }
        }
        if before.len() == MESSAGES {
            return seen_again;
        }
    }
}

async fn delete_all(mut actor: Actor, ticket_id: i64, ids: Vec<i64>, deleted: Deleted) {
    for id in ids {
        actor.delete(ticket_id, id).await.expect("it is deleted");
        deleted.lock().expect("nobody panics").insert(id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_has_deleted_no_process_answers_any_more() {
    let world = World::on(TestDatabase::create().await, crate::support::world::default_settings()).await;
    let token = world.token("acme", plain_token()).await;
    let mut actor = Actor::new(world.channel().await, &token);
    let ticket = actor.open_ticket().await;
    let messages = (0..MESSAGES).map(|number| customer_message(&format!("secret {number}"))).collect();
    let ids: Vec<i64> = actor.send_all(ticket.id, messages).await.iter().map(|message| message.id).collect();
    actor.close(ticket.id).await;

    let mut services = [Service::on(&world.database, &[]), Service::on(&world.database, &[])];
    let addresses = services.each_mut().map(Service::address);
    let deleted = Deleted::default();
    let mut readers = Vec::new();
    for address in addresses.iter().chain(&addresses) {
        let actor = actor_at(address, &token).await;
        readers.push(tokio::spawn(read_until_all_is_deleted(actor, ticket.id, deleted.clone())));
    }
    let mut deleters = Vec::new();
    for (address, ids) in addresses.iter().zip(ids.chunks(MESSAGES / 2)) {
        let actor = actor_at(address, &token).await;
        deleters.push(tokio::spawn(delete_all(actor, ticket.id, ids.to_vec(), deleted.clone())));
    }

    for deleter in join_all(deleters).await {
        deleter.expect("all of its messages are deleted");
    }
    for reader in join_all(readers).await {
        assert!(reader.expect("no stale page") >= MESSAGES, "every deleted message was looked at again");
    }
}
