//! The deletion log: who deleted what, when and why, by day and by filter, newest first.

use chrono::TimeDelta;
use tonic::{Code, Status};

use crate::support::{Actor, World, pb, refusal};

#[tokio::test]
async fn without_a_filter_the_log_shows_the_thirty_days_up_to_today_by_utc_both_days_included() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let times = [
        "2026-02-12T23:59:59.999999Z",
        "2026-02-13T00:00:00Z",
        "2026-03-15T00:00:00Z",
        "2026-03-15T23:59:59.999999Z",
        "2026-03-16T00:00:00Z",
    ];
    let entries = deletions_at(&world, &mut actor, &times).await;
    world.clock.set("2026-03-15T12:00:00Z");

    let listed = list(&mut actor, pb::DeletionLogFilter::default()).await;

    assert_eq!(listed, newest_first(&entries[1..4]));
}

#[tokio::test]
async fn days_given_bound_the_log_both_included() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let times = ["2025-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z", "2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00Z"];
    let entries = deletions_at(&world, &mut actor, &times).await;
    world.clock.set("2026-02-15T00:00:00Z");
    let cases = [
        ("2026-01-01", "2026-01-31", &entries[1..3]),
        ("2026-01-01", "2026-01-01", &entries[1..2]),
        ("2026-01-02", "2026-01-30", &entries[0..0]),
        // Only an end: the thirty days before it. Only a start: up to today.
        ("", "2026-01-31", &entries[1..3]),
        ("", "2026-01-30", &entries[0..2]),
        ("2026-01-31", "", &entries[2..4]),
    ];
    for (start, end, expected) in cases {
        assert_eq!(list(&mut actor, days(start, end)).await, newest_first(expected), "{start} to {end}");
    }
}

#[tokio::test]
async fn a_range_over_a_year_or_of_less_than_nothing_is_refused_and_leap_days_count_as_days() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for (start, end) in
        [("2025-03-15", "2026-03-15"), ("2024-02-29", "2025-02-28"), ("2023-03-01", "2024-03-01"), ("2024-02-29", "2024-02-29")]
    {
        assert_eq!(list(&mut actor, days(start, end)).await, vec![], "{start} to {end}");
    }
    let refused = [
        ("2025-03-14", "2026-03-15"),
        ("2024-02-29", "2025-03-01"),
        ("2023-02-28", "2024-02-29"),
        ("2026-03-15", "2026-03-14"),
        // The clock says 2026-03-15.
        ("2026-03-16", ""),
        ("2025-03-14", ""),
    ];
    for (start, end) in refused {
        for refused in
            [try_list(&mut actor, days(start, end)).await.map(|_| ()), export(&mut actor, days(start, end), "").await.map(|_| ())]
        {
            let refused = refusal(&refused.expect_err(start));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{start} to {end}");
            assert_eq!(refused.message, "The date range should be within 1 year.");
            assert_eq!((refused.metadata["rule"].as_str(), refused.metadata["legacy_code"].as_str()), ("DATE_SPAN", "deskp400113"));
        }
    }
}

#[tokio::test]
async fn a_filter_that_breaks_a_rule_is_refused_with_the_fields_name() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let none = pb::DeletionLogFilter::default();
    let cases = [
        (days("2026-02-30", ""), "filter.start_date", "DATE"),
        (days("", "15.03.2026"), "filter.end_date", "DATE"),
        (
            pb::DeletionLogFilter { requested_by_sendbird_id: "x".repeat(81), ..none.clone() },
            "filter.requested_by_sendbird_id",
            "LENGTH",
        ),
        (pb::DeletionLogFilter { requested_from: 9, ..none.clone() }, "filter.requested_from", "ONE_OF"),
        (pb::DeletionLogFilter { reason: 99, ..none }, "filter.reason", "ONE_OF"),
    ];
    for (filter, field, rule) in cases {
        let refused = refusal(&try_list(&mut actor, filter).await.expect_err(field));
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
    }
}

