//! Starting, stopping and restarting the embedded server.

use crate::embedded::process::{
    Service, am_root, as_user, assert_says, eventually, postmaster, processes_in, processes_with, psql, room, service, settings,
    signal, sql, start, start_error, stat_field, stderr_of, try_sql,
};
use deskledger::embedded_postgres::{Durability, EmbeddedPostgres, Error, Settings};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;

#[test]
fn it_starts_serves_and_stops_without_leaving_anything_running() {
    let room = room();
    let data = room.path().join("data");
    let mut postgres = start(&data);
    assert!(postgres.is_running());
    assert_eq!(postgres.socket_dir(), data.join("postgres.socket"));
    assert_eq!((postgres.port(), postgres.user()), (5432, "postgres"));
    for (setting, value) in [("server_encoding", "UTF8"), ("lc_collate", "C.UTF-8"), ("timezone", "UTC"), ("fsync", "on")] {
        let shown = sql(postgres.socket_dir(), &format!("show {setting}"));
        assert!(shown == value || shown == format!("Etc/{value}"), "{setting} is {shown}");
    }
    let version = sql(postgres.socket_dir(), "show server_version");
    assert_eq!(version.split_whitespace().next(), Some(postgres.version()));
    assert!(!processes_in(&data.join("postgres")).is_empty());

    postgres.stop().expect("it stops");
    assert_eq!(processes_in(&data.join("postgres")), Vec::<i32>::new());
    assert!(!data.join("postgres/postmaster.pid").exists());
    assert_eq!(fs::read_dir(data.join("postgres.socket")).expect("a folder").count(), 0);
    eventually("the watcher ends, too", || processes_with(&data).is_empty().then_some(()));
}

#[test]
fn it_listens_on_its_socket_only_and_keeps_others_out() {
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    assert_eq!(sql(postgres.socket_dir(), "show listen_addresses"), "");
    for folder in [&data, &data.join("postgres"), &data.join("postgres.socket")] {
        assert_eq!(fs::metadata(folder).expect("it is there").mode() & 0o777, 0o700, "{}", folder.display());
    }
    if am_root() {
        let mut command = as_user("daemon", "psql");
        command.args(["-X", "-U", "postgres", "-h"]).arg(postgres.socket_dir()).args(["-c", "select 1"]);
        assert_says(&stderr_of(&command.output().expect("it runs")), &["Permission denied"]);
    }
}

#[test]
fn what_was_written_is_there_after_a_stop_and_a_start() {
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    sql(postgres.socket_dir(), "create table t as select 42 as n");
    postgres.stop().expect("it stops");
    assert_eq!(sql(start(&data).socket_dir(), "select n from t"), "42");
}

#[test]
fn dropping_it_stops_it() {
    let room = room();
    let data = room.path().join("data");
    drop(start(&data));
    assert_eq!(processes_in(&data.join("postgres")), Vec::<i32>::new());
}

