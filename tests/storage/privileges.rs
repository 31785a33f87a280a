//! What the role that serves may do in the database, and what the database refuses it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, PgConnection, Row};

use crate::support::World;
use crate::support::database::{SERVICE_ROLE, TestDatabase};

/// Everything in the schema that privileges can be had on, with all that the service's role has. What is changed is named by its column.
const EXPECTED: [(&str, &str); 27] = [
    ("_sqlx_migrations", "select"),
    ("applications", "select"),
    ("applications_key_seq", ""),
    (
        "chat_messages",
        "insert select update(data) update(delete_time) update(files) update(message) update(requested_by) update(requested_from)",
    ),
    ("chat_message_ids", "usage"),
    ("deletion_log_counts", "insert select update(count)"),
    ("deletion_log_ids", "usage"),
    ("deletion_logs", "insert select"),
    ("deletion_quotas", "insert select update(hour) update(reserved)"),
    ("hold_ids", "usage"),
    ("holds", "insert select"),
    ("list_milestones", "insert select"),
    ("log_heads", "select update(checkpoint) update(fence) update(root) update(signed_by) update(signed_size) update(size)"),
    ("log_erasure_ids", ""),
    ("log_erasures", "select"),
    ("log_leaves", "insert select"),
    ("log_sequencer", "select update(expire_time) update(fence) update(holder)"),
    ("log_tiles", "insert select update(hashes)"),
    ("pending_acts", "delete insert select"),
    ("pending_leaves", "delete insert select"),
    ("rejected_event_ids", "usage"),
    ("rejected_events", "delete insert select update(cause) update(event) update(external_id)"),
    ("requests", "delete insert select update(chat_message_ids) update(duplicates) update(ticket_id)"),
    ("ticket_ids", "usage"),
    (
        "tickets",
        "insert select update(agent) update(agent_group) update(channel_name) update(close_comment) update(close_status) \
         update(close_time) update(custom_fields) update(hold_id) update(info) update(issue_time) update(message_count) update(priority) \
         update(related_channels) update(status) update(version)",
    ),
    ("tokens", "select update(last_use_time)"),
    ("webhook_keys", "select"),
];

/// Functions that work as their owner, whom the service's role may so make do what it may not do itself.
const FUNCTIONS_OF_THE_OWNER: [&str; 1] = ["erase_deletion_logs"];

/// The privileges of a role, by what they are on. Of `update` on a whole table the columns are not told.
async fn privileges(connection: &mut PgConnection, role: &str) -> BTreeMap<String, BTreeSet<String>> {
    let statement = "
        select c.relname::text, p.name
        from pg_class c
        cross join unnest(case when c.relkind = 'S' then array['usage', 'select', 'update']
            else array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'] end) p (name)
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and case when c.relkind = 'S' then has_sequence_privilege($1, c.oid, p.name) else has_table_privilege($1, c.oid, p.name) end
        union
        select c.relname::text, p.name || '(' || a.attname || ')'
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        cross join unnest(array['select', 'insert', 'update', 'references']) p (name)
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and has_column_privilege($1, c.oid, a.attnum, p.name) and not has_table_privilege($1, c.oid, p.name)
        union
        select c.relname::text, ''
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')";
    let rows = sqlx::query(statement).bind(role).fetch_all(connection).await.expect("the catalog");
    let mut privileges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        privileges.entry(row.get(0)).or_default().insert(row.get(1));
    }
    privileges
}

#[tokio::test]
async fn the_services_role_has_the_privileges_that_are_listed_here_and_no_more() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let expected: BTreeMap<&str, &str> = EXPECTED.into_iter().collect();
    let found = privileges(&mut connection, SERVICE_ROLE).await;
    for (name, privileges) in &found {
        let expected = expected.get(name.as_str());
        let expected =
            expected.unwrap_or_else(|| panic!("{name} is new: say here and in src/storage/privilege.rs what the service may do"));
        let found = privileges.iter().filter(|privilege| !privilege.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(found, *expected, "{name}");
    }
    assert_eq!(found.len(), expected.len(), "all of these are there: {expected:?}");
}

#[tokio::test]
async fn the_services_role_owns_nothing_and_may_become_nobody_else() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let statement = "
        select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
            or exists (select from pg_auth_members m where m.member = r.oid)
            or exists (select from pg_class c where c.relowner = r.oid)
            or exists (select from pg_proc p where p.proowner = r.oid)
            or has_schema_privilege(r.oid, 'public', 'create')
        from pg_roles r where rolname = $1";
    let powerful: bool = sqlx::query_scalar(statement).bind(SERVICE_ROLE).fetch_one(&mut connection).await.expect("the role");
    assert!(!powerful);
    let statement = "select proname::text from pg_proc
        where pronamespace = 'public'::regnamespace and prosecdef and has_function_privilege($1, oid, 'execute') order by 1";
    let found: Vec<String> =
        sqlx::query_scalar(statement).bind(SERVICE_ROLE).fetch_all(&mut connection).await.expect("the functions");
    assert_eq!(found, FUNCTIONS_OF_THE_OWNER);
}

