//! How many statements a call takes, and that no page costs more for lying deep.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::list_milestones::{grow, keep};
use super::proxy::world_behind_proxy;
use crate::support::actor::customer_message;
use crate::support::{World, pb};

/// The statements of this build, as they are committed.
pub fn statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(entry.expect("a file").path()).expect("a text");
        let statement: Value = serde_json::from_str(&text).expect("sqlx writes JSON");
        statement["query"].as_str().expect("the statement").to_owned()
    };
    folder.read_dir().expect("the folder is committed").map(read).collect()
}

/// What no call has asked for: the statements of the loops, and the pool's pings. The keeper's transactions end as all do.
pub fn is_of_background(statement: &str) -> bool {
    let readiness_and_retention = ["_sqlx_migrations", "has_table_privilege", "delete from requests", "pg_backend_pid()"];
    let keeper = ["pg_sequence_last_value", "begin isolation level", "from pg_locks", "offset 199", "insert into list_milestones"];
    let sequencer =
        ["log_sequencer", "log_heads", "log_tiles", "set local", "delete from pending_leaves", "p.application_key = a.key"];
    let background = readiness_and_retention.iter().chain(&keeper).chain(&sequencer);
    statement.is_empty() || background.into_iter().any(|part| statement.contains(part))
}

/// The one statement that contains this.
pub fn the_statement_with(mark: &str) -> String {
    let found: Vec<String> = statements().into_iter().filter(|text| text.contains(mark)).collect();
    let [statement] = found.try_into().unwrap_or_else(|found| panic!("one statement has {mark:?}: {found:#?}"));
    statement
}

/// The statement behind `ListChatMessages`.
fn list_statement() -> String {
    the_statement_with("message_id > asked.after")
}

#[tokio::test]
async fn listing_reading_storing_and_deleting_a_message_take_one_statement_each() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let executed = || {
        let all = proxy.executed().into_iter();
        all.filter(|text| !is_of_background(text)).collect::<Vec<String>>()
    };
    executed();
    let assert_one = |call: &str| {
        let executed = executed();
        assert_eq!(executed.len(), 1, "{call}: {executed:#?}");
    };

    actor.list(ticket.id).await;
    assert_one("ListChatMessages");

    let request = pb::GetChatMessageRequest { ticket_id: ticket.id, id: messages[0].id };
    actor.messages.get_chat_message(request).await.expect("it is there");
    assert_one("GetChatMessage");

    actor.send(ticket.id, customer_message("one more")).await;
    assert_one("BatchCreateChatMessages");

    let chat_message = Some(pb::ChatMessage { external_id: "mine".to_owned(), ..customer_message("another") });
    let request = pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message, ..Default::default() };
    actor.messages.create_chat_message(request).await.expect("it is stored");
    assert_one("CreateChatMessage");

    for (n, external_id) in [(1, "keyed"), (2, "mine")] {
        let chat_message = Some(pb::ChatMessage { external_id: external_id.to_owned(), ..customer_message("another") });
        let request_id = uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000 + n).to_string();
        let request = pb::CreateChatMessageRequest { ticket_id: ticket.id, chat_message, request_id };
        let created = actor.messages.create_chat_message(request).await.expect("it is stored, or known").into_inner();
        assert_eq!(created.duplicate, external_id == "mine");
        assert_one("CreateChatMessage with a request id");
    }

    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    assert_one("DeleteChatMessage");

    actor.delete(ticket.id, messages[0].id).await.expect_err("it is deleted");
    assert_one("DeleteChatMessage, refused");

    let request_id = uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000).to_string();
    let request = pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: messages[1].id, request_id, ..Default::default() };
    actor.messages.delete_chat_message(request).await.expect("it may be deleted");
    assert_one("DeleteChatMessage with a request id");
}

