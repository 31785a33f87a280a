//! The matrix of authorisation: every method of the protos and every route of the REST door, with every kind of credential that is not
//! good for it. A method or a route that has no row fails, and so does a cell that nobody tried.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deskledger::app::NewToken;
use deskledger::domain::caller::Scope;
use deskledger::grpc::DESCRIPTOR_SET;
use http::{Method, Request};
use prost_reflect::DescriptorPool;
use serde_json::json;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::support::methods::{Elsewhere, Rows, every_method};
use crate::support::raw::call;
use crate::support::world::plain_token;
use crate::support::{Answer, Http, World, refusal};

/// What comes with a call.
#[derive(Debug, Clone, Copy)]
enum Column {
    NoToken,
    Malformed,
    Unknown,
    WrongSecret,
    Expired,
    Revoked,
    /// A good token of the application with this scope alone, unless it is the one that the row wants.
    OnlyScope(Scope),
    /// A good token of another application, with the ids of this one.
    OtherApplicationsIds,
    /// A good token, sent to the host name of another application.
    OtherApplicationsHost,
    /// All that is wanted and nothing else.
    Good,
}

fn columns() -> Vec<Column> {
    use Column::{
        Expired, Good, Malformed, NoToken, OnlyScope, OtherApplicationsHost, OtherApplicationsIds, Revoked, Unknown, WrongSecret,
    };
    let scopes = Scope::ALL.into_iter().map(OnlyScope);
    let bad = [NoToken, Malformed, Unknown, WrongSecret, Expired, Revoked];
    // What succeeds may change the rows, and so comes last.
    bad.into_iter().chain(scopes).chain([OtherApplicationsHost, OtherApplicationsIds, Good]).collect()
}

/// The tokens of the columns.
struct Tokens {
    all: String,
    expired: String,
    revoked: String,
    scopes: Vec<(Scope, String)>,
    other: String,
}

impl Tokens {
    async fn of(world: &World) -> Self {
        let past: DateTime<Utc> = "2026-03-15T11:00:00Z".parse().expect("a time");
        let revoked = world.token("acme", plain_token()).await;
        assert!(world.owner.revoke_token(revoked.split('_').nth(1).expect("an id")).await.expect("the database"));
        let mut scopes = Vec::new();
        for scope in Scope::ALL {
            scopes.push((scope, world.token("acme", NewToken { scopes: vec![scope], ..plain_token() }).await));
        }
        Self {
            all: world.token("acme", plain_token()).await,
            expired: world.token("acme", NewToken { expire_time: Some(past), ..plain_token() }).await,
            revoked,
            scopes,
            other: world.token("other", plain_token()).await,
        }
    }

    /// The token that a column sends, if any.
    fn token(&self, column: Column, wanted: Option<Scope>) -> Option<String> {
        let of_scope = |scope| self.scopes.iter().find(|(of, _)| *of == scope).expect("one for each scope").1.clone();
        let (head, _) = self.all.rsplit_once('_').expect("a secret");
        match column {
            Column::NoToken => None,
            Column::Malformed => Some("garbage".to_owned()),
            Column::Unknown => Some(format!("dl_0123456789abcdef_{}", "A".repeat(43))),
            Column::WrongSecret => Some(format!("{head}_{}", "A".repeat(43))),
            Column::Expired => Some(self.expired.clone()),
            Column::Revoked => Some(self.revoked.clone()),
            Column::OnlyScope(scope) => Some(of_scope(scope)),
            Column::OtherApplicationsIds => Some(self.other.clone()),
            Column::OtherApplicationsHost => Some(self.all.clone()),
            Column::Good => wanted.map(of_scope),
        }
    }
}

