//! `deskledger import`: what is taken in, and what becomes of lines that cannot be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::commands::program::{Ended, deskledger, run_on, run_with};
use crate::support::{Actor, World, pb};

/// A file to import, in a folder of its own.
pub struct File {
    folder: TempDir,
    name: &'static str,
}

impl File {
    pub fn of(bytes: &[u8]) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder"), name: "conversations.jsonl" };
        fs::write(file.path(), bytes).expect("the file is written");
        file
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// The side file.
    pub fn rejected(&self) -> PathBuf {
        self.folder.path().join(format!("{}.rejected", self.name))
    }
}

/// Imports a file for the application `acme`.
pub fn import(world: &World, path: &Path) -> Ended {
    run_on(&world.database, &["import", "--application", "acme", path.to_str().expect("a plain path")])
}

/// A ticket's line and those of its messages, numbered from 1.
pub fn conversation(channel_url: &str, messages: usize) -> Vec<String> {
    let ticket = json!({"kind": "ticket", "channel_url": channel_url, "customer": {"sendbird_id": "ada"}});
    let message = |number: usize| message_line(channel_url, &number.to_string()).to_string();
    std::iter::once(ticket.to_string()).chain((1..=messages).map(message)).collect()
}

fn message_line(channel_url: &str, external_id: &str) -> serde_json::Value {
    json!({"kind": "chat_message", "channel_url": channel_url, "external_id": external_id, "user_type": "CUSTOMER",
        "user_sendbird_id": "ada", "message": format!("message {external_id}")})
}

/// All messages of the actor's application.
pub async fn everything(actor: &mut Actor) -> Vec<pb::ChatMessage> {
    let mut parts =
        actor.messages.export_chat_messages(pb::ExportChatMessagesRequest::default()).await.expect("it begins").into_inner();
    let mut all = Vec::new();
    while let Some(part) = parts.message().await.expect("it goes on") {
        all.extend(part.chat_messages);
    }
    all
}

async fn tickets(actor: &mut Actor) -> Vec<pb::Ticket> {
    actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await.expect("they are listed").into_inner().tickets
}

#[expect(clippy::unnecessary_wraps, reason = "times are compared as the messages have them")]
fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

#[tokio::test]
async fn every_field_of_a_line_is_taken_in() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let agent = json!({"id": 11, "sendbird_id": "kim", "display_name": "Kim", "email": "kim@example.com"});
    let ticket = json!({"kind": "ticket", "channel_url": "c1", "channel_name": "Charged twice", "status": "CLOSED", "priority": "HIGH",
        "customer": {"id": 5, "sendbird_id": "ada", "channel_type": "SENDBIRD_IOS", "display_name": "Ada"}, "agent": agent,
        "group": {"id": 3, "name": "Billing", "key": "billing"}, "info": "{}",
        "custom_fields": [{"id": 9, "key": "order", "value": "17"}], "related_channels": "[\"c0\"]",
        "create_time": "2026-01-01T00:00:00Z", "close_time": "2026-01-01T01:00:00+01:00", "close_comment": "Refunded."});
    let file = json!({"url": "https://example.com/a.png", "name": "a.png", "content_type": "image/png", "size_bytes": 7});
    let message = json!({"kind": "chat_message", "channel_url": "c1", "external_id": "m1", "user_type": "AGENT",
        "user_sendbird_id": "kim", "create_time": "2026-01-01T00:30:00Z", "message": "Grüße", "data": "{\"a\":1}", "files": [file]});
    // With a byte order mark and line ends as some exports have them, and blank lines.
    let file = File::of(format!("\u{feff}{ticket}\r\n\r\n{message}").as_bytes());

    let said = import(&world, &file.path()).good();

    assert_eq!(said, "1 tickets and 1 messages stored; 0 and 0 were there already.\n");
    let ticket = tickets(&mut actor).await.remove(0);
    assert_eq!((ticket.channel_url.as_str(), ticket.channel_name.as_str()), ("c1", "Charged twice"));
    assert_eq!((ticket.status(), ticket.priority()), (pb::TicketStatus::Closed, pb::TicketPriority::High));
    let customer = ticket.customer.as_ref().expect("a customer");
    assert_eq!((customer.id, customer.sendbird_id.as_str(), customer.display_name.as_str()), (5, "ada", "Ada"));
    assert_eq!(customer.channel_type(), pb::ChannelType::SendbirdIos);
    let kim = pb::Agent { id: 11, display_name: "Kim".into(), sendbird_id: "kim".into(), email: "kim@example.com".into() };
    assert_eq!(ticket.recent_assignment, Some(pb::Assignment { agent: Some(kim) }));
    assert_eq!(ticket.group, Some(pb::Group { id: 3, name: "Billing".into(), key: "billing".into() }));
    assert_eq!(ticket.custom_fields, [pb::CustomField { id: 9, key: "order".into(), value: "17".into() }]);
    assert_eq!((ticket.info.as_str(), ticket.related_channels.as_str()), ("{}", "[\"c0\"]"));
    assert_eq!((ticket.create_time, ticket.close_time), (at(1_767_225_600), at(1_767_225_600)));
    assert_eq!((ticket.close_status.as_str(), ticket.close_comment.as_str()), ("DEFAULT", "Refunded."));
    let message = actor.list(ticket.id).await.remove(0);
    assert_eq!((message.user_sendbird_id.as_str(), message.user_type()), ("kim", pb::UserType::Agent));
    assert_eq!((message.message.as_str(), message.data.as_str(), message.external_id.as_str()), ("Grüße", "{\"a\":1}", "m1"));
    assert_eq!(message.create_time, at(1_767_227_400));
    let file =
        pb::File { url: "https://example.com/a.png".into(), name: "a.png".into(), content_type: "image/png".into(), size_bytes: 7 };
    assert_eq!(message.files, [file]);
}

