//! Migrations: applied by whoever comes first, and known to be there or not.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use deskledger::storage::migration::{self, Citus, MIGRATOR};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{until, watch_health};
use crate::commands::program::{deskledger, run, run_on};
use crate::support::World;
use crate::support::database::TestDatabase;

async fn versions(database: &TestDatabase) -> Vec<i64> {
    let statement = "select version from _sqlx_migrations where success order by version";
    sqlx::query_scalar(statement).fetch_all(&mut database.connect().await).await.expect("the history")
}

fn all() -> Vec<i64> {
    MIGRATOR.iter().map(|migration| migration.version).collect()
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let insert = "insert into applications (id, name, create_time) values ('acme', 'Acme', now())";
    sqlx::raw_sql(insert).execute(&mut connection).await.expect("a row");

    migration::run(&mut connection, Duration::from_secs(60)).await.expect("nothing is left to do");

    let rows: i64 = sqlx::query_scalar("select count(*) from applications").fetch_one(&mut connection).await.expect("a count");
    assert_eq!((versions(&database).await, rows), (all(), 1));
}

#[tokio::test]
async fn processes_that_migrate_at_once_all_succeed() {
    let database = TestDatabase::create_empty().await;
    let migrate = |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deskledger"));
        command.arg("migrate").env("DATABASE_URL", database.url()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let processes: Vec<Child> = (0..3).map(migrate).collect();
    for process in processes {
        let ended = process.wait_with_output().expect("it ends");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(versions(&database).await, all());
}

#[tokio::test]
async fn a_database_is_current_with_every_migration_of_this_build_and_any_newer_one() {
    let world = World::new().await;
    let mut connection = world.database.connect().await;
    let mut health = watch_health(&world).await;
    let last = all().pop().expect("there are migrations");
    // What is done to the history, and whether the database is current then.
    let steps = [
        ("insert into _sqlx_migrations values (9999, 'newer', now(), true, '', 0)".to_owned(), true),
        (format!("update _sqlx_migrations set success = false where version = {last}"), false),
        (format!("update _sqlx_migrations set success = true where version = {last}"), true),
        (format!("update _sqlx_migrations set version = 9998 where version = {last}"), false),
        (format!("update _sqlx_migrations set version = {last} where version = 9998"), true),
        ("alter table _sqlx_migrations rename to elsewhere".to_owned(), false),
    ];
    for (step, current) in steps {
        sqlx::raw_sql(sqlx::AssertSqlSafe(step.clone())).execute(&mut connection).await.expect("the history changes");
        assert_eq!(world.app.is_ready().await.expect("the database is there"), current, "{step}");
        until(&mut health, if current { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
    }
}

#[tokio::test]
async fn a_newer_migration_does_not_keep_this_build_from_migrating() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let newer = "insert into _sqlx_migrations values (9999, 'newer', now(), true, '', 0)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("a newer build was here");
    migration::run(&mut connection, Duration::from_secs(60)).await.expect("what this build does not know it leaves alone");
}

#[tokio::test]
async fn a_migration_gives_up_on_a_lock_that_another_session_keeps_and_runs_once_it_is_free() {
    let database = TestDatabase::create_empty().await;
    let mut other = database.connect().await;
    // The migrations up to a version, and somebody's transaction that keeps a table which a later one alters.
    let mut connection = database.connect().await;
    MIGRATOR.run_direct(Some(FIRST), &mut connection, false).await.expect("they are applied");
    let before = versions(&database).await;
    for statement in ["set application_name = 'a report'", "begin", "lock tickets in access share mode"] {
        sqlx::raw_sql(statement).execute(&mut other).await.expect("the table is locked");
    }
    let number: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut other).await.expect("its number");

    let refused = run_on(&database, &["migrate", "--migration-lock-timeout-seconds", "1"]).failed(1);

    let expected = format!("a migration waited 1 s for a lock that another session holds: perhaps process {number} (\"a report\")");
    assert!(refused.contains(&expected), "{refused}");
    let after = versions(&database).await;
    assert_eq!(after, before);
    sqlx::raw_sql("select from tickets").execute(&mut other).await.expect("nobody waits at the table");
    sqlx::raw_sql("commit").execute(&mut other).await.expect("the table is free");
    run_on(&database, &["migrate", "--migration-lock-timeout-seconds", "1"]).good();
    assert_eq!(versions(&database).await, all());
}

/// The version after which a migration alters `tickets`, which needs it for itself.
const FIRST: i64 = 6;

#[tokio::test]
async fn nothing_is_changed_where_tables_are_to_be_distributed() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect().await;
    let found = migration::citus(&mut connection).await.expect("the server answers");
    let expected = if found == Citus::Missing {
        // Not by println, which the harness keeps to itself: who reads the output of a run must see it.
        writeln!(std::io::stderr(), "Citus is ABSENT on this server: tried is only what is said without it").expect("a line");
        "the server of this database does not have the extension citus; nothing was changed"
    } else {
        let refused = run_on(&database, &["migrate", "--citus"]).failed(1);
        assert!(refused.contains("create extension citus"), "{refused}");
        sqlx::raw_sql("create extension citus").execute(&mut connection).await.expect("the extension is made");
        "this version does not run on distributed tables"
    };
    let refused = run_on(&database, &["migrate", "--citus"]).failed(1);
    assert!(refused.contains(expected), "{refused}");
    let refused = run(&mut deskledger(&["migrate", "--citus"])).failed(1);
    assert!(refused.contains("--citus is for the database of DATABASE_URL"), "{refused}");
    let history: Option<String> = sqlx::query_scalar("select to_regclass('_sqlx_migrations')::text")
        .fetch_one(&mut connection)
        .await
        .expect("a name or none");
    assert_eq!(history, None, "no migration was run");
}
