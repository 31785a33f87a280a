//! How many calls the service takes on, of all and of each token.

use std::time::Duration;

use clap::Args;

/// How many calls the service takes on, of all and of each token.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admission")]
pub struct AdmissionSettings {
    /// Calls that are worked on at a time, reads and writes counted apart, 32 to 65536; fewer when they take too long. Others are refused
    #[arg(long, env = "DESKLEDGER_MAX_CALLS_IN_FLIGHT", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(32..=65_536))]
    pub max_calls_in_flight: u32,
    /// Milliseconds that half of the calls may take before fewer are taken on at a time, 10 to 60000
    #[arg(long, env = "DESKLEDGER_LATENCY_TARGET_MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub latency_target_ms: u64,
    /// Calls that read which a token may make in a minute at each process, 0 to 100000000; 0 is no limit. A sixth of them may come at once
    #[arg(long, env = "DESKLEDGER_READS_PER_MINUTE", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    pub reads_per_minute: u32,
    /// Calls that write which a token may make in a minute at each process, 0 to 100000000; 0 is no limit. A sixth of them may come at once
    #[arg(long, env = "DESKLEDGER_WRITES_PER_MINUTE", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    pub writes_per_minute: u32,
    /// Messages that a token may delete in an hour of the clock, at all processes together, 0 to 1000000000; 0 is no limit
    #[arg(long, env = "DESKLEDGER_DELETIONS_PER_HOUR", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    pub deletions_per_hour: u32,
}

impl AdmissionSettings {
    /// How long half of the calls may take.
    #[must_use]
    pub fn latency_target(&self) -> Duration {
        Duration::from_millis(self.latency_target_ms)
    }
}
