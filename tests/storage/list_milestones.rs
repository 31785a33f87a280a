//! Milestones: pages and totals are with them what they are without, whoever writes or sets milestones meanwhile.

use std::collections::BTreeSet;

use deskledger::app::{App, MilestoneKeeper};
use deskledger::domain::list_milestone::MILESTONE_ROWS;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::invariants::assert_sound;
use super::proxy::{Proxy, pool_behind_proxy};
use super::statements::statements;
use crate::support::database::TestDatabase;
use crate::support::world::{app_settings, default_settings};
use crate::support::{Actor, Http, World, pb};

/// Has each list grow by `count` rows of application 1, whose ids have gaps: every tenth is of application 2.
pub async fn grow(connection: &mut PgConnection, count: i64) {
    let tickets = format!(
        "insert into tickets (
            application_key, status, priority, channel_type, channel_url, channel_name, customer_sendbird_id, customer_display_name,
            info, custom_fields, related_channels, create_time
        )
        select case when n % 10 = 0 then 2 else 1 end, 'PENDING', 'LOW', 'SENDBIRD', '', '', 'ada', '', '', '[]', '[]', now()
        from generate_series(1, {count} + {count} / 9) n"
    );
    let messages = format!(
        "insert into chat_messages (
            application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files
        )
        select t.application_key, t.id, t.message_count + n, 'ada', 'CUSTOMER', now(), '', '', '[]'
        from (select distinct on (application_key) * from tickets order by application_key, id) t
        cross join generate_series(1, {count}) n
        order by n, t.id;
        update tickets t set message_count = (
            select count(*) from chat_messages m where m.application_key = t.application_key and m.ticket_id = t.id
        )
        where t.id = 1 or t.application_key = 2"
    );
    for statement in [tickets, messages] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.expect("the rows");
    }
}

/// The ids of a list of application 1, as a plain count and sort finds them.
async fn ids(connection: &mut PgConnection, table: &str) -> Vec<i64> {
    let statement = format!("select id from {table} where application_key = 1 order by id");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(connection).await.expect("the ids")
}

/// Position and id of every milestone of application 1.
async fn milestones(connection: &mut PgConnection, list: &str) -> Vec<(i64, i64)> {
    let statement = "select position, id from list_milestones where application_key = 1 and list = $1 order by position";
    let rows = sqlx::query(statement).bind(list).fetch_all(connection).await.expect("the milestones");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Every two hundredth of these ids and its place among them.
fn expected(ids: &[i64]) -> Vec<(i64, i64)> {
    (1..).zip(ids).filter(|(position, _)| position % MILESTONE_ROWS == 0).map(|(position, id)| (position, *id)).collect()
}

/// The lists have the milestones that their rows call for, so many each.
async fn assert_milestones(connection: &mut PgConnection, count: usize) {
    for list in ["tickets", "chat_messages"] {
        let expected = expected(&ids(connection, list).await);
        assert_eq!(expected.len(), count, "{list}");
        assert_eq!(milestones(connection, list).await, expected, "{list}");
    }
}

pub async fn keep(app: &App) {
    let kept = MilestoneKeeper::all().map(|mut keeper| async move { keeper.keep(app).await.expect("the database is there") });
    join_all(kept).await;
}

/// Both lists through their doors: a page at every place where one may begin otherwise than its neighbour.
async fn assert_paged(world: &World, actor: &mut Actor, connection: &mut PgConnection) {
    let (tickets, messages) = (ids(connection, "tickets").await, ids(connection, "chat_messages").await);
    let http = world.http(actor);
    let length = tickets.len();
    for skip in [0, 1, 198, 199, 200, 201, 300, 399, 400, 401, 2599, 2600, 2601, 2700, length - 1, length, length + 1, 1_000_000] {
        assert_eq!(ticket_page(actor, "", skip).await.0, page(&tickets, skip), "tickets after {skip}");
        let (found, total) = message_page(&http, skip).await;
        assert_eq!((found, total), (page(&messages, skip), messages.len()), "messages after {skip}");
    }
    // A token holds the place; what is passed over counts from there.
    for first in [0, 3, 190, 1500] {
        let (_, token) = ticket_page(actor, "", first).await;
        for skip in [0, 1, 6, 7, 100, 199, 200, 1100] {
            let found = ticket_page(actor, &token, skip).await.0;
            assert_eq!(found, page(&tickets, first + 3 + skip), "tickets {skip} after the page after {first}");
        }
    }
}

fn page(ids: &[i64], skip: usize) -> Vec<i64> {
    ids.iter().skip(skip).take(3).copied().collect()
}

/// Three tickets and the token of the page after; the total is that of the table.
async fn ticket_page(actor: &mut Actor, token: &str, skip: usize) -> (Vec<i64>, String) {
    let skip = i64::try_from(skip).expect("a small number");
    let request = pb::ListTicketsRequest { page_size: 3, skip, page_token: token.to_owned(), ..Default::default() };
    let listed = actor.tickets.list_tickets(request).await.expect("the page is answered").into_inner();
    (listed.tickets.iter().map(|ticket| ticket.id).collect(), listed.next_page_token)
}

async fn ticket_count(actor: &mut Actor) -> i64 {
    let request = pb::ListTicketsRequest { page_size: 1, ..Default::default() };
    actor.tickets.list_tickets(request).await.expect("the page is answered").into_inner().total_size
}

async fn message_page(http: &Http, skip: usize) -> (Vec<i64>, usize) {
    let page = http.get(&format!("/chat_messages?limit=3&offset={skip}")).await.ok();
    let ids = page["results"].as_array().expect("rows").iter().map(|row| row["id"].as_i64().expect("a number"));
    let total = page["count"].as_u64().and_then(|count| usize::try_from(count).ok()).expect("a number");
    (ids.collect(), total)
}

#[tokio::test]
async fn pages_and_totals_are_the_same_without_milestones_with_all_of_them_and_while_they_lag() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    world.actor_of("globex").await;
    let mut connection = world.database.connect().await;
    grow(&mut connection, 2700).await;
    assert_paged(&world, &mut actor, &mut connection).await;

    keep(&world.app).await;
    assert_milestones(&mut connection, 13).await;
    assert_paged(&world, &mut actor, &mut connection).await;
    assert_eq!(ticket_count(&mut actor).await, 2700);

    grow(&mut connection, 2400).await;
    assert_paged(&world, &mut actor, &mut connection).await;
    assert_eq!(ticket_count(&mut actor).await, 5100);

    keep(&world.app).await;
    assert_paged(&world, &mut actor, &mut connection).await;
    assert_sound(&world.database).await;
}

