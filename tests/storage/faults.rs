//! The database goes away, is slow or loses the line: callers are told so, effects stay whole, and the service recovers by itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use sqlx::postgres::PgPoolOptions;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use super::invariants::assert_sound;
use super::proxy::{Proxy, world_behind_proxy};
use super::{HeldTicket, PATIENCE, outcome, until, watch_health};
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

const REQUEST_ID: &str = "6f0f0c3e-8b5d-4f0e-9d43-0c6a3a1f6a11";

/// The database is away, and the caller is told when to come again.
pub fn assert_unavailable(status: &Status) {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    let details = status.get_error_details();
    assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{status:?}");
}

async fn list(actor: &mut Actor, ticket_id: i64) -> Result<(), Status> {
    let request = pb::ListChatMessagesRequest { ticket_id, ..Default::default() };
    actor.messages.list_chat_messages(request).await.map(|_| ())
}

fn delete_request(ticket_id: i64, id: i64, request_id: &str) -> pb::DeleteChatMessageRequest {
    pb::DeleteChatMessageRequest { ticket_id, id, request_id: request_id.to_owned(), ..Default::default() }
}

/// As many log entries as tombstones, and this many.
async fn assert_deleted(actor: &mut Actor, ticket_id: i64, count: usize) {
    let tombstones = actor.list(ticket_id).await.iter().filter(|message| message.delete_time.is_some()).count();
    assert_eq!((tombstones, actor.log().await.len()), (count, count), "tombstones and log entries");
}

