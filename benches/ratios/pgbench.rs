//! pgbench: the limit that the service is held against.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep_until};

use crate::database::Database;
use crate::process::{Guarded, tree_cpu};

/// For new connections to be filled with what PostgreSQL keeps in each: seconds that are not counted.
const WARM_UP: u16 = 1;
/// Beyond its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it is to run.
pub struct Run<'a> {
    /// A file of `benches/sql/`.
    pub script: &'a str,
    pub variables: &'a [(&'static str, String)],
    pub clients: u32,
    /// Seconds that are counted.
    pub seconds: u16,
}

/// What it measured.
pub struct Outcome {
    /// All transactions, those that are not counted too.
    pub transactions: u64,
    /// Transactions of the counted seconds.
    pub counted: f64,
    pub per_second: f64,
    /// Their mean.
    pub latency_ms: f64,
    /// CPU time in the counted seconds: its own, and the database's.
    pub client: Duration,
    pub postgres: Duration,
}

/// Runs a script with prepared statements.
pub async fn run(database: &Database, run: &Run<'_>, log: &Path) -> anyhow::Result<Outcome> {
    let mut process = Guarded::start("pgbench", &mut command(database, run)?, log)?;
    let begin = Instant::now();
    let cpu = || -> anyhow::Result<_> { Ok((tree_cpu(process.pid())?, database.cpu()?)) };
    sleep_until(begin + Duration::from_secs(WARM_UP.into())).await;
    let (client, postgres) = cpu()?;
    sleep_until(begin + Duration::from_secs((WARM_UP + run.seconds).into())).await;
    let (client_after, postgres_after) = cpu()?;
    let status = process.wait(PATIENCE).await?;
    let text = fs::read_to_string(log)?;
    ensure!(status.success(), "pgbench ended with {status}: {text}");
    let transactions = transactions(&text).with_context(|| format!("pgbench says: {text}"))?;
    let (per_second, latency_ms) = progress(&text, run.seconds).with_context(|| format!("pgbench says: {text}"))?;
    Ok(Outcome {
        transactions,
        counted: per_second * f64::from(run.seconds),
        per_second,
        latency_ms,
        client: client_after.saturating_sub(client),
        postgres: postgres_after.saturating_sub(postgres),
    })
}

/// It runs a second longer than is counted: the last second's progress may be told or not.
fn command(database: &Database, run: &Run<'_>) -> anyhow::Result<Command> {
    let (socket, user, name) = database.address();
    let threads = u32::try_from(std::thread::available_parallelism()?.get())?.min(run.clients);
    let mut command = Command::new(database.pgbench()?);
    command
        .args(["--no-vacuum", "--protocol=prepared", "--progress=1"])
        .arg(format!("--client={}", run.clients))
        .arg(format!("--jobs={threads}"))
        .arg(format!("--time={}", WARM_UP + run.seconds + 1))
        .arg(format!("--file={}/benches/sql/{}", env!("CARGO_MANIFEST_DIR"), run.script));
    for (variable, value) in run.variables {
        command.arg(format!("--define={variable}={value}"));
    }
    command.arg("--host").arg(socket).arg("--username").arg(user).arg(name);
    Ok(command)
}

fn transactions(text: &str) -> anyhow::Result<u64> {
    let after = |label: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(label));
        rest.and_then(|rest| rest.split_whitespace().next()).with_context(|| format!("there is no {label:?}"))
    };
    ensure!(after("number of failed transactions: ")? == "0", "transactions failed");
    Ok(after("number of transactions actually processed: ")?.parse()?)
}

/// The means of transactions a second and of latency in milliseconds, over the counted seconds. Each has a line such as
/// `progress: 2.0 s, 9500.3 tps, lat 0.842 ms stddev 0.301, 0 failed`.
fn progress(text: &str, seconds: u16) -> anyhow::Result<(f64, f64)> {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("progress: ")).collect();
    let counted = lines.get(WARM_UP.into()..(WARM_UP + seconds).into()).context("seconds are missing")?;
    let (mut per_second, mut latency_ms) = (0.0, 0.0);
    for line in counted {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).context("a word is missing")?.parse::<f64>().context("not a number");
        let tps = number(3)?;
        per_second += tps;
        latency_ms += number(6)? * tps;
    }
    ensure!(per_second > 0.0, "nothing was done");
    Ok((per_second / f64::from(seconds), latency_ms / per_second))
}
