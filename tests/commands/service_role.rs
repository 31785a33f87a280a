//! The role that serves: `migrate` makes it and grants it what it needs, a private server is served as it, and who serves as the owner is told.

use std::process::Command;

use deskledger::domain::random;

use crate::commands::program::{Service, deskledger, run, run_on};
use crate::support::database::{SERVICE_ROLE, TestDatabase};

/// What the service says that could do more than it needs.
const WARNING: &str = "the database lets this service change its log";

#[tokio::test]
async fn a_service_works_as_the_role_that_migrate_has_made() {
    let database = TestDatabase::create_empty().await;
    let said = run_on(&database, &["migrate"]).good();
    assert!(said.contains(&format!("The role {SERVICE_ROLE} may serve it.")), "{said}");
    run_on(&database, &["application", "create", "acme"]).good();

    let mut service = Service::on(&database, &[]);
    service.ready();
    let log = service.stopped();
    assert!(!log.contains(WARNING), "{log}");

    let minted = run(deskledger(&["application", "create", "mine"]).env("DATABASE_URL", database.service_url())).failed(1);
    assert!(minted.contains("permission denied for table applications"), "{minted}");
}

#[tokio::test]
async fn a_service_that_may_change_its_log_serves_and_says_so() {
    let database = TestDatabase::create_empty().await;
    let mut service = Service::of_owner(&database, &["--migrate"]);
    service.ready();
    service.logged(WARNING);
}

#[tokio::test]
async fn an_owner_who_may_not_make_roles_is_told_what_to_do() {
    let database = TestDatabase::create_empty().await;
    let (owner, missing) = (format!("owner_{}", random::hex::<8>()), format!("service_{}", random::hex::<8>()));
    database.run(&format!("create role {owner} login password 'of a test'")).await;
    let name = database.options.get_database().expect("a name").to_owned();
    database.run(&format!("alter database {name} owner to {owner}; alter schema public owner to {owner}")).await;
    let url = database.url_of(&owner);
    let migrate = |role: &str| run(deskledger(&["migrate", "--service-role", role]).env("DATABASE_URL", &url));

    let refused = migrate(&missing).failed(1);
    assert!(refused.contains(&format!("`create role \"{missing}\" login` does")), "{refused}");
    let refused = migrate(&owner).failed(1);
    assert!(refused.contains(&format!("the role {owner} may do all that the owner may")), "{refused}");
    assert_eq!(migrate("").good(), "The database is up to date.\n");
    let mut service = Service::start(
        deskledger(&["serve", "--migrate", "--listen", "127.0.0.1:0", "--service-role", &missing]).env("DATABASE_URL", &url),
    );
    service.logged("there is no role of the service's own");
    service.ready();
    // A role that somebody else has made is granted all the same.
    migrate(SERVICE_ROLE).good();
    Service::on(&database, &[]).ready();

    drop(service);
    database.run(&format!("reassign owned by {owner} to current_user; drop owned by {owner}; drop role {owner}")).await;
}

#[test]
fn a_private_server_is_served_as_the_role_that_owns_nothing() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(deskledger(&["serve", "--listen", "127.0.0.1:0"]).env("DESKLEDGER_DATA_DIR", data_dir.path()));
    service.ready();
    let socket = data_dir.path().join("postgres.socket");
    let statement = "select distinct usename from pg_stat_activity where application_name like 'deskledger%'";
    let looked =
        Command::new("psql").args(["-XAtq", "-U", "postgres", "-d", "deskledger", "-c", statement, "-h"]).arg(socket).output();
    assert_eq!(String::from_utf8(looked.expect("psql runs").stdout).expect("a text").trim(), SERVICE_ROLE);
    let log = service.stopped();
    assert!(!log.contains(WARNING), "{log}");
}