#[tokio::test]
async fn the_frequent_statements_are_parsed_once() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(3).await;
    for message in &messages {
        actor.list(ticket.id).await;
        let request = pb::GetChatMessageRequest { ticket_id: ticket.id, id: message.id };
        actor.messages.get_chat_message(request).await.expect("it is there");
        actor.send(ticket.id, customer_message("one more")).await;
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let parsed = proxy.parsed();
    // Each kind of call has one lane in a test.
    let marks = [
        "message_id > asked.after",
        "as asked (ticket_id, id, ordinal)",
        "insert into chat_messages (",
        "insert into deletion_logs (",
    ];
    let times = marks.map(|mark| parsed.iter().filter(|statement| statement.contains(mark)).count());
    assert_eq!(times, [1; 4], "{parsed:#?}");
}

#[test]
fn no_statement_on_tickets_and_messages_counts_rows_or_skips_them_but_behind_a_milestone_or_by_a_filter() {
    let (mut by_filter, mut behind_milestone) = (0, 0);
    for statement in statements().iter().filter(|text| text.contains("from tickets") || text.contains("from chat_messages")) {
        // What a batch has just stored is counted: at most a thousand rows, in memory.
        let in_memory = ["select ticket_id, count(*) as count", "(select count(*) from inserted)"];
        let text = in_memory.iter().fold(statement.to_lowercase(), |text, counted| text.replace(counted, ""));
        if !text.contains("count(") && !text.contains("offset") {
            continue;
        }
        match (text.contains("::timestamptz is null or "), text.contains("from list_milestones")) {
            (true, false) => by_filter += 1,
            (false, true) => behind_milestone += 1,
            _ => panic!("{statement}"),
        }
    }
    // Of each list: its count and its page; its place, and what looks for and sets its milestones.
    assert_eq!((by_filter, behind_milestone), (4, 6));
}

#[tokio::test]
async fn a_list_of_the_application_without_a_filter_takes_two_statements_and_counts_nothing() {
    let (world, proxy) = world_behind_proxy().await;
    let mut actor = world.actor().await;
    actor.ticket_with(3).await;
    let http = world.http(&actor);
    let executed = || proxy.executed().into_iter().filter(|text| !is_of_background(text)).collect::<Vec<String>>();
    let assert_placed = |executed: &[String]| {
        assert_eq!(executed.len(), 2, "{executed:#?}");
        assert!(executed[0].contains("from list_milestones"), "{executed:#?}");
        assert!(executed[1].contains("limit") && !executed[1].contains("count("), "{executed:#?}");
    };

    executed();
    actor.tickets.list_tickets(pb::ListTicketsRequest { skip: 1, ..Default::default() }).await.expect("a page");
    assert_placed(&executed());

    for path in ["/tickets?offset=1", "/chat_messages?offset=1", "/chat_messages"] {
        http.get(path).await.ok();
        assert_placed(&executed());
    }
}

#[tokio::test]
async fn a_page_costs_the_same_wherever_it_lies_in_a_ticket_of_two_hundred_thousand_messages() {
    let world = World::new().await;
    let ticket = world.actor().await.open_ticket().await;
    let mut connection = world.database.connect().await;
    let fill = "
        insert into chat_messages (application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files)
        select application_key, id, number, 'ada', 'CUSTOMER', now(), 'message ' || number, '', '[]'
        from tickets cross join generate_series(1, 200000) number";
    sqlx::raw_sql(fill).execute(&mut connection).await.expect("the messages");
    sqlx::raw_sql("update tickets set message_count = 200000").execute(&mut connection).await.expect("their count");
    let prepare = format!("prepare page (integer, bigint[], bigint[], bigint[], bigint[]) as {}", list_statement());
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.expect("the statement of the service");

    // Whatever the planner knows of the table, and whether or not it looks at the parameters.
    for statistics in ["reset plan_cache_mode", "analyze"] {
        sqlx::raw_sql(statistics).execute(&mut connection).await.expect("statistics");
        for plan in ["force_custom_plan", "force_generic_plan"] {
            sqlx::raw_sql(AssertSqlSafe(format!("set plan_cache_mode = {plan}"))).execute(&mut connection).await.expect("a mode");
            let first = buffers(&mut connection, ticket.id, 0).await;
            for skip in [100_000, 199_950] {
                let deep = buffers(&mut connection, ticket.id, skip).await;
                assert!(deep <= 2 * first, "{statistics}, {plan}: {deep} buffers after {skip}, {first} for the first page");
            }
            assert!(first < 30, "{statistics}, {plan}: {first} buffers for fifty messages");
        }
    }
}

