//! The shared test cluster, driven for real: `embedded_postgres join` stands for a test process.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deskledger::embedded_postgres::dev_cluster::{self, Error};
use nix::sys::signal::Signal;

use crate::embedded::process::{
    Service, am_root, as_user, assert_says, eventually, is_alive, postmaster, processes_in, processes_with, room, service,
    service_for_others, signal, sql, stat_field, try_sql,
};

fn test_process(home: &Path, linger_ms: u32) -> Command {
    let mut command = Command::new(service());
    command.arg("join").arg(home).arg(linger_ms.to_string());
    command
}

fn join(home: &Path) -> Service {
    Service::start(test_process(home, 0))
}

#[track_caller]
fn is_removed(home: &Path) {
    eventually("the home is removed", || (!home.exists()).then_some(()));
    eventually("nothing runs", || processes_with(home).is_empty().then_some(()));
}

fn helper_of(home: &Path) -> i32 {
    let helpers: Vec<i32> = processes_with(home)
        .into_iter()
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"dev-db")
        })
        .collect();
    assert_eq!(helpers.len(), 1, "{helpers:?}");
    helpers[0]
}

/// The server's log is the only witness of how many there were.
fn servers_started(home: &Path) -> usize {
    let log = fs::read_to_string(home.join("data/postgres.log")).expect("a log");
    log.matches("starting PostgreSQL").count()
}

#[test]
fn all_test_processes_share_one_cluster_which_goes_with_the_last() {
    let room = room();
    let home = room.path().join("home");
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| join(&home));
        let second = scope.spawn(|| join(&home));
        (first.join().expect("no panic"), second.join().expect("no panic"))
    });
    assert_eq!(first.line, second.line);
    sql(&first.socket_dir(), "create table t as select 42 as n");
    assert_eq!(sql(&second.socket_dir(), "select n from t"), "42");
    for setting in ["fsync", "synchronous_commit", "full_page_writes", "autovacuum"] {
        assert_eq!(sql(&first.socket_dir(), &format!("show {setting}")), "off");
    }
    assert_eq!(servers_started(&home), 1);
    let helper = helper_of(&home);
    assert!(first.end().success());
    assert_eq!(sql(&second.socket_dir(), "select n from t"), "42");
    assert_eq!(helper_of(&home), helper);
    // A killed process counts as gone, too.
    second.kill();
    is_removed(&home);
}

#[test]
fn the_helper_is_not_in_the_process_group_of_the_one_that_started_it() {
    let room = room();
    let home = room.path().join("home");
    let process = join(&home);
    let helper = helper_of(&home);
    assert_eq!(stat_field(helper, 5), helper.to_string());
    for fd in 0..3 {
        let target = fs::read_link(format!("/proc/{helper}/fd/{fd}")).expect("a link");
        assert!(target == Path::new("/dev/null") || target == home.join("helper.log"), "{target:?}");
    }
    drop(process);
    is_removed(&home);
}

#[test]
fn the_helper_lingers_for_the_next_test_process() {
    let room = room();
    let home = room.path().join("home");
    let process = Service::start(test_process(&home, 60_000));
    sql(&process.socket_dir(), "create table t as select 42 as n");
    let helper = helper_of(&home);
    assert!(process.end().success());
    let next = join(&home);
    assert_eq!(sql(&next.socket_dir(), "select n from t"), "42");
    assert_eq!(helper_of(&home), helper);
    signal(helper, Signal::SIGKILL);
    eventually("its server ends with it", || processes_in(&home.join("data/postgres")).is_empty().then_some(()));
}

#[test]
fn the_next_test_process_recovers_from_a_killed_helper() {
    let room = room();
    let home = room.path().join("home");
    let first = join(&home);
    sql(&first.socket_dir(), "create table t as select 42 as n");
    let helper = helper_of(&home);
    signal(helper, Signal::SIGKILL);
    eventually("it is dead", || (!is_alive(helper)).then_some(()));
    let second = join(&home);
    assert_ne!(helper_of(&home), helper);
    assert_eq!(sql(&second.socket_dir(), "select count(*) from pg_tables where tablename = 't'"), "0", "it is a new cluster");
    drop(first);
    assert_eq!(sql(&second.socket_dir(), "select 1"), "1");
    drop(second);
    is_removed(&home);
}