#[tokio::test]
async fn every_filter_chooses_alone_and_all_together() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    // Thirty-two entries: each respect in which grounds differ, in every combination.
    let mut entries = Vec::new();
    for _ in 0..2 {
        let (ticket, messages) = actor.closed_ticket_with(16).await;
        for (message, combination) in messages.iter().zip(0..) {
            entries.push(delete_as(&mut actor, ticket.id, message.id, combination).await);
        }
    }
    let none = pb::DeletionLogFilter::default();
    let wanted = entries[0].clone();
    let (ticket_id, requested_from, reason) = (wanted.ticket_id, wanted.requested_from, wanted.reason);
    let by_ticket = pb::DeletionLogFilter { ticket_id, ..none.clone() };
    let by_id = pb::DeletionLogFilter { requested_by_id: 7, ..none.clone() };
    let by_sendbird_id = pb::DeletionLogFilter { requested_by_sendbird_id: "grace".to_owned(), ..none.clone() };
    let by_origin = pb::DeletionLogFilter { requested_from, ..none.clone() };
    let by_reason = pb::DeletionLogFilter { reason, ..none.clone() };
    let chosen = |chooses: &dyn Fn(&pb::DeletionLog) -> bool| {
        newest_first(&entries.iter().filter(|entry| chooses(entry)).cloned().collect::<Vec<_>>())
    };
    let agent = |entry: &pb::DeletionLog| entry.requested_by.clone().expect("a person is named");
    let cases: [(pb::DeletionLogFilter, Vec<pb::DeletionLog>); 5] = [
        (by_ticket, chosen(&|entry| entry.ticket_id == ticket_id)),
        (by_id, chosen(&|entry| agent(entry).id == 7)),
        (by_sendbird_id, chosen(&|entry| agent(entry).sendbird_id == "grace")),
        (by_origin, chosen(&|entry| entry.requested_from == requested_from)),
        (by_reason, chosen(&|entry| entry.reason == reason)),
    ];
    for (filter, expected) in cases {
        assert_eq!(expected.len(), 16, "each filter alone chooses half of them");
        assert_eq!(list(&mut actor, filter).await, expected);
    }
    let all = pb::DeletionLogFilter {
        ticket_id,
        requested_by_id: 7,
        requested_by_sendbird_id: "grace".to_owned(),
        requested_from,
        reason,
        ..none.clone()
    };
    assert_eq!(list(&mut actor, all).await, vec![wanted]);
    for nothing in [
        pb::DeletionLogFilter { ticket_id: i64::MAX, ..none.clone() },
        pb::DeletionLogFilter { ticket_id: -1, ..none.clone() },
        pb::DeletionLogFilter { requested_by_id: i64::MAX, ..none.clone() },
        pb::DeletionLogFilter { requested_by_sendbird_id: "' or true --".to_owned(), ..none },
    ] {
        assert_eq!(list(&mut actor, nothing).await, vec![]);
    }
}

#[tokio::test]
async fn pages_follow_each_other_newest_first_and_of_one_instant_the_higher_id_first() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (noon, later) = ("2026-03-15T12:00:00Z", "2026-03-15T12:00:01Z");
    let entries = deletions_at(&world, &mut actor, &[noon, later, noon, later, noon]).await;
    let expected = newest_first(&entries);
    assert_eq!(list(&mut actor, pb::DeletionLogFilter::default()).await, expected);

    for page_size in 1..=5 {
        let mut request = pb::ListDeletionLogsRequest { page_size, ..Default::default() };
        let mut walked = Vec::new();
        loop {
            let page = actor.logs.list_deletion_logs(request.clone()).await.expect("a page").into_inner();
            assert_eq!(page.total_size, 5);
            assert!(page.deletion_logs.len() <= usize::try_from(page_size).expect("positive"));
            walked.extend(page.deletion_logs);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(walked, expected, "pages of {page_size}");
    }
    for (skip, left) in [(0, 5), (2, 3), (5, 0), (i64::MAX, 0)] {
        let request = pb::ListDeletionLogsRequest { skip, ..Default::default() };
        let page = actor.logs.list_deletion_logs(request).await.expect("a page").into_inner();
        assert_eq!(page.deletion_logs, expected[5 - left..], "skip {skip}");
        assert_eq!((page.total_size, page.next_page_token.as_str()), (5, ""));
    }
}