/// How many pages of the database are touched by a page of fifty messages.
async fn buffers(connection: &mut PgConnection, ticket_id: i64, skip: i64) -> i64 {
    let arguments = format!("1, array[{ticket_id}], array[{skip}], array[{}], array[null::bigint]", skip + 50);
    touched(connection, &format!("execute page ({arguments})"), 50).await
}

/// How many pages of the database are touched by a statement that answers this many rows.
pub async fn touched(connection: &mut PgConnection, statement: &str, rows: i64) -> i64 {
    let explain = format!("explain (analyze, buffers, format json) {statement}");
    let explained: Value = sqlx::query(AssertSqlSafe(explain)).fetch_one(connection).await.expect("a plan").get(0);
    let plan = &explained[0]["Plan"];
    assert_eq!(plan["Actual Rows"], rows, "{explained:#}");
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().map(|key| plan[*key].as_i64().expect("buffers")).sum()
}

/// What tells the two statements of a list of an application from all others: the one that finds the place, and the one that reads
/// the page.
const APPLICATION_LISTS: [(&str, &str); 2] = [
    ("else (\n                    select t.id", "limit $3\n        ) t"),
    (
        "else (\n                    select m.id",
        "from chat_messages m\n        where m.application_key = $1 and m.id > $2 and m.id <=",
    ),
];

/// How many pages of the database are touched by fifty rows of an application's list after `skip`.
async fn buffers_in_application(connection: &mut PgConnection, skip: i64) -> i64 {
    let place = format!("execute place (1, 0, {skip})");
    let found = sqlx::query(AssertSqlSafe(place.clone())).fetch_one(&mut *connection).await.expect("a place");
    let (after, total): (i64, i64) = (found.get(0), found.get(1));
    assert_eq!(total, ROWS);
    touched(connection, &place, 1).await + touched(connection, &format!("execute page (1, {after}, 50)"), 50).await
}

const ROWS: i64 = 100_000;

#[tokio::test]
async fn a_page_costs_the_same_wherever_it_lies_among_a_hundred_thousand_tickets_or_messages_of_an_application() {
    let world = World::new().await;
    world.actor().await;
    world.actor_of("globex").await;
    let mut connection = world.database.connect().await;
    grow(&mut connection, ROWS).await;
    keep(&world.app).await;
    for (place, page) in APPLICATION_LISTS {
        for (name, mark) in [("place", place), ("page", page)] {
            let prepare = format!("prepare {name} (integer, bigint, bigint) as {}", the_statement_with(mark));
            sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.expect("the statement of the service");
        }
        // Whatever the planner knows of the tables, and whether or not it looks at the parameters.
        for statistics in ["reset plan_cache_mode", "analyze"] {
            sqlx::raw_sql(statistics).execute(&mut connection).await.expect("statistics");
            for plan in ["force_custom_plan", "force_generic_plan"] {
                sqlx::raw_sql(AssertSqlSafe(format!("set plan_cache_mode = {plan}")))
                    .execute(&mut connection)
                    .await
                    .expect("a mode");
                let first = buffers_in_application(&mut connection, 0).await;
                assert!(first < 250, "{page}, {statistics}, {plan}: {first} buffers for fifty rows");
                // At a milestone, and as far from one as can be.
                for (skip, more) in [(50_000, 10), (99_000, 10), (50_199, 30)] {
                    let deep = buffers_in_application(&mut connection, skip).await;
                    assert!(deep <= first + more, "{page}, {statistics}, {plan}: {deep} buffers after {skip}, {first} at first");
                }
            }
        }
        sqlx::raw_sql("deallocate place; deallocate page").execute(&mut connection).await.expect("the next list's turn");
    }
}
