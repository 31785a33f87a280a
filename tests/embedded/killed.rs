//! The service or its server killed, at any moment and in any combination.

use crate::embedded::process::{
    Service, as_server_user, assert_says, eventually, find_in_path, is_alive, postmaster, processes_in, processes_with, room,
    service, settings, signal, sql, start, stat_field, watcher, write_script,
};
use deskledger::embedded_postgres::{EmbeddedPostgres, Settings};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::process::Stdio;

#[test]
fn a_killed_service_leaves_no_server_running() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    let server = postmaster(&data);
    service.kill();
    eventually("the server ends", || (!is_alive(server)).then_some(()));
    eventually("so do its children", || processes_in(&data.join("postgres")).is_empty().then_some(()));
    let log = fs::read_to_string(data.join("postgres.log")).expect("a text");
    assert_says(&log, &["database system is shut down"]);
}

#[test]
fn the_next_service_can_start_at_the_instant_the_last_was_killed() {
    let room = room();
    let data = room.path().join("data");
    for round in 0..5 {
        let service = Service::serve(&data);
        if round == 0 {
            sql(&service.socket_dir(), "create table t (n int)");
        }
        sql(&service.socket_dir(), &format!("insert into t values ({round})"));
        service.kill();
    }
    assert_eq!(sql(start(&data).socket_dir(), "select count(*) from t"), "5");
}

#[test]
fn a_service_killed_at_any_step_of_its_start_does_not_hinder_the_next() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let content = |file: &str| fs::read(data.join(file)).unwrap_or_default();
    let steps: [(&str, &dyn Fn() -> bool); 5] = [
        ("it is started", &|| true),
        ("it owns the data directory", &|| !content("postgres.lock").is_empty()),
        ("its server owns the database", &|| !content("postgres/postmaster.pid").is_empty()),
        ("its server listens", &|| data.join("postgres.socket/.s.PGSQL.5432").exists()),
        ("its server is ready", &|| content("postgres/postmaster.pid").windows(5).any(|word| word == b"ready")),
    ];
    for (step, is_taken) in steps {
        let mut child =
            Command::new(service()).arg("serve").arg(&data).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        eventually(step, || is_taken().then_some(()));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        start(&data).stop().expect("it stops");
    }
    eventually("nothing runs", || processes_with(&data).is_empty().then_some(()));
}

#[test]
fn a_service_killed_while_it_makes_the_database_leaves_nothing_half_made() {
    let room = room();
    let data = room.path().join("data");
    let side_folder = || fs::read_dir(&data).ok()?.flatten().find(|e| e.file_name().as_bytes().starts_with(b"postgres.initdb-"));
    for file in ["PG_VERSION", "global/pg_control", "base/4"] {
        let mut child = Command::new(service()).arg("serve").arg(&data).stdin(Stdio::piped()).spawn().expect("it starts");
        eventually(file, || side_folder()?.path().join(file).exists().then_some(()));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(!data.join("postgres").exists());
    }
    assert_eq!(sql(start(&data).socket_dir(), "select 1"), "1");
    assert!(side_folder().is_none(), "{:?}", side_folder());
}

#[test]
fn a_server_whose_watcher_was_killed_with_the_service_is_ended_by_the_next_start() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    sql(&service.socket_dir(), "create table t as select 42 as n");
    let server = postmaster(&data);
    signal(watcher(&data, server), Signal::SIGKILL);
    service.kill();
    assert!(is_alive(server), "nobody is left to end it");

    let postgres = start(&data);
    assert!(!is_alive(server));
    assert_eq!(sql(postgres.socket_dir(), "select n from t"), "42");
    let log = fs::read_to_string(data.join("postgres.log")).expect("a text");
    assert_says(&log, &["received fast shutdown request"]);
    assert!(!log.contains("not properly shut down"), "it was ended the hard way: {log}");
}

#[test]
fn signals_to_the_servers_group_do_not_cost_it_its_watcher() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    let server = postmaster(&data);
    // To the server itself this says to read its configuration again.
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(server), Signal::SIGHUP).expect("the group is there");
    assert_eq!(sql(&service.socket_dir(), "select 1"), "1");
    service.kill();
    eventually("the server ends", || (!is_alive(server)).then_some(()));
}

