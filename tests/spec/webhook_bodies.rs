//! Bodies of webhooks: what is refused before they are read, and that those of strangers take up a bounded part of the memory.

use deskledger::config::ServerSettings;
use deskledger::domain::caller::Scope;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::World;
use crate::support::database::TestDatabase;
use crate::support::webhook::{NONE, PATH, signed};
use crate::support::world::default_settings;

const MEBIBYTE: usize = 1024 * 1024;
/// What a signature looks like.
const SIGNATURE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Sends the head of a webhook with a body of this length, of which nothing is sent yet.
async fn head(world: &World, headers: &[String], length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(&world.address).await.expect("the service listens");
    let headers: String = headers.iter().flat_map(|header| [header.as_str(), "\r\n"]).collect();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {length}\r\n\r\n", world.address);
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    stream
}

/// The status of the answer that comes.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.expect("an answer");
    std::str::from_utf8(&begin[9..]).ok().and_then(|status| status.parse().ok()).expect("a status")
}

fn row(key: &str, signature: &str) -> Vec<String> {
    vec![format!("x-pusher-key: {key}"), format!("x-pusher-signature: {signature}")]
}

#[tokio::test]
async fn who_cannot_be_good_is_refused_before_a_byte_of_the_body_is_read() {
    let world = World::new().await;
    world.webhook_key("acme", "ours", "secret").await;
    let reader = world.actor_with("acme", &[Scope::MessagesRead]).await.token;
    let rows = [
        (vec![], MEBIBYTE, 401),
        (vec!["authorization: Bearer nonsense".to_owned()], MEBIBYTE, 401),
        (vec![format!("authorization: Bearer {reader}")], MEBIBYTE, 403),
        (row("ours", ""), MEBIBYTE, 401),
        (row("ours", &SIGNATURE[1..]), MEBIBYTE, 401),
        (vec!["x-pusher-key: ours".to_owned()], MEBIBYTE, 401),
        (row("ours", SIGNATURE), 8 * MEBIBYTE + 1, 400),
    ];
    for (headers, length, expected) in rows {
        assert_eq!(status(&mut head(&world, &headers, length).await).await, expected, "{headers:?} {length}");
    }
}

#[tokio::test]
async fn bodies_that_may_be_signed_take_sixty_four_mebibytes_at_most_and_those_of_unknown_keys_nothing() {
    // A slow machine takes its time over so many bytes.
    let settings = ServerSettings { request_timeout_seconds: 600, ..default_settings() };
    let world = World::on(TestDatabase::create().await, settings).await;
    let key = world.webhook_key("acme", "ours", "secret").await;
    let good = json!({"time_ms": world.app.milliseconds(), "events": []}).to_string();
    let length = 8 * MEBIBYTE;
    let almost = vec![b' '; length - 1];
    let mut held = Vec::new();

    // Nothing of these is kept.
    for _ in 0..9 {
        let mut stream = head(&world, &row("theirs", SIGNATURE), length).await;
        stream.write_all(&almost).await.expect("it is read");
        held.push(stream);
    }
    assert_eq!(world.post_webhook(&signed(&key, good.as_bytes()), good.as_bytes()).await.stored(), NONE);
    for mut stream in held.drain(..) {
        stream.write_all(b" ").await.expect("it is read");
        assert_eq!(status(&mut stream).await, 401, "told at the end, as a wrong signature is");
    }

    // Of these all is.
    for _ in 0..8 {
        let mut stream = head(&world, &row("ours", SIGNATURE), length).await;
        stream.write_all(&almost).await.expect("it is read");
        held.push(stream);
    }
    let send = async || world.post_webhook(&signed(&key, good.as_bytes()), good.as_bytes()).await.status;
    // What is sent is read in a moment.
    while send().await != 429 {}
    let mut one = held.pop().expect("one of them");
    one.write_all(b" ").await.expect("it is read");
    assert_eq!(status(&mut one).await, 401);
    assert_eq!(send().await, 201, "there is room again");
}