#[tokio::test]
async fn every_method_refuses_every_credential_that_is_not_good_for_it() {
    let world = World::signing().await;
    let rows = Rows::of(&world, &mut world.actor().await).await;
    let tokens = Tokens::of(&world).await;
    world.sign_log().await;
    let (channel, elsewhere) = (world.channel().await, channel_to(&world, "desk-api-other.example.com").await);
    let table = every_method(&rows);
    let mut cells = BTreeSet::new();
    for method in &table {
        for column in columns() {
            if matches!(column, Column::OnlyScope(scope) if scope == method.scope) {
                continue;
            }
            let bearer = tokens.token(column, Some(method.scope)).map(|token| format!("Bearer {token}"));
            let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
            let channel = if matches!(column, Column::OtherApplicationsHost) { &elsewhere } else { &channel };
            let outcome = call(channel, method.name, &headers, method.request.clone()).await;
            let at = format!("{} {column:?}", method.name);
            match (column, outcome) {
                (Column::Good, outcome) => assert!(!outcome.expect(&at).messages.is_empty(), "{at}"),
                (Column::OtherApplicationsIds, Ok(answer)) => {
                    assert_eq!(method.elsewhere, Elsewhere::Own, "{at}");
                    holds_nothing_of_acme(&at, &answer.messages.concat(), &rows);
                }
                (_, Ok(_)) => panic!("{at} is answered"),
                (column, Err(status)) => {
                    let refused = refusal(&status);
                    let expected = match (column, method.elsewhere) {
                        (Column::NoToken, _) => (Code::Unauthenticated, "CREDENTIALS_MISSING"),
                        (Column::OnlyScope(_), _) => (Code::PermissionDenied, "SCOPE_MISSING"),
                        (Column::OtherApplicationsIds, Elsewhere::Refused(reason)) => (Code::NotFound, reason),
                        _ => (Code::Unauthenticated, "CREDENTIALS_INVALID"),
                    };
                    assert_eq!((refused.code, refused.reason.as_str()), expected, "{at}");
                }
            }
            cells.insert(at);
        }
    }
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set of this build");
    let ours = pool.services().filter(|service| service.package_name() == "deskledger.v1");
    let methods: usize = ours.map(|service| service.methods().count()).sum();
    assert_eq!(cells.len(), methods * (columns().len() - 1), "every cell: a method wants one of the scopes");
}

/// A route of the REST door.
struct Route {
    method: &'static str,
    path: &'static str,
    /// The scope that it wants; `None` for one that is open to all.
    scope: Option<Scope>,
    /// The path of a good call, and its body.
    call: (String, String),
    /// What another application is told.
    elsewhere: Other,
}

#[derive(Clone, Copy)]
enum Other {
    /// An error with this status and, where the wire has codes, this code.
    Refused(u16, &'static str),
    /// An answer with nothing of this application.
    Own,
}

#[expect(clippy::too_many_lines, reason = "the one table, a row for each route")]
fn routes(rows: &Rows) -> Vec<Route> {
    use Scope::{LogsRead, MessagesDelete, MessagesRead, MessagesWrite, TicketsRead, TicketsWrite};
    let (open, closed, resting) = (rows.open.id, rows.closed.id, rows.resting.id);
    let missing = Other::Refused(400, "deskp400201");
    let row = |method, path, scope, call: String, body: serde_json::Value, elsewhere| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Route { method, path, scope, call: (call, body), elsewhere }
    };
    let none = serde_json::Value::Null;
    let (one, two) = (rows.messages[1].id, rows.messages[2].id);
    let base = "/platform/v1";
    let mut routes = vec![
        row("GET", "/platform/v1/tickets", Some(TicketsRead), format!("{base}/tickets"), none.clone(), Other::Own),
        row(
            "POST",
            "/platform/v1/tickets",
            Some(TicketsWrite),
            format!("{base}/tickets"),
            json!({"customer": {"sendbirdId": "grace"}}),
            Other::Own,
        ),
        row("GET", "/platform/v1/tickets/{ticket_id}", Some(TicketsRead), format!("{base}/tickets/{open}"), none.clone(), missing),
        row(
            "PATCH",
            "/platform/v1/tickets/{ticket_id}",
            Some(TicketsWrite),
            format!("{base}/tickets/{open}"),
            json!({"channelName": "new"}),
            missing,
        ),
        row(
            "PATCH",
            "/platform/v1/tickets/{ticket_id}/close",
            Some(TicketsWrite),
            format!("{base}/tickets/{open}/close"),
            json!({}),
            missing,
        ),
        row(
            "PATCH",
            "/platform/v1/tickets/{ticket_id}/reopen",
            Some(TicketsWrite),
            format!("{base}/tickets/{resting}/reopen"),
            json!({}),
            missing,
        ),
        row(
            "GET",
            "/platform/v1/tickets/{ticket_id}/chat_messages",
            Some(MessagesRead),
            format!("{base}/tickets/{closed}/chat_messages"),
            none.clone(),
            missing,
        ),
        row(
            "DELETE",
            "/platform/v1/tickets/{ticket_id}/chat_messages/{chatmessage_id}",
            Some(MessagesDelete),
            format!("{base}/tickets/{closed}/chat_messages/{one}"),
            none.clone(),
            missing,
        ),
        row("GET", "/platform/v1/chat_messages", Some(MessagesRead), format!("{base}/chat_messages"), none.clone(), Other::Own),
        row(
            "GET",
            "/platform/v1/chat_messages/deletion_logs",
            Some(LogsRead),
            format!("{base}/chat_messages/deletion_logs"),
            none.clone(),
            Other::Own,
        ),
        row(
            "DELETE",
            "/platform/v1/chat_messages/{chatmessage_id}",
            Some(MessagesDelete),
            format!("{base}/chat_messages/{two}?ticket_id={closed}"),
            none.clone(),
            missing,
        ),
        row(
            "POST",
            "/desk/api/v2/conversationmessages/webhooks.json",
            Some(MessagesWrite),
            "/desk/api/v2/conversationmessages/webhooks.json".to_owned(),
            json!({"contactId": {"id": 2, "type": "contacts"}, "message": "hello"}),
            Other::Own,
        ),
        // The path names the application.
        row(
            "GET",
            "/log/{application}/checkpoint",
            Some(LogsRead),
            "/log/acme/checkpoint".to_owned(),
            none.clone(),
            Other::Refused(401, "deskp401100"),
        ),
        row(
            "GET",
            "/log/{application}/tile/{*path}",
            Some(LogsRead),
            "/log/acme/tile/0/000.p/1".to_owned(),
            none.clone(),
            Other::Refused(401, "deskp401100"),
        ),
    ];
    for path in ["/openapi.json", "/docs", "/docs/page.css", "/docs/page.js", "/docs/icon.svg"] {
        routes.push(row("GET", path, None, path.to_owned(), none.clone(), Other::Own));
    }
    routes
}

