//! What nobody waits for any more ends in the database, too: when a deadline passes, when a caller leaves, and not before the last has left.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use tonic::{Code, Request, Streaming};

use super::proxy::world_behind_proxy;
use super::{HeldTicket, PATIENCE};
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::ingest::in_channel;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

const REQUEST_ID: &str = "6f0f0c3e-8b5d-4f0e-9d43-0c6a3a1f6a11";

/// Waits until this many statements of calls wait for a lock, lanes included. The loop that sets milestones may wait beside them.
async fn until_waiting(observer: &mut PgConnection, count: usize) {
    let waiting = "select query from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query not like '%list_milestones%'";
    let mut last: Vec<String> = Vec::new();
    let reached = async {
        loop {
            last = sqlx::query_scalar(waiting).fetch_all(&mut *observer).await.expect("the statements");
            if last.len() == count {
                return;
            }
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "there come to be {count} that wait, and not these: {last:?}");
}

/// Keeps every statement on the messages waiting until it is dropped.
async fn hold_messages(world: &World) -> PgConnection {
    let mut holder = world.database.connect().await;
    let lock = "begin; lock table chat_messages in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.expect("the lock");
    holder
}

#[tokio::test]
async fn a_statement_does_not_outlive_the_callers_deadline() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let mut held = HeldTicket::hold(&world.database, ticket.id).await;
    for request_id in ["", REQUEST_ID] {
        let request = pb::DeleteChatMessageRequest {
            ticket_id: ticket.id,
            id: messages[0].id,
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(1));
        actor.messages.delete_chat_message(request).await.expect_err("the row is held");
        until_waiting(&mut held.observer, 0).await;
    }
    held.release().await;
    assert_eq!(actor.log().await.len(), 0, "nothing was done after the deadline");
    actor.delete(ticket.id, messages[0].id).await.expect("the row is free");
}

#[tokio::test]
async fn a_statement_does_not_outlive_the_services_time_limit_at_either_door() {
    let mut settings = default_settings();
    settings.request_timeout_seconds = 1;
    let world = World::on(TestDatabase::create().await, settings).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let mut held = HeldTicket::hold(&world.database, ticket.id).await;
    let path = format!("/tickets/{}/chat_messages/{}", ticket.id, messages[0].id);

    let refused = world.http(&actor).delete(&path).await;
    assert_eq!(refused.status, 504, "{refused:?}");
    until_waiting(&mut held.observer, 0).await;
    actor.delete(ticket.id, messages[0].id).await.expect_err("the row is held");
    until_waiting(&mut held.observer, 0).await;
    held.release().await;
}

#[tokio::test]
async fn a_caller_who_leaves_takes_its_statement_along_whatever_it_was() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let (ticket_id, id) = (ticket.id, messages[0].id);
    let mut holder = hold_messages(&world).await;
    let mut observer = world.database.connect().await;
    let call = |call: fn(Actor, i64, i64) -> BoxFuture<'static, ()>| call(actor.clone(), ticket_id, id);
    let calls = [
        call(|mut actor, ticket_id, _| Box::pin(async move { drop(actor.list(ticket_id).await) })),
        call(|mut actor, ticket_id, id| Box::pin(async move { drop(actor.delete(ticket_id, id).await) })),
        call(|mut actor, ticket_id, _| Box::pin(async move { drop(actor.send(ticket_id, customer_message("hello")).await) })),
        call(|mut actor, _, _| Box::pin(async move { drop(actor.take_in(vec![in_channel("c", 1, "hello")]).await) })),
        call(|mut actor, ticket_id, _| {
            let request = pb::ExportChatMessagesRequest { ticket_id, ..Default::default() };
            Box::pin(async move { drop(actor.messages.export_chat_messages(request).await) })
        }),
    ];
    for call in calls {
        let call = tokio::spawn(call);
        until_waiting(&mut observer, 1).await;
        call.abort();
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
        until_waiting(&mut observer, 0).await;
    }
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("the lock is given back");

    assert_eq!(actor.list(ticket_id).await.len(), 2);
    assert_eq!(actor.log().await.len(), 0);
    actor.delete(ticket_id, id).await.expect("it may be deleted");
}