#[test]
fn the_next_test_process_recovers_from_a_test_process_killed_while_it_waited() {
    let room = room();
    let home = room.path().join("home");
    let mut starter = test_process(&home, 0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    eventually("the helper is at it", || home.join("data/postgres.lock").exists().then_some(()));
    starter.kill().expect("it runs");
    starter.wait().expect("it ends");
    let process = join(&home);
    assert_eq!(sql(&process.socket_dir(), "select 1"), "1");
    drop(process);
    is_removed(&home);
}

#[test]
fn a_server_that_dies_is_started_again_by_the_helper() {
    let room = room();
    let home = room.path().join("home");
    let process = join(&home);
    let server = postmaster(&home.join("data"));
    signal(server, Signal::SIGKILL);
    eventually("it is up again", || try_sql(&process.socket_dir(), "select 1").status.success().then_some(()));
    assert_ne!(postmaster(&home.join("data")), server);
    drop(process);
    is_removed(&home);
}

#[test]
fn whoever_comes_while_the_helper_leaves_gets_a_cluster_all_the_same() {
    let room = room();
    let home = room.path().join("home");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let process = join(&home);
                    assert_eq!(sql(&process.socket_dir(), "select 1"), "1");
                    assert!(process.end().success());
                }
            });
        }
    });
    is_removed(&home);
}

#[test]
fn a_helper_that_fails_is_quoted() {
    let room = room();
    let home = room.path().join("home");
    let join = |script: &str| dev_cluster::join(&home, Path::new("/bin/sh"), &["-c", script]).map(drop).expect_err("it is refused");
    let error = join("echo out of luck; exit 3");
    assert!(matches!(error, Error::HelperEnded { .. }), "{error}");
    assert_says(
        &error.to_string(),
        &["/bin/sh", "exit status: 3", "out of luck", home.join("helper.log").to_str().expect("UTF-8")],
    );
    // One that does nothing, and says that all is well.
    let error = join("true");
    assert!(matches!(error, Error::HelperEnded { .. }), "{error}");
    let error = dev_cluster::join(&home, Path::new("/nonexistent"), &[""; 0]).map(drop).expect_err("it is refused");
    assert_says(&error.to_string(), &["cannot run /nonexistent"]);
    // None of which stands in the way of a good one.
    drop(Service::start(test_process(&home, 0)));
    is_removed(&home);
}

#[test]
fn a_second_helper_leaves_at_once() {
    let room = room();
    let home = room.path().join("home");
    let process = join(&home);
    let status = Command::new(service()).arg("dev-db").arg(&home).arg("0").status().expect("it runs");
    assert!(status.success());
    assert_eq!(sql(&process.socket_dir(), "select 1"), "1");
    drop(process);
    is_removed(&home);
}

#[test]
fn a_home_that_others_can_write_to_is_refused() {
    let room = room();
    let home = room.path().join("home");
    let error = || dev_cluster::join(&home, Path::new("/bin/false"), &[""; 0]).map(drop).expect_err("it is refused");
    fs::create_dir(&home).expect("a folder is made");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).expect("its mode is set");
    assert!(matches!(error(), Error::HomeTaken { .. }));
    fs::remove_dir(&home).expect("it goes");
    std::os::unix::fs::symlink(room.path(), &home).expect("a link is made");
    assert!(matches!(error(), Error::HomeTaken { .. }));
    fs::remove_file(&home).expect("it goes");
    if am_root() {
        fs::create_dir(&home).expect("a folder is made");
        chown(&home, Some(65534), None).expect("root may do that");
        assert!(matches!(error(), Error::HomeTaken { .. }));
    }
}

#[test]
fn an_ordinary_user_has_a_cluster_of_its_own() {
    if !am_root() {
        return;
    }
    let room = room();
    let mine = room.path().join("mine");
    fs::create_dir(&mine).expect("a folder is made");
    chown(&mine, Some(65534), Some(65534)).expect("root may do that");
    let home = mine.join("home");
    let mut command = as_user("65534", service_for_others(&room));
    command.arg("join").arg(&home).arg("0");
    let process = Service::start(command);
    assert_eq!(fs::metadata(&home).expect("it is there").mode() & 0o777, 0o700);
    assert_eq!(sql(&process.socket_dir(), "select 1"), "1");
    drop(process);
    is_removed(&home);
}

#[test]
fn the_home_is_in_memory_where_there_is_enough_of_it() {
    let checkout = Path::new("/nonexistent/checkout");
    let home = dev_cluster::home(checkout);
    let uid = nix::unistd::Uid::effective().to_string();
    let name = home.file_name().expect("it has a name").to_str().expect("UTF-8");
    assert!(name.starts_with(&format!("deskledger-dev-{uid}-")), "{name}");
    let shm = nix::sys::statvfs::statvfs("/dev/shm");
    let expected = if shm.is_ok_and(|shm| shm.blocks_available() * shm.fragment_size() >= 1 << 30) {
        PathBuf::from("/dev/shm")
    } else {
        checkout.join("target/tmp")
    };
    assert_eq!(home.parent().expect("it has a parent"), expected);
}
