//! Results: medians over the rounds, ratios, and whether each target is met.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::case::Case;
use crate::measure::Sample;

/// The least ratio to COPY of batches.
const COPY_TARGET: f64 = 0.6;
/// The least part of the deletions without the log's tree that there are with it.
const TREE_TARGET: f64 = 0.85;
/// How many seconds of a hundred deletions all but the slowest wait for the log's tree at most.
const MERGE_TARGET: f64 = 1.0;
/// How many times the latency of the first page the last one may take.
const DEPTH_TARGET: f64 = 1.5;
/// How many times a peer's throughput is to be reached, at most with this part of its CPU.
const PEER_TARGET: f64 = 2.0;
const PEER_CPU_TARGET: f64 = 0.5;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    Ours,
    Pgbench,
    /// COPY of so many rows at a time.
    Copy(usize),
    /// The same into random tickets, as the service has to.
    SpreadCopy(usize),
    /// The service, while nothing becomes an entry of the log's tree.
    WithoutTree,
    Peer(&'static str),
}

impl Display for Contestant {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ours => formatter.write_str("deskledger"),
            Self::Pgbench => formatter.write_str("pgbench"),
            Self::Copy(rows) => write!(formatter, "COPY, {rows} rows at a time"),
            Self::SpreadCopy(rows) => write!(formatter, "COPY, {rows} rows of a random ticket at a time"),
            Self::WithoutTree => formatter.write_str("deskledger without the log's tree"),
            Self::Peer(name) => formatter.write_str(name),
        }
    }
}

impl Serialize for Contestant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A contestant with a sample for each round.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub contestant: Contestant,
    pub samples: Vec<Sample>,
}

impl Measured {
    pub fn new(contestant: Contestant) -> Self {
        Self { contestant, samples: vec![] }
    }

    /// Adds a round's sample, and says so to whoever waits.
    pub fn add(&mut self, case: &str, round: u8, sample: Sample) {
        eprintln!("{case}, round {round}: {} {:.0}/s, mean {:.3} ms", self.contestant, sample.per_second, sample.mean_ms);
        self.samples.push(sample);
    }

    /// The median of a figure that every sample has.
    pub fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        self.median_of(|sample| Some(figure(sample))).unwrap_or(f64::NAN)
    }

    /// The median of a figure that such samples may lack.
    pub fn median_of(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.iter().filter_map(figure).collect();
        values.sort_by(f64::total_cmp);
        let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
        Some(f64::midpoint(values[below], values[above]))
    }
}

/// A case with all who were measured in it.
#[derive(Debug, Serialize)]
pub struct CaseResult {
    pub name: &'static str,
    pub title: &'static str,
    #[serde(skip)]
    pub case: Case,
    pub measured: Vec<Measured>,
}

impl CaseResult {
    pub fn of(&self, contestant: Contestant) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.contestant == contestant)
    }
}

/// A ratio, with what it is to be.
#[derive(Debug, Serialize)]
pub struct Verdict {
    pub title: String,
    pub against: String,
    pub ratio: f64,
    pub target: Option<Bound>,
    pub met: Option<bool>,
}

/// What a ratio is to be.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn met_by(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }

    pub fn value(self) -> f64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }
}

impl Verdict {
    fn new(title: &str, against: impl Display, ratio: f64, target: Option<Bound>) -> Self {
        let met = target.map(|target| target.met_by(ratio));
        Self { title: title.to_owned(), against: against.to_string(), ratio, target, met }
    }
}

/// The ratios of throughput to pgbench and COPY, and of the latencies of deep pages to first ones.
pub fn verdicts(results: &[CaseResult]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for result in results {
        let Some(ours) = result.of(Contestant::Ours) else { continue };
        for limit in result.measured.iter().filter(|measured| measured.contestant != Contestant::Ours) {
            let ratio = ours.median(|sample| sample.per_second) / limit.median(|sample| sample.per_second);
            let target = match limit.contestant {
                Contestant::Pgbench => result.case.target,
                Contestant::Copy(rows) if rows == result.case.batch() => Some(COPY_TARGET),
                Contestant::WithoutTree => Some(TREE_TARGET),
                Contestant::Copy(_) | Contestant::SpreadCopy(_) | Contestant::Peer(_) | Contestant::Ours => None,
            };
            verdicts.push(Verdict::new(result.title, limit.contestant, ratio, target.map(Bound::AtLeast)));
        }
    }
    let merge = results.iter().find(|result| result.name == "merge").and_then(|result| result.of(Contestant::Ours));
    if let Some(p99_ms) = merge.and_then(|merge| merge.median_of(|sample| sample.p99_ms)) {
        let title = "delete 2,000 a second: p99 until the log's tree has it";
        verdicts.push(Verdict::new(title, "1 s", p99_ms / 1e3, Some(Bound::AtMost(MERGE_TARGET))));
    }
    let depths = [
        ("list-first", "list-deep", "list 50, deep page: latency", Some(Bound::AtMost(DEPTH_TARGET))),
        ("logs", "logs-deep", "list 50 of the log, deep page: latency", None),
    ];
    for (first, deep, title, target) in depths {
        let latency = |name| {
            let result = results.iter().find(|result| result.name == name)?;
            result.of(Contestant::Ours)?.median_of(|sample| sample.p50_ms)
        };
        if let Some((first, deep)) = latency(first).zip(latency(deep)) {
            verdicts.push(Verdict::new(title, "first page", deep / first, target));
        }
    }
    verdicts
}

/// The ratios to the peers: of throughput, and of the CPU of the serving processes.
pub fn peer_verdicts(measured: &[Measured]) -> Vec<Verdict> {
    let Some((ours, peers)) = measured.split_first() else { return vec![] };
    let verdicts = |peer: &Measured| {
        let throughput = ours.median(|sample| sample.per_second) / peer.median(|sample| sample.per_second);
        let cpu = |measured: &Measured| measured.median_of(|sample| sample.service_us).unwrap_or(f64::NAN);
        [
            Verdict::new("lists a second", peer.contestant, throughput, Some(Bound::AtLeast(PEER_TARGET))),
            Verdict::new(
                "CPU of the serving processes for a list",
                peer.contestant,
                cpu(ours) / cpu(peer),
                Some(Bound::AtMost(PEER_CPU_TARGET)),
            ),
        ]
    };
    peers.iter().flat_map(verdicts).collect()
}
