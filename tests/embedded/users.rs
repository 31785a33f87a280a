//! Who runs the server: root, ordinary users, users without a name. Where only root can set the scene, others have nothing to test.

use crate::embedded::process::{
    SERVER_USER, Service, am_root, as_user, assert_says, may_unshare, postmaster, refusal, room, service, service_for_others, sql,
    start, start_error,
};
use deskledger::embedded_postgres::Error;
use nix::unistd::{Uid, User};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

#[test]
fn root_gives_the_server_to_another_user_and_still_gets_in() {
    if !am_root() {
        return;
    }
    let room = room();
    let data = room.path().join("data");
    let postgres = start(&data);
    let user = User::from_name(SERVER_USER).expect("the user is known").expect("it is there");
    let status = fs::metadata(format!("/proc/{}", postmaster(&data))).expect("it is there");
    assert_eq!((status.uid(), status.gid()), (user.uid.as_raw(), user.gid.as_raw()));
    for entry in ["", "postgres", "postgres.socket", "postgres.lock", "postgres.log"] {
        assert_eq!(fs::metadata(data.join(entry)).expect("it is there").uid(), user.uid.as_raw(), "{entry}");
    }
    assert_eq!(sql(postgres.socket_dir(), "select 1"), "1");
}

#[test]
fn root_runs_the_server_as_the_owner_of_the_data_directory() {
    if !am_root() {
        return;
    }
    let room = room();
    let data = room.path().join("data");
    fs::create_dir(&data).expect("a folder is made");
    let nobody = User::from_name("nobody").expect("the user is known").expect("it is there");
    chown(&data, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).expect("root may do that");
    for _ in 0..2 {
        let postgres = start(&data);
        assert_eq!(fs::metadata(format!("/proc/{}", postmaster(&data))).expect("it is there").uid(), nobody.uid.as_raw());
        postgres.stop().expect("it stops");
        // From now on the cluster's owner decides.
        chown(&data, Some(0), Some(0)).expect("root may do that");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("its mode is set");
    }
}

/// As `mktemp -d` makes it.
fn private_room() -> tempfile::TempDir {
    let room = room();
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o700)).expect("its mode is set");
    room
}

#[test]
fn root_s_empty_private_folder_is_taken_over() {
    if !am_root() {
        return;
    }
    let data = private_room();
    start(data.path()).stop().expect("it stops");
}

#[test]
fn a_folder_closed_to_the_server_s_user_is_named() {
    if !am_root() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder is made");
    let closed = room.path().join("open/closed");
    fs::create_dir_all(closed.join("open")).expect("a folder is made");
    for (folder, mode) in
        [(room.path(), 0o755), (&room.path().join("open"), 0o755), (&closed, 0o700), (&closed.join("open"), 0o755)]
    {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("its mode is set");
    }
    let error = start_error(&closed.join("open/data"));
    assert!(matches!(&error, Error::CannotEnter { folder, .. } if *folder == closed), "{error}");
    assert_says(&error.to_string(), &[SERVER_USER, &format!("cannot enter {},", closed.display())]);
}

#[test]
fn a_private_folder_of_root_s_with_something_in_it_is_not_taken() {
    if !am_root() {
        return;
    }
    let data = private_room();
    fs::write(data.path().join("key"), "secret").expect("it is written");
    let error = start_error(data.path());
    assert!(matches!(&error, Error::CannotEnter { folder, .. } if folder == data.path()), "{error}");
    assert_eq!(fs::metadata(data.path()).expect("it is there").uid(), 0);
}

#[test]
fn a_cluster_of_another_user_is_refused_by_name() {
    if !am_root() {
        return;
    }
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    chown(data.join("postgres"), Some(0), Some(0)).expect("root may do that");
    let error = start_error(&data);
    assert!(matches!(error, Error::WrongOwner { .. }), "{error}");
    assert_says(&error.to_string(), &["belongs to root", "chown -R postgres"]);

    chown(data.join("postgres"), Some(65534), None).expect("root may do that");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("its mode is set");
    let mut command = as_user("daemon", service_for_others(&room));
    command.arg("serve").arg(&data);
    assert_says(&refusal(command), &["belongs to nobody", "would run as daemon"]);
}

