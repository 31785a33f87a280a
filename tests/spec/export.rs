//! Exports: every row once, in order, from where a broken stream ended.

use prost::Message;
use tonic::{Code, Status, Streaming};

use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

async fn export(
    actor: &mut Actor,
    ticket_id: i64,
    resume_token: &str,
) -> Result<Streaming<pb::ExportChatMessagesResponse>, Status> {
    let request = pb::ExportChatMessagesRequest { ticket_id, resume_token: resume_token.to_owned() };
    Ok(actor.messages.export_chat_messages(request).await?.into_inner())
}

/// All parts of an export; none of them may be empty.
async fn parts(actor: &mut Actor, ticket_id: i64, resume_token: &str) -> Vec<pb::ExportChatMessagesResponse> {
    let mut stream = export(actor, ticket_id, resume_token).await.expect("the export begins");
    let mut parts = Vec::new();
    while let Some(part) = stream.message().await.expect("the export goes on") {
        assert!((1..=500).contains(&part.chat_messages.len()), "{} messages", part.chat_messages.len());
        parts.push(part);
        assert!(parts.len() <= 10, "the export ends");
    }
    parts
}

fn messages(parts: Vec<pb::ExportChatMessagesResponse>) -> Vec<pb::ChatMessage> {
    parts.into_iter().flat_map(|part| part.chat_messages).collect()
}

#[tokio::test]
async fn an_export_has_every_message_tombstones_included_by_ticket_and_number_and_no_other_applications() {
    let world = World::new().await;
    let (mut actor, mut other) = (world.actor().await, world.actor_of("globex").await);
    let (first, _) = actor.ticket_with(3).await;
    let (foreign, _) = other.ticket_with(3).await;
    let (second, sent) = actor.closed_ticket_with(3).await;
    actor.open_ticket().await;
    actor.send(first.id, customer_message("late")).await;
    actor.delete(second.id, sent[1].id).await.expect("it may be deleted");
    let (of_first, of_second) = (actor.list(first.id).await, actor.list(second.id).await);

    assert_eq!(messages(parts(&mut actor, 0, "").await), [of_first.clone(), of_second.clone()].concat());
    assert_eq!(messages(parts(&mut actor, first.id, "").await), of_first);
    assert_eq!(messages(parts(&mut actor, second.id, "").await), of_second);
    assert_eq!((of_second[1].message.as_str(), of_second[1].delete_time.is_some()), ("", true));
    for ticket_id in [foreign.id, -1, i64::MAX] {
        let refused = refusal(&export(&mut actor, ticket_id, "").await.expect_err("there is no such ticket"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "TICKET_NOT_FOUND"));
    }
}

#[tokio::test]
async fn an_export_of_nothing_is_an_empty_stream() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    world.actor_of("globex").await.closed_ticket_with(1).await;
    assert_eq!(parts(&mut actor, 0, "").await, []);
    let empty = actor.open_ticket().await.id;
    assert_eq!(parts(&mut actor, empty, "").await, []);
    assert_eq!(parts(&mut actor, 0, "").await, []);
    let mut logs = actor.logs.export_deletion_logs(pb::ExportDeletionLogsRequest::default()).await.expect("it begins").into_inner();
    assert_eq!(logs.message().await.expect("it ends well"), None);
}

#[tokio::test]
async fn an_export_goes_on_from_each_of_its_resume_tokens() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (first, _) = actor.ticket_with(1).await;
    let (second, _) = actor.ticket_with(1003).await;
    for (ticket_id, sizes) in [(0, vec![500, 500, 4]), (second.id, vec![500, 500, 3]), (first.id, vec![1])] {
        let whole = parts(&mut actor, ticket_id, "").await;
        assert_eq!(whole.iter().map(|part| part.chat_messages.len()).collect::<Vec<_>>(), sizes);
        for (at, part) in whole.iter().enumerate() {
            assert_eq!(parts(&mut actor, ticket_id, &part.resume_token).await, whole[at + 1..], "after part {at}");
        }
    }
    let last = parts(&mut actor, 0, "").await.pop().expect("a last part").resume_token;
    let late = actor.send(second.id, customer_message("late")).await;
    assert_eq!(messages(parts(&mut actor, 0, &last).await), [late], "and from its end with what came later");
}

