//! How many statements a call takes, and that no page costs more for lying deep.

use std::path::Path;

use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::proxy::Proxy;
use crate::support::actor::customer_message;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{World, pb};

/// The statements of this build, as they are committed.
fn statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(entry.expect("a file").path()).expect("a text");
        let statement: Value = serde_json::from_str(&text).expect("sqlx writes JSON");
        statement["query"].as_str().expect("the statement").to_owned()
    };
    folder.read_dir().expect("the folder is committed").map(read).collect()
}

/// The statement behind `ListChatMessages`.
fn list_statement() -> String {
    let is_list = |statement: &String| statement.contains("left join lateral") && statement.contains("message_id > asked.after");
    let found: Vec<String> = statements().into_iter().filter(is_list).collect();
    let [statement] = found.try_into().expect("one statement lists messages");
    statement
}

#[tokio::test]
async fn listing_reading_storing_and_deleting_a_message_take_one_statement_each() {
    let database = TestDatabase::create().await;
    let mut proxy = Proxy::new(&database.options);
    proxy.listen();
    let pool = PgPoolOptions::new().connect_lazy_with(proxy.options.clone());
    let world = World::with_pool(database, pool, default_settings()).await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let executed = || {
        let in_background = |text: &String| text.contains("_sqlx_migrations") || text.contains("delete from requests");
        let all = proxy.executed().into_iter();
        all.filter(|text| !text.is_empty() && !in_background(text)).collect::<Vec<String>>()
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

    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    assert_one("DeleteChatMessage");

    actor.delete(ticket.id, messages[0].id).await.expect_err("it is deleted");
    assert_one("DeleteChatMessage, refused");

    let request_id = uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000).to_string();
    let request = pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: messages[1].id, request_id, ..Default::default() };
    actor.messages.delete_chat_message(request).await.expect("it may be deleted");
    assert_one("DeleteChatMessage with a request id");
}

#[test]
fn no_statement_on_messages_counts_rows_or_skips_them() {
    let statements = statements();
    // Tickets are shown with their last message; their lists may skip. So may the one list of a whole application, deprecated upstream.
    let of_application = |text: &str| text.contains("from chat_messages m\n") && text.contains("t.channel_type =");
    let on_messages = statements.iter().filter(|text| text.contains("chat_messages") && !text.contains("last_message"));
    let on_messages = on_messages.filter(|text| !of_application(text));
    let on_messages: Vec<&String> = on_messages.collect();
    assert!(on_messages.len() >= 5, "{on_messages:#?}");
    for statement in on_messages {
        // What a batch has just stored is counted: at most a thousand rows, in memory.
        let text = statement.to_lowercase().replace("select ticket_id, count(*) as count", "");
        assert!(!text.contains("count(") && !text.contains("offset"), "{statement}");
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
    let explain = format!("explain (analyze, buffers, format json) execute page ({arguments})");
    let explained: Value = sqlx::query(AssertSqlSafe(explain)).fetch_one(connection).await.expect("a plan").get(0);
    let plan = &explained[0]["Plan"];
    assert_eq!(plan["Actual Rows"], 50, "{explained:#}");
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().map(|key| plan[*key].as_i64().expect("buffers")).sum()
}
