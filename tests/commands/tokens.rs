//! `deskledger token`: what is made here works at the door, until it is revoked here.

use tonic::Code;
use tonic::transport::Endpoint;

use crate::commands::program::{Service, run_on};
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Actor, World, pb, refusal};

const ALL_SCOPES: &str = "tickets:read,tickets:write,messages:read,messages:write,messages:delete,logs:read";

/// Makes a token of the application `acme` and answers it whole.
fn token(database: &TestDatabase, arguments: &[&str]) -> String {
    let made = run_on(database, &[&["token", "create", "acme"], arguments].concat()).good();
    made.trim_end().to_owned()
}

fn id_of(token: &str) -> String {
    token.split('_').nth(1).expect("the part between the underscores").to_owned()
}

async fn actor_at(address: &str, token: &str) -> Actor {
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await;
    Actor::new(channel.expect("the service listens"), token)
}

#[tokio::test]
async fn a_token_brings_all_that_it_was_made_with() {
    let database = TestDatabase::create().await;
    run_on(&database, &["application", "create", "acme"]).good();
    let agent = ["--agent-id", "11", "--agent-sendbird-id", "kim", "--agent-name", "Kim", "--agent-email", "kim@example.com"];
    let flags = ["--name", "the dashboard", "--scopes", ALL_SCOPES, "--requested-from", "dashboard", "--expires-in-days", "30"];
    let token = token(&database, &[&flags[..], &agent].concat());
    let listed = run_on(&database, &["token", "list", "acme"]).good();
    let world = World::on(database, default_settings()).await;
    let mut actor = Actor::new(world.channel().await, &token);

    let (ticket, messages) = actor.closed_ticket_with(1).await;
    actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted");
    let log = actor.log().await.remove(0);

    assert_eq!(log.requested_from(), pb::RequestedFrom::Dashboard);
    let kim =
        pb::Agent { id: 11, display_name: "Kim".to_owned(), sendbird_id: "kim".to_owned(), email: "kim@example.com".to_owned() };
    assert_eq!(log.requested_by, Some(kim));
    assert_eq!(log.token_id, id_of(&token));
    let row: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!((row[0], row[3], row[4]), (id_of(&token).as_str(), ALL_SCOPES, "the dashboard"));
    assert!(row[2].starts_with("expires "), "{listed}");
    let secret = token.splitn(3, '_').nth(2).expect("a secret");
    assert!(!listed.contains(secret), "a secret is shown once");
}

#[tokio::test]
async fn a_token_has_the_scopes_that_were_named_and_no_other() {
    let database = TestDatabase::create().await;
    run_on(&database, &["application", "create", "acme"]).good();
    let token = token(&database, &["--scopes", "tickets:read"]);
    let world = World::on(database, default_settings()).await;
    let mut actor = Actor::new(world.channel().await, &token);

    actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await.expect("it may read tickets");
    let refused = refusal(&actor.delete(1, 1).await.expect_err("it may not delete"));

    assert_eq!((refused.code, refused.metadata["scope"].as_str()), (Code::PermissionDenied, "messages:delete"));
}

#[tokio::test]
async fn a_token_revoked_by_another_process_stops_working_in_a_running_service() {
    let database = TestDatabase::create().await;
    run_on(&database, &["application", "create", "acme"]).good();
    let token = token(&database, &["--scopes", ALL_SCOPES]);
    let mut service = Service::on(&database, &["--token-cache-seconds", "0"]);
    let mut actor = actor_at(&service.address(), &token).await;
    let ticket = actor.open_ticket().await;

    let id = id_of(&token);
    assert_eq!(run_on(&database, &["token", "revoke", &id]).good(), format!("{id} is revoked.\n"));

    let request = pb::GetTicketRequest { id: ticket.id };
    let refused = refusal(&actor.tickets.get_ticket(request).await.expect_err("the token is revoked"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "CREDENTIALS_INVALID"));
    let listed = run_on(&database, &["token", "list", "acme"]).good();
    assert!(listed.contains("\trevoked "), "{listed}");
    let again = run_on(&database, &["token", "revoke", &id]).failed(1);
    assert_eq!(again, format!("deskledger: there is no token {id} that is not revoked\n"));
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_not_made() {
    let database = TestDatabase::create().await;
    run_on(&database, &["application", "create", "acme"]).good();
    let scopes = ["--scopes", "tickets:read"];
    let rows: [(&str, &[&str], i32, &str); 7] = [
        ("acme", &[], 2, "--scopes"),
        ("acme", &["--scopes", "tickets:all"], 2, "there is no scope \"tickets:all\"; scopes are tickets:read, tickets:write"),
        ("acme", &[scopes[0], scopes[1], "--expires-in-days", "0"], 2, "0 is not in 1..=3650"),
        ("acme", &[scopes[0], scopes[1], "--requested-from", "nowhere"], 2, "[possible values: dashboard, platform-api]"),
        ("acme", &[scopes[0], scopes[1], "--agent-name", "Kim"], 1, "The agent.id parameter is required."),
        ("acme", &[scopes[0], scopes[1], "--name", "two\nlines"], 2, "a name has at most 255 characters"),
        ("nobody", &scopes, 1, "there is no application nobody"),
    ];
    for (application, arguments, code, text) in rows {
        let refused = run_on(&database, &[&["token", "create", application], arguments].concat()).failed(code);
        assert!(refused.contains(text), "{arguments:?}: {refused}");
    }
    assert_eq!(run_on(&database, &["token", "list", "acme"]).good(), "");
}
