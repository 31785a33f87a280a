//! What attackers send to a running service: others are still served, its memory stays bounded, and who overdoes it is cut off.

mod bodies;
mod crowds;
mod headers;
mod http2;

use std::fs;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use crate::commands::program::Service;
use crate::support::database::TestDatabase;
use crate::support::world::{default_settings, plain_token};
use crate::support::{Actor, World};

/// How much an attack may add to the memory of the service.
const MEMORY_KIB: u64 = 96 * 1024;

/// A service in a process of its own, with a good client that is connected already.
struct Target {
    world: World,
    service: Service,
    address: String,
    token: String,
    good: Actor,
    ticket: i64,
    memory_before: u64,
}

impl Target {
    async fn new(arguments: &[&str]) -> Self {
        let world = World::on(TestDatabase::create().await, default_settings()).await;
        let token = world.token("acme", plain_token()).await;
        let mut service = Service::on(&world.database, arguments);
        let address = service.address();
        service.ready();
        let mut good = actor_at(&address, &token).await;
        let ticket = good.open_ticket().await.id;
        let memory_before = peak_memory_kib(&service);
        Self { world, service, address, token, good, ticket, memory_before }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("the service listens")
    }

    /// Others are served, on connections that they have and on new ones, and the memory is bounded.
    async fn stands(&mut self) {
        assert_eq!(self.good.ticket(self.ticket).await.id, self.ticket);
        let mut other = actor_at(&self.address, &self.token).await;
        assert_eq!(other.ticket(self.ticket).await.id, self.ticket);
        self.is_within_memory();
    }

    fn is_within_memory(&self) {
        // The kernel counts in batches: a peak may be told a little lower later.
        let added = peak_memory_kib(&self.service).saturating_sub(self.memory_before);
        assert!(added < MEMORY_KIB, "{added} KiB more than before");
    }

    /// Sends these bytes and reads what comes until the service closes the connection.
    async fn answer(&self, bytes: &[u8]) -> String {
        let (mut reader, mut writer) = self.connect().await.into_split();
        let bytes = bytes.to_vec();
        // Beside reading: what is refused early is not read to its end.
        let sent = tokio::spawn(async move { writer.write_all(&bytes).await.map(|()| writer) });
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = reader.read_to_end(&mut answer).await;
        let _ = sent.await.expect("no panic");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn actor_at(address: &str, token: &str) -> Actor {
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it listens");
    Actor::new(channel, token)
}

/// The most memory that the process has had so far.
fn peak_memory_kib(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
