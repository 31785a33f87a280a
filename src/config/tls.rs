//! What makes connections private, and who the clients are.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// What makes connections private, and who the clients are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsSettings {
    /// File of the service's certificate with those that lead to its authority, PEM. Default: none, connections are then plain text
    #[arg(long, env = "DESKLEDGER_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File of the certificate's private key, PEM
    #[arg(long, env = "DESKLEDGER_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// File of the authorities whose certificates clients may show, PEM. Default: none, clients show no certificate
    #[arg(long, env = "DESKLEDGER_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate, where --tls-client-ca is given
    #[arg(long, env = "DESKLEDGER_TLS_CLIENT_CERTIFICATES", value_enum, default_value_t = ClientCertificates::Required)]
    pub tls_client_certificates: ClientCertificates,
    /// Seconds after which it is looked whether the files of TLS have changed, 1 to 3600; a SIGHUP has them looked at at once
    #[arg(long, env = "DESKLEDGER_TLS_RELOAD_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub tls_reload_seconds: u64,
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientCertificates {
    /// One that is shown must be good
    Optional,
    /// Without a good one there is no connection
    Required,
}

impl TlsSettings {
    /// How often it is looked whether the files have changed.
    #[must_use]
    pub fn reload_interval(&self) -> Duration {
        Duration::from_secs(self.tls_reload_seconds)
    }
}
