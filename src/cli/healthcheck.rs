//! `deskledger healthcheck`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

use crate::cli::pinned_tls;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address and port of the service; an unspecified address such as 0.0.0.0 is asked on this machine
    #[arg(long, env = "DESKLEDGER_LISTEN", default_value = "127.0.0.1:50051")]
    address: String,
    /// Seconds to wait for the answer, 1 to 60
    #[arg(long, env = "DESKLEDGER_HEALTHCHECK_SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// File of the service's certificate, PEM: the service is asked by TLS, and must have this one. Default: none, plain text
    #[arg(long, env = "DESKLEDGER_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// File of the certificate to show to a service that requires one, PEM
    #[arg(long, env = "DESKLEDGER_HEALTHCHECK_CLIENT_CERT", requires = "client_key", requires = "tls_cert")]
    client_cert: Option<PathBuf>,
    /// File of that certificate's private key, PEM
    #[arg(long, env = "DESKLEDGER_HEALTHCHECK_CLIENT_KEY", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let address = arguments.address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let patience = Duration::from_secs(arguments.seconds);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).context("the address is not HOST:PORT")?;
    let endpoint = endpoint.connect_timeout(patience).timeout(patience);
    let channel = tokio::time::timeout(patience, connect(&endpoint, &address, &arguments)).await;
    let channel =
        channel.with_context(|| format!("no service at {address}"))?.with_context(|| format!("no service at {address}"))?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        status => bail!("the service at {address} is {}", status.as_str_name()),
    }
}

async fn connect(endpoint: &Endpoint, address: &str, arguments: &Arguments) -> anyhow::Result<Channel> {
    let Some(certificate) = &arguments.tls_cert else { return Ok(endpoint.connect().await?) };
    let own = arguments.client_cert.as_deref().zip(arguments.client_key.as_deref());
    let connector = pinned_tls::connector(certificate, own)?;
    let name = pinned_tls::name();
    let address = address.to_owned();
    let dial = service_fn(move |_| {
        let (connector, name, address) = (connector.clone(), name.clone(), address.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Ok(endpoint.connect_with_connector(dial).await?)
}
