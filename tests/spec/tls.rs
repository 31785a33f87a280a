//! TLS: what the service shows, whom it lets in, and whose calls they are.

use deskledger::config::{ClientCertificates, ServerSettings};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::support::certificates::{Authority, Issued};
use crate::support::database::TestDatabase;
use crate::support::webhook::signature;
use crate::support::world::{default_settings, plain_token};
use crate::support::{Actor, World, pb, refusal};

/// A service with a certificate, that lets in clients of an authority.
async fn world(authority: &Authority, clients: Option<(&Authority, ClientCertificates)>) -> World {
    let service = authority.service("service");
    let mut settings = default_settings();
    (settings.tls.tls_cert, settings.tls.tls_key) = (Some(service.certificate), Some(service.key));
    if let Some((authority, certificates)) = clients {
        settings.tls.tls_client_ca = Some(authority.file());
        settings.tls.tls_client_certificates = certificates;
    }
    World::on(TestDatabase::create().await, settings).await
}

async fn connect(address: &str, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, TcpStream::connect(address).await?).await
}

/// A channel of a client that may have a certificate.
fn channel(world: &World, authority: &Authority, own: Option<&Issued>) -> Channel {
    let (connector, address) = (authority.connector(own, "h2"), world.address.clone());
    let dial = service_fn(move |_| {
        let (connector, address) = (connector.clone(), address.clone());
        async move { connect(&address, &connector).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(dial)
}

/// Calls the REST door over TLS; `None` when the service lets this client not in.
async fn get(
    world: &World,
    authority: &Authority,
    own: Option<&Issued>,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<StatusCode> {
    send(world, authority, own, Request::get(path), headers, "").await
}

async fn send(
    world: &World,
    authority: &Authority,
    own: Option<&Issued>,
    mut request: http::request::Builder,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<StatusCode> {
    let stream = connect(&world.address, &authority.connector(own, "http/1.1")).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    request = request.header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(bytes::Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
    let answer = sender.send_request(request).await;
    connection.abort();
    answer.ok().map(|answer| answer.status())
}

#[tokio::test]
async fn both_doors_are_served_by_tls_and_none_without() {
    let authority = Authority::new();
    let world = world(&authority, None).await;
    let token = world.token("acme", plain_token()).await;

    let mut actor = Actor::new(channel(&world, &authority, None), &token);
    let ticket = actor.open_ticket().await;
    assert_eq!(actor.ticket(ticket.id).await, ticket);

    let path = format!("/platform/v1/tickets/{}", ticket.id);
    let status = get(&world, &authority, None, &path, &[("sendbirddeskapitoken", &token)]).await;
    assert_eq!(status, Some(StatusCode::OK));

    let mut plain = TcpStream::connect(&world.address).await.expect("the service listens");
    plain.write_all(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the request is sent");
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // Of a service that has another authority's certificate, a client of this one wants nothing.
    assert!(connect(&world.address, &Authority::new().connector(None, "h2")).await.is_err());
}

#[tokio::test]
async fn the_protocol_is_what_both_sides_agree_on() {
    let authority = Authority::new();
    let world = world(&authority, None).await;
    for protocol in ["h2", "http/1.1"] {
        let stream = connect(&world.address, &authority.connector(None, protocol)).await.expect("a connection");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    }
    assert!(connect(&world.address, &authority.connector(None, "h3")).await.is_err());
}

#[tokio::test]
async fn a_client_without_a_good_certificate_is_not_let_in_where_one_is_required() {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let good = clients.client("good", &[]);
    let bad = stranger.client("bad", &[]);
    let required = world(&authority, Some((&clients, ClientCertificates::Required))).await;
    let optional = world(&authority, Some((&clients, ClientCertificates::Optional))).await;
    let ok = Some(StatusCode::OK);
    for (own, where_required, where_optional) in [(Some(&good), ok, ok), (None, None, ok), (Some(&bad), None, None)] {
        assert_eq!(get(&required, &authority, own, "/docs", &[]).await, where_required);
        assert_eq!(get(&optional, &authority, own, "/docs", &[]).await, where_optional);
    }
}

#[tokio::test]
async fn a_certificate_that_names_an_application_is_good_for_calls_of_no_other() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let world = world(&authority, Some((&clients, ClientCertificates::Optional))).await;
    let token = world.token("acme", plain_token()).await;
    let acme = clients.client("acme", &["deskledger://application/acme"]);
    let globex = clients.client("globex", &["https://example.com/", "deskledger://application/globex"]);
    let unbound = clients.client("unbound", &["https://example.com/"]);
    let both = clients.client("both", &["deskledger://application/acme", "deskledger://application/globex"]);

    for (own, is_good) in [(None, true), (Some(&unbound), true), (Some(&acme), true), (Some(&globex), false)] {
        let mut actor = Actor::new(channel(&world, &authority, own), &token);
        let listed = actor.tickets.list_tickets(pb::ListTicketsRequest::default()).await;
        let refused = listed.err().map(|status| (refusal(&status).code, refusal(&status).reason));
        assert_eq!(refused, (!is_good).then(|| (Code::Unauthenticated, "CREDENTIALS_INVALID".to_owned())));

        let (good, bad) = (Some(StatusCode::OK), Some(StatusCode::UNAUTHORIZED));
        let expected = if is_good { good } else { bad };
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(get(&world, &authority, own, "/platform/v1/tickets", &headers).await, expected);
        let taken_in = if is_good { Some(StatusCode::CREATED) } else { bad };
        let webhook = Request::post("/desk/api/v2/conversationmessages/webhooks.json");
        let body = r#"{"conversationmessages": []}"#;
        assert_eq!(send(&world, &authority, own, webhook, &headers, body).await, taken_in);
        let checkpoint = get(&world, &authority, own, "/log/acme/checkpoint", &headers).await;
        assert_eq!(checkpoint == bad, !is_good, "{checkpoint:?}");
    }
    // Whose calls these are cannot be told.
    assert_eq!(get(&world, &authority, Some(&both), "/docs", &[]).await, None);
}

#[tokio::test]
async fn a_certificate_that_names_an_application_is_good_for_signed_webhooks_of_no_other() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let world = world(&authority, Some((&clients, ClientCertificates::Required))).await;
    let key = world.webhook_key("acme", "ours", "secret").await;
    let body = format!(r#"{{"time_ms": {}, "events": []}}"#, world.app.milliseconds());
    let signature = signature(&key.secret, body.as_bytes());
    let headers = [("x-pusher-key", key.key.as_str()), ("x-pusher-signature", signature.as_str())];
    for (application, expected) in [("acme", StatusCode::CREATED), ("globex", StatusCode::UNAUTHORIZED)] {
        let own = clients.client(application, &[&format!("deskledger://application/{application}")]);
        let webhook = Request::post("/desk/api/v2/conversationmessages/webhooks.json");
        assert_eq!(send(&world, &authority, Some(&own), webhook, &headers, &body).await, Some(expected), "{application}");
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_not_waited_for() {
    let authority = Authority::new();
    let service = authority.service("service");
    let mut settings: ServerSettings = default_settings();
    (settings.tls.tls_cert, settings.tls.tls_key) = (Some(service.certificate), Some(service.key));
    settings.limits.handshake_timeout_seconds = 1;
    let world = World::on(TestDatabase::create().await, settings).await;
    // The beginning of a ClientHello, and nothing.
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(&world.address).await.expect("the service listens");
        stream.write_all(beginning).await.expect("the bytes are sent");
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.expect("the end"), 0);
    }
    // Inside of TLS the same holds for the first bytes of HTTP.
    let mut stream = connect(&world.address, &authority.connector(None, "h2")).await.expect("a connection");
    let _ = stream.read_to_end(&mut Vec::new()).await;
}
