//! Streaming replicas: what is read from them, how old it may be, and what happens when they or the primary fall behind or go away.

use std::time::{Duration, Instant};

use deskledger::app::Replicas;
use deskledger::domain::freshness::Standing;

use super::PATIENCE;
use crate::embedded::process::sql;
use crate::support::database::TestDatabase;
use crate::support::replicated::Replicated;
use crate::support::{Actor, World, pb};

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(200);

/// Waits until the replica stands like this, as the service sees it.
async fn until_replica(world: &World, wanted: Standing) {
    let reached = async {
        while !matches!(world.app.look_at_replica(0).await, Ok(standing) if standing == wanted) {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "the replica does not come to be {wanted:?}: {:?}", world.app.look_at_replica(0).await);
}

async fn exported_log(actor: &mut Actor) -> Vec<pb::DeletionLog> {
    let request = pb::ExportDeletionLogsRequest::default();
    let mut stream = actor.logs.export_deletion_logs(request).await.expect("the export begins").into_inner();
    let mut logs = Vec::new();
    while let Some(part) = stream.message().await.expect("the export goes on") {
        logs.extend(part.deletion_logs);
    }
    logs
}

async fn exported_messages(actor: &mut Actor, ticket_id: i64) -> Vec<pb::ChatMessage> {
    let request = pb::ExportChatMessagesRequest { ticket_id, ..Default::default() };
    let mut stream = actor.messages.export_chat_messages(request).await.expect("the export begins").into_inner();
    let mut messages = Vec::new();
    while let Some(part) = stream.message().await.expect("the export goes on") {
        messages.extend(part.chat_messages);
    }
    messages
}

#[tokio::test]
async fn exports_and_lists_of_the_log_come_from_the_replica_and_nothing_else_does() {
    let servers = Replicated::start();
    let world = servers.world(LONG).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let first = actor.delete(ticket.id, messages[0].id).await.expect("it is deleted").deletion_log.expect("its entry");
    until_replica(&world, Standing::Fresh).await;
    while exported_log(&mut actor).await.is_empty() {}
    servers.pause();

    let second = actor.delete(ticket.id, messages[1].id).await.expect("it is deleted").deletion_log.expect("its entry");

    // As they were when the replica was paused ...
    assert_eq!(actor.log().await, std::slice::from_ref(&first));
    assert_eq!(exported_log(&mut actor).await, std::slice::from_ref(&first));
    for ticket_id in [0, ticket.id] {
        let contents: Vec<String> = exported_messages(&mut actor, ticket_id).await.into_iter().map(|it| it.message).collect();
        assert_eq!(contents, ["", "message 2"], "of ticket {ticket_id}");
    }
    // ... and all else as it is.
    let contents: Vec<String> = actor.list(ticket.id).await.into_iter().map(|message| message.message).collect();
    assert_eq!(contents, ["", ""]);
    let request = pb::GetDeletionLogRequest { ticket_id: ticket.id, id: second.id };
    let found = actor.logs.get_deletion_log(request).await.expect("it is there").into_inner();
    assert_eq!(found.deletion_log, Some(second.clone()));
    // What the replica has not is looked for in the primary.
    let (new, _) = actor.ticket_with(1).await;
    assert_eq!(exported_messages(&mut actor, new.id).await.len(), 1);

    servers.resume();
    let caught_up = async { while actor.log().await.len() < 2 {} };
    tokio::time::timeout(PATIENCE, caught_up).await.expect("the replica catches up");
    world.stop().await;
}

#[tokio::test]
async fn no_answer_is_older_than_the_bound() {
    let servers = Replicated::start();
    let world = servers.world(SHORT).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    for message in messages {
        until_replica(&world, Standing::Fresh).await;
        servers.pause();
        let known = actor.log().await.len();
        actor.delete(ticket.id, message.id).await.expect("it is deleted");
        let deleted = Instant::now();
        loop {
            let asked = Instant::now();
            if actor.log().await.len() > known {
                break;
            }
            let age = asked - deleted;
            assert!(age <= SHORT, "{age:?} after the deletion it was not in the log");
        }
        until_replica(&world, Standing::Behind).await;
        servers.resume();
    }
    world.stop().await;
}

#[tokio::test]
async fn while_the_replica_is_away_the_primary_is_asked() {
    let servers = Replicated::start();
    let world = servers.world(LONG).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    until_replica(&world, Standing::Fresh).await;

    let servers = servers
        .without_replica(async || {
            // At once, and when it has been noticed.
            actor.delete(ticket.id, messages[0].id).await.expect("it is deleted");
            assert_eq!(actor.log().await.len(), 1);
            assert!(world.app.look_at_replica(0).await.is_err());
            actor.delete(ticket.id, messages[1].id).await.expect("it is deleted");
            assert_eq!(actor.log().await.len(), 2);
        })
        .await;

    until_replica(&world, Standing::Fresh).await;
    servers.pause();
    assert_eq!(actor.log().await.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn while_the_primary_is_silent_no_replica_is_fresh() {
    let mut servers = Replicated::start();
    let world = servers.world(SHORT).await;
    until_replica(&world, Standing::Fresh).await;
    servers.kill_primary();
    until_replica(&world, Standing::Unknown).await;
    servers.primary.restart().expect("the primary starts again");
    until_replica(&world, Standing::Fresh).await;
    world.stop().await;
}

#[tokio::test]
async fn a_promoted_replica_and_a_server_that_never_was_one_are_not_read_from() {
    let servers = Replicated::start();
    let world = servers.world(LONG).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    until_replica(&world, Standing::Fresh).await;
    sql(servers.replica.socket_dir(), "select pg_promote()");
    until_replica(&world, Standing::NotReplica).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it is deleted");
    assert_eq!(actor.log().await.len(), 1);
    world.stop().await;

    let database = TestDatabase::create().await;
    let replicas = Replicas::new(vec![database.pool(1)], LONG);
    let world = World::with_replicas(database, replicas).await;
    until_replica(&world, Standing::NotReplica).await;
    assert!(world.actor().await.log().await.is_empty());
}
