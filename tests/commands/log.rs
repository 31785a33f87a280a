//! `deskledger log`: keys and receipts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::tempdir;

use crate::commands::program::{deskledger, run};

#[test]
fn a_key_is_made_for_its_owner_only_and_never_over_another() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("log.key");
    let file = path.to_str().expect("a path of text");
    let generate = || run(&mut deskledger(&["log", "key", "generate", "desk.example.com/log", "--log-key-file", file]));

    let said = generate().good();
    let key = fs::read_to_string(&path).expect("the key");
    let again = generate().failed(1);

    assert!(!said.contains(&key), "{said}");
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    assert!(key.starts_with("PRIVATE+KEY+desk.example.com/log+"), "the form of C2SP signed-note");
    assert!(again.contains("cannot make the key file"), "{again}");
    assert_eq!(fs::read_to_string(&path).expect("the key"), key);
}

#[test]
fn the_verifier_key_of_each_application_is_shown_and_the_private_key_is_not() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("log.key");
    let with_file = |arguments: &[&str]| run(deskledger(arguments).env("DESKLEDGER_LOG_KEY_FILE", &path));
    with_file(&["log", "key", "generate", "desk.example.com/log"]).good();
    let private = fs::read_to_string(&path).expect("the key");
    let (_, private) = private.trim().rsplit_once('+').expect("its last part");

    let acme = with_file(&["log", "key", "show", "acme"]).good();
    let zebra = with_file(&["log", "key", "show", "zebra"]).good();

    assert!(acme.starts_with("desk.example.com/log/acme+"), "{acme}");
    assert_eq!(with_file(&["log", "key", "show", "acme"]).good(), acme);
    let parts = |key: &str| key.trim().split('+').map(str::to_owned).collect::<Vec<_>>();
    let (acme, zebra) = (parts(&acme), parts(&zebra));
    assert_eq!(acme[2], zebra[2], "one public key");
    assert_ne!(acme[1], zebra[1], "a key id for each name");
    assert!(!acme.concat().contains(private));
}

#[test]
fn an_origin_that_cannot_name_a_key_and_a_file_that_holds_none_are_refused() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("log.key");
    let with_file = |arguments: &[&str]| run(deskledger(arguments).env("DESKLEDGER_LOG_KEY_FILE", &path));
    let refused = with_file(&["log", "key", "generate", "a b"]).failed(1);
    assert_eq!(refused, "deskledger: the origin is malformed\n");
    assert!(!path.exists());
    let refused = with_file(&["log", "key", "show", "acme"]).failed(1);
    assert!(refused.contains("cannot read the key file"), "{refused}");
    fs::write(&path, "hunter2").expect("the file");
    let refused = with_file(&["log", "key", "show", "acme"]).failed(1);
    assert!(refused.contains("holds no key of a log") && !refused.contains("hunter2"), "{refused}");
}

#[test]
fn what_is_no_receipt_and_what_is_no_verifier_key_are_told_apart() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("some.tlog-proof");
    fs::write(&path, "nothing of the kind").expect("the file");
    let file = path.to_str().expect("a path of text");
    let key_file = directory.path().join("log.key");
    let with_file = |arguments: &[&str]| run(deskledger(arguments).env("DESKLEDGER_LOG_KEY_FILE", &key_file));
    with_file(&["log", "key", "generate", "desk.example.com/log"]).good();
    let key = with_file(&["log", "key", "show", "acme"]).good();

    let refused = with_file(&["log", "verify-receipt", file, "--key", key.trim()]).failed(1);
    assert_eq!(refused, "deskledger: the receipt proves nothing: the receipt is malformed\n");
    let refused = with_file(&["log", "verify-receipt", file, "--key", "hunter2"]).failed(2);
    assert!(refused.contains("the verifier key is malformed"), "{refused}");
    let refused = with_file(&["log", "verify-receipt", "nowhere", "--key", key.trim()]).failed(1);
    assert!(refused.contains("cannot read the receipt nowhere"), "{refused}");
}
