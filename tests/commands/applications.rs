//! `deskledger application` and `deskledger migrate`.

use crate::commands::program::{deskledger, run, run_on};
use crate::support::database::TestDatabase;

#[tokio::test]
async fn an_application_is_made_once_and_listed_by_id() {
    let database = TestDatabase::create().await;

    assert_eq!(run_on(&database, &["application", "create", "zebra", "--name", "Zebra & Söhne"]).good(), "zebra\n");
    assert_eq!(run_on(&database, &["application", "create", "acme"]).good(), "acme\n");
    let again = run_on(&database, &["application", "create", "acme", "--name", "Other"]).failed(1);

    assert_eq!(again, "deskledger: there is an application acme already\n");
    let listed = run_on(&database, &["application", "list"]).good();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.iter().map(|row| (row[0], row[2])).collect::<Vec<_>>(), [("acme", "acme"), ("zebra", "Zebra & Söhne")]);
}

#[test]
fn an_application_id_that_is_no_part_of_a_host_name_is_refused() {
    let too_long = "a".repeat(55);
    for id in ["", "Acme", "acme_1", "acme.1", "a b", "-acme", "acme-", "ämter", &too_long] {
        let refused = run(&mut deskledger(&["application", "create", "--", id])).failed(2);
        assert!(
            refused.contains("an application id has 1 to 54 lower-case letters, digits and inner hyphens"),
            "{id:?}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_name_that_would_break_the_list_is_refused() {
    let database = TestDatabase::create().await;
    for name in ["two\nlines", "a\ttab", &"n".repeat(256)] {
        let refused = run_on(&database, &["application", "create", "acme", "--name", name]).failed(2);
        assert!(refused.contains("a name has at most 255 characters, none of them a control character"), "{name:?}: {refused}");
    }
}

#[tokio::test]
async fn commands_on_a_database_without_migrations_say_so_until_migrate_has_run() {
    let database = TestDatabase::create_empty().await;

    let before = run_on(&database, &["application", "list"]).failed(1);
    assert!(before.contains("deskledger migrate"), "{before}");
    run_on(&database, &["migrate"]).good();
    run_on(&database, &["migrate"]).good();

    assert_eq!(run_on(&database, &["application", "list"]).good(), "");
}
