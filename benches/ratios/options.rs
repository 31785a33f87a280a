//! What the benchmark is told.

use std::path::PathBuf;

use clap::Parser;

/// Measures the service against pgbench with the same statements, and against straightforward peers, and prints the ratios.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench --bench ratios --", max_term_width = 120)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Options {
    /// Load little and measure for a second each: tries the benchmark, and its figures mean nothing
    #[arg(long)]
    pub quick: bool,
    /// Only these cases, separated by commas; `peers` is the comparison with the peers. Default: all
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Write the results into docs/PERFORMANCE.md and docs/performance.svg too
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pub write: bool,
    /// Rounds of each case; the median counts. 1 to 99
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub rounds: u8,
    /// Seconds of each measurement, after a warm-up of a sixth of it; 1 to 600. Default: 6, with --quick 1
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: Option<u16>,
    /// Keep the loaded database for the next run with --keep
    #[arg(long)]
    pub keep: bool,
    /// Directory on the disk that is to be measured; the private PostgreSQL server's data are made in `deskledger-bench` there, and removed at
    /// the end. Where this runs as root, the user `postgres` must be able to enter it
    #[arg(long, default_value = "/var/tmp")]
    pub disk: PathBuf,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// How long each measurement takes.
    pub fn seconds(&self) -> u16 {
        self.seconds.unwrap_or(if self.quick { 1 } else { 6 })
    }

    /// Whether something of this name is to be measured.
    pub fn chosen(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Where the private server keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        self.disk.join("deskledger-bench")
    }
}
