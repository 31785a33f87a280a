//! Authentication: how a token is sent, which tokens are good, and that a bad one learns nothing.

use chrono::{DateTime, TimeDelta, Utc};
use deskledger::app::NewToken;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::database::{TestDatabase, as_bytes};
use crate::support::raw::call;
use crate::support::world::{default_settings, plain_token};
use crate::support::{World, pb, refusal};

const METHOD: &str = "TicketService/ListTickets";

#[tokio::test]
async fn a_token_goes_in_either_header_and_the_scheme_in_any_case() {
    let world = World::new().await;
    let token = world.token("acme", plain_token()).await;
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer {token}")),
        ("authorization", format!("BEARER  {token}")),
        ("sendbirddeskapitoken", token.clone()),
    ] {
        ask(&world, &[(name, &value)]).await.expect("the token is good");
    }
}

#[tokio::test]
async fn a_call_without_a_token_is_told_how_to_send_one() {
    let world = World::new().await;

    let refused = refusal(&ask(&world, &[]).await.expect_err("there is no token"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "CREDENTIALS_MISSING"));
    assert_eq!(refused.metadata["legacy_code"], "deskp401100");
    for header in ["authorization: Bearer <token>", "sendbirddeskapitoken: <token>"] {
        assert!(refused.message.contains(header), "{}", refused.message);
    }
}

#[tokio::test]
async fn every_bad_token_gets_one_and_the_same_answer_which_does_not_repeat_it() {
    let world = World::new().await;
    let good = world.token("acme", plain_token()).await;
    let other = world.token("acme", plain_token()).await;
    let now: DateTime<Utc> = "2026-03-15T11:00:00Z".parse().expect("a time");
    let expired = world.token("acme", NewToken { expire_time: Some(now), ..plain_token() }).await;
    let revoked = world.token("acme", plain_token()).await;
    assert!(world.owner.revoke_token(id_of(&revoked)).await.expect("the database"));
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let cases = [
        bearer("garbage"),
        bearer(""),
        bearer("dl_"),
        bearer("dl__"),
        bearer(id_of(&good)),
        bearer(&good[..good.len() - 1]),
        bearer(&format!("{good}A")),
        bearer(&good.to_lowercase()),
        bearer(&format!("dl_0123456789abcdef_{}", secret_of(&good))),
        bearer(&format!("dl_{}_{}", id_of(&good), secret_of(&other))),
        bearer(&format!("dl_{}_", id_of(&good))),
        bearer(&expired),
        bearer(&revoked),
        ("authorization", format!("Basic {good}")),
        ("authorization", good.clone()),
        ("sendbirddeskapitoken", format!("Bearer {good}")),
        ("sendbirddeskapitoken", String::new()),
    ];
    let mut answers = Vec::new();
    for (name, value) in &cases {
        let headers = [(*name, value.as_str()), ("x-request-id", "same")];
        let status = ask(&world, &headers).await.expect_err(value);
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "CREDENTIALS_INVALID"), "{value}");
        assert_eq!(
            (refused.message.as_str(), refused.metadata["legacy_code"].as_str()),
            ("A valid token is required: authorization: Bearer <token>, or sendbirddeskapitoken: <token>.", "deskp401100")
        );
        answers.push((status.message().to_owned(), status.details().to_vec()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "byte for byte");
}