#[test]
fn a_rival_that_was_not_yet_to_be_seen_is_ended_when_it_gets_in_the_way() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    // Programs that first start a rival in the cluster, once: as if a service had been killed before
    // its server had got as far as into its working directory.
    let programs = room.path().join("programs");
    fs::create_dir(&programs).expect("a folder is made");
    let real = find_in_path("postgres");
    let script = format!(
        r#"#!/bin/sh
        [ "$1" = -V ] && exec {real} -V
        if mkdir "$2/../postgres.socket/once"; then
            {real} -D "$2" -c listen_addresses= -k "$2" &
            until grep -q ready "$2/postmaster.pid"; do :; done
        fi
        exec {real} "$@""#,
        real = real.display()
    );
    write_script(&programs.join("postgres"), &script);
    fs::write(programs.join("initdb"), "").expect("it is written");

    let postgres = EmbeddedPostgres::start(&Settings { binaries: Some(programs), ..settings(&data) }).expect("it starts");
    assert_eq!(sql(postgres.socket_dir(), "select 1"), "1");
    let log = fs::read_to_string(data.join("postgres.log")).expect("a text");
    assert_says(&log, &["lock file \"postmaster.pid\" already exists"]);
    fs::remove_dir(data.join("postgres.socket/once")).expect("it goes");
}

#[test]
fn a_stop_works_without_the_watcher() {
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    let server = postmaster(&data);
    signal(watcher(&data, server), Signal::SIGKILL);
    postgres.stop().expect("it stops");
    assert!(!is_alive(server));
}

#[test]
fn children_that_outlive_their_killed_server_are_ended_by_the_next_start() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    let server = postmaster(&data);
    // Stopped ones do not notice that their server is gone.
    let children: Vec<i32> = processes_in(&data.join("postgres")).into_iter().filter(|pid| *pid != server).collect();
    assert!(children.len() > 1);
    for child in &children {
        signal(*child, Signal::SIGSTOP);
    }
    signal(server, Signal::SIGKILL);
    service.kill();
    assert!(children.iter().all(|child| is_alive(*child)));

    let postgres = start(&data);
    assert!(!children.iter().any(|child| is_alive(*child)));
    assert_eq!(sql(postgres.socket_dir(), "select 1"), "1");
}

#[test]
fn a_zombie_server_does_not_hinder_the_start() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let cluster = data.join("postgres");
    // A parent that never reaps: the shell becomes `cat`.
    let script = r#"postgres -D "$1" -c listen_addresses= -k "$2" >/dev/null 2>&1 & exec cat"#;
    let mut parent = as_server_user("/bin/sh")
        .args(["-c", script, "sh"])
        .args([&cluster, &data.join("postgres.socket")])
        .current_dir("/")
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let ready = || fs::read_to_string(cluster.join("postmaster.pid")).is_ok_and(|text| text.contains("ready"));
    eventually("it is ready", || ready().then_some(()));
    let zombie = postmaster(&data);
    signal(zombie, Signal::SIGKILL);
    eventually("it is a zombie", || (stat_field(zombie, 3) == "Z").then_some(()));
    assert!(cluster.join("postmaster.pid").exists());

    assert_eq!(sql(start(&data).socket_dir(), "select 1"), "1");
    assert_eq!(stat_field(zombie, 3), "Z", "it was there all the time");
    parent.kill().expect("it runs");
    parent.wait().expect("it ends");
}

#[test]
fn a_pid_file_whose_pid_belongs_to_somebody_else_does_not_hinder_the_start() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    let socket_dir = service.socket_dir();
    let server = postmaster(&data);
    let pid_file = fs::read_to_string(data.join("postgres/postmaster.pid")).expect("a text");
    let lock_file = fs::read_to_string(socket_dir.join(".s.PGSQL.5432.lock")).expect("a text");
    assert!(service.end().success());
    // PostgreSQL asks whether the pid is alive and may be its own: so it has to be one of its user.
    let mut stranger = as_server_user("cat").stdin(Stdio::piped()).spawn().expect("it starts");
    eventually("it has become cat", || {
        fs::read_to_string(format!("/proc/{}/comm", stranger.id())).is_ok_and(|name| name == "cat\n").then_some(())
    });
    let taken = |text: &str| text.replacen(&server.to_string(), &stranger.id().to_string(), 1);
    fs::write(data.join("postgres/postmaster.pid"), taken(&pid_file)).expect("it is written");
    fs::write(socket_dir.join(".s.PGSQL.5432.lock"), taken(&lock_file)).expect("it is written");

    assert_eq!(sql(start(&data).socket_dir(), "select 1"), "1");
    assert!(is_alive(stranger.id().cast_signed()), "the stranger was spared");
    stranger.kill().expect("it runs");
    stranger.wait().expect("it ends");
}

#[test]
fn an_operators_shell_in_the_folder_is_spared() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let mut shell = as_server_user("cat").current_dir(data.join("postgres")).stdin(Stdio::piped()).spawn().expect("it starts");
    start(&data).stop().expect("it stops");
    assert!(shell.try_wait().expect("it is ours").is_none());
    shell.kill().expect("it runs");
    shell.wait().expect("it ends");
}