#[tokio::test]
async fn a_page_has_one_to_a_hundred_entries_fifty_by_default() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(101).await;
    let ids = messages.iter().map(|message| message.id).collect();
    let request = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, ..Default::default() };
    actor.messages.batch_delete_chat_messages(request).await.expect("they may be deleted");
    for (page_size, expected) in [(0, 50), (1, 1), (100, 100)] {
        let request = pb::ListDeletionLogsRequest { page_size, ..Default::default() };
        let page = actor.logs.list_deletion_logs(request).await.expect("a page").into_inner();
        assert_eq!((page.deletion_logs.len(), page.total_size), (expected, 101));
    }
    for (page_size, skip, field) in [(101, 0, "page_size"), (-1, 0, "page_size"), (1, -1, "skip")] {
        let request = pb::ListDeletionLogsRequest { page_size, skip, ..Default::default() };
        let refused = refusal(&actor.logs.list_deletion_logs(request).await.expect_err(field));
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, "RANGE"));
    }
}

#[tokio::test]
async fn a_page_token_keeps_its_range_of_days_over_midnight_and_serves_its_own_filter_only() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let entries = deletions_at(&world, &mut actor, &["2026-02-13T08:00:00Z", "2026-03-15T08:00:00Z"]).await;
    world.clock.set("2026-03-15T23:59:59Z");
    let first = pb::ListDeletionLogsRequest { page_size: 1, ..Default::default() };
    let page = actor.logs.list_deletion_logs(first.clone()).await.expect("a page").into_inner();
    assert_eq!(page.deletion_logs, entries[1..]);
    world.clock.advance(TimeDelta::seconds(2));
    assert_eq!(list(&mut actor, pb::DeletionLogFilter::default()).await, entries[1..], "by now the list begins a day later");

    let request = pb::ListDeletionLogsRequest { page_token: page.next_page_token.clone(), ..first };
    let next = actor.logs.list_deletion_logs(request.clone()).await.expect("the next page").into_inner();

    assert_eq!((next.deletion_logs, next.total_size), (entries[..1].to_vec(), 2));
    let filter = Some(pb::DeletionLogFilter { reason: pb::DeletionReason::Spam as i32, ..Default::default() });
    for (request, case) in [
        (pb::ListDeletionLogsRequest { filter, ..request.clone() }, "another filter"),
        (pb::ListDeletionLogsRequest { page_token: "nonsense".to_owned(), ..request }, "no token"),
    ] {
        let refused = refusal(&actor.logs.list_deletion_logs(request).await.expect_err(case));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "PAGE_TOKEN_INVALID"), "{case}");
    }
}

#[tokio::test]
async fn an_entry_is_read_by_its_ticket_and_id() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let log = actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted").deletion_log.expect("a log entry");
    let other = actor.open_ticket().await;
    let mut get = async |ticket_id, id| actor.logs.get_deletion_log(pb::GetDeletionLogRequest { ticket_id, id }).await;

    assert_eq!(get(ticket.id, log.id).await.expect("it is there").into_inner().deletion_log.as_ref(), Some(&log));

    for (ticket_id, id) in [(other.id, log.id), (ticket.id, log.id + 1000), (other.id + 1000, log.id), (ticket.id, -1)] {
        let refused = refusal(&get(ticket_id, id).await.expect_err("it is not there"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "DELETION_LOG_NOT_FOUND"));
        assert_eq!(refused.message, "The specified deletion log doesn't exist.");
        assert_eq!(
            (refused.metadata["ticket_id"].clone(), refused.metadata["id"].clone()),
            (ticket_id.to_string(), id.to_string())
        );
    }
    for (ticket_id, id, field) in [(0, log.id, "ticket_id"), (ticket.id, 0, "id")] {
        let refused = refusal(&get(ticket_id, id).await.expect_err("an id is missing"));
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, "REQUIRED"));
    }
}