#[tokio::test]
async fn keepers_at_once_set_each_milestone_once() {
    let world = World::new().await;
    let mut connection = world.database.connect().await;
    world.actor().await;
    world.actor_of("globex").await;
    // More than one transaction of a keeper passes over.
    grow(&mut connection, 60_000).await;

    let keepers = (0..4).flat_map(|_| MilestoneKeeper::all());
    let kept = keepers.map(|mut keeper| {
        let app = world.app.clone();
        tokio::spawn(async move { keeper.keep(&app).await })
    });
    for kept in join_all(kept).await {
        kept.expect("it does not panic").expect("the database is there");
    }

    assert_milestones(&mut connection, 300).await;
}

/// A row whose id is taken but which is not there yet: its statement waits, before it writes, for a lock that `holder` has.
async fn writer_with_a_low_id(database: &TestDatabase, observer: &mut PgConnection, statement: &str) -> BoxFuture<'static, ()> {
    loop {
        let mut holder = database.connect().await;
        sqlx::raw_sql("select pg_advisory_lock(1)").execute(&mut holder).await.expect("the lock");
        let mut writer = database.connect().await;
        let statement = statement.to_owned();
        let insertion = tokio::spawn(async move { sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut writer).await });
        let state = "select backend_xid is null from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'";
        let waiting = async {
            loop {
                let found: Option<bool> = sqlx::query_scalar(state).fetch_optional(&mut *observer).await.expect("the sessions");
                if let Some(without_a_number) = found {
                    return without_a_number;
                }
            }
        };
        let without_a_number = tokio::time::timeout(PATIENCE, waiting).await.expect("the writer comes to wait");
        let end = async move {
            drop(holder);
            insertion.await.expect("it does not panic").expect("the row is stored");
        };
        if without_a_number {
            return end.boxed();
        }
        // Every so often taking an id is noted in the database's journal, and that gives the transaction its number: not the worst case.
        end.await;
    }
}

