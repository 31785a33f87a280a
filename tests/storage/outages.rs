//! A database server that stands still, has no room, or takes no more connections: callers are told the truth, and all goes on by itself.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use super::faults::assert_unavailable;
use super::invariants::assert_sound;
use super::{until, watch_health};
use crate::embedded::process::am_root;
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::own_server::OwnServer;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

/// A service that waits a second for a connection and three for an answer.
async fn world_on(server: &OwnServer) -> World {
    let database = TestDatabase::on(&server.options()).await;
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect_lazy_with(database.service_options());
    let mut settings = default_settings();
    settings.request_timeout_seconds = 3;
    World::with_pool(database, pool, settings).await
}

async fn list(actor: &mut Actor, ticket_id: i64) -> Result<pb::ListChatMessagesResponse, Status> {
    let request = pb::ListChatMessagesRequest { ticket_id, page_size: 500, ..Default::default() };
    Ok(actor.messages.list_chat_messages(request).await?.into_inner())
}

#[tokio::test]
async fn a_server_that_stands_still_and_goes_on_is_waited_for_and_nothing_is_done_twice() {
    let server = OwnServer::start(30);
    let world = world_on(&server).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let mut health = watch_health(&world).await;
    until(&mut health, ServingStatus::Serving).await;
    list(&mut actor, ticket.id).await.expect("the server answers");

    server.pause();
    for status in [
        list(&mut actor, ticket.id).await.map(drop).expect_err("nobody answers"),
        actor.delete(ticket.id, messages[0].id).await.map(drop).expect_err("nobody answers"),
    ] {
        let code = refusal(&status).code;
        assert!(matches!(code, Code::Unavailable | Code::DeadlineExceeded), "{status:?}");
    }
    until(&mut health, ServingStatus::NotServing).await;
    server.resume();

    until(&mut health, ServingStatus::Serving).await;
    let again = actor.delete(ticket.id, messages[0].id).await;
    // What was sent before the server stood still may have been done when it went on.
    assert!(
        again.is_ok_and(|_| true) || list(&mut actor, ticket.id).await.expect("it answers").chat_messages[0].delete_time.is_some()
    );
    assert_eq!(actor.log().await.len(), 1);
    assert_sound(&world.database).await;
    world.stop().await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_told_as_unavailable_until_it_has_one() {
    // Of which three are its superuser's.
    let server = OwnServer::start(16);
    let world = world_on(&server).await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut taken = Vec::new();
    let full = loop {
        match PgConnection::connect_with(&world.database.service_options()).await {
            Ok(connection) => taken.push(connection),
            Err(full) => break full,
        }
    };
    assert_eq!(full.into_database_error().and_then(|full| full.code().map(Cow::into_owned)).as_deref(), Some("53300"));

    // No call has used the lane for pages yet.
    assert_unavailable(&list(&mut actor, ticket.id).await.expect_err("there is no connection for it"));

    for connection in taken {
        connection.close().await.expect("it closes");
    }
    list(&mut actor, ticket.id).await.expect("there are connections again");
    world.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_told_as_unavailable_and_what_was_acknowledged_is_there() {
    let server = OwnServer::start(30);
    let Some(disk) = SmallDisk::mount(&server) else {
        println!("left out: only root may mount a small disk, where it may");
        return;
    };
    let world = world_on(&server).await;
    let place = disk.path.display();
    world.database.run(&format!("create tablespace small location '{place}'")).await;
    world.database.run("alter table chat_messages set tablespace small").await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut acknowledged = Vec::new();
    let full = loop {
        let chat_messages = vec![pb::ChatMessage { data: "x".repeat(500), ..customer_message("hello") }; 100];
        let request = pb::BatchCreateChatMessagesRequest { ticket_id: ticket.id, chat_messages, request_id: String::new() };
        match actor.messages.batch_create_chat_messages(request).await {
            Ok(stored) => acknowledged
                .extend(stored.into_inner().results.into_iter().map(|result| result.chat_message.expect("it is answered").id)),
            Err(full) => break full,
        }
    };
    assert_unavailable(&full);
    assert!(!acknowledged.is_empty());
    assert_eq!(
        list(&mut actor, ticket.id).await.expect("reading takes no room").total_size,
        i64::try_from(acknowledged.len()).expect("few")
    );

    world.database.run("alter table chat_messages set tablespace pg_default").await;
    world.database.run("drop tablespace small").await;
    acknowledged.push(actor.send(ticket.id, customer_message("room again")).await.id);
    let stored: Vec<i64> = sqlx::query_scalar("select id from chat_messages order by message_id")
        .fetch_all(&mut world.database.connect().await)
        .await
        .expect("the messages");
    assert_eq!(stored, acknowledged);
    assert_sound(&world.database).await;
    world.stop().await;
}

/// A disk of four mebibytes, in memory.
struct SmallDisk {
    path: std::path::PathBuf,
}

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(server: &OwnServer) -> Option<Self> {
        if !am_root() {
            return None;
        }
        let path = server.room().join("small");
        fs::create_dir(&path).expect("a folder");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output().expect("mount runs");
        if !mounted.status.success() {
            return None;
        }
        let disk = Self { path };
        let owner = fs::metadata(server.room().join("data/postgres")).expect("the server's files");
        let (user, group) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
        chown(&disk.path, Some(user), Some(group)).expect("its owner");
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still have it open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}
