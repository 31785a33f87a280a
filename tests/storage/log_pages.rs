//! Pages of the deletion log without a filter: found by counts, exact while the counts are made, and as cheap at any depth.

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::statements::{the_statement_with, touched};
use crate::support::{Actor, World, pb};

/// Nobody grows the log from now on.
const STANDSTILL: &str = "update log_sequencer set holder = 'nobody', expire_time = 'infinity'";
/// Somebody may again.
const GO_ON: &str = "update log_sequencer set expire_time = '-infinity'";

async fn page(actor: &mut Actor, request: &pb::ListDeletionLogsRequest) -> pb::ListDeletionLogsResponse {
    actor.logs.list_deletion_logs(request.clone()).await.expect("a page").into_inner()
}

fn days(start: &str, end: &str) -> pb::DeletionLogFilter {
    pb::DeletionLogFilter { start_date: start.to_owned(), end_date: end.to_owned(), ..Default::default() }
}

/// Times that share days, hours, minutes and seconds, at their beginnings and ends too, in no order.
fn times(random: &mut StdRng) -> Vec<DateTime<Utc>> {
    let noon: DateTime<Utc> = "2026-03-20T12:00:00Z".parse().expect("a time");
    let mut times = Vec::new();
    for day in 0..3 {
        for span in [0, 1_000_000, 59_000_000, 60_000_000, 3_599_999_999, 3_600_000_000, 40_000_000_000] {
            let at = noon + TimeDelta::days(day) + TimeDelta::microseconds(span);
            // Some at the very same instant, some within its second.
            times.extend([at, at, at + TimeDelta::microseconds(random.random_range(0..1_000_000))]);
        }
    }
    times.shuffle(random);
    times
}

#[tokio::test]
async fn every_page_is_the_same_part_of_the_log_however_it_is_reached() {
    let mut random = StdRng::seed_from_u64(20_261_121);
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let times = times(&mut random);
    let (ticket, messages) = actor.closed_ticket_with(times.len()).await;
    for (at, (message, time)) in messages.iter().zip(&times).enumerate() {
        world.clock.set(&time.to_rfc3339());
        // Two thirds are in the tree, the others wait.
        if at == times.len() * 2 / 3 {
            actor.delete_with_receipt(ticket.id, message.id).await.expect("it may be deleted");
            world.database.run(STANDSTILL).await;
        } else {
            actor.delete(ticket.id, message.id).await.expect("it may be deleted");
        }
    }
    world.clock.set("2026-03-24T12:00:00Z");
    let key = |log: &pb::DeletionLog| (log.delete_time.map(|time| (time.seconds, time.nanos)), log.id);
    let ranges = [("2026-03-20", "2026-03-22"), ("2026-03-21", "2026-03-21"), ("2026-03-23", "2026-03-24")];
    for filter in ranges.map(|(start, end)| Some(days(start, end))).into_iter().chain([None]) {
        let all = pb::ListDeletionLogsRequest { filter: filter.clone(), page_size: 100, ..Default::default() };
        let all = page(&mut actor, &all).await.deletion_logs;
        assert!(all.is_sorted_by(|newer, older| key(newer) > key(older)));
        let total = i64::try_from(all.len()).expect("small");
        for skip in (0..=total + 1).chain([i64::MAX]) {
            let first = usize::try_from(skip.min(total)).expect("small");
            let asked = pb::ListDeletionLogsRequest { filter: filter.clone(), page_size: 4, skip, ..Default::default() };
            let found = page(&mut actor, &asked).await;
            assert_eq!(
                (&found.deletion_logs, found.total_size),
                (&all[first..(first + 4).min(all.len())].to_vec(), total),
                "{skip}"
            );
            if found.next_page_token.is_empty() {
                continue;
            }
            let more = random.random_range(0..total);
            let next = pb::ListDeletionLogsRequest { skip: more, page_token: found.next_page_token, ..asked };
            let next = page(&mut actor, &next).await;
            let first = (first + 4 + usize::try_from(more).expect("small")).min(all.len());
            assert_eq!(
                (&next.deletion_logs, next.total_size),
                (&all[first..(first + 4).min(all.len())].to_vec(), total),
                "{skip}, {more}"
            );
        }
    }
    assert_eq!(
        page(&mut actor, &pb::ListDeletionLogsRequest::default()).await.total_size,
        i64::try_from(times.len()).expect("small")
    );
}

#[tokio::test]
async fn while_what_waits_is_counted_no_entry_is_missed_or_counted_twice() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    world.database.run(STANDSTILL).await;
    for _ in 0..4 {
        let (ticket, messages) = actor.closed_ticket_with(500).await;
        let ids = messages.iter().map(|message| message.id).collect();
        let request = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, ..Default::default() };
        actor.messages.batch_delete_chat_messages(request).await.expect("they may be deleted");
    }
    let asked = pb::ListDeletionLogsRequest { page_size: 1, skip: 1_234, ..Default::default() };
    let expected = page(&mut actor, &asked).await;
    assert_eq!(expected.total_size, 2000);

    world.database.run(GO_ON).await;
    let mut connection = world.database.connect().await;
    let waiting = "select count(*) from pending_leaves";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.expect("a count") > 0 {
        assert_eq!(page(&mut actor, &asked).await, expected);
    }
    assert_eq!(page(&mut actor, &asked).await, expected);
}

const ROWS: i64 = 200_000;