#[tokio::test]
async fn a_closed_ticket_without_a_close_time_was_closed_when_it_was_made() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let customer = json!({"sendbird_id": "ada"});
    let dated = json!({"kind": "ticket", "channel_url": "dated", "status": "CLOSED", "customer": customer,
        "create_time": "2026-01-01T00:00:00Z"});
    let undated = json!({"kind": "ticket", "channel_url": "undated", "status": "CLOSED", "customer": customer});
    let file = File::of(format!("{dated}\n{undated}\n").as_bytes());

    import(&world, &file.path()).good();

    let tickets = tickets(&mut actor).await;
    assert_eq!((tickets[0].create_time, tickets[0].close_time), (at(1_767_225_600), at(1_767_225_600)));
    assert_eq!(tickets[1].create_time, tickets[1].close_time);
    // That of the import, which this test cannot know but for being later than the code.
    assert!(tickets[1].create_time.is_some_and(|time| time.seconds > 1_767_225_600));
}

/// Lines that cannot be imported, with what is said of each. None of what is said quotes a value.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let ticket = |more: serde_json::Value| {
        let mut line = json!({"kind": "ticket", "channel_url": "t", "customer": {"sendbird_id": "ada"}});
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line.to_string().into_bytes()
    };
    let message = |more: serde_json::Value| {
        let mut line = message_line("c1", "x");
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line.to_string().into_bytes()
    };
    vec![
        (b"{\"kind\": \"chat_message\"".to_vec(), "EOF while parsing an object (column 23)"),
        (b"secret".to_vec(), "expected value (column 1)"),
        (b"[]".to_vec(), "invalid length 0, expected struct Peek"),
        (json!({"channel_url": "c1"}).to_string().into_bytes(), "missing field `kind`"),
        (json!({"kind": "secret"}).to_string().into_bytes(), "unknown variant, expected `ticket` or `chat_message`"),
        (message(json!({"colour": 1})), "unknown field `colour`"),
        (message(json!({"user_type": "secret"})), "unknown variant, expected one of `AGENT`, `CUSTOMER`, `EVENT`"),
        (message(json!({"message": {"secret": 1}})), "invalid type: map, expected a string"),
        (message(json!({"external_id": 4_111_111})), "invalid type: integer, expected a string"),
        (message(json!({"files": [{"url": "u", "bytes": 1}]})), "unknown field `bytes`"),
        (message(json!({"create_time": "secret"})), "input contains invalid characters"),
        (message(json!({"external_id": ""})), "The chat_message.external_id parameter is required."),
        (message(json!({"message": "a\0secret"})), "The value of chat_message.message should not hold the character U+0000."),
        (message(json!({"channel_url": "a\0"})), "The value of chat_message.channel_url should not hold the character U+0000."),
        (message(json!({"message": "m".repeat(32_769)})), "The value of chat_message.message should have at most 32768 bytes."),
        (message(json!({"user_sendbird_id": ""})), "The chat_message.user_sendbird_id parameter is required."),
        (
            message(json!({"channel_url": "later"})),
            "there is no ticket of channel_url \"later\"; its line must come before its messages",
        ),
        (b"{\"kind\": \"chat_message\", \"message\": \"\xff\"}".to_vec(), "invalid unicode code point"),
        (ticket(json!({"channel_url": ""})), "The ticket.channel_url parameter is required."),
        (ticket(json!({"status": "OPEN"})), "unknown variant, expected one of `INITIALIZED`"),
        (ticket(json!({"group": {"id": 1, "colour": 2}})), "unknown field `colour`"),
        (ticket(json!({"custom_fields": [{"key": "k", "colour": 2}]})), "unknown field `colour`"),
        (ticket(json!({"agent": {"display_name": "Kim"}})), "The ticket.recent_assignment.agent.id parameter is required."),
        (
            ticket(json!({"close_time": "2026-01-01T00:00:00Z"})),
            "The ticket.close_time parameter cannot be given together with a status other than CLOSED.",
        ),
        (
            ticket(json!({"status": "CLOSED", "close_time": "9999-01-01T00:00:00Z"})),
            "The value of ticket.close_time should not be in the future.",
        ),
        (vec![b' '; 3 * 1024 * 1024], "the line has more than 1 MiB"),
    ]
}