#[tokio::test]
async fn what_was_logged_and_who_may_call_is_out_of_the_services_reach() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    let mut service = world.database.connect_as_service().await;
    for statement in [
        "delete from chat_messages",
        "truncate chat_messages",
        "update chat_messages set user_sendbird_id = 'somebody else'",
        "update chat_messages set message_id = message_id + 10",
        "update deletion_logs set reason_detail = 'another'",
        "update deletion_logs set token_id = 'another'",
        "delete from deletion_logs",
        "truncate deletion_logs",
        "update log_leaves set salt = entry",
        "delete from log_leaves",
        "delete from log_tiles",
        "delete from log_heads",
        "update holds set reason = 'another'",
        "delete from holds",
        "delete from tickets",
        "update tickets set customer_sendbird_id = 'somebody else'",
        "insert into applications (id, name, create_time) values ('mine', '', now())",
        "insert into tokens select * from tokens",
        "update tokens set scopes = '{messages:delete}'",
        "update tokens set revoke_time = null",
        "delete from tokens",
        "update webhook_keys set secret = 'mine'",
        "update _sqlx_migrations set success = false",
        "alter table chat_messages disable trigger all",
        "drop trigger chat_messages_log_check on chat_messages",
        "create or replace function check_deletion_is_logged() returns trigger language plpgsql as 'begin return null; end'",
        "create table deletion_logs_of_my_own (id bigint)",
        "set session_replication_role = replica",
        "set role postgres",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&mut service).await.expect_err(statement);
        let refused = refused.into_database_error().expect("the database refuses it");
        assert_eq!(refused.code().as_deref(), Some("42501"), "{statement}: {refused}");
    }
    service.close().await.expect("the connection closes");
    assert_eq!(actor.list(ticket.id).await.len(), 2);
    assert_eq!(actor.log().await.len(), 1);
}

const BLANK: &str = "update chat_messages
    set delete_time = '2026-01-01', requested_from = 'DASHBOARD', message = '', data = '', files = '[]'
    where delete_time is null";

/// A log row of message 1 with this time.
fn log_row(delete_time: &str) -> String {
    format!(
        "insert into deletion_logs (
            application_key, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time,
            requested_from, reason_detail, token_id, content_digest, content_salt
        )
        select application_key, ticket_id, id, message_id, user_sendbird_id, user_type, create_time, {delete_time}, 'DASHBOARD', '', 't',
            sha256(''), sha256('')
        from chat_messages"
    )
}

#[tokio::test]
async fn a_message_is_not_emptied_without_its_log_row_and_none_is_logged_that_is_there() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let deceived = format!("create temporary table deletion_logs as select * from public.deletion_logs; {BLANK}");
    let hidden = format!("set search_path = pg_temp, public; {deceived}");
    let postponed = format!("begin; set constraints all deferred; {BLANK}; commit");
    let at_another_time = format!("with blanked as ({BLANK}) {}", log_row("'2026-01-02'"));
    let with_another_row = format!(
        "with logged as ({}) {BLANK}",
        log_row("'2026-01-01'").replace("select application_key, ticket_id, id,", "select application_key, ticket_id, id + 1,")
    );
    let rows = [
        (BLANK.to_owned(), "chat_messages_log_check"),
        (deceived, "chat_messages_log_check"),
        (hidden, "chat_messages_log_check"),
        (postponed, "chat_messages_log_check"),
        // These break both rules: the one that is looked at first is told.
        (at_another_time, "deletion_logs_tombstone_check"),
        (with_another_row, "chat_messages_log_check"),
        (log_row("'2026-01-01'"), "deletion_logs_tombstone_check"),
        ("update chat_messages set message = 'other words'".to_owned(), "chat_messages_content_check"),
        ("update chat_messages set message = '', data = '', files = '[]'".to_owned(), "chat_messages_content_check"),
    ];
    for (statement, constraint) in rows {
        let mut service = world.database.connect_as_service().await;
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&mut service).await.expect_err(&statement);
        let refused = refused.into_database_error().expect("the database refuses it");
        assert!(refused.constraint() == Some(constraint), "{statement}: {refused}");
    }
    assert_eq!(actor.list(ticket.id).await[0].message, messages[0].message);

    // What belongs together is taken, as the service's own statement is; a tombstone stays what it is.
    let whole = format!("with blanked as ({BLANK}) {}", log_row("'2026-01-01'"));
    let mut service = world.database.connect_as_service().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(whole)).execute(&mut service).await.expect("a whole deletion");
    for statement in [
        "update chat_messages set delete_time = null, requested_from = null, message = 'back'",
        "update chat_messages set requested_by = '{}'",
        "update chat_messages set requested_from = 'PLATFORM_API'",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&mut service).await.expect_err(statement);
        let refused = refused.into_database_error().expect("the database refuses it");
        assert!(refused.constraint() == Some("chat_messages_content_check"), "{statement}: {refused}");
    }
}
