//! `deskledger serve`: how it starts, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::commands::program::{Service, run_on};
use crate::support::database::TestDatabase;
use crate::support::{Actor, World, pb};

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
async fn a_service_may_have_as_many_files_open_as_the_system_lets_it() {
    let database = TestDatabase::create().await;
    // As shells and service managers start programs: with a low limit that may be raised.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 128 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_deskledger")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    let mut service = Service::start(command.env("DATABASE_URL", database.service_url()));
    service.ready();

    let limits = fs::read_to_string(format!("/proc/{}/limits", service.pid())).expect("the process is there");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the limit");
    let (soft, hard) = line.trim().split_once(' ').expect("two limits");
    assert_eq!(Some(soft), hard.split_whitespace().next(), "{line}");
    assert_ne!(soft, "128");
    assert!(service.logged("before=128").contains(&format!("limit={soft}")));
}

#[tokio::test]
async fn a_call_with_a_deadline_that_is_met_leaves_nothing_in_the_log() {
    let world = World::new().await;
    let actor = world.actor().await;
    let mut service = Service::on(&world.database, &[]);
    let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).expect("an address");
    service.ready();
    let mut actor = Actor::new(endpoint.connect().await.expect("the service listens"), &actor.token);
    let mut request = tonic::Request::new(pb::ListTicketsRequest::default());
    request.set_timeout(Duration::from_secs(60));
    actor.tickets.list_tickets(request).await.expect("it is listed");

    service.signal(Signal::SIGTERM);

    let (_, log) = service.end();
    assert!(!log.contains("a call failed"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_a_service_at_once_whatever_is_in_flight() {
    let world = World::new().await;
    let token = world.actor().await.token;
    let mut service = Service::on(&world.database, &["--drain-seconds", "600"]);
    let mut stream = TcpStream::connect(service.address()).expect("the service listens");
    // A call whose body never comes. The service asks for the body, so it has the call.
    let call = format!(
        "POST /desk/api/v2/conversationmessages/webhooks.json HTTP/1.1\r\nHost: desk\r\nSENDBIRDDESKAPITOKEN: {token}\r\n\
         Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(call.as_bytes()).expect("the call is sent");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("an answer");
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");

    service.signal(Signal::SIGTERM);
    service.logged("draining");
    service.signal(Signal::SIGTERM);

    let (code, log) = service.end();
    assert_eq!(code, Some(130), "{log}");
    assert!(log.contains("stopping at once"), "{log}");
}

#[tokio::test]
async fn those_who_watch_the_health_are_told_of_the_stop_and_do_not_hold_it_up() {
    let database = TestDatabase::create().await;
    let mut service = Service::on(&database, &["--drain-seconds", "600"]);
    service.ready();
    let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).expect("an address");
    let mut health = HealthClient::new(endpoint.connect().await.expect("the service listens"));
    let watch = health.watch(HealthCheckRequest { service: String::new() }).await.expect("the service answers");
    let mut watch = watch.into_inner();
    let told = watch.message().await.expect("a status").expect("one at least");
    assert_eq!(told.status(), ServingStatus::Serving);

    service.signal(Signal::SIGTERM);

    let told = watch.message().await.expect("a status").expect("one more");
    assert_eq!(told.status(), ServingStatus::NotServing);
    assert!(watch.message().await.expect("the end of the stream").is_none());
    assert_eq!(service.end().0, Some(0));
}

#[tokio::test]
async fn a_port_in_use_is_told_before_anything_is_started() {
    let database = TestDatabase::create_empty().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();

    let refused = run_on(&database, &["serve", "--migrate", "--listen", &address]).failed(1);

    assert!(refused.starts_with(&format!("deskledger: cannot listen on {address}: ")), "{refused}");
}
