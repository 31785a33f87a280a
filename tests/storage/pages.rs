//! Pages in memory: one is answered while its ticket is unchanged, and no longer.

use sqlx::PgConnection;

use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb};

/// Writes over the content of every message behind the service's back: whoever still shows the old one has not read the rows.
async fn overwrite(connection: &mut PgConnection, content: &'static str) {
    // The guard of deletions would refuse it.
    sqlx::raw_sql("set session_replication_role = replica").execute(&mut *connection).await.expect("a superuser may");
    sqlx::query("update chat_messages set message = $1").bind(content).execute(connection).await.expect("they are overwritten");
}

async fn contents(actor: &mut Actor, ticket_id: i64, skip: i64) -> Vec<String> {
    let request = pb::ListChatMessagesRequest { ticket_id, page_size: 2, skip, ..Default::default() };
    let page = actor.messages.list_chat_messages(request).await.expect("the page").into_inner();
    assert_eq!(page.total_size, 3);
    page.chat_messages.into_iter().map(|message| message.message).collect()
}

#[tokio::test]
async fn a_page_is_answered_from_memory_until_its_ticket_changes() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(3).await;
    let mut connection = world.database.connect().await;
    assert_eq!(contents(&mut actor, ticket.id, 0).await, ["message 1", "message 2"]);

    overwrite(&mut connection, "written over").await;
    assert_eq!(contents(&mut actor, ticket.id, 0).await, ["message 1", "message 2"]);
    assert_eq!(contents(&mut actor, ticket.id, 2).await, ["written over"], "a page that is not in memory");

    actor.close(ticket.id).await;
    assert_eq!(contents(&mut actor, ticket.id, 0).await, ["written over", "written over"]);
}

#[tokio::test]
async fn the_doors_have_pages_of_their_own() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(3).await;
    let path = format!("/tickets/{}/chat_messages?limit=2", ticket.id);
    for _ in 0..2 {
        assert_eq!(contents(&mut actor, ticket.id, 0).await, ["message 1", "message 2"]);
        let answer = world.http(&actor).get(&path).await.json();
        assert_eq!(answer["results"][1]["message"], "message 2");
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn without_room_for_pages_every_list_reads_the_rows() {
    let mut settings = default_settings();
    settings.page_cache_mib = 0;
    let world = World::on(TestDatabase::create().await, settings).await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(3).await;
    assert_eq!(contents(&mut actor, ticket.id, 0).await, ["message 1", "message 2"]);
    overwrite(&mut world.database.connect().await, "written over").await;
    assert_eq!(contents(&mut actor, ticket.id, 0).await, ["written over", "written over"]);
}

#[tokio::test]
async fn a_page_in_memory_is_no_page_of_another_application() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(3).await;
    contents(&mut actor, ticket.id, 0).await;
    let mut other = world.actor_of("other").await;
    let request = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 2, ..Default::default() };
    let refused = other.messages.list_chat_messages(request).await.expect_err("it is not theirs");
    assert_eq!(crate::support::refusal(&refused).reason, "TICKET_NOT_FOUND");
}

#[tokio::test]
async fn the_second_message_of_a_ticket_is_not_hidden_by_the_page_of_the_first() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    for number in 1..=3 {
        actor.send(ticket.id, customer_message("hello")).await;
        assert_eq!(actor.list(ticket.id).await.len(), number);
    }
}
