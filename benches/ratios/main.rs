//! The benchmark: ratios of the service to pgbench with the same statements, to COPY and to peers, in one run on one machine.
//!
//! `docs/PERFORMANCE.md` says what is measured and how. In reading order: `options`; `dataset`, what there is; `database` and `service`, what
//! is started; `case`, what is compared; `measure`, one turn; `results` and what makes tables and a plot of them.

mod case;
mod client;
mod copy;
mod database;
mod dataset;
mod document;
mod load;
mod machine;
mod markdown;
mod measure;
mod merge;
mod options;
mod peers;
mod pgbench;
mod plot;
mod process;
mod results;
mod service;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::case::{CASES, Case};
use crate::copy::Target;
use crate::database::Database;
use crate::dataset::Dataset;
use crate::machine::Machine;
use crate::measure::Bench;
use crate::options::Options;
use crate::results::{CaseResult, Contestant, Measured, peer_verdicts, verdicts};

// As the service: what the load costs is taken from the same CPUs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a COPY beside those of a batch: more gain little.
const LARGE_COPY: usize = 5_000;
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread: the load is to take as little from what it measures as it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(until_signal(options)));
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("{error:#}");
    ExitCode::FAILURE
}

/// Everything that was started ends when the run is dropped.
async fn until_signal(options: Options) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        done = run(options) => done,
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = interrupt.recv() => bail!("ended by SIGINT"),
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let known = |name: &String| name == peers::NAME || CASES.iter().any(|case| case.name == name);
    if let Some(unknown) = options.only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).chain([peers::NAME]).collect();
        bail!("there is no case {unknown}; there are {}", names.join(", "));
    }
    ensure!(!(options.write && cfg!(debug_assertions)), "what is not built for release is not written into the document");
    // Beside the build, which cargo tells.
    let output = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let dataset = Dataset::new(options.quick);
    let database = Database::open(&options, &dataset).await?;
    let machine = Machine::read(&database)?;
    let token = service::token(&database)?;
    service::make_log_key(&output)?;
    let mut bench = Bench::new(options.clone(), dataset, database, token, output.clone());

    let chosen: Vec<Case> = CASES.into_iter().filter(|case| options.chosen(case.name)).collect();
    let (reading, writing): (Vec<Case>, Vec<Case>) = chosen.into_iter().partition(|case| case.effect().is_none());
    let mut results = Vec::new();
    for case in reading {
        results.push(compare(&mut bench, case).await?);
    }
    // Before what writes: tombstones are smaller.
    let peers = if options.chosen(peers::NAME) { Some(peers::measure(&mut bench).await?) } else { None };
    for case in writing {
        results.push(compare(&mut bench, case).await?);
    }
    bench.stop_service().await?;

    let tables = markdown::render(&results, peers.as_ref(), &machine, &options, &dataset);
    let mut all = verdicts(&results);
    all.extend(peers.iter().flat_map(|(measured, _)| peer_verdicts(measured)));
    let plot = plot::render(&all)?;
    let (measured, missing) = peers.unwrap_or_default();
    let json = serde_json::json!({
        "machine": machine, "quick": options.quick, "verdicts": all, "cases": results, "peers": measured, "peers_not_built": missing,
    });
    fs::write(output.join("results.md"), &tables)?;
    fs::write(output.join("results.json"), serde_json::to_string_pretty(&json)?)?;
    fs::write(output.join("results.svg"), &plot)?;
    println!("{tables}");
    eprintln!("written: results.md, results.json and results.svg in {}", output.display());
    if options.write {
        document::write(Path::new(ROOT), &tables, &plot)?;
    }
    Ok(())
}

/// Measures a case in rounds, the contestants in turn, so that what changes with time changes for all of them.
async fn compare(bench: &mut Bench, case: Case) -> anyhow::Result<CaseResult> {
    let mut contestants = vec![Contestant::Ours];
    if case.per_second().is_none() {
        contestants.push(Contestant::Pgbench);
        if case.deletes() {
            contestants.push(Contestant::WithoutTree);
        }
    }
    if case.copies() {
        contestants.extend([Contestant::SpreadCopy(case.batch()), Contestant::Copy(case.batch()), Contestant::Copy(LARGE_COPY)]);
    }
    let mut measured: Vec<Measured> = contestants.into_iter().map(Measured::new).collect();
    for round in 1..=bench.options.rounds {
        for measured in &mut measured {
            let sample = match measured.contestant {
                Contestant::Ours if case.per_second().is_some() => bench.merge(&case).await,
                Contestant::Ours => bench.ours(&case).await,
                Contestant::WithoutTree => bench.without_tree(&case).await,
                Contestant::Pgbench => bench.pgbench(&case).await,
                Contestant::Copy(rows) => bench.copy(&case, rows, Target::End).await,
                Contestant::SpreadCopy(rows) => {
                    let target = Target::Tickets(bench.database.application_key, bench.dataset);
                    bench.copy(&case, rows, target).await
                }
                Contestant::Peer(name) => bail!("{name} has no part in the case"),
            };
            measured.add(case.name, round, sample.with_context(|| format!("{}: {}", case.name, measured.contestant))?);
        }
    }
    Ok(CaseResult { name: case.name, title: case.title, case, measured })
}
