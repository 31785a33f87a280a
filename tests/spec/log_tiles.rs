//! The tree of the log over HTTP, as auditors' tools read it: C2SP tlog-tiles.

use bytes::Bytes;
use deskledger::domain::caller::Scope;
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::entry::Entry;
use http::{Request, StatusCode};

use crate::support::database::TestDatabase;
use crate::support::world::{TestKey, default_settings};
use crate::support::{Actor, Answer, Http, World, pb};

async fn get(world: &World, token: Option<&str>, path: &str) -> Answer {
    let http = Http::new(&world.address, "");
    let mut request = Request::get(path).header("Host", &world.address);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    http.send(request.body(Bytes::new()).expect("a request")).await
}

/// Deletes as many messages, the last one with its receipt: then all are in the signed tree.
async fn delete(actor: &mut Actor, count: usize) {
    let (ticket, mut messages) = actor.closed_ticket_with(count).await;
    let last = messages.pop().expect("a message");
    for batch in messages.chunks(500) {
        let ids = batch.iter().map(|message| message.id).collect();
        let request = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, ..Default::default() };
        actor.messages.batch_delete_chat_messages(request).await.expect("they may be deleted");
    }
    let answer = actor.delete_with_receipt(ticket.id, last.id).await.expect("it may be deleted");
    assert!(!answer.receipt.is_empty());
}

#[tokio::test]
async fn checkpoint_tiles_and_entries_are_served_under_the_paths_of_c2sp_to_be_kept_for_ever() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    delete(&mut actor, 300).await;
    let path = |path: &str| format!("/log/acme/{path}");
    let token = Some(actor.token.as_str());

    let answer = get(&world, token, &path("checkpoint")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("text/plain; charset=utf-8")));
    assert_eq!(answer.header("cache-control"), Some("private, max-age=1"));
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    let key = world.key.as_ref().expect("a key").verifier_key("acme");
    assert_eq!(checkpoint::open(&text, &key).expect("a good checkpoint").size, 300);

    for (tile, entries, hashes) in [
        ("tile/0/000", "tile/entries/000", 256),
        ("tile/0/001.p/44", "tile/entries/001.p/44", 44),
        ("tile/0/001.p/7", "tile/entries/001.p/7", 7),
    ] {
        let answer = get(&world, token, &path(tile)).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("application/octet-stream")), "{tile}");
        assert_eq!(answer.header("cache-control"), Some("private, max-age=31536000, immutable"));
        assert_eq!(answer.body.len(), hashes * 32);
        let bundle = get(&world, token, &path(entries)).await.body;
        assert_eq!(bundle.len(), hashes * 34);
        for (hash, entry) in answer.body.chunks(32).zip(bundle.chunks(34)) {
            let entry: [u8; 32] = entry.strip_prefix(&[0, 32]).expect("its length").try_into().expect("32 bytes");
            assert_eq!(hash, Entry(entry).leaf_hash().0);
        }
    }
    assert_eq!(get(&world, token, &path("tile/1/000.p/1")).await.body.len(), 32);
}

#[tokio::test]
async fn what_the_signed_tree_does_not_have_is_not_found() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    delete(&mut actor, 2).await;
    for path in [
        "tile/0/000",
        "tile/0/000.p/3",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/9/000",
        "tile/0/000.p/02",
        "tile/8/0/000",
        "tile/data/000",
        "tile/0/x001",
        "tile/",
        "other",
    ] {
        let answer = get(&world, Some(&actor.token), &format!("/log/acme/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn a_log_is_read_with_a_token_of_its_application_that_has_the_scope() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    delete(&mut actor, 1).await;
    let other = world.actor_of("other").await;
    let unscoped = world.actor_with("acme", &[Scope::MessagesDelete]).await;
    for path in ["checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"] {
        let path = format!("/log/acme/{path}");
        assert_eq!(get(&world, Some(&actor.token), &path).await.status, StatusCode::OK, "{path}");
        get(&world, None, &path).await.refused(401, "deskp401100", CREDENTIALS);
        get(&world, Some(&other.token), &path).await.refused(401, "deskp401100", CREDENTIALS);
        get(&world, Some(&unscoped.token), &path).await.refused(403, "deskp403100", "The token lacks the scope logs:read.");
    }
    get(&world, Some(&actor.token), "/log/nobody/checkpoint").await.refused(401, "deskp401100", CREDENTIALS);
}

const CREDENTIALS: &str = "A valid token is required: authorization: Bearer <token>, or sendbirddeskapitoken: <token>.";

#[tokio::test]
async fn a_public_log_is_open_to_all_and_to_the_caches_on_the_way() {
    let mut settings = default_settings();
    settings.public_log = true;
    let world = World::signing_on(TestDatabase::create().await, TestKey::new(), settings).await;
    let mut actor = world.actor().await;
    delete(&mut actor, 1).await;

    let checkpoint = get(&world, None, "/log/acme/checkpoint").await;
    let tile = get(&world, None, "/log/acme/tile/0/000.p/1").await;

    assert_eq!((checkpoint.status, checkpoint.header("cache-control")), (StatusCode::OK, Some("public, max-age=1")));
    assert_eq!((tile.status, tile.header("cache-control")), (StatusCode::OK, Some("public, max-age=31536000, immutable")));
    assert_eq!(get(&world, None, "/log/nobody/checkpoint").await.status, StatusCode::NOT_FOUND);
}