#[test]
fn root_does_not_follow_links_that_the_server_s_user_put_in_its_way() {
    if !am_root() {
        return;
    }
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    let precious = room.path().join("precious");
    fs::write(&precious, "precious").expect("it is written");
    for name in ["postgres.log", "postgres.lock", "postgres.socket"] {
        let path = data.join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        std::os::unix::fs::symlink(&precious, &path).expect("a link is made");
        start_error(&data);
        assert_eq!(fs::read_to_string(&precious).expect("a text"), "precious");
        assert_eq!(fs::metadata(&precious).expect("it is there").uid(), 0, "{name}");
        fs::remove_file(&path).expect("it goes");
    }
    start(&data).stop().expect("it stops");
}

#[test]
fn an_ordinary_user_runs_the_server_as_itself() {
    let room = room();
    let mine = room.path().join("mine");
    fs::create_dir(&mine).expect("a folder is made");
    let program = service_for_others(&room);
    let (uid, command) = if am_root() {
        chown(&mine, Some(65534), Some(65534)).expect("root may do that");
        (65534, as_user("65534", &program))
    } else {
        (Uid::effective().as_raw(), Command::new(&program))
    };
    let data = mine.join("deep/data");
    let service = Service::start(serving(command, &data));
    assert_eq!(fs::metadata(format!("/proc/{}", postmaster(&data))).expect("it is there").uid(), uid);
    assert_eq!(sql(&service.socket_dir(), "select 1"), "1");
    assert!(service.end().success());
}

fn serving(mut command: Command, data: &Path) -> Command {
    command.arg("serve").arg(data);
    command
}

#[test]
fn a_folder_that_an_ordinary_user_may_not_write_to_is_named() {
    if !am_root() {
        return;
    }
    let room = room();
    let program = service_for_others(&room);
    let serve = |data: &Path| serving(as_user("65534", &program), data);
    let not_mine = room.path().join("data");
    let no_folder = refusal(serve(&not_mine));
    assert_says(&no_folder, &["cannot create the folder", path_text(&not_mine), "Permission denied", "runs as uid 65534"]);
    let unwritable = room.path().join("unwritable");
    fs::create_dir(&unwritable).expect("a folder is made");
    assert_says(&refusal(serve(&unwritable)), &["cannot open for writing", path_text(&unwritable), "Permission denied"]);
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_user_without_a_name_is_told_so_and_can_run_a_database_that_exists() {
    if !am_root() {
        return;
    }
    let room = room();
    let data = room.path().join("data");
    fs::create_dir(&data).expect("a folder is made");
    chown(&data, Some(54321), Some(54321)).expect("root may do that");
    let program = service_for_others(&room);
    let serve = || {
        let mut command = as_user("54321", &program);
        command.arg("serve").arg(&data);
        command
    };
    assert_says(&refusal(serve()), &["uid 54321 has no entry in /etc/passwd", "DATABASE_URL"]);

    let made = room.path().join("made");
    start(&made).stop().expect("it stops");
    assert!(Command::new("chown").args(["-R", "54321:54321"]).arg(&made).status().expect("it runs").success());
    fs::remove_dir_all(&data).expect("it goes");
    fs::rename(&made, &data).expect("it is renamed");
    let service = Service::start(serve());
    assert_eq!(sql(&service.socket_dir(), "select 1"), "1");
    assert!(service.end().success());
}

#[test]
fn root_that_may_not_become_another_user_is_told_so() {
    if !am_root() {
        return;
    }
    let room = room();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-setuid", "--inh-caps=-setuid"]).arg(service()).arg("serve").arg(room.path().join("data"));
    assert_says(&refusal(command), &["becoming postgres was refused", "CAP_SETUID"]);
}

#[test]
fn root_of_a_namespace_without_other_users_is_told_so() {
    if !may_unshare(&["--map-root-user"]) {
        return;
    }
    let room = room();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user"]).arg(service()).arg("serve").arg(room.path().join("data"));
    assert_says(&refusal(command), &["becoming postgres was refused", "rootless container"]);
}
