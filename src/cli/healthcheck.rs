//! `deskledger healthcheck`

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address and port of the service; an unspecified address such as 0.0.0.0 is asked on this machine
    #[arg(long, env = "DESKLEDGER_LISTEN", default_value = "127.0.0.1:50051")]
    address: String,
    /// Seconds to wait for the answer, 1 to 60
    #[arg(long, env = "DESKLEDGER_HEALTHCHECK_SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let address = arguments.address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let patience = Duration::from_secs(arguments.seconds);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).context("the address is not HOST:PORT")?;
    let channel =
        endpoint.connect_timeout(patience).timeout(patience).connect().await.with_context(|| format!("no service at {address}"))?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        status => bail!("the service at {address} is {}", status.as_str_name()),
    }
}
