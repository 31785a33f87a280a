//! Finding the server's programs, and versions that do not fit.

use crate::embedded::process::{
    Service, am_root, assert_says, find_in_path, may_unshare, refusal, room, service, settings, start, start_error,
};
use deskledger::embedded_postgres::{EmbeddedPostgres, Error, Settings};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_cluster_of_another_major_version_is_refused_and_untouched() {
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    let version = postgres.version().to_owned();
    postgres.stop().expect("it stops");
    let file = data.join("postgres/PG_VERSION");
    let before = fs::read(&file).expect("it is there");
    fs::write(&file, "11\n").expect("it is written");
    let error = start_error(&data);
    assert!(matches!(error, Error::OtherMajorVersion { cluster_major: 11, .. }), "{error}");
    assert_says(&error.to_string(), &["PostgreSQL 11", &version, "pg_upgrade", "DESKLEDGER_POSTGRES_BIN"]);
    fs::write(&file, before).expect("it is written");
    start(&data).stop().expect("it stops");
}

#[test]
fn a_folder_of_programs_that_was_set_is_used_or_else_named() {
    let room = room();
    let real = find_in_path("postgres").parent().expect("it has a parent").to_path_buf();
    let data = room.path().join("data");
    let with = |binaries: &Path| {
        EmbeddedPostgres::start(&Settings { binaries: Some(binaries.to_path_buf()), ..settings(&data) }).map(drop)
    };
    with(&real).expect("it starts");

    let empty = room.path().join("empty");
    fs::create_dir(&empty).expect("a folder is made");
    let error = with(&empty).expect_err("it is refused");
    assert!(matches!(error, Error::BinariesUnusable(_)), "{error}");
    assert_says(&error.to_string(), &["DESKLEDGER_POSTGRES_BIN", empty.to_str().expect("UTF-8"), "no `postgres`"]);

    std::os::unix::fs::symlink("/bin/true", empty.join("postgres")).expect("a link is made");
    assert_says(&with(&empty).expect_err("it is refused").to_string(), &["no `initdb`"]);
    fs::write(empty.join("initdb"), "").expect("it is written");
    assert_says(&with(&empty).expect_err("it is refused").to_string(), &["`postgres -V`"]);
    fs::remove_file(empty.join("postgres")).expect("it goes");
    fs::write(empty.join("postgres"), "").expect("it is written");
    assert_says(&with(&empty).expect_err("it is refused").to_string(), &["cannot be run", "Permission denied"]);
}

#[test]
fn without_postgresql_one_message_says_what_to_do() {
    let error = what_is_said_without_postgresql();
    assert_says(
        &error,
        &[
            "PostgreSQL is not installed",
            "apt-get install postgresql",
            "dnf install postgresql-server",
            "apk add postgresql",
            "brew install postgresql",
            "DESKLEDGER_POSTGRES_BIN",
            "DATABASE_URL",
        ],
    );
    assert_eq!(error.trim().lines().count(), 1, "{error}");
}

/// From a service in a mount namespace in which nothing is installed; where none can be made, or PostgreSQL lies elsewhere, from the
/// error itself.
fn what_is_said_without_postgresql() -> String {
    let namespace: &[&str] = if am_root() { &["--mount"] } else { &["--map-root-user", "--mount"] };
    let of_debian = Path::new("/usr/lib/postgresql").exists();
    if !of_debian || !may_unshare(namespace) {
        return Error::NotInstalled { unusable: Vec::new() }.to_string();
    }
    let room = room();
    let become_me = if am_root() { "" } else { "unshare --user --map-user=1000" };
    let script = format!(r#"mount -t tmpfs none /usr/lib/postgresql && exec {become_me} "$@""#);
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", &script, "sh"]).arg(service()).arg("serve").arg(room.path().join("data"));
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    refusal(command)
}

#[test]
fn it_is_found_outside_of_path() {
    let room = room();
    let mut command = Command::new(service());
    command.arg("serve").arg(room.path().join("data")).env("PATH", "/nonexistent:relative");
    assert!(Service::start(command).end().success());
}
