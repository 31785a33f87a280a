//! `deskledger healthcheck`: what a container's runtime asks.

use std::net::TcpListener;

use crate::commands::program::{Service, deskledger, run, run_on};
use crate::support::database::TestDatabase;

#[tokio::test]
async fn a_service_is_ready_when_its_database_has_the_migrations() {
    let database = TestDatabase::create_empty().await;

    let mut without = Service::on(&database, &[]);
    let address = without.address();
    let cause = without.logged("not ready");
    let refused = run(&mut deskledger(&["healthcheck", "--address", &address])).failed(1);
    assert!(cause.contains("deskledger migrate"), "{cause}");
    assert_eq!(refused, format!("deskledger: the service at {address} is NOT_SERVING\n"));

    let mut with = Service::of_owner(&database, &["--migrate"]);
    let address = with.address();
    with.ready();
    // The address comes from where serve takes it too, so that a container needs to set it once.
    assert_eq!(run(deskledger(&["healthcheck"]).env("DESKLEDGER_LISTEN", &address)).good(), "");
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(run(&mut deskledger(&["healthcheck", "--address", &everywhere])).good(), "");
    // The first one sees that another process has migrated.
    without.ready();
}

#[test]
fn where_nothing_listens_a_service_is_not_ready() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address").to_string();

    let refused = run(&mut deskledger(&["healthcheck", "--address", &free])).failed(1);

    assert!(refused.starts_with(&format!("deskledger: no service at {free}: ")), "{refused}");
}

#[test]
fn what_accepts_and_never_answers_is_not_ready() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("its address").to_string();

    run(&mut deskledger(&["healthcheck", "--address", &address, "--seconds", "1"])).failed(1);
}

#[tokio::test]
async fn a_service_whose_database_is_away_listens_and_is_not_ready() {
    let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0", "--database-wait-seconds", "1"]);
    let mut service = Service::start(command.env("DATABASE_URL", "postgres://deskledger:hunter2@127.0.0.1:1/deskledger"));
    let address = service.address();

    let cause = service.logged("not ready");
    run(&mut deskledger(&["healthcheck", "--address", &address])).failed(1);

    assert!(!cause.contains("hunter2"), "{cause}");
    let database = TestDatabase::create().await;
    // Other commands say it at once.
    let refused = run(deskledger(&["application", "list", "--database-wait-seconds", "1"])
        .env("DATABASE_URL", "postgres://deskledger:hunter2@127.0.0.1:1/deskledger"))
    .failed(1);
    assert!(refused.starts_with("deskledger: The database is away."), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
    run_on(&database, &["application", "list"]).good();
}
