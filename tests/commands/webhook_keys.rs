//! `deskledger webhook-key`: a key that is added here signs at the door, until it is revoked here.

use serde_json::json;

use crate::commands::program::{Ended, deskledger, run, run_on};
use crate::support::World;
use crate::support::database::TestDatabase;
use crate::support::webhook::signature;
use crate::support::world::default_settings;

async fn database() -> TestDatabase {
    let database = TestDatabase::create().await;
    run_on(&database, &["application", "create", "acme"]).good();
    database
}

fn add(database: &TestDatabase, secret: Option<&str>, arguments: &[&str]) -> Ended {
    let mut command = deskledger(&[&["webhook-key", "add", "acme"], arguments].concat());
    if let Some(secret) = secret {
        command.env("DESKLEDGER_WEBHOOK_SECRET", secret);
    }
    run(command.env("DATABASE_URL", database.url()))
}

#[tokio::test]
async fn a_key_that_was_added_signs_until_it_is_revoked() {
    let database = database().await;
    let printed = add(&database, Some("tofu and rice"), &["--key", "ours", "--name", "the desk"]).good();
    assert_eq!(printed, "ours\ttofu and rice\n");
    let random = add(&database, None, &[]).good();
    let (key, secret) = random.trim_end().split_once('\t').expect("key and secret");
    assert_eq!((key.len(), secret.len()), (20, 64), "{random}");
    let world = World::on(database, default_settings()).await;
    let sends = async |key: &str, secret: &str| {
        let body = json!({"time_ms": world.app.milliseconds(), "events": []}).to_string();
        let signature = signature(secret, body.as_bytes());
        let headers = [format!("x-pusher-key: {key}"), format!("x-pusher-signature: {signature}")];
        world.post_webhook(&headers, body.as_bytes()).await.status
    };

    assert_eq!((sends("ours", "tofu and rice").await, sends(key, secret).await, sends("ours", secret).await), (201, 201, 401));
    assert_eq!(run_on(&world.database, &["webhook-key", "revoke", "ours"]).good(), "ours is revoked.\n");
    assert_eq!((sends("ours", "tofu and rice").await, sends(key, secret).await), (401, 201));

    let listed = run_on(&world.database, &["webhook-key", "list", "acme"]).good();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((rows[0][0], rows[0][3]), ("ours", "the desk"));
    assert!(rows[0][2].starts_with("revoked "), "{listed}");
    assert_eq!((rows[1][0], rows[1][2], rows.len()), (key, "good", 2));
    assert!(!listed.contains("tofu") && !listed.contains(secret), "a secret is shown once");
    let again = run_on(&world.database, &["webhook-key", "revoke", "ours"]).failed(1);
    assert_eq!(again, "deskledger: there is no webhook key ours that is not revoked\n");
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_not_added_and_no_secret_is_told() {
    let database = database().await;
    add(&database, Some("s3cret"), &["--key", "taken"]).good();
    let white = "no white space at an end";
    let rows: [(Option<&str>, &[&str], i32, &str); 7] = [
        (Some("s3cret"), &["--key", "taken"], 1, "there is a webhook key of that name already"),
        (Some("s3cret"), &["--key", "two words"], 2, "none of them a space"),
        (Some("s3cret"), &["--key", ""], 2, "a key has 1 to 255"),
        (Some("s3cret"), &["--name", "two\nlines"], 2, "a name has at most 255 characters"),
        (Some("s3cret\n"), &[], 1, white),
        (Some(" s3cret"), &[], 1, white),
        (Some(""), &[], 1, "a secret has 1 to 255"),
    ];
    for (secret, arguments, code, text) in rows {
        let told = add(&database, secret, arguments).failed(code);
        assert!(told.contains(text), "{arguments:?}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    for command in ["add", "list"] {
        let told = run_on(&database, &["webhook-key", command, "nobody"]).failed(1);
        assert_eq!(told, "deskledger: there is no application nobody\n");
    }
    assert_eq!(run_on(&database, &["webhook-key", "list", "acme"]).good().lines().count(), 1);
}
