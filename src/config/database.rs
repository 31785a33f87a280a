//! Which database the service works on.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

/// Which database the service works on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// URL of a PostgreSQL database to use, such as <postgres://user:password@host/deskledger>. Unset: a private server is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<SecretString>,
    /// Directory of the private server's data. Default: /var/lib/deskledger as root, else the user's data directory
    #[arg(long, env = "DESKLEDGER_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Directory that holds the programs `postgres` and `initdb` for the private server. Default: searched for
    #[arg(long, env = "DESKLEDGER_POSTGRES_BIN", global = true)]
    pub postgres_bin: Option<PathBuf>,
    /// Role that `migrate` makes and grants what the service needs, and that a private server is served as; set empty: none
    #[arg(long, env = "DESKLEDGER_SERVICE_ROLE", default_value = "deskledger_service", global = true)]
    pub service_role: String,
    /// Connections to the database, 8 to 500, three fifths of them lanes, on which frequent calls share statements
    #[arg(long, env = "DESKLEDGER_DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(8..=500), global = true)]
    pub database_connections: u16,
    /// Seconds that a call waits for a connection before it is answered UNAVAILABLE, 1 to 60
    #[arg(long, env = "DESKLEDGER_DATABASE_WAIT_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60), global = true)]
    pub database_wait_seconds: u64,
    /// Seconds after which the database ends a statement, 1 to 600
    #[arg(long, env = "DESKLEDGER_STATEMENT_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600), global = true)]
    pub statement_timeout_seconds: u64,
    /// Seconds that a migration waits for a lock that another session holds before it gives up, 1 to 600
    #[arg(long, env = "DESKLEDGER_MIGRATION_LOCK_TIMEOUT_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600), global = true)]
    pub migration_lock_timeout_seconds: u64,
}

impl DatabaseSettings {
    /// The configured database; an empty setting is none. It may hold a password.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.database_url.as_ref().map(SecretString::expose_secret).filter(|url| !url.is_empty())
    }

    /// The role that serves, and owns nothing; an empty setting is none.
    #[must_use]
    pub fn service_role(&self) -> Option<&str> {
        Some(self.service_role.as_str()).filter(|role| !role.is_empty())
    }

    /// How many connections are pooled, and how many are lanes.
    #[must_use]
    pub fn connections(&self) -> (u16, u16) {
        let lanes = self.database_connections * 3 / 5;
        (self.database_connections - lanes, lanes)
    }

    /// How long a migration waits for a lock.
    #[must_use]
    pub fn migration_lock_timeout(&self) -> Duration {
        Duration::from_secs(self.migration_lock_timeout_seconds)
    }

    /// How long a call waits for a connection.
    #[must_use]
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.database_wait_seconds)
    }
}