#[tokio::test]
async fn an_export_streams_all_entries_and_goes_on_from_any_resume_token() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for _ in 0..2 {
        let (ticket, messages) = actor.closed_ticket_with(500).await;
        let ids = messages.iter().map(|message| message.id).collect();
        let request = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, ..Default::default() };
        actor.messages.batch_delete_chat_messages(request).await.expect("they may be deleted");
    }
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    let all = pb::DeletionLogFilter::default;

    let parts = export(&mut actor, all(), "").await.expect("the export");

    assert_eq!(parts.iter().map(|part| part.deletion_logs.len()).collect::<Vec<_>>(), [500, 500, 1]);
    let whole: Vec<_> = parts.iter().flat_map(|part| part.deletion_logs.clone()).collect();
    assert_eq!(newest_first(&whole), whole);
    assert_eq!(whole[..100], actor.log().await);
    let mut done = 0;
    for part in &parts {
        done += part.deletion_logs.len();
        let rest = export(&mut actor, all(), &part.resume_token).await.expect("the rest of the export");
        assert_eq!(rest.into_iter().flat_map(|part| part.deletion_logs).collect::<Vec<_>>(), whole[done..]);
    }
    let filter = pb::DeletionLogFilter { ticket_id: ticket.id, ..all() };
    let one = export(&mut actor, filter.clone(), "").await.expect("the export of one ticket");
    assert_eq!(one.into_iter().flat_map(|part| part.deletion_logs).collect::<Vec<_>>(), whole[..1]);
    let refused = refusal(&export(&mut actor, filter, &parts[0].resume_token).await.expect_err("a token of another filter"));
    assert_eq!((refused.reason.as_str(), refused.metadata["field"].as_str()), ("PAGE_TOKEN_INVALID", "resume_token"));
}

/// Deletes a message at each of these times and answers the entries in the same order.
async fn deletions_at(world: &World, actor: &mut Actor, times: &[&str]) -> Vec<pb::DeletionLog> {
    // Closed before all of them: no deletion is dated before the close that allows it.
    world.clock.set("2020-01-01T00:00:00Z");
    let (ticket, messages) = actor.closed_ticket_with(times.len()).await;
    world.clock.freeze();
    let mut entries = Vec::new();
    for (message, time) in messages.iter().zip(times) {
        world.clock.set(time);
        entries.push(actor.delete(ticket.id, message.id).await.expect("it may be deleted").deletion_log.expect("a log entry"));
    }
    entries
}

/// Deletes a message on grounds that differ in one respect for each of four bits.
async fn delete_as(actor: &mut Actor, ticket_id: i64, id: i64, combination: u8) -> pb::DeletionLog {
    let bit = |at: u8| combination >> at & 1 == 0;
    let agent = pb::Agent {
        id: if bit(0) { 7 } else { 8 },
        sendbird_id: if bit(1) { "grace" } else { "linus" }.to_owned(),
        ..Default::default()
    };
    let request = pb::DeleteChatMessageRequest {
        ticket_id,
        id,
        requested_from: if bit(2) { pb::RequestedFrom::Dashboard } else { pb::RequestedFrom::PlatformApi } as i32,
        requested_by: Some(agent),
        reason: if bit(3) { pb::DeletionReason::Spam } else { pb::DeletionReason::Abuse } as i32,
        ..Default::default()
    };
    let deleted = actor.messages.delete_chat_message(request).await.expect("it may be deleted").into_inner();
    deleted.deletion_log.expect("a log entry")
}

fn days(start: &str, end: &str) -> pb::DeletionLogFilter {
    pb::DeletionLogFilter { start_date: start.to_owned(), end_date: end.to_owned(), ..Default::default() }
}

async fn try_list(actor: &mut Actor, filter: pb::DeletionLogFilter) -> Result<pb::ListDeletionLogsResponse, Status> {
    let request = pb::ListDeletionLogsRequest { filter: Some(filter), page_size: 100, ..Default::default() };
    Ok(actor.logs.list_deletion_logs(request).await?.into_inner())
}

/// The entries that a filter chooses, whose number the answer tells.
async fn list(actor: &mut Actor, filter: pb::DeletionLogFilter) -> Vec<pb::DeletionLog> {
    let page = try_list(actor, filter).await.expect("the log is listed");
    assert_eq!(page.total_size, i64::try_from(page.deletion_logs.len()).expect("a small number"));
    page.deletion_logs
}

async fn export(
    actor: &mut Actor,
    filter: pb::DeletionLogFilter,
    resume_token: &str,
) -> Result<Vec<pb::ExportDeletionLogsResponse>, Status> {
    let request = pb::ExportDeletionLogsRequest { filter: Some(filter), resume_token: resume_token.to_owned() };
    let mut stream = actor.logs.export_deletion_logs(request).await?.into_inner();
    let mut parts = Vec::new();
    while let Some(part) = stream.message().await? {
        parts.push(part);
    }
    Ok(parts)
}

fn newest_first(entries: &[pb::DeletionLog]) -> Vec<pb::DeletionLog> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| {
        let time = entry.delete_time.expect("every entry has its time");
        std::cmp::Reverse((time.seconds, time.nanos, entry.id))
    });
    entries
}