#[tokio::test]
async fn every_route_of_the_rest_door_refuses_every_credential_that_is_not_good_for_it() {
    let world = World::signing().await;
    let rows = Rows::of(&world, &mut world.actor().await).await;
    let tokens = Tokens::of(&world).await;
    world.sign_log().await;
    let mut cells = BTreeSet::new();
    let mut wanted = 0;
    let listed: BTreeSet<(String, String)> =
        routes(&rows).iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    let routed: BTreeSet<(String, String)> =
        deskledger::rest::routes().into_iter().map(|(method, path)| (method.to_owned(), path)).collect();
    assert_eq!(listed, routed);

    for route in routes(&rows) {
        wanted += columns().len() - usize::from(route.scope.is_some());
        for column in columns() {
            if matches!(column, Column::OnlyScope(scope) if Some(scope) == route.scope) {
                continue;
            }
            let at = format!("{} {} {column:?}", route.method, route.path);
            let answer = ask(&world, &route, tokens.token(column, route.scope).as_deref(), column).await;
            let (status, text) = (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned());
            let (expected, code) = match (route.scope, column, route.elsewhere) {
                (None, ..) | (_, Column::Good, _) | (_, Column::OtherApplicationsIds, Other::Own) => (0, ""),
                (_, Column::OtherApplicationsIds, Other::Refused(status, code)) => (status, code),
                (_, Column::OnlyScope(_), _) => (403, "deskp403100"),
                // The path says which application a tree is of, and the host name nothing.
                (_, Column::OtherApplicationsHost, _) if route.path.starts_with("/log/") => (0, ""),
                _ => (401, "deskp401100"),
            };
            if expected == 0 {
                assert!(answer.status.is_success(), "{at}: {status} {text}");
            } else {
                assert_eq!(status, expected, "{at}: {text}");
                assert!(route.path.contains("webhooks") || text.contains(code), "{at}: {text}");
            }
            if matches!(column, Column::OtherApplicationsIds) && route.scope.is_some() {
                holds_nothing_of_acme(&at, &answer.body, &rows);
            }
            cells.insert(at);
        }
    }
    assert_eq!(cells.len(), wanted, "every cell");
}

async fn ask(world: &World, route: &Route, token: Option<&str>, column: Column) -> Answer {
    let (path, body) = &route.call;
    let other_host = matches!(column, Column::OtherApplicationsHost);
    let host = if other_host { "desk-api-other.example.com" } else { world.address.as_str() };
    let method: Method = route.method.parse().expect("a method");
    let mut request = Request::builder().method(method).uri(path).header("Host", host);
    if let Some(token) = token {
        request = request.header("SENDBIRDDESKAPITOKEN", token);
    }
    let http = Http { address: world.address.clone(), token: None };
    http.send(request.body(Bytes::from(body.clone())).expect("a request")).await
}

fn holds_nothing_of_acme(at: &str, answer: &[u8], rows: &Rows) {
    for text in [rows.log.token_id.as_bytes(), b"Ada"] {
        assert!(!answer.windows(text.len()).any(|part| part == text), "{at}");
    }
}

/// A channel whose calls name this host.
async fn channel_to(world: &World, host: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", world.address)).expect("an address");
    endpoint.origin(format!("http://{host}").parse().expect("a host name")).connect().await.expect("the service listens")
}