#[tokio::test]
async fn a_bad_line_is_told_by_its_number_and_kept_as_it_was_while_the_good_ones_are_stored() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let good = conversation("c1", bad_lines().len());
    let mut content = format!("{}\n", good[0]).into_bytes();
    let mut kept = Vec::new();
    for ((bad, _), good) in bad_lines().into_iter().zip(&good[1..]) {
        kept.extend([&bad[..], b"\n"].concat());
        content.extend([&bad[..], b"\n", good.as_bytes(), b"\n"].concat());
    }
    let file = File::of(&content);

    let ended = import(&world, &file.path());

    assert_eq!(ended.stdout, format!("1 tickets and {} messages stored; 0 and 0 were there already.\n", good.len() - 1));
    let said = ended.failed(1);
    let lines: Vec<&str> = said.lines().collect();
    for ((at, (_, text)), line) in bad_lines().iter().enumerate().zip(&lines) {
        assert!(line.starts_with(&format!("line {}: {text}", 2 * at + 2)), "{line}\n  not: {text}");
    }
    let rejected = file.rejected();
    assert_eq!(
        lines[lines.len() - 1],
        format!("deskledger: {} lines could not be imported; they are in {}", lines.len() - 1, rejected.display())
    );
    assert!(!said.contains("secret") && !said.contains("4111"), "values are content: {said}");
    assert!(fs::read(&rejected).expect("the side file") == kept, "bad lines are kept as they were");
    assert_eq!(fs::metadata(&rejected).expect("the side file").permissions().mode() & 0o777, 0o600);
    let stored: Vec<String> = everything(&mut actor).await.into_iter().map(|message| message.external_id).collect();
    assert_eq!(stored, (1..good.len()).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_side_file_is_imported_once_it_is_mended() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let good = conversation("c1", 3);
    let broken = good[2].replace("CUSTOMER", "COSTUMER");
    let file = File::of([&good[0], &good[1], &broken, &good[3]].map(|line| format!("{line}\n")).concat().as_bytes());
    import(&world, &file.path()).failed(1);

    let kept = fs::read_to_string(file.rejected()).expect("the side file");
    fs::write(file.rejected(), kept.replace("COSTUMER", "CUSTOMER")).expect("it is mended");
    let said = import(&world, &file.rejected()).good();

    assert_eq!(said, "0 tickets and 1 messages stored; 0 and 0 were there already.\n");
    let stored: Vec<String> = everything(&mut actor).await.into_iter().map(|message| message.external_id).collect();
    assert_eq!(stored, ["1", "3", "2"], "what comes later is numbered later");
}

#[tokio::test]
async fn lines_are_read_from_standard_input_too() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let folder = tempfile::tempdir().expect("a folder");
    let lines = format!("{}\nbroken\n", conversation("c1", 2).join("\n"));

    let mut command = deskledger(&["import", "--application", "acme", "-"]);
    command.env("DATABASE_URL", world.database.url()).current_dir(folder.path());
    let said = run_with(&mut command, lines.as_bytes()).failed(1);

    assert!(said.contains("1 line could not be imported; it is in import.rejected"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("import.rejected")).expect("the side file"), "broken\n");
    assert_eq!(everything(&mut actor).await.len(), 2);
}

#[tokio::test]
async fn an_import_that_cannot_begin_changes_nothing() {
    let world = World::new().await;
    world.actor().await;
    let file = File::of(conversation("c1", 1).join("\n").as_bytes());
    let path = file.path();
    let path = path.to_str().expect("a plain path");
    let rows: [(&[&str], i32, &str); 4] = [
        (&["import", path], 2, "--application"),
        (&["import", path, "--application", "nobody"], 1, "deskledger: there is no application nobody\n"),
        (&["import", "/nowhere/at/all", "--application", "acme"], 1, "deskledger: cannot open /nowhere/at/all: No such file"),
        (&["import", path, "--application", "acme", "--rejected", path], 1, "deskledger: the rejected lines cannot be written to"),
    ];
    for (arguments, code, text) in rows {
        let refused = run_on(&world.database, arguments).failed(code);
        assert!(refused.contains(text), "{refused}");
    }
    assert_eq!(fs::read_to_string(path).expect("the file"), conversation("c1", 1).join("\n"));
    assert!(!file.rejected().exists());
}