/// How many parts the messages of the tests of exports make: more than are on their way at a time, because each is larger than a window.
const PARTS: usize = 4;

/// Begins an export and takes its first part.
async fn begun_export(actor: &mut Actor, ticket_id: i64, timeout: Option<Duration>) -> Streaming<pb::ExportChatMessagesResponse> {
    let text = "x".repeat(2_000);
    for _ in 0..PARTS {
        actor.send_all(ticket_id, (0..500).map(|_| customer_message(&text)).collect()).await;
    }
    let mut request = Request::new(pb::ExportChatMessagesRequest { ticket_id, ..Default::default() });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let mut export = actor.messages.export_chat_messages(request).await.expect("it begins").into_inner();
    assert_eq!(export.message().await.expect("it goes on").expect("a part").chat_messages.len(), 500);
    export
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_an_export_takes_its_statement_along() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket_id = actor.open_ticket().await.id;
    let mut export = begun_export(&mut actor, ticket_id, None).await;
    let mut holder = hold_messages(&world).await;
    let mut observer = world.database.connect().await;
    let reading = tokio::spawn(async move { while export.message().await.is_ok_and(|part| part.is_some()) {} });
    until_waiting(&mut observer, 1).await;

    reading.abort();

    assert!(reading.await.is_err_and(|error| error.is_cancelled()));
    until_waiting(&mut observer, 0).await;
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("the lock is given back");
    assert_eq!(actor.list(ticket_id).await.len(), 500, "the service goes on");
}

#[tokio::test]
async fn an_export_ends_at_its_callers_deadline_and_says_so_and_its_statement_ends_with_it() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket_id = actor.open_ticket().await.id;
    let mut export = begun_export(&mut actor, ticket_id, Some(Duration::from_secs(5))).await;
    let mut holder = hold_messages(&world).await;
    let mut observer = world.database.connect().await;

    let ended = loop {
        match export.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ends as if it were whole"),
            Err(status) => break status,
        }
    };

    let refused = refusal(&ended);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    until_waiting(&mut observer, 0).await;
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("the lock is given back");
}

#[tokio::test]
async fn who_leaves_a_shared_statement_leaves_it_to_the_others() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    let (first, _) = actor.ticket_with(1).await;
    let (second, _) = actor.ticket_with(2).await;
    let mut observer = world.database.connect().await;
    let mut holder = hold_messages(&world).await;
    let list = |ticket_id: i64| {
        let mut actor = actor.clone();
        tokio::spawn(async move { actor.list(ticket_id).await.len() })
    };
    // The one lane for pages of a test's service is busy with this one.
    let before = list(first.id);
    until_waiting(&mut observer, 1).await;
    let alone = session_that_waits(&mut observer).await;
    let (leaving, staying) = (list(first.id), list(second.id));
    // What is sent after them on the same line is answered: so both have come, and wait for the lane.
    actor.clone().log().await;
    proxy.parsed();
    before.abort();
    let shared = async { while [None, alone].contains(&session_that_waits(&mut observer).await) {} };
    tokio::time::timeout(PATIENCE, shared).await.expect("the lane goes on, on another session");

    leaving.abort();
    assert!(leaving.await.is_err_and(|error| error.is_cancelled()));
    actor.clone().log().await;
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("the lock is given back");
    assert_eq!(staying.await.expect("it is answered"), 2);
    let statements = proxy.parsed().into_iter().filter(|text| text.contains("message_id > asked.after")).count();
    assert_eq!(statements, 1, "the statement that both shared went on");
}

/// The session of the lane that waits for a lock, if one does.
async fn session_that_waits(observer: &mut PgConnection) -> Option<i32> {
    let waiting = "select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and application_name = 'deskledger lane'";
    sqlx::query_scalar(waiting).fetch_optional(observer).await.expect("the sessions")
}
