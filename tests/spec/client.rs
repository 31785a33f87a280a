//! The Rust client: `deskledger::client`, and the example that uses it.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use deskledger::client::{BuildError, Client, reason, refusal, repeat, request_id};
use deskledger::proto::ErrorReason;
use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::world::plain_token;
use crate::support::{World, pb};

const PATIENCE: Duration = Duration::from_secs(10);

async fn client_of(world: &World) -> Client {
    let token = world.token("acme", plain_token()).await;
    Client::builder(format!("http://{}", world.address), token).connect_lazy().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_why_it_was_refused() {
    let world = World::new().await;
    let client = client_of(&world).await;
    let (ticket, messages) = world.actor().await.ticket_with(1).await;
    let request = pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: messages[0].id, ..Default::default() };

    let status = client.chat_messages().delete_chat_message(request).await.expect_err("the ticket is open");

    assert_eq!(reason(&status), Some(ErrorReason::TicketNotClosed));
    assert_eq!(refusal(&status).expect("details").metadata["ticket_id"], ticket.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sends_its_token_with_calls_of_every_service() {
    let world = World::new().await;
    let client = client_of(&world).await;
    client.tickets().list_tickets(pb::ListTicketsRequest::default()).await.expect("tickets");
    client.deletion_logs().list_deletion_logs(pb::ListDeletionLogsRequest::default()).await.expect("logs");
    client.ingest().list_rejected_events(pb::ListRejectedEventsRequest::default()).await.expect("events");
    let mut export =
        client.chat_messages().export_chat_messages(pb::ExportChatMessagesRequest::default()).await.expect("an export");
    assert!(export.get_mut().message().await.expect("a stream").is_none(), "nothing is there to export");

    let stranger = Client::builder(format!("http://{}", world.address), "wrong").connect_lazy().expect("a client");
    let status = stranger.tickets().list_tickets(pb::ListTicketsRequest::default()).await.expect_err("a wrong token");
    assert_eq!(reason(&status), Some(ErrorReason::CredentialsInvalid));
}

#[test]
fn a_token_or_a_url_that_cannot_be_sent_makes_no_client() {
    let made = |url, token| Client::builder(url, token).connect_lazy();
    assert!(matches!(made("http://127.0.0.1:1", "two\nlines"), Err(BuildError::Token(_))));
    assert!(matches!(made("no url", "token"), Err(BuildError::Endpoint(_))));
}

/// Repeats a call whose attempts are answered so, and counts them.
async fn attempts(answers: impl Fn(u32) -> Result<(), Status>) -> (u32, Result<(), Code>) {
    let count = AtomicU32::new(0);
    let outcome = repeat(PATIENCE, async || answers(count.fetch_add(1, Ordering::Relaxed)).map(Response::new)).await;
    (count.into_inner(), outcome.map(Response::into_inner).map_err(|status| status.code()))
}

fn refused(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "Refused.", ErrorDetails::with_error_info(reason, "deskledger", []))
}

#[tokio::test]
async fn a_call_that_may_get_through_later_is_repeated() {
    let twice = |status: fn() -> Status| move |attempt| if attempt < 2 { Err(status()) } else { Ok(()) };
    assert_eq!(attempts(twice(|| Status::unavailable("away"))).await, (3, Ok(())));
    assert_eq!(attempts(twice(|| Status::from_error("the connection is lost".into()))).await, (3, Ok(())));
    assert_eq!(attempts(twice(|| refused(Code::Aborted, "WRITE_CONFLICT"))).await, (3, Ok(())));
    assert_eq!(attempts(twice(|| refused(Code::Unavailable, "DATABASE_UNAVAILABLE"))).await, (3, Ok(())));
}

#[tokio::test]
async fn a_refusal_that_will_stay_is_not_repeated() {
    assert_eq!(attempts(|_| Err(refused(Code::Aborted, "ETAG_MISMATCH"))).await, (1, Err(Code::Aborted)));
    let open = || refused(Code::FailedPrecondition, "TICKET_NOT_CLOSED");
    assert_eq!(attempts(|_| Err(open())).await, (1, Err(Code::FailedPrecondition)));
    assert_eq!(attempts(|_| Err(Status::internal("not ours"))).await, (1, Err(Code::Internal)));
}

#[tokio::test]
async fn a_call_is_not_repeated_for_longer_than_its_caller_waits() {
    let wait = ErrorDetails::with_retry_info(Some(PATIENCE * 2));
    let status = || Status::with_error_details(Code::Unavailable, "Later.", wait.clone());
    assert_eq!(attempts(|_| Err(status())).await, (1, Err(Code::Unavailable)));
}

#[test]
fn each_request_has_an_id_of_its_own() {
    assert_ne!(request_id(), request_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_opens_deletes_and_reads_the_log() {
    let world = World::signing().await;
    let token = world.token("acme", plain_token()).await;
    let tests = std::env::current_exe().expect("the path of this program");
    let example = tests.ancestors().nth(2).expect("the folder of the build").join("examples/client");
    assert!(example.exists(), "{} is missing: `cargo build --examples` makes it, as `cargo test` does", example.display());
    let mut command = Command::new(example);
    command.env("ADDRESS", &world.address).env("TOKEN", token).stdin(Stdio::null());

    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it is waited for").expect("it runs");

    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "ticket 1: 5 messages in 3 pages");
    assert_eq!(lines[1], "refused: TICKET_NOT_CLOSED, ticket 1 is INITIALIZED");
    assert_eq!(lines[4].replace("repeated", "deleted"), lines[2]);
    assert_eq!(lines[5], "log: 2 entries in 2 pages");
}

#[test]
fn a_program_that_calls_the_service_builds_nothing_of_the_server() {
    let manifest = fs::read_to_string("Cargo.toml").expect("the manifest");
    let section = |name: &str| {
        let rest = manifest.split(&format!("\n[{name}]\n")).nth(1).expect("the section");
        rest.split("\n[").next().expect("its lines").to_owned()
    };
    let features = section("features");
    for line in section("dependencies").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(' ').next().expect("a name");
        let optional = line.contains("optional = true");
        let of_server = features.contains(&format!("\"dep:{name}\""));
        assert_eq!(optional, of_server, "{name} is optional and in the feature `server`, or neither");
        assert!(optional || OF_CLIENT.contains(&name), "{name}: make it optional and name it in the feature `server`");
    }
}

/// What the client needs, and so is always built.
const OF_CLIENT: [&str; 8] = ["tonic", "tonic-prost", "prost", "prost-types", "tonic-types", "tokio", "uuid", "thiserror"];
