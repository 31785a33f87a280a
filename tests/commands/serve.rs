//! `deskledger serve`: how it starts, and how it ends.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::commands::program::{Service, run_on};
use crate::support::database::TestDatabase;

#[tokio::test]
async fn sigterm_ends_a_service_well() {
    let database = TestDatabase::create().await;
    let mut service = Service::on(&database, &[]);
    service.ready();

    service.signal(Signal::SIGTERM);

    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_a_service_at_once_whatever_is_in_flight() {
    let database = TestDatabase::create().await;
    let mut service = Service::on(&database, &["--drain-seconds", "600"]);
    let address = service.address();
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await;
    let mut health = HealthClient::new(channel.expect("the service listens"));
    // A call that does not end by itself.
    let watch = health.watch(HealthCheckRequest { service: String::new() }).await.expect("the service answers").into_inner();

    service.signal(Signal::SIGTERM);
    service.logged("draining");
    service.signal(Signal::SIGTERM);

    let (code, log) = service.end();
    assert_eq!(code, Some(130), "{log}");
    assert!(log.contains("stopping at once"), "{log}");
    drop(watch);
}

#[tokio::test]
async fn a_port_in_use_is_told_before_anything_is_started() {
    let database = TestDatabase::create_empty().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();

    let refused = run_on(&database, &["serve", "--migrate", "--listen", &address]).failed(1);

    assert!(refused.starts_with(&format!("deskledger: cannot listen on {address}: ")), "{refused}");
}