#[tokio::test]
async fn when_every_connection_is_killed_under_load_calls_say_unavailable_and_the_service_recovers() {
    const CALLERS: usize = 4;
    const MESSAGES: usize = 60;
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let stored = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|caller| {
        let (mut actor, stored) = (actor.clone(), stored.clone());
        tokio::spawn(async move {
            for number in 0..MESSAGES {
                let message = pb::ChatMessage { external_id: format!("{caller} {number}"), ..customer_message("hello") };
                let request =
                    pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message: Some(message), ..Default::default() };
                while let Err(status) = actor.messages.create_chat_message(request.clone()).await {
                    assert_unavailable(&status);
                }
                stored.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    let callers: Vec<_> = callers.collect();

    let mut killer = world.database.connect().await;
    let kill =
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    for round in 1..=5 {
        let progress = async {
            while stored.load(Ordering::SeqCst) < round * CALLERS * MESSAGES / 6 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, progress).await.expect("the callers go on");
        sqlx::query(kill).execute(&mut killer).await.expect("they are killed");
    }

    for caller in join_all(callers).await {
        caller.expect("the caller was told nothing but the truth");
    }
    let listed = actor.list(ticket.id).await;
    assert_eq!(listed.iter().map(|message| message.message_id).collect::<Vec<_>>(), (1..=240).collect::<Vec<_>>());
    assert_sound(&world.database).await;
    until(&mut watch_health(&world).await, ServingStatus::Serving).await;
}

#[tokio::test]
async fn a_service_without_its_database_starts_and_serves_once_the_database_is_there() {
    let database = TestDatabase::absent();
    let pool = database.pool(4);
    let world = World::with_pool(database, pool, default_settings()).await;
    let mut health = watch_health(&world).await;
    until(&mut health, ServingStatus::NotServing).await;
    let mut stranger = Actor::new(world.channel().await, &format!("dl_{}_x", "0".repeat(16)));
    assert_unavailable(&list(&mut stranger, 1).await.expect_err("there is no database"));

    world.database.appear().await;

    until(&mut health, ServingStatus::Serving).await;
    world.actor().await.open_ticket().await;
}

#[tokio::test]
async fn a_service_without_a_database_server_starts_and_serves_once_the_server_is_there() {
    let database = TestDatabase::create().await;
    let mut proxy = Proxy::new(&database.service_options());
    let pool = PgPoolOptions::new().connect_lazy_with(proxy.options.clone());
    let world = World::with_pool(database, pool, default_settings()).await;
    let mut health = watch_health(&world).await;
    until(&mut health, ServingStatus::NotServing).await;
    let mut stranger = Actor::new(world.channel().await, &format!("dl_{}_x", "0".repeat(16)));
    assert_unavailable(&list(&mut stranger, 1).await.expect_err("there is no server"));

    proxy.listen();

    until(&mut health, ServingStatus::Serving).await;
    world.actor().await.open_ticket().await;
}

#[tokio::test]
async fn a_statement_that_the_database_cuts_short_is_told_as_deadline_exceeded() {
    let database = TestDatabase::create().await;
    database.set("statement_timeout", "1s").await;
    let world = World::on(database, default_settings()).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;

    let held = HeldTicket::hold(&world.database, ticket.id).await;
    let refused = refusal(&actor.delete(ticket.id, messages[0].id).await.expect_err("the row is held"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    held.release().await;

    actor.delete(ticket.id, messages[0].id).await.expect("the row is free");
    assert_deleted(&mut actor, ticket.id, 1).await;
}

#[tokio::test]
async fn a_call_that_finds_every_connection_taken_is_told_so_after_the_wait_setting() {
    let database = TestDatabase::create().await;
    let wait = Duration::from_secs(1);
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(wait).connect_lazy_with(database.service_options());
    let world = World::with_pool(database, pool, default_settings()).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    let mut held = HeldTicket::hold(&world.database, ticket.id).await;
    let taking = messages[..2].iter().map(|message| {
        let (mut actor, id) = (actor.clone(), message.id);
        tokio::spawn(async move { outcome(actor.delete(ticket.id, id).await) })
    });
    let taking: Vec<_> = taking.collect();
    held.queued(2).await;

    assert_unavailable(&actor.delete(ticket.id, messages[2].id).await.expect_err("no connection is free"));
    list(&mut actor, ticket.id).await.expect("readers have connections of their own");

    held.release().await;
    for taken in taking {
        assert_eq!(taken.await.expect("the call does not panic"), "OK");
    }
    assert_deleted(&mut actor, ticket.id, 2).await;
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_leaves_a_whole_effect_and_a_working_connection() {
    let database = TestDatabase::create().await;
    // The calls after must use the very connection that was left.
    let pool = database.pool(1);
    let world = World::with_pool(database, pool, default_settings()).await;
    let mut actor = world.actor().await;
    for request_id in ["", REQUEST_ID] {
        let (ticket, messages) = actor.closed_ticket_with(1).await;
        let before = actor.log().await.len();
        let mut held = HeldTicket::hold(&world.database, ticket.id).await;
        let request = delete_request(ticket.id, messages[0].id, request_id);
        let (mut leaving, left) = (actor.clone(), request.clone());
        let call = tokio::spawn(async move { leaving.messages.delete_chat_message(left).await.map(|_| ()) });
        held.queued(1).await;
        call.abort();
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
        held.release().await;

        let repeated = outcome(actor.messages.delete_chat_message(request).await);
        assert!(repeated == "OK" || request_id.is_empty() && repeated == "CHAT_MESSAGE_ALREADY_DELETED", "{repeated}");
        assert!(actor.list(ticket.id).await[0].delete_time.is_some());
        assert_eq!(actor.log().await.len(), before + 1);
    }
}

#[tokio::test]
async fn a_caller_who_leaves_at_any_moment_can_repeat_the_call_and_it_happens_once() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(60).await;
    for (steps, pair) in messages.chunks(2).enumerate() {
        let request = pb::BatchDeleteChatMessagesRequest {
            ticket_id: ticket.id,
            ids: pair.iter().map(|message| message.id).collect(),
            request_id: uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000 + steps as u128).to_string(),
            ..Default::default()
        };
        let mut leaving = actor.clone();
        let mut call = leaving.messages.batch_delete_chat_messages(request.clone()).boxed();
        // Polled so many times and dropped, wherever it stands then.
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls > steps * 8 || call.poll_unpin(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(call);

        let first = actor.messages.batch_delete_chat_messages(request.clone()).await.expect("it is done now or was before");
        let again = actor.messages.batch_delete_chat_messages(request).await.expect("it was done before");
        assert_eq!(first.into_inner(), again.into_inner());
    }
    assert_deleted(&mut actor, ticket.id, 60).await;
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_answered_to_its_repeat_and_logged_once() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;

    // With a request id.
    let request = delete_request(ticket.id, messages[0].id, REQUEST_ID);
    proxy.cut_after("insert into deletion_logs");
    assert_unavailable(&actor.messages.delete_chat_message(request.clone()).await.expect_err("the line is cut"));
    assert!(proxy.has_cut());
    assert_deleted(&mut actor, ticket.id, 1).await;
    let repeated = actor.messages.delete_chat_message(request).await.expect("it was done before").into_inner();
    assert_eq!(repeated.deletion_log.expect("a log entry"), actor.log().await[0]);
    assert_eq!(repeated.chat_message.expect("a tombstone"), actor.list(ticket.id).await[0]);

    // The caller kept no request id.
    proxy.cut_after("insert into deletion_logs");
    assert_unavailable(&actor.delete(ticket.id, messages[1].id).await.expect_err("the line is cut"));
    assert!(proxy.has_cut());
    let refused = refusal(&actor.delete(ticket.id, messages[1].id).await.expect_err("it was done before"));
    assert_eq!(refused.reason, "CHAT_MESSAGE_ALREADY_DELETED");
    assert_deleted(&mut actor, ticket.id, 2).await;
}

#[tokio::test]
async fn a_write_whose_commit_was_not_answered_is_answered_to_its_repeat_and_done_once() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;

    let chat_message = Some(customer_message("hello"));
    let request = pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message, request_id: REQUEST_ID.to_owned() };
    // The one statement is its own transaction.
    proxy.cut_after("insert into chat_messages");
    assert_unavailable(&actor.messages.create_chat_message(request.clone()).await.expect_err("the line is cut"));
    assert!(proxy.has_cut());
    let listed = actor.list(ticket.id).await;
    assert_eq!(listed.len(), 4, "it was stored");
    let repeated = actor.messages.create_chat_message(request).await.expect("it was done before").into_inner();
    assert_eq!(repeated.chat_message.as_ref(), listed.last());

    let request = pb::BatchCreateChatMessagesRequest {
        ticket_id: ticket.id,
        chat_messages: vec![customer_message("one"), customer_message("two")],
        request_id: uuid::Uuid::from_u128(0x4000_8000_0000_0000_0002).to_string(),
    };
    proxy.cut_after("commit");
    assert_unavailable(&actor.messages.batch_create_chat_messages(request.clone()).await.expect_err("the line is cut"));
    assert!(proxy.has_cut());
    let listed = actor.list(ticket.id).await;
    assert_eq!(listed.len(), 6, "both were stored");
    let repeated = actor.messages.batch_create_chat_messages(request).await.expect("it was done before").into_inner();
    let repeated: Vec<_> = repeated.results.into_iter().filter_map(|result| result.chat_message).collect();
    assert_eq!(repeated, listed[4..]);

    let request = pb::BatchDeleteChatMessagesRequest {
        ticket_id: ticket.id,
        ids: messages.iter().map(|message| message.id).collect(),
        request_id: uuid::Uuid::from_u128(0x4000_8000_0000_0000_0001).to_string(),
        ..Default::default()
    };
    proxy.cut_after("commit");
    assert_unavailable(&actor.messages.batch_delete_chat_messages(request.clone()).await.expect_err("the line is cut"));
    assert!(proxy.has_cut());
    assert_deleted(&mut actor, ticket.id, 3).await;
    actor.messages.batch_delete_chat_messages(request).await.expect("it was done before");
    assert_deleted(&mut actor, ticket.id, 3).await;
    assert_eq!(actor.list(ticket.id).await.len(), 6);
}

#[tokio::test]
async fn a_write_that_meets_others_again_and_again_is_given_up_after_a_bounded_number_of_runs() {
    for conflict in ["40001", "40P01"] {
        let world = World::new().await;
        let mut actor = world.actor().await;
        let (ticket, messages) = actor.closed_ticket_with(1).await;
        // A sequence counts what a rollback does not take back.
        let always = format!(
            "create sequence runs; grant usage on runs to public;
             create function meet() returns trigger language plpgsql as $$
             begin
                perform nextval('runs');
                raise exception 'met' using errcode = '{conflict}';
             end $$;
             create trigger meet before insert on deletion_logs for each row execute function meet()"
        );
        world.database.run(&always).await;

        let refused = actor.delete(ticket.id, messages[0].id).await.expect_err("it meets another one each time");
        let details = refused.get_error_details();
        assert_eq!((refusal(&refused).code, refusal(&refused).reason.as_str()), (Code::Aborted, "WRITE_CONFLICT"));
        assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{refused:?}");
        let runs: i64 = sqlx::query_scalar("select last_value from runs")
            .fetch_one(&mut world.database.connect().await)
            .await
            .expect("a count");
        assert!((2..=10).contains(&runs), "{runs} runs");

        world.database.run("drop trigger meet on deletion_logs").await;
        actor.delete(ticket.id, messages[0].id).await.expect("nothing is in the way");
        assert_deleted(&mut actor, ticket.id, 1).await;
    }
}
