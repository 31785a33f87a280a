//! Data directories of all kinds.

use crate::embedded::process::{SERVER_USER, Service, am_root, room, service, settings, sql, start, start_error};
use deskledger::embedded_postgres::{EmbeddedPostgres, Error, default_data_dir};
use nix::unistd::Uid;
use nix::unistd::User;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

#[test]
fn any_path_will_do() {
    let room = room();
    for name in [b"with space".as_slice(), b"comma, \"quote\" 'n' $HOME \\ `", "\u{fc}\u{4e16}".as_bytes(), b"not utf-8 \xff\xfe"] {
        let data = room.path().join(OsStr::from_bytes(name));
        let postgres = start(&data);
        sql(postgres.socket_dir(), "create table t as select 42 as n");
        postgres.stop().expect("it stops");
        let postgres = start(&data);
        assert_eq!(sql(postgres.socket_dir(), "select n from t"), "42");
        assert!(postgres.socket_dir().to_str().is_some());
    }
    let error = start_error(&room.path().join("line\nbreak"));
    assert!(matches!(error, Error::UnusablePath(_)), "{error}");
}

#[test]
fn a_long_path_gets_a_short_socket_of_its_own_that_goes_away_again() {
    let room = room();
    let data = room.path().join("d".repeat(100)).join("e".repeat(100));
    let other = room.path().join("d".repeat(100)).join("f".repeat(100));
    let postgres = start(&data);
    let socket_dir = postgres.socket_dir().to_path_buf();
    assert_eq!(socket_dir.parent(), Some(Path::new("/tmp")));
    assert_eq!(fs::metadata(&socket_dir).expect("it is there").mode() & 0o777, 0o700);
    assert_eq!(sql(&socket_dir, "select 1"), "1");
    let second = start(&other);
    assert_ne!(second.socket_dir(), socket_dir);
    postgres.stop().expect("it stops");
    second.stop().expect("it stops");
    assert!(!socket_dir.exists());

    // A killed one leaves it, and the next uses it again.
    let service = Service::serve(&data);
    assert_eq!(service.socket_dir(), socket_dir);
    service.kill();
    let postgres = start(&data);
    assert_eq!(postgres.socket_dir(), socket_dir);
    postgres.stop().expect("it stops");

    // Somebody else's is refused.
    fs::write(&socket_dir, "").expect("it is written");
    let error = start_error(&data);
    fs::remove_file(&socket_dir).expect("it goes");
    assert!(matches!(error, Error::SocketFolderTaken { .. }), "{error}");
    if am_root() {
        fs::create_dir(&socket_dir).expect("a folder is made");
        chown(&socket_dir, Some(65534), None).expect("root may do that");
        let error = start_error(&data);
        fs::remove_dir(&socket_dir).expect("it goes");
        assert!(matches!(error, Error::SocketFolderTaken { .. }), "{error}");
    }
}

#[test]
fn the_longest_path_that_fits_keeps_its_socket_in_the_data_directory() {
    let room = room();
    let short = room.path().as_os_str().len() + 1;
    for (length, inside) in [(77, true), (78, false)] {
        let data = room.path().join("x".repeat(length - short));
        let postgres = start(&data);
        assert_eq!(postgres.socket_dir().starts_with(&data), inside);
        assert_eq!(sql(postgres.socket_dir(), "select 1"), "1");
        assert_eq!(EmbeddedPostgres::socket_dir_of(&settings(&data)).expect("a good path"), postgres.socket_dir());
    }
}

#[test]
fn a_relative_path_counts_from_the_working_directory() {
    let room = room();
    let mut command = Command::new(service());
    command.args(["serve", "some/data"]).current_dir(room.path());
    let service = Service::start(command);
    assert_eq!(service.socket_dir(), room.path().join("some/data/postgres.socket"));
    assert_eq!(sql(&service.socket_dir(), "select 1"), "1");
    assert!(service.end().success());
}