/// Waits until the keeper has looked three times whether the writers have ended.
async fn has_waited(proxy: &Proxy, keeping: &JoinHandle<()>) {
    let waited = async {
        let mut looks = 0;
        while looks < 3 {
            assert!(!keeping.is_finished(), "the keeper ends before the writer");
            looks += proxy.executed().iter().filter(|text| text.contains("virtualtransaction = any")).count();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("the keeper waits for the writer");
}

/// Keeps the milestones of both lists, beside the world's own keepers, over a line that can be looked into.
fn start_to_keep(world: &World) -> (Proxy, JoinHandle<()>) {
    let (pool, proxy) = pool_behind_proxy(&world.database);
    let app = App::new(pool, world.clock.clone(), app_settings(&default_settings()));
    (proxy, tokio::spawn(async move { keep(&app).await }))
}

#[tokio::test]
async fn no_milestone_passes_a_ticket_that_has_its_id_but_not_yet_even_a_transaction_number() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    world.actor_of("globex").await;
    let mut connection = world.database.connect().await;
    let statement = "insert into tickets (
            application_key, id, status, priority, channel_type, channel_url, channel_name, customer_sendbird_id, customer_display_name,
            info, custom_fields, related_channels, create_time
        )
        select 1, nextval('ticket_ids'), 'PENDING', 'LOW', 'SENDBIRD', '', '', 'ada', '', pg_advisory_xact_lock_shared(1)::text, '[]', '[]', now()";
    // The sequence is at its beginning: its first use is noted in the journal.
    actor.open_ticket().await;
    let end = writer_with_a_low_id(&world.database, &mut connection, statement).await;
    let before = ids(&mut connection, "tickets").await.len();
    grow(&mut connection, 2500).await;
    let visible = ids(&mut connection, "tickets").await;
    assert_eq!(visible.len(), before + 2500);

    let (proxy, keeping) = start_to_keep(&world);
    has_waited(&proxy, &keeping).await;
    assert_eq!(milestones(&mut connection, "tickets").await, [], "none may be set yet");
    assert_eq!(ticket_page(&mut actor, "", 1200).await.0, page(&visible, 1200));
    assert_eq!(usize::try_from(ticket_count(&mut actor).await), Ok(visible.len()));

    end.await;
    keeping.await.expect("it does not panic");
    let all = ids(&mut connection, "tickets").await;
    assert_eq!(all.len(), visible.len() + 1);
    assert!(all[before] < visible[before], "the ticket that came late has a lower id: {} {}", all[before], visible[before]);
    assert_eq!(milestones(&mut connection, "tickets").await, expected(&all));
    assert_eq!(ticket_page(&mut actor, "", 1200).await.0, page(&all, 1200));
    assert_eq!(usize::try_from(ticket_count(&mut actor).await), Ok(all.len()));
}

#[tokio::test]
async fn no_milestone_passes_a_message_that_is_stored_but_not_committed_and_later_transactions_do_not_matter() {
    let world = World::new().await;
    let actor = world.actor().await;
    world.actor_of("globex").await;
    let http = world.http(&actor);
    let mut connection = world.database.connect().await;
    grow(&mut connection, 90).await;
    let mut open = Vec::new();
    // One that will commit and one that will not, both with ids in the midst of others.
    for number in [1001, 1002] {
        let mut late = world.database.connect().await;
        let statement = format!(
            "begin;
            insert into chat_messages (
                application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files
            )
            values (1, 2, {number}, 'ada', 'CUSTOMER', now(), 'late', '', '[]')"
        );
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut late).await.expect("an open transaction");
        open.push(late);
    }
    grow(&mut connection, 2500).await;
    let visible = ids(&mut connection, "chat_messages").await;

    let (proxy, keeping) = start_to_keep(&world);
    has_waited(&proxy, &keeping).await;
    assert_eq!(milestones(&mut connection, "chat_messages").await, [], "none may be set yet");
    assert_eq!(message_page(&http, 2000).await, (page(&visible, 2000), visible.len()));

    // One that began after the keeper looked does not hold it up: its ids are higher.
    let mut later = world.database.connect().await;
    sqlx::raw_sql("begin; set local session_replication_role = replica; update chat_messages set message = 'x' where id = 1")
        .execute(&mut later)
        .await
        .expect("it writes");
    for (mut late, end) in open.into_iter().zip(["commit", "rollback"]) {
        sqlx::raw_sql(end).execute(&mut late).await.expect("the transaction ends");
    }
    keeping.await.expect("it does not panic");
    drop(later);
    let all = ids(&mut connection, "chat_messages").await;
    assert_eq!(all.len(), visible.len() + 1);
    assert_eq!(milestones(&mut connection, "chat_messages").await, expected(&all));
    assert_eq!(message_page(&http, 2000).await, (page(&all, 2000), all.len()));
}

/// What milestones rest on: an id is drawn under the lock that its row is inserted under, and a later one is higher.
#[tokio::test]
async fn an_id_is_drawn_by_the_statement_that_inserts_its_row_from_a_sequence_without_a_cache() {
    let mut inserted = BTreeSet::new();
    for text in statements() {
        for (table, sequence) in [("tickets", "ticket_ids"), ("chat_messages", "chat_message_ids")] {
            let draws = text.contains(&format!("nextval('{sequence}')"));
            let Some((_, rest)) = text.split_once(&format!("insert into {table} (")) else {
                assert!(!draws, "it draws an id and inserts no row: {text}");
                continue;
            };
            let columns = rest.split(')').next().expect("the columns");
            let by_default = !columns.split(',').any(|column| column.trim() == "id");
            assert!(draws || by_default, "it inserts a row with an id from elsewhere: {text}");
            inserted.insert(table);
        }
    }
    assert_eq!(inserted.len(), 2);
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let statement = "select jsonb_agg(jsonb_build_array(sequencename, cache_size, increment_by, cycle) order by sequencename)
        from pg_sequences where sequencename in ('ticket_ids', 'chat_message_ids')";
    let sequences: Value = sqlx::query_scalar(statement).fetch_one(&mut connection).await.expect("the sequences");
    assert_eq!(sequences, json!([["chat_message_ids", 1, 1, false], ["ticket_ids", 1, 1, false]]));
}
