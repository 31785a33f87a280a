//! TLS of a running service: asked by `deskledger healthcheck`, and given new files without a restart.

use std::fs;
use std::path::Path;

use deskledger::client::{Builder, Client};
use deskledger::proto::ListTicketsRequest;
use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::commands::program::{Service, deskledger, run, run_on};
use crate::support::certificates::{Authority, Issued};
use crate::support::database::TestDatabase;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// A ready service with these files, and where it is.
fn serve(database: &TestDatabase, issued: &Issued, more: &[&str]) -> (Service, String) {
    let files = ["--tls-cert", text(&issued.certificate), "--tls-key", text(&issued.key)];
    let mut service = Service::on(database, &[&files[..], more].concat());
    let address = service.address();
    service.ready();
    (service, address)
}

/// The certificate that the service shows.
async fn shown(address: &str, authority: &Authority) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.expect("the service listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = authority.connector(None, "h2").connect(name, stream).await.expect("a connection");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

fn replace(old: &Issued, new: &Issued) {
    // Under its name in one step each, as those who renew certificates do it.
    for (old, new) in [(&old.certificate, &new.certificate), (&old.key, &new.key)] {
        fs::rename(new, old).expect("the file is replaced");
    }
}

#[tokio::test]
async fn a_service_with_tls_is_asked_for_its_health_by_the_settings_that_it_has() {
    let database = TestDatabase::create().await;
    let authority = Authority::new();
    let (issued, other, client) = (authority.service("service"), authority.service("other"), authority.client("client", &[]));
    let (_service, address) = serve(&database, &issued, &[]);
    let ask = |certificate: &Path| run(deskledger(&["healthcheck", "--address", &address]).env("DESKLEDGER_TLS_CERT", certificate));
    assert_eq!(ask(&issued.certificate).good(), "");
    let refused = ask(&other.certificate).failed(1);
    assert!(refused.starts_with(&format!("deskledger: no service at {address}: ")), "{refused}");
    run(&mut deskledger(&["healthcheck", "--address", &address])).failed(1);

    let (_service, address) = serve(&database, &issued, &["--tls-client-ca", text(&authority.file())]);
    let ask = ["healthcheck", "--address", &address, "--tls-cert", text(&issued.certificate)];
    run(&mut deskledger(&ask)).failed(1);
    let own = ["--client-cert", text(&client.certificate), "--client-key", text(&client.key)];
    assert_eq!(run(&mut deskledger(&[&ask[..], &own].concat())).good(), "");
}

#[tokio::test]
async fn new_files_are_taken_in_when_they_change() {
    let database = TestDatabase::create().await;
    let authority = Authority::new();
    let issued = authority.service("service");
    let (mut service, address) = serve(&database, &issued, &["--tls-reload-seconds", "1"]);
    let first = shown(&address, &authority).await;

    replace(&issued, &authority.service("second"));
    service.logged("are taken in anew");

    assert_ne!(shown(&address, &authority).await, first);
}

#[tokio::test]
async fn new_files_are_taken_in_on_a_signal_and_bad_ones_leave_the_last_good_ones() {
    let database = TestDatabase::create().await;
    let authority = Authority::new();
    let issued = authority.service("service");
    let (mut service, address) = serve(&database, &issued, &["--tls-reload-seconds", "3600"]);
    let first = shown(&address, &authority).await;

    // The key of another certificate.
    let kept = fs::read(&issued.key).expect("the key");
    fs::rename(authority.service("other").key, &issued.key).expect("the file is replaced");
    service.signal(Signal::SIGHUP);
    let told = service.logged("cannot be taken in");
    assert!(told.contains("ERROR") && told.contains(text(&issued.certificate)), "{told}");
    assert_eq!(shown(&address, &authority).await, first);

    fs::write(&issued.key, kept).expect("the key is back");
    fs::write(&issued.certificate, "no certificate").expect("the file is replaced");
    service.signal(Signal::SIGHUP);
    service.logged("no certificate in it");
    assert_eq!(shown(&address, &authority).await, first);

    replace(&issued, &authority.service("second"));
    service.signal(Signal::SIGHUP);
    service.logged("are taken in anew");
    assert_ne!(shown(&address, &authority).await, first);
}

#[tokio::test]
async fn files_that_cannot_be_taken_in_are_told_before_the_service_listens() {
    let database = TestDatabase::create().await;
    let authority = Authority::new();
    let (issued, other) = (authority.service("service"), authority.service("other"));
    let (certificate, missing) = (text(&issued.certificate), authority.directory().join("missing"));
    let serve = |files: &[&str]| run_on(&database, &[&["serve", "--listen", "127.0.0.1:0"], files].concat());
    for (key, ca, named) in [
        (&other.key, &authority.file(), certificate),
        (&missing, &authority.file(), text(&missing)),
        (&issued.certificate, &authority.file(), certificate),
        (&issued.key, &issued.key, text(&issued.key)),
    ] {
        let refused = serve(&["--tls-cert", certificate, "--tls-key", text(key), "--tls-client-ca", text(ca)]).failed(1);
        assert!(refused.contains(&format!("deskledger: {named}: ")), "{refused}");
    }
    for half in ["--tls-cert", "--tls-key", "--tls-client-ca"] {
        let refused = serve(&[half, certificate]).failed(2);
        assert!(refused.contains("required"), "{refused}");
    }
}

#[tokio::test]
async fn the_rust_client_checks_the_service_and_shows_who_it_is() {
    let database = TestDatabase::create().await;
    let authority = Authority::new();
    let (issued, own) = (authority.service("service"), authority.client("client", &[]));
    let (_service, address) = serve(&database, &issued, &["--tls-client-ca", text(&authority.file())]);
    run_on(&database, &["application", "create", "acme"]).good();
    let token = run_on(&database, &["token", "create", "acme", "--scopes", "tickets:read"]).good().trim().to_owned();
    let url = format!("https://localhost:{}", address.rsplit(':').next().expect("a port"));
    let pem = |path: &Path| fs::read_to_string(path).expect("a file of text");
    let lists = async |builder: Builder| {
        let client = builder.connect_lazy().expect("a client");
        client.tickets().list_tickets(ListTicketsRequest::default()).await.is_ok()
    };
    let builder = || Client::builder(url.clone(), &token).identity(pem(&own.certificate), pem(&own.key));

    assert!(lists(builder().certificate_authority(pem(&authority.file()))).await);
    assert!(!lists(builder().certificate_authority(pem(&Authority::new().file()))).await, "another authority");
    let nobody = Client::builder(url.clone(), &token).certificate_authority(pem(&authority.file()));
    assert!(!lists(nobody).await, "no certificate of its own");
}