#[tokio::test]
async fn a_part_of_an_export_ends_where_it_would_exceed_three_mebibytes() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let large = pb::ChatMessage { data: "y".repeat(32_768), ..customer_message(&"x".repeat(32_768)) };
    for _ in 0..2 {
        actor.send_all(ticket.id, vec![large.clone(); 60]).await;
    }
    for ticket_id in [0, ticket.id] {
        let parts = parts(&mut actor, ticket_id, "").await;
        assert!(parts.iter().all(|part| part.encoded_len() <= 3 * 1024 * 1024));
        let numbers: Vec<i64> = messages(parts).iter().map(|message| message.message_id).collect();
        assert_eq!(numbers, (1..=120).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn an_export_of_the_log_has_every_entry_newest_first_and_goes_on_from_its_resume_tokens() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, sent) = actor.closed_ticket_with(510).await;
    world.clock.freeze();
    for ids in sent.chunks(255).map(|messages| messages.iter().map(|message| message.id).collect()) {
        let request = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, ..Default::default() };
        actor.messages.batch_delete_chat_messages(request).await.expect("they may be deleted");
    }
    let (other_ticket, others) = actor.closed_ticket_with(1).await;
    actor.delete(other_ticket.id, others[0].id).await.expect("it may be deleted");
    let newest = actor.log().await;
    let filter = Some(pb::DeletionLogFilter { ticket_id: ticket.id, ..Default::default() });
    for (filter, sizes) in [(None, vec![500, 11]), (filter, vec![500, 10])] {
        let mut whole = Vec::new();
        let mut resume_token = String::new();
        // A stream for each part, which goes on from the one before.
        loop {
            let request = pb::ExportDeletionLogsRequest { filter: filter.clone(), resume_token: resume_token.clone() };
            let mut stream = actor.logs.export_deletion_logs(request).await.expect("the export begins").into_inner();
            let Some(part) = stream.message().await.expect("the export goes on") else { break };
            resume_token = part.resume_token;
            whole.push(part.deletion_logs);
            assert!(whole.len() <= 2, "the walk ends");
        }
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        let entries = whole.concat();
        assert!(entries.is_sorted_by(|one, next| place(one) > place(next)));
        assert!(filter.is_some() || entries.starts_with(&newest));
    }
}

fn place(entry: &pb::DeletionLog) -> (i64, i32, i64) {
    let time = entry.delete_time.expect("every entry has one");
    (time.seconds, time.nanos, entry.id)
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_the_exports_that_it_began() {
    // Of the owner, who alone may revoke.
    let database = TestDatabase::create().await;
    let pool = database.owner_pool();
    let world = World::with_pool(database, pool, default_settings()).await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    // Parts that no window of a connection holds, so that the service cannot be far ahead of its reader.
    let large = pb::ChatMessage { data: "y".repeat(32_768), ..customer_message(&"x".repeat(32_768)) };
    for _ in 0..5 {
        actor.send_all(ticket.id, vec![large.clone(); 100]).await;
    }
    let mut stream = export(&mut actor, 0, "").await.expect("the export begins");
    let mut read = stream.message().await.expect("the export goes on").expect("the first part").chat_messages.len();

    let id = actor.token.split('_').nth(1).expect("a token has its id in the middle").to_owned();
    assert!(world.app.revoke_token(&id).await.expect("the database is there"));

    let ended = loop {
        match stream.message().await {
            Ok(Some(part)) => read += part.chat_messages.len(),
            Ok(None) => panic!("the export ended as if it were whole"),
            Err(ended) => break refusal(&ended),
        }
    };
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Unauthenticated, "CREDENTIALS_INVALID"));
    assert!(read < 500, "{read} messages");
}
