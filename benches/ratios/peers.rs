//! The peers of `benches/peers/`: straightforward servers of the same list, measured beside the service.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::case::{CASES, Case};
use crate::client::Connection;
use crate::measure::{Bench, Sample};
use crate::process::Guarded;
use crate::results::{Contestant, Measured};
use crate::service::free_address;

/// What `--only` knows the comparison by.
pub const NAME: &str = "peers";
/// Each with the file that is there when `benches/peers/build.sh` has built it, below `target/peers/`.
const PEERS: [(&str, &str); 4] = [
    ("go", "go/bin/server"),
    ("node", "node/node_modules/.package-lock.json"),
    ("python", "python/deskledger/v1/chat_message_pb2.py"),
    ("tonic-sqlx", "tonic-sqlx/release/tonic-sqlx"),
];
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Peer {
    name: &'static str,
    process: Guarded,
    address: SocketAddr,
}

/// Measures the service and each peer that is built in turn, with the list that has nothing in memory. Says which peers are not built.
pub async fn measure(bench: &mut Bench) -> anyhow::Result<(Vec<Measured>, Vec<&'static str>)> {
    let (built, missing): (Vec<_>, Vec<_>) =
        PEERS.into_iter().partition(|(_, file)| Path::new(ROOT).join("target/peers").join(file).exists());
    let missing: Vec<&str> = missing.into_iter().map(|(name, _)| name).collect();
    for name in &missing {
        eprintln!("the peer {name} is not built and is left out: benches/peers/build.sh {name}");
    }
    if built.is_empty() {
        return Ok((vec![], missing));
    }
    let case = CASES[0];
    let mut peers = Vec::new();
    for (name, _) in built {
        peers.push(start(bench, name).await?);
    }
    let mut measured: Vec<Measured> =
        [Contestant::Ours].into_iter().chain(peers.iter().map(|peer| Contestant::Peer(peer.name))).map(Measured::new).collect();
    // Once for nothing: some compile what they run often.
    for peer in &mut peers {
        measure_one(bench, &case, peer).await?;
    }
    for round in 1..=bench.options.rounds {
        measured[0].add(NAME, round, bench.ours_as_peer(&case).await?);
        for (peer, measured) in peers.iter_mut().zip(&mut measured[1..]) {
            measured.add(NAME, round, measure_one(bench, &case, peer).await?);
        }
    }
    for peer in peers {
        peer.process.stop().await?;
    }
    Ok((measured, missing))
}

async fn measure_one(bench: &Bench, case: &Case, peer: &mut Peer) -> anyhow::Result<Sample> {
    let sample = bench.peer(case, peer.address, peer.process.pid()).await;
    peer.process.runs()?;
    sample.with_context(|| format!("the peer {}", peer.name))
}

async fn start(bench: &Bench, name: &'static str) -> anyhow::Result<Peer> {
    let address = free_address()?;
    let mut command = Command::new(format!("{ROOT}/benches/peers/run.sh"));
    command
        .arg(name)
        .env("PEER_LISTEN", address.to_string())
        .env("PEER_DATABASE_URL", bench.database.service_url())
        .env("PEER_APPLICATION_KEY", bench.database.application_key.to_string());
    let log = bench.output.join(format!("{name}.log"));
    let mut process = Guarded::start(name, &mut command, &log)?;
    let connected = Connection::open(address, &bench.token).await;
    process.runs().with_context(|| format!("{} says why", log.display()))?;
    connected?;
    Ok(Peer { name, process, address })
}
