//! How the service listens and what it allows.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use clap::builder::BoolishValueParser;

use crate::config::{AdmissionSettings, LimitSettings, ReplicaSettings, TelemetrySettings, TlsSettings};

/// How the service listens and what it allows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ServerSettings {
    /// Address and port to listen on; port 0 takes a free one and logs it
    #[arg(long, env = "DESKLEDGER_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: String,
    /// Do not serve the REST door
    #[arg(long, env = "DESKLEDGER_NO_REST")]
    pub no_rest: bool,
    /// Take scheme and host of answered URLs from X-Forwarded-Proto and X-Forwarded-Host, which a proxy in front must then set
    #[arg(long, env = "DESKLEDGER_TRUST_FORWARDED")]
    pub trust_forwarded: bool,
    /// Seconds by which the time of a signed webhook may differ from now, 300 to 86400: senders repeat for 5 minutes
    #[arg(long, env = "DESKLEDGER_WEBHOOK_WINDOW_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(300..=86_400))]
    pub webhook_window_seconds: u64,
    /// Refuse deletions that do not say why with a reason from the list; those by ingest, which cannot, are taken in all the same
    #[arg(long, env = "DESKLEDGER_REQUIRE_DELETION_REASON", value_parser = BoolishValueParser::new())]
    pub require_deletion_reason: bool,
    /// Origins whose browser pages may call the service, separated by commas, such as <https://desk.example.com>. Default: none
    #[arg(long, env = "DESKLEDGER_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Seconds that a call may take, 1 to 600; a caller's shorter deadline goes first
    #[arg(long, env = "DESKLEDGER_REQUEST_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub request_timeout_seconds: u64,
    /// Seconds that calls in flight are given to end when the service stops, 0 to 600
    #[arg(long, env = "DESKLEDGER_DRAIN_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub drain_seconds: u64,
    /// Seconds after which a token is looked up again, 0 to 60: so long a revoked one lives on
    #[arg(long, env = "DESKLEDGER_TOKEN_CACHE_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub token_cache_seconds: u64,
    /// Mebibytes of pages of messages kept in memory, 0 to 65536. A page is answered only while its ticket is unchanged; 0 keeps none
    #[arg(long, env = "DESKLEDGER_PAGE_CACHE_MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(0..=65_536))]
    pub page_cache_mib: u64,
    /// File of the key that signs the deletion log (docs/PROOF.md). Default: none, for a private server log.key in its directory
    #[arg(long, env = "DESKLEDGER_LOG_KEY_FILE")]
    pub log_key_file: Option<PathBuf>,
    /// File of the last heads that the key has signed, kept apart from the database. Default: the key's file with .state at its end
    #[arg(long, env = "DESKLEDGER_LOG_STATE_FILE")]
    pub log_state_file: Option<PathBuf>,
    /// Days after which what is personal in an entry of the deletion log is erased, 30 to 36500 (docs/PROOF.md). Default: never
    #[arg(long, env = "DESKLEDGER_LOG_RETENTION_DAYS", value_parser = clap::value_parser!(i64).range(30..=36_500))]
    pub log_retention_days: Option<i64>,
    /// Hours after which the whole deletion log is verified again, with an error logged for each that is damaged, 0 to 8760; 0 is never
    #[arg(long, env = "DESKLEDGER_LOG_CHECK_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=8760))]
    pub log_check_hours: u64,
    /// Serve /log/, the deletion log's signed tree, to all; else to tokens with the scope logs:read. It holds salted digests, nothing personal
    #[arg(long, env = "DESKLEDGER_PUBLIC_LOG")]
    pub public_log: bool,
    /// Days for which the id of a request is remembered, 1 to 365
    #[arg(long, env = "DESKLEDGER_REQUEST_ID_RETENTION_DAYS", default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=365))]
    pub request_id_retention_days: i64,
    /// Which replicas of the database reads may go to.
    #[command(flatten)]
    pub replicas: ReplicaSettings,
    /// What its peers may have of it.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// What makes its connections private, and who its clients are.
    #[command(flatten)]
    pub tls: TlsSettings,
    /// What operators are told.
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
    /// How many calls are taken on.
    #[command(flatten)]
    pub admission: AdmissionSettings,
}

impl ServerSettings {
    /// How long a call may take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }

    /// How long calls in flight are given to end.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// By how much the time of a signed webhook may differ from now.
    #[must_use]
    pub fn webhook_window(&self) -> Duration {
        Duration::from_secs(self.webhook_window_seconds)
    }

    /// How long a token is remembered.
    #[must_use]
    pub fn token_cache_ttl(&self) -> Duration {
        Duration::from_secs(self.token_cache_seconds)
    }

    /// How many bytes of pages are kept in memory.
    #[must_use]
    pub fn page_cache_bytes(&self) -> u64 {
        self.page_cache_mib * 1024 * 1024
    }

    /// How long the deletion log keeps what is personal; `None` is for good.
    #[must_use]
    pub fn log_retention(&self) -> Option<TimeDelta> {
        self.log_retention_days.map(TimeDelta::days)
    }

    /// How often the deletion log is verified; `None` is never.
    #[must_use]
    pub fn log_check_interval(&self) -> Option<Duration> {
        (self.log_check_hours > 0).then(|| Duration::from_secs(self.log_check_hours * 3600))
    }

    /// How long a request id is remembered.
    #[must_use]
    pub fn request_id_retention(&self) -> TimeDelta {
        TimeDelta::days(self.request_id_retention_days)
    }
}
