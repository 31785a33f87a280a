//! The results as Markdown.

use std::fmt::Write;

use crate::dataset::Dataset;
use crate::machine::Machine;
use crate::options::Options;
use crate::results::{Bound, CaseResult, Measured, Verdict, peer_verdicts, verdicts};

/// Everything that was measured, in tables.
pub fn render(
    results: &[CaseResult],
    peers: Option<&(Vec<Measured>, Vec<&'static str>)>,
    machine: &Machine,
    options: &Options,
    dataset: &Dataset,
) -> String {
    let mut text = conditions(machine, options, dataset);
    if !results.is_empty() {
        text += "\n### Ratios\n\n";
        text += &verdict_table(&verdicts(results));
        text += "\n### Figures\n\n";
        text += &figures(results.iter().flat_map(|result| result.measured.iter().map(|measured| (result.title, measured))));
    }
    if let Some((measured, missing)) = peers {
        text += "\n### Peers\n\n";
        if !missing.is_empty() {
            let _ = writeln!(text, "Not built, and therefore not measured: {}.\n", missing.join(", "));
        }
        if !measured.is_empty() {
            text += &verdict_table(&peer_verdicts(measured));
            text += "\n";
            text += &figures(measured.iter().map(|measured| ("list 50, uniform tickets, nothing in memory", measured)));
        }
    }
    text
}

fn conditions(machine: &Machine, options: &Options, dataset: &Dataset) -> String {
    let Machine { processor, cpus, memory_gib, kernel, postgres, postgres_settings, rustc, service_settings, date } = machine;
    let mut text = format!(
        "Measured on {date}: {processor}, {cpus} CPUs, {memory_gib} GiB of memory, Linux {kernel}; PostgreSQL {postgres} \
         ({postgres_settings}), {rustc}. Load, service and PostgreSQL share the CPUs.\n\n\
         {} tickets with {} messages, {} of them in one ticket. Medians of {} rounds of {} s, the contestants in turn.\n",
        dataset.tickets,
        dataset.large + dataset.others,
        dataset.large,
        options.rounds,
        options.seconds()
    );
    if !service_settings.is_empty() {
        let _ = writeln!(text, "\nSettings of the service other than the defaults: {}.", service_settings.join(", "));
    }
    if options.quick {
        text += "\nA quick run: it tries the benchmark, and its figures mean nothing.\n";
    }
    if cfg!(debug_assertions) {
        text += "\nNot built for release: the figures mean nothing.\n";
    }
    text
}

fn verdict_table(verdicts: &[Verdict]) -> String {
    let mut text = "| call | against | ratio | target | met |\n|---|---|---:|---:|---|\n".to_owned();
    for Verdict { title, against, ratio, target, met } in verdicts {
        let target = match target {
            Some(Bound::AtLeast(bound)) => format!("≥ {bound:.2}"),
            Some(Bound::AtMost(bound)) => format!("≤ {bound:.2}"),
            None => String::new(),
        };
        let met = match met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let _ = writeln!(text, "| {title} | {against} | {ratio:.2} | {target} | {met} |");
    }
    text
}

/// Throughput, latencies, CPU for each operation and memory.
fn figures<'a>(rows: impl Iterator<Item = (&'a str, &'a Measured)>) -> String {
    let mut text =
        "| call | of | per second | p50 ms | p99 ms | mean ms | client µs | service µs | PostgreSQL µs | memory MiB | peak MiB |\n\
                    |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for (title, measured) in rows {
        let number = |value: Option<f64>, digits: usize| value.map(|value| format!("{value:.digits$}")).unwrap_or_default();
        let mebibytes = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok()).map(f64::from);
        let _ = writeln!(
            text,
            "| {title} | {} | {:.0} | {} | {} | {:.2} | {:.1} | {} | {:.1} | {} | {} |",
            measured.contestant,
            measured.median(|sample| sample.per_second),
            number(measured.median_of(|sample| sample.p50_ms), 2),
            number(measured.median_of(|sample| sample.p99_ms), 2),
            measured.median(|sample| sample.mean_ms),
            measured.median(|sample| sample.client_us),
            number(measured.median_of(|sample| sample.service_us), 1),
            measured.median(|sample| sample.postgres_us),
            number(measured.median_of(|sample| mebibytes(sample.resident_mib)), 0),
            number(measured.median_of(|sample| mebibytes(sample.peak_mib)), 0),
        );
    }
    text
}