#[test]
fn a_client_in_a_transaction_does_not_hold_up_the_stop() {
    let room = room();
    let postgres = start(&room.path().join("data"));
    let mut client = psql(postgres.socket_dir())
        .args(["-c", "begin", "-c", "select pg_sleep(3600)"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    eventually("the client is at it", || {
        (sql(postgres.socket_dir(), "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1").then_some(())
    });
    let begin = std::time::Instant::now();
    postgres.stop().expect("it stops");
    assert!(begin.elapsed().as_secs() < 10, "not by a fast shutdown");
    assert!(!client.wait().expect("it ends").success());
}

#[test]
fn a_server_that_died_is_started_again_in_the_same_place() {
    let room = room();
    let data = room.path().join("data");
    let mut postgres = start(&data);
    sql(postgres.socket_dir(), "create table t as select 42 as n");
    let socket_dir = postgres.socket_dir().to_path_buf();
    let first = postmaster(&data);
    signal(first, Signal::SIGKILL);
    eventually("its end is noticed", || (!postgres.is_running()).then_some(()));

    postgres.restart().expect("it starts again");
    assert!(postgres.is_running());
    assert_ne!(postmaster(&data), first);
    assert_eq!(postgres.socket_dir(), socket_dir);
    assert_eq!(sql(&socket_dir, "select n from t"), "42");
    assert!(matches!(start_error(&data), Error::InUse { .. }), "the data directory stayed ours");
}

#[test]
fn a_restart_does_not_make_a_new_database_where_the_old_one_has_vanished() {
    let room = room();
    let data = room.path().join("data");
    let mut postgres = start(&data);
    let server = postmaster(&data);
    fs::rename(data.join("postgres"), data.join("elsewhere")).expect("it is renamed");
    signal(server, Signal::SIGKILL);
    eventually("its end is noticed", || (!postgres.is_running()).then_some(()));
    assert!(postgres.restart().is_err());
    assert!(!data.join("postgres").exists());
    fs::rename(data.join("elsewhere"), data.join("postgres")).expect("it is renamed");
    postgres.restart().expect("it starts again");
}

#[test]
fn it_is_not_in_the_process_group_that_a_terminal_interrupts() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    let group = |pid| stat_field(pid, 5);
    assert_ne!(group(postmaster(&data)), group(service.pid()));
    assert!(service.end().success());
}

#[test]
fn the_environment_of_the_service_does_not_reach_it() {
    let room = room();
    let data = room.path().join("data");
    let mut command = Command::new(service());
    command.arg("serve").arg(&data);
    command.envs([("PGDATA", "/nonexistent"), ("PGPORT", "1"), ("LC_ALL", "xx_XX"), ("PGTZ", "Asia/Tokyo"), ("TZ", "Asia/Tokyo")]);
    let service = Service::start(command);
    assert_eq!(sql(&service.socket_dir(), "show port"), "5432");
    assert_eq!(sql(&service.socket_dir(), "show log_timezone"), "UTC");
    let environment = fs::read(format!("/proc/{}/environ", postmaster(&data))).expect("it is there");
    assert!(!environment.windows(5).any(|window| window == b"Tokyo"));
}

#[test]
fn durable_and_volatile_prevail_over_the_configuration_file() {
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        sql(postgres.socket_dir(), &format!("alter system set {setting} = off"));
    }
    postgres.stop().expect("it stops");
    for (durability, expected) in [(Durability::Durable, "on"), (Durability::Volatile, "off")] {
        let postgres = EmbeddedPostgres::start(&Settings { durability, ..settings(&data) }).expect("it starts");
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            assert_eq!(sql(postgres.socket_dir(), &format!("show {setting}")), expected, "{setting}");
        }
        assert_eq!(sql(postgres.socket_dir(), "show max_connections"), "20");
    }
}

#[test]
fn its_log_keeps_no_contents_of_rows() {
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    sql(postgres.socket_dir(), "create table t (secret text unique, n int check (n > 0))");
    sql(postgres.socket_dir(), "insert into t values ('hunter2', 1)");
    assert!(!try_sql(postgres.socket_dir(), "insert into t values ('hunter2', 1)").status.success());
    assert!(!try_sql(postgres.socket_dir(), "insert into t values ('hunter2-b', 0)").status.success());
    postgres.stop().expect("it stops");
    let log = fs::read_to_string(data.join("postgres.log")).expect("a text");
    assert_says(&log, &["ERROR:", "violates"]);
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_server_that_ends_instead_of_starting_shows_its_log() {
    let room = room();
    let data = room.path().join("data");
    let error = EmbeddedPostgres::start(&Settings { max_connections: 2, ..settings(&data) }).map(drop).expect_err("it is refused");
    assert!(matches!(error, Error::EndedEarly { .. }), "{error}");
    let log = data.join("postgres.log");
    assert_says(&error.to_string(), &["superuser_reserved_connections", log.to_str().expect("UTF-8")]);
    start(&data).stop().expect("it stops");
}

#[test]
fn a_service_in_a_group_that_is_interrupted_stops_in_its_own_time() {
    let room = room();
    let data = room.path().join("data");
    // The shell ignores the signal on behalf of the service, as one with a handler would.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" INT; exec "$@""#, "sh"]).arg(service()).arg("serve").arg(&data).process_group(0);
    let service = Service::start(command);
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(service.pid()), Signal::SIGINT).expect("the group is there");
    assert_eq!(sql(&service.socket_dir(), "select 1"), "1");
    assert!(service.end().success());
}
