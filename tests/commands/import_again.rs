//! `deskledger import` run again, killed, or run twice at once: everything is there exactly once, in its order.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Instant;

use crate::commands::import::{File, conversation, everything, import};
use crate::commands::program::{Service, deskledger};
use crate::support::{Actor, World, pb};

/// Looks for every message once, in the order of the file, numbered without gaps.
async fn assert_complete(actor: &mut Actor, channels: &[&str], messages: usize) {
    let tickets =
        actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await.expect("they are listed").into_inner().tickets;
    let mut found: Vec<&str> = tickets.iter().map(|ticket| ticket.channel_url.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, channels);
    let all = everything(actor).await;
    assert_eq!(all.len(), channels.len() * messages);
    for ticket in tickets {
        let of_ticket: Vec<_> = all.iter().filter(|message| message.ticket_id == ticket.id).collect();
        let numbers: Vec<(i64, String)> =
            of_ticket.iter().map(|message| (message.message_id, message.external_id.clone())).collect();
        let expected: Vec<(i64, String)> =
            (1..=i64::try_from(messages).expect("few")).map(|number| (number, number.to_string())).collect();
        assert_eq!(numbers, expected, "{}", ticket.channel_url);
        assert_eq!(ticket.message_count, i64::try_from(messages).expect("few"));
    }
}

fn file_of(channels: &[&str], messages: usize) -> File {
    File::of(channels.iter().flat_map(|channel| conversation(channel, messages)).collect::<Vec<_>>().join("\n").as_bytes())
}

#[tokio::test]
async fn an_import_run_again_stores_nothing_new() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let file = file_of(&["c1", "c2"], 501);

    assert_eq!(import(&world, &file.path()).good(), "2 tickets and 1002 messages stored; 0 and 0 were there already.\n");
    let before = everything(&mut actor).await;
    assert_eq!(import(&world, &file.path()).good(), "0 tickets and 0 messages stored; 2 and 1002 were there already.\n");

    assert_eq!(everything(&mut actor).await, before);
    assert_complete(&mut actor, &["c1", "c2"], 501).await;
}

#[tokio::test]
async fn a_file_ordered_by_time_keeps_the_order_within_each_ticket() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (one, two) = (conversation("c1", 600), conversation("c2", 600));
    let in_turn: Vec<String> = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect();

    import(&world, &File::of(in_turn.join("\n").as_bytes()).path()).good();

    assert_complete(&mut actor, &["c1", "c2"], 600).await;
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_when_it_is_run_again() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let file = file_of(&["c1"], 1500);
    let content = std::fs::read_to_string(file.path()).expect("the file");
    let (begin, _) = content.split_once("\"1201\"").expect("a line in the middle");

    let mut command = deskledger(&["import", "--application", "acme", "-", "--rejected", "/dev/null"]);
    let mut import_of_a_part = Service::fed(command.env("DATABASE_URL", world.database.url()).stdin(Stdio::piped()));
    let mut stdin = import_of_a_part.stdin.take().expect("its standard input");
    stdin.write_all(begin.as_bytes()).expect("it reads");
    // The line is cut off in its middle. That it is told says that those before it were read, and the first thousand stored.
    stdin.write_all(b"\n").expect("it reads");
    import_of_a_part.logged("line 1202: ");
    import_of_a_part.killed();
    let stored = everything(&mut actor).await.len();
    import(&world, &file.path()).good();

    assert!((1000..1500).contains(&stored), "it was killed in the middle: {stored}");
    assert_complete(&mut actor, &["c1"], 1500).await;
}

#[tokio::test]
async fn two_imports_of_one_file_at_once_store_everything_once() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let file = file_of(&["c1", "c2", "c3"], 700);
    let (path, url) = (file.path(), world.database.url());
    let begin = || {
        let mut command = deskledger(&["import", "--application", "acme"]);
        Service::start(command.arg(&path).env("DATABASE_URL", &url))
    };

    let mut both = [begin(), begin()];
    let mut stored = 0;
    for import in &mut both {
        let said = import.printed("messages stored").pop().expect("a line");
        let messages = said.split(' ').nth(3).expect("a number");
        stored += messages.parse::<u64>().expect("a number");
    }

    for import in both {
        let (code, log) = import.end();
        assert_eq!(code, Some(0), "{log}");
    }
    assert_eq!(stored, 2100, "each message was stored by one of the two");
    assert_complete(&mut actor, &["c1", "c2", "c3"], 700).await;
}

#[tokio::test]
async fn two_imports_that_describe_one_ticket_differently_make_it_once() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let lines = |name: &str| {
        (1..=200).fold(String::new(), |mut lines, number| {
            let customer = "{\"sendbird_id\": \"ada\"}";
            writeln!(
                lines,
                "{{\"kind\": \"ticket\", \"channel_url\": \"c{number}\", \"channel_name\": \"{name}\", \"customer\": {customer}}}"
            )
            .expect("a text takes anything");
            lines
        })
    };
    let files = [File::of(lines("one").as_bytes()), File::of(lines("two").as_bytes())];
    let url = world.database.url();
    let begin = |file: &File| {
        let mut command = deskledger(&["import", "--application", "acme"]);
        Service::start(command.arg(file.path()).env("DATABASE_URL", &url))
    };

    for import in files.each_ref().map(begin) {
        let (code, log) = import.end();
        assert_eq!(code, Some(0), "{log}");
    }

    let request = pb::ListTicketsRequest { page_size: 500, ..Default::default() };
    let tickets = actor.tickets.list_tickets(request).await.expect("they are listed").into_inner().tickets;
    assert_eq!(tickets.len(), 200);
}

#[tokio::test]
async fn a_long_file_is_taken_in_whole() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let file = file_of(&["c1", "c2"], 10_000);
    let begin = Instant::now();

    import(&world, &file.path()).good();

    println!("20,000 messages in {:?}", begin.elapsed());
    assert_complete(&mut actor, &["c1", "c2"], 10_000).await;
}
