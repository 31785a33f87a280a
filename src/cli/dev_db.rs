//! `deskledger dev-db`: owns the database server that test processes share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::embedded_postgres::dev_cluster::{HelperSettings, run_helper};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The directory that the test processes join
    #[arg(long)]
    home: PathBuf,
}

/// For all test processes together: each test has a small pool.
const MAX_CONNECTIONS: u16 = 400;
/// How long it stays after the last test process.
const LINGER: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: Arguments, binaries: Option<PathBuf>) -> anyhow::Result<()> {
    run_helper(&HelperSettings { home: arguments.home, binaries, max_connections: MAX_CONNECTIONS, linger: LINGER })?;
    Ok(())
}
