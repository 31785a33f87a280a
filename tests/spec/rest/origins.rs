//! Where a call comes from: proxies in front, browser pages of other origins, and a service without this door.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Answer, Http, World};

async fn next_of(http: &Http, headers: &[(&str, &str)]) -> Value {
    http.call_with(Method::GET, "/tickets?limit=1", headers, "").await.ok()["next"].clone()
}

async fn world_with_two_tickets(configure: impl FnOnce(&mut deskledger::config::ServerSettings)) -> (World, Http) {
    let mut settings = default_settings();
    configure(&mut settings);
    let world = World::on(TestDatabase::create().await, settings).await;
    let mut actor = world.actor().await;
    actor.open_ticket().await;
    actor.open_ticket().await;
    let http = world.http(&actor);
    (world, http)
}

#[tokio::test]
async fn answered_urls_have_the_host_that_the_client_used() {
    let (_world, http) = world_with_two_tickets(|_| ()).await;
    let expected = |origin: &str| json!(format!("{origin}/platform/v1/tickets?limit=1&offset=1"));
    for host in ["desk.example.com", "desk.example.com:8443", "[::1]:50051"] {
        assert_eq!(next_of(&http, &[("Host", host)]).await, expected(&format!("http://{host}")));
    }
    let forwarded = [("Host", "inner:1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "outer.example.com")];
    assert_eq!(next_of(&http, &forwarded).await, expected("http://inner:1"), "not asked to trust anyone");
}

#[tokio::test]
async fn over_http2_scheme_and_host_are_those_of_the_request() {
    let (_world, http) = world_with_two_tickets(|_| ()).await;
    let get = async |uri: &str| {
        let token = http.token.clone().expect("a token");
        let request = http::Request::builder().uri(uri).header("sendbirddeskapitoken", token);
        http.send_over_http2(request.body(bytes::Bytes::new()).expect("a request")).await
    };

    let page = get("https://desk.example.com/platform/v1/tickets?limit=1").await.ok();
    assert_eq!(page["next"], json!("https://desk.example.com/platform/v1/tickets?limit=1&offset=1"));
    get("http://desk-api-acme.example.com/platform/v1/tickets").await.ok();
    assert_eq!(get("http://desk-api-other.example.com/platform/v1/tickets").await.refusal().1, "deskp401100");
}

#[tokio::test]
async fn forwarded_headers_are_honoured_where_that_is_configured() {
    let (_world, http) = world_with_two_tickets(|settings| settings.trust_forwarded = true).await;
    let expected = |origin: &str| json!(format!("{origin}/platform/v1/tickets?limit=1&offset=1"));
    let inner = ("Host", "inner:1");
    let rows: [(&[(&str, &str)], &str); 6] = [
        (&[inner, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "outer.example.com")], "https://outer.example.com"),
        (&[inner, ("X-Forwarded-Proto", "https")], "https://inner:1"),
        (&[inner, ("X-Forwarded-Host", "outer.example.com:8443")], "http://outer.example.com:8443"),
        (&[inner, ("X-Forwarded-Proto", "https, http"), ("X-Forwarded-Host", "a.example.com, b")], "https://a.example.com"),
        (&[inner], "http://inner:1"),
        (&[inner, ("X-Forwarded-Proto", ""), ("X-Forwarded-Host", " ")], "http://inner:1"),
    ];
    for (headers, origin) in rows {
        assert_eq!(next_of(&http, headers).await, expected(origin), "{headers:?}");
    }
}

async fn preflight(http: &Http, origin: &str) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "DELETE"),
        ("Access-Control-Request-Headers", "sendbirddeskapitoken,content-type"),
    ];
    let anonymous = Http { token: None, ..http.clone() };
    anonymous.call_with(Method::OPTIONS, "/tickets/1/chat_messages/1", &headers, "").await
}

#[tokio::test]
async fn no_page_of_another_origin_may_call_unless_it_is_named() {
    let (_world, http) = world_with_two_tickets(|_| ()).await;
    for answer in [preflight(&http, "https://desk.example.com").await, http.get("/tickets").await] {
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{:?}", answer.headers);
    }

    let origins = ["https://desk.example.com", "https://other.example.com"].map(str::to_owned).to_vec();
    let (_world, http) = world_with_two_tickets(|settings| settings.cors_origins = origins.clone()).await;
    for origin in &origins {
        let answer = preflight(&http, origin).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::OK, Some(origin.as_str())));
        let methods = answer.header("access-control-allow-methods").expect("methods");
        assert!(["GET", "POST", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        assert_eq!(answer.header("access-control-allow-headers"), Some("sendbirddeskapitoken,content-type"));
        let answer = http.call_with(Method::GET, "/tickets", &[("Origin", origin)], "").await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin.as_str()));
        let exposed = answer.header("access-control-expose-headers").expect("headers");
        assert!(["etag", "x-request-id", "retry-after"].iter().all(|name| exposed.contains(name)), "{exposed}");
    }
    for origin in ["https://evil.example.com", "http://desk.example.com", "https://desk.example.com.evil.com", "null"] {
        assert_eq!(preflight(&http, origin).await.header("access-control-allow-origin"), None, "{origin}");
        let answer = http.call_with(Method::GET, "/tickets", &[("Origin", origin)], "").await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}

#[tokio::test]
async fn a_service_without_this_door_has_grpc_only() {
    let (world, http) = world_with_two_tickets(|settings| settings.no_rest = true).await;
    for path in ["/tickets", "/chat_messages", "/nowhere"] {
        assert_eq!(http.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/docs", "/docs/page.js", "/openapi.json"] {
        let request = http::Request::builder().uri(path).header("Host", "x").body(bytes::Bytes::new()).expect("a request");
        assert_eq!(http.send(request).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    actor.delete(ticket.id, messages[0].id).await.expect("gRPC goes on");
}