#[tokio::test]
async fn with_both_headers_authorization_counts() {
    let world = World::new().await;
    let token = world.token("acme", plain_token()).await;
    let bearer = format!("Bearer {token}");

    ask(&world, &[("authorization", &bearer), ("sendbirddeskapitoken", "garbage")]).await.expect("authorization is good");
    let refused = ask(&world, &[("authorization", "Bearer garbage"), ("sendbirddeskapitoken", &token)]).await;

    assert_eq!(refusal(&refused.expect_err("authorization is bad")).reason, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn a_token_is_good_until_the_instant_it_expires() {
    let world = World::new().await;
    let expire_time: DateTime<Utc> = "2026-06-01T00:00:00Z".parse().expect("a time");
    let token = world.token("acme", NewToken { expire_time: Some(expire_time), ..plain_token() }).await;
    let bearer = format!("Bearer {token}");
    world.clock.set("2026-05-31T23:59:59.999999Z");
    world.clock.freeze();

    ask(&world, &[("authorization", &bearer)]).await.expect("a microsecond is left");
    world.clock.advance(TimeDelta::microseconds(1));
    let refused = ask(&world, &[("authorization", &bearer)]).await.expect_err("it has expired");

    assert_eq!(refusal(&refused).reason, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_by_the_process_that_revoked_it() {
    // Of the owner, who alone may revoke.
    let database = TestDatabase::create().await;
    let pool = database.owner_pool();
    let world = World::with_pool(database, pool, default_settings()).await;
    let token = world.token("acme", plain_token()).await;
    let bearer = format!("Bearer {token}");
    ask(&world, &[("authorization", &bearer)]).await.expect("the token is good, and remembered");

    assert!(world.app.revoke_token(id_of(&token)).await.expect("the database"));
    let refused = ask(&world, &[("authorization", &bearer)]).await.expect_err("it is revoked");

    assert_eq!(refusal(&refused).reason, "CREDENTIALS_INVALID");
    assert!(!world.app.revoke_token(id_of(&token)).await.expect("the database"), "once is enough");
}

#[tokio::test]
async fn a_host_name_for_an_application_takes_that_applications_tokens_only() {
    let world = World::new().await;
    let token = world.token("acme", plain_token()).await;
    world.token("other", plain_token()).await;
    let bearer = format!("Bearer {token}");
    for (host, good) in [
        ("desk-api-acme.example.com", true),
        ("DESK-API-ACME.example.com:8443", true),
        ("desk.example.com", true),
        ("desk-api-other.example.com", false),
        ("desk-api-unknown.example.com", false),
        ("desk-api-.example.com", false),
        ("desk-api-acmee.example.com", false),
    ] {
        let channel = channel_to(&world, host).await;
        let outcome = call(&channel, METHOD, &[("authorization", &bearer)], Vec::new()).await;
        match outcome {
            Ok(_) => assert!(good, "{host}"),
            Err(refused) => assert_eq!((good, refusal(&refused).reason.as_str()), (false, "CREDENTIALS_INVALID"), "{host}"),
        }
    }
}

#[tokio::test]
async fn no_answer_and_no_row_holds_the_secret_of_a_token() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let (token, secret) = (actor.token.clone(), secret_of(&actor.token).to_owned());
    let deleted = actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    assert!(!format!("{deleted:?}").contains(&secret));
    let delete = pb::DeleteChatMessageRequest { ticket_id: ticket.id, id: messages[0].id, ..Default::default() };
    let channel = world.channel().await;
    for headers in [[("authorization", format!("Bearer {token}"))], [("authorization", format!("Bearer {token}x"))]] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = call(&channel, "ChatMessageService/DeleteChatMessage", &headers, delete.encode_to_vec()).await;
        let refused = refused.expect_err("it is deleted, or the token is bad");
        let text = format!("{refused:?} {:?}", refused.get_error_details());
        assert!(!text.contains(&secret), "{text}");
    }
    let rows = world.database.every_row().await;
    assert!(!rows.contains(&secret) && !rows.contains(&as_bytes(&secret)));
}

#[tokio::test]
async fn health_and_reflection_need_no_token() {
    let world = World::new().await;
    let channel = world.channel().await;
    let mut health = HealthClient::new(channel.clone());
    health.check(HealthCheckRequest { service: String::new() }).await.expect("health is for load balancers");

    let listed = crate::spec::reflection::services_v1(channel).await;

    assert!(listed.contains(&"deskledger.v1.TicketService".to_owned()));
}

/// Asks for what every good token may see.
async fn ask(world: &World, headers: &[(&str, &str)]) -> Result<(), Status> {
    call(&world.channel().await, METHOD, headers, Vec::new()).await.map(|_| ())
}

/// A channel whose calls name this host.
async fn channel_to(world: &World, host: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", world.address)).expect("an address");
    endpoint.origin(format!("http://{host}").parse().expect("a host name")).connect().await.expect("the service listens")
}

/// The parts of `dl_{id}_{secret}`.
fn id_of(token: &str) -> &str {
    token.split('_').nth(1).expect("a token has an id")
}

fn secret_of(token: &str) -> &str {
    token.splitn(3, '_').nth(2).expect("a token has a secret")
}