/// Entries three a second, counted as the sequencer counts them.
const FILL: &str = "
    set session_replication_role = replica;
    insert into deletion_logs (
        application_key, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
        reason, reason_detail, token_id, content_salt, content_digest
    )
    select 1, number / 100, number, number, 'ada', 'CUSTOMER', at, at, 'DASHBOARD', case when number % 2 = 0 then 'SPAM' end, '', 't',
        sha256('salt'), sha256('content')
    from generate_series(1, 200000) number
    cross join lateral (select timestamptz '2026-03-01T00:00:00Z' + number * interval '333333 microseconds' as at) time;
    insert into deletion_log_counts (application_key, unit, start_time, count)
    select 1, unit, date_trunc(unit, delete_time, 'UTC'), count(*)
    from unnest(array['day', 'hour', 'minute', 'second']) unit cross join deletion_logs
    group by 2, 3";

/// How many pages of the database are touched by fifty entries after `skip`.
async fn buffers(connection: &mut PgConnection, skip: i64) -> i64 {
    let range = "timestamptz '2026-02-14T00:00:00Z', timestamptz '2026-03-16T00:00:00Z'";
    let place = format!("execute place (1, {range}, '2026-03-16T00:00:00Z', 0, {skip})");
    let found = sqlx::query(AssertSqlSafe(place.clone())).fetch_one(&mut *connection).await.expect("a place");
    let (total, end, rest): (i64, Option<DateTime<Utc>>, Option<i64>) = (found.get(0), found.get(1), found.get(2));
    assert_eq!(total, ROWS);
    let end = end.map_or("2026-03-16T00:00:00Z".to_owned(), |end| end.to_rfc3339());
    let rest = rest.unwrap_or(0);
    assert!(rest < 4, "within a second");
    let page = format!("execute page (1, '2026-02-14T00:00:00Z', '{end}', 0, {rest}, 50)");
    touched(connection, &place, 1).await + touched(connection, &page, 50).await
}

#[tokio::test]
async fn a_page_of_the_log_costs_the_same_at_any_depth_of_two_hundred_thousand_entries() {
    let world = World::new().await;
    world.actor().await;
    world.database.run(FILL).await;
    let mut connection = world.database.connect().await;
    let place = "prepare place (integer, timestamptz, timestamptz, timestamptz, bigint, bigint)";
    let page = "prepare page (integer, timestamptz, timestamptz, bigint, bigint, bigint)";
    for (prepare, mark) in [(place, "with recursive unit"), (page, "and delete_time >= $2 and (delete_time, id) < ($3, $4)")] {
        prepare_as(&mut connection, prepare, mark).await;
    }
    // Whatever the planner knows of the tables, and whether or not it looks at the parameters.
    for statistics in ["reset plan_cache_mode", "analyze"] {
        run(&mut connection, statistics).await;
        for plan in ["force_generic_plan", "force_custom_plan"] {
            run(&mut connection, &format!("set plan_cache_mode = {plan}")).await;
            let first = buffers(&mut connection, 0).await;
            assert!(first < 30, "{statistics}, {plan}: {first} buffers for the first fifty entries");
            // Those of the counts of a day, an hour and a minute come on top, wherever these are.
            for skip in [1, 100_000, 199_950] {
                let deep = buffers(&mut connection, skip).await;
                assert!(deep < 200, "{statistics}, {plan}: {deep} buffers after {skip}, {first} for the first page");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_a_reason_costs_the_same_at_any_depth_and_its_place_no_more_than_the_count() {
    let world = World::new().await;
    world.actor().await;
    world.database.run(FILL).await;
    let mut connection = world.database.connect().await;
    let place = "prepare place (integer, text, timestamptz, timestamptz, timestamptz, bigint, bigint)";
    prepare_as(&mut connection, place, "offset (select greatest($7 - 1, 0))").await;
    let page = "prepare page (integer, text, timestamptz, timestamptz, bigint, bigint, bigint)";
    prepare_as(&mut connection, page, "reason = $2 and delete_time >= $3 and (delete_time, id) < ($4, $5)").await;
    for statistics in ["reset plan_cache_mode", "vacuum (analyze) deletion_logs"] {
        run(&mut connection, statistics).await;
        for plan in ["force_generic_plan", "force_custom_plan"] {
            run(&mut connection, &format!("set plan_cache_mode = {plan}")).await;
            let (mut end, mut counted) = ("2026-03-16T00:00:00Z".to_owned(), 0);
            for skip in [0, 1, 50_000, 99_950] {
                let range = "timestamptz '2026-02-14T00:00:00Z', timestamptz '2026-03-16T00:00:00Z'";
                let place = format!("execute place (1, 'SPAM', {range}, '2026-03-16T00:00:00Z', 0, {skip})");
                let found = sqlx::query(AssertSqlSafe(place.clone())).fetch_one(&mut connection).await.expect("a place");
                let (total, time): (i64, Option<DateTime<Utc>>) = (found.get(0), found.get(1));
                assert_eq!((total, time.is_some()), (ROWS / 2, skip > 0));
                end = time.map_or(end, |time| time.to_rfc3339());
                let page = format!("execute page (1, 'SPAM', '2026-02-14T00:00:00Z', '{end}', 0, 0, 50)");
                let read = touched(&mut connection, &page, 50).await;
                assert!(read < 30, "{statistics}, {plan}: {read} buffers for fifty entries after {skip}");
                let placed = touched(&mut connection, &place, 1).await;
                counted = if skip == 0 { placed } else { counted };
                assert!(
                    placed <= 2 * counted + 20,
                    "{statistics}, {plan}: {placed} buffers to pass over {skip}, {counted} to count"
                );
            }
        }
    }
}

async fn prepare_as(connection: &mut PgConnection, prepare: &str, mark: &str) {
    run(connection, &format!("{prepare} as {}", the_statement_with(mark))).await;
}

async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.expect("it runs");
}
