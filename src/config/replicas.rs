//! Which replicas of the database reads may go to.

use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

/// Which replicas of the database reads may go to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replicas")]
pub struct ReplicaSettings {
    /// URLs of streaming replicas, separated by commas, to which exports and lists of the deletion log may go. Default: none
    #[arg(long, env = "DESKLEDGER_READ_URL", hide_env_values = true, value_delimiter = ',')]
    pub read_url: Vec<SecretString>,
    /// Milliseconds that the answer of a replica may be old, 50 to 600000; when none is as fresh, the primary is asked
    #[arg(long, env = "DESKLEDGER_READ_MAX_LAG_MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub read_max_lag_ms: u64,
}

impl ReplicaSettings {
    /// The configured replicas; an empty setting is none. They may hold passwords.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.read_url.iter().map(|url| url.expose_secret().trim()).filter(|url| !url.is_empty())
    }

    /// How old the answer of a replica may be.
    #[must_use]
    pub fn max_lag(&self) -> Duration {
        Duration::from_millis(self.read_max_lag_ms)
    }
}