#[test]
fn a_data_directory_that_is_a_file_or_below_one_is_refused() {
    let room = room();
    let file = room.path().join("file");
    fs::write(&file, "precious").expect("it is written");
    for path in [file.clone(), file.join("below")] {
        let error = start_error(&path);
        assert!(matches!(error, Error::NotAFolder(_)), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).expect("a text"), "precious");
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_untouched() {
    let room = room();
    let data = room.path().join("data");
    let cluster = data.join("postgres");
    fs::create_dir_all(&cluster).expect("a folder is made");
    if am_root() {
        let user = User::from_name(SERVER_USER).expect("the user is known").expect("it is there");
        chown(&cluster, Some(user.uid.as_raw()), None).expect("root may do that");
    }
    fs::write(cluster.join("letter.txt"), "precious").expect("it is written");
    let error = start_error(&data);
    assert!(matches!(error, Error::NotACluster(_)), "{error}");
    fs::write(cluster.join("PG_VERSION"), "not a number").expect("it is written");
    assert!(matches!(start_error(&data), Error::NotACluster(_)));
    assert_eq!(fs::read_to_string(cluster.join("letter.txt")).expect("a text"), "precious");

    fs::remove_dir_all(&cluster).expect("it goes");
    fs::write(&cluster, "a file").expect("it is written");
    let error = start_error(&data);
    assert!(matches!(error, Error::NotACluster(_) | Error::WrongOwner { .. }), "{error}");
}

#[test]
fn an_empty_folder_in_the_cluster_s_place_is_used() {
    let room = room();
    let data = room.path().join("data");
    fs::create_dir_all(data.join("postgres")).expect("a folder is made");
    assert_eq!(sql(start(&data).socket_dir(), "select 1"), "1");
}

#[test]
fn other_files_in_the_data_directory_do_not_matter() {
    let room = room();
    let data = room.path().join("data");
    fs::create_dir_all(data.join("lost+found")).expect("a folder is made");
    fs::write(data.join("something"), "precious").expect("it is written");
    start(&data).stop().expect("it stops");
    assert_eq!(fs::read_to_string(data.join("something")).expect("a text"), "precious");
}

#[test]
fn a_cluster_given_as_the_data_directory_is_refused() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let error = start_error(&data.join("postgres"));
    assert!(matches!(error, Error::IsACluster(_)), "{error}");
}

#[test]
fn modes_that_a_container_s_file_system_has_opened_are_closed_again() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let cluster = data.join("postgres");
    fs::set_permissions(&cluster, fs::Permissions::from_mode(0o2770)).expect("its mode is set");
    start(&data).stop().expect("it stops");
    assert_eq!(fs::metadata(&cluster).expect("it is there").mode() & 0o777, 0o700);
}

#[test]
fn a_long_log_is_put_aside() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let log = data.join("postgres.log");
    fs::OpenOptions::new().write(true).open(&log).expect("it opens").set_len(9 * 1024 * 1024).expect("it grows");
    start(&data).stop().expect("it stops");
    assert!(fs::metadata(&log).expect("it is there").len() < 100_000);
    assert_eq!(fs::metadata(data.join("postgres.log.old")).expect("it is there").len(), 9 * 1024 * 1024);
}

#[test]
fn the_default_data_directory_is_the_system_s_for_root_and_the_user_s_own_for_others() {
    let (home, xdg) = (Path::new("/home/me"), Path::new("/data"));
    let user = Uid::from_raw(1000);
    let default = |user, home, xdg| default_data_dir(user, home, xdg).map(|path| path.to_str().expect("UTF-8").to_owned());
    assert_eq!(default(Uid::from_raw(0), Some(home), Some(xdg)).expect("there is a home"), "/var/lib/deskledger");
    assert_eq!(default(user, Some(home), Some(xdg)).expect("there is a home"), "/data/deskledger");
    assert_eq!(default(user, Some(home), None).expect("there is a home"), "/home/me/.local/share/deskledger");
    assert_eq!(
        default(user, Some(home), Some(Path::new("relative"))).expect("there is a home"),
        "/home/me/.local/share/deskledger"
    );
    assert_eq!(default(user, None, None), None);
}
