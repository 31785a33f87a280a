//! What the peers of the service may have of it: connections, and time on them.

use std::time::Duration;

use clap::Args;

/// What the peers of the service may have of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitSettings {
    /// Connections at a time, 1 to 1000000; those beyond are closed at once
    #[arg(long, env = "DESKLEDGER_MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub max_connections: u64,
    /// Connections at a time from one address, of IPv6 one network of 64 bits, 1 to 1000000. Behind a proxy all come from its address
    #[arg(long, env = "DESKLEDGER_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub max_connections_per_address: u64,
    /// Streams at a time on one connection of HTTP/2, 1 to 10000; clients wait with the calls beyond
    #[arg(long, env = "DESKLEDGER_MAX_CONCURRENT_STREAMS", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_concurrent_streams: u32,
    /// Calls at a time on one connection, 1 to 10000; those beyond are refused. Over HTTP/2 clients wait with what is beyond the streams
    #[arg(long, env = "DESKLEDGER_MAX_CALLS_PER_CONNECTION", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_calls_per_connection: u32,
    /// Kibibytes that the headers of a request may have, 8 to 256
    #[arg(long, env = "DESKLEDGER_MAX_HEADER_KIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(8..=256))]
    pub max_header_kib: u32,
    /// Seconds that a new connection may take for the handshake of TLS, and then for its first bytes of HTTP, 1 to 60
    #[arg(long, env = "DESKLEDGER_HANDSHAKE_TIMEOUT_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub handshake_timeout_seconds: u64,
    /// Seconds from the end of a call of HTTP/1 to the last header of the next one, 1 to 600
    #[arg(long, env = "DESKLEDGER_HEADER_TIMEOUT_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub header_timeout_seconds: u64,
    /// Seconds after which a silent client of HTTP/2 is pinged, and then has for its answer, 1 to 600
    #[arg(long, env = "DESKLEDGER_KEEPALIVE_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub keepalive_seconds: u64,
    /// Seconds that a client may take for the next 32 KiB of its answers, 1 to 600
    #[arg(long, env = "DESKLEDGER_STALL_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub stall_timeout_seconds: u64,
    /// Seconds without a call after which a connection is closed, 1 to 86400
    #[arg(long, env = "DESKLEDGER_IDLE_TIMEOUT_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub idle_timeout_seconds: u64,
    /// Seconds after which a connection takes no more calls, 1 to 86400, give or take a tenth: clients then spread over all instances again
    #[arg(long, env = "DESKLEDGER_MAX_CONNECTION_AGE_SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub max_connection_age_seconds: u64,
    /// Seconds that the calls on a connection of that age are given to end, 1 to 3600
    #[arg(long, env = "DESKLEDGER_CONNECTION_GRACE_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub connection_grace_seconds: u64,
}

impl LimitSettings {
    /// How many bytes the headers of a request have at most.
    #[must_use]
    pub fn max_header_bytes(&self) -> u32 {
        self.max_header_kib * 1024
    }

    /// How long a new connection may take for its handshake.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(self.handshake_timeout_seconds)
    }

    /// How long a client of HTTP/1 may take to send its headers.
    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout_seconds)
    }

    /// After how long a silent client is pinged, and how long it may take to answer.
    #[must_use]
    pub fn keepalive(&self) -> Duration {
        Duration::from_secs(self.keepalive_seconds)
    }

    /// How long a client may take for the next part of its answers.
    #[must_use]
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_secs(self.stall_timeout_seconds)
    }

    /// After how long without a call a connection is closed.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds)
    }

    /// After how long a connection takes no more calls.
    #[must_use]
    pub fn max_connection_age(&self) -> Duration {
        Duration::from_secs(self.max_connection_age_seconds)
    }

    /// How long the calls on a connection that is to close are given to end.
    #[must_use]
    pub fn connection_grace(&self) -> Duration {
        Duration::from_secs(self.connection_grace_seconds)
    }
}
