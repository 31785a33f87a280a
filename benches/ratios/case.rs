//! The cases: what is called, how many calls are in flight, and what the ratio to pgbench should be.

use std::iter::repeat_n;

use crate::dataset::{DATA, Dataset, IDS_PER_TICKET, LARGE_TICKET, PAGE_SIZE, STRIDE, new_message};
use crate::service::Pages;
use crate::workload::{self, BATCH, Workload};

/// Clients of pgbench where none waits for the disk: more gave less on two CPUs.
const READERS: u32 = 8;
/// Calls of reads in flight.
const READS: usize = 32;
/// Writes in flight, of the service and of pgbench alike: they wait for the disk together.
const WRITERS: u32 = 64;
const WRITES: usize = 64;
/// Connections that store batches; each batch keeps a CPU busy.
const BATCHERS: u32 = 8;
const BATCHES: usize = 8;

/// A case of the table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What `--only` knows it by.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    call: Call,
    /// Calls in flight.
    pub in_flight: usize,
    /// Clients of pgbench.
    pub clients: u32,
    pub pages: Pages,
    /// The least ratio to pgbench that the service is to reach, where there is one.
    pub target: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    List {
        tickets: Tickets,
        deep: bool,
    },
    Get,
    Create,
    BatchCreate,
    /// At most so many in a second, where that is given.
    Delete {
        per_second: Option<u32>,
    },
    Logs {
        deep: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Tickets {
    /// Those that fill a page.
    Full,
    All,
    Hot,
    Large,
}

use Pages::{FromDatabase, InMemory};

/// In the order in which they are measured: what reads goes before what changes the data.
pub const CASES: [Case; 12] = [
    reading(
        "list",
        "list 50, uniform tickets, nothing in memory",
        Call::List { tickets: Tickets::Full, deep: false },
        FromDatabase,
        Some(0.55),
    ),
    reading(
        "list-all",
        "list, uniform over all tickets, short ones too",
        Call::List { tickets: Tickets::All, deep: false },
        FromDatabase,
        None,
    ),
    one("list-first", "list 50, first page of the large ticket, one at a time", false),
    one("list-deep", "list 50, last page of the large ticket, one at a time", true),
    reading(
        "list-hot",
        "list 50, hot tickets, pages in memory",
        Call::List { tickets: Tickets::Hot, deep: false },
        InMemory,
        Some(1.5),
    ),
    reading("get", "get one message", Call::Get, InMemory, Some(0.5)),
    reading("logs", "list 50 of the log, first page", Call::Logs { deep: false }, InMemory, None),
    reading("logs-deep", "list 50 of the log, deep page", Call::Logs { deep: true }, InMemory, None),
    writing("create", "create one message", Call::Create, WRITES, WRITERS, None),
    writing("batch-create", "batch ingest, 500 a batch (rows)", Call::BatchCreate, BATCHES, BATCHERS, Some(0.8)),
    writing("delete", "delete with its log, 64 in flight, durable", Call::Delete { per_second: None }, WRITES, WRITERS, Some(0.85)),
    writing(
        "merge",
        "delete 2,000 a second: until the log's tree has it",
        Call::Delete { per_second: Some(2_000) },
        WRITES,
        WRITERS,
        None,
    ),
];

const fn reading(name: &'static str, title: &'static str, call: Call, pages: Pages, target: Option<f64>) -> Case {
    Case { name, title, call, in_flight: READS, clients: READERS, pages, target }
}

const fn one(name: &'static str, title: &'static str, deep: bool) -> Case {
    let call = Call::List { tickets: Tickets::Large, deep };
    Case { name, title, call, in_flight: 1, clients: 1, pages: FromDatabase, target: None }
}

const fn writing(name: &'static str, title: &'static str, call: Call, in_flight: usize, clients: u32, target: Option<f64>) -> Case {
    Case { name, title, call, in_flight, clients, pages: InMemory, target }
}

impl Case {
    /// What the service is asked. Runs of the same case ask differently.
    pub fn workload(&self, dataset: Dataset, run: u32) -> Workload {
        let seed = run.into();
        match self.call {
            Call::List { tickets, deep } => workload::list(dataset, tickets.range(&dataset), skip(deep, dataset.deep()), seed),
            Call::Get => workload::get(dataset, seed),
            Call::Create => workload::create(dataset, seed),
            Call::BatchCreate => workload::batch_create(dataset, seed),
            Call::Delete { .. } => workload::delete(dataset, run),
            Call::Logs { deep } => workload::logs(dataset, skip(deep, dataset.deep_logs())),
        }
    }

    /// pgbench's script for the same, in `benches/sql/`.
    pub fn script(&self) -> &'static str {
        match self.call {
            Call::List { .. } => "list_chat_messages.sql",
            Call::Get => "get_chat_message.sql",
            Call::Create => "create_chat_message.sql",
            Call::BatchCreate => "batch_create_chat_messages.sql",
            Call::Delete { .. } => "delete_chat_message.sql",
            Call::Logs { .. } => "list_deletion_logs.sql",
        }
    }

    /// What the script is told. Times are those of PostgreSQL's own words for days.
    pub fn variables(&self, dataset: &Dataset, application_key: i32, run: u32) -> Vec<(&'static str, String)> {
        let (first, last) = match self.call {
            Call::List { tickets, .. } => tickets.range(dataset),
            _ => (2, dataset.tickets),
        };
        let mut variables = vec![
            ("application_key", application_key.to_string()),
            ("first_ticket", first.to_string()),
            ("last_ticket", last.to_string()),
        ];
        variables.extend(match self.call {
            Call::List { deep, .. } => {
                vec![("skip", skip(deep, dataset.deep()).to_string()), ("page_size", PAGE_SIZE.to_string())]
            }
            Call::Get => vec![("size_factor", dataset.size_factor.to_string()), ("ids_per_ticket", IDS_PER_TICKET.to_string())],
            Call::Create => vec![
                ("user_sendbird_id", "customer_7".to_owned()),
                ("user_type", "CUSTOMER".to_owned()),
                ("message", new_message(1)),
                ("data", DATA.to_owned()),
            ],
            Call::BatchCreate => batch(),
            Call::Delete { .. } => vec![
                ("clients", self.clients.to_string()),
                ("turn", "0".to_owned()),
                ("stride", STRIDE.to_string()),
                ("spread", dataset.spread().to_string()),
                ("first_id", Dataset::first_deletable(run).to_string()),
                ("requested_from", "PLATFORM_API".to_owned()),
                ("token_id", "pgbench".to_owned()),
                ("salt", format!("\\x{}", "5a".repeat(32))),
            ],
            Call::Logs { deep } => vec![
                ("skip", skip(deep, dataset.deep_logs()).to_string()),
                ("page_size", PAGE_SIZE.to_string()),
                ("from", "2000-01-01".to_owned()),
                ("until", "2100-01-01".to_owned()),
            ],
        });
        variables
    }

    /// How many rows an operation stands for in the table.
    pub fn rows(&self) -> u32 {
        match self.call {
            Call::BatchCreate => u32::try_from(BATCH).unwrap_or(u32::MAX),
            _ => 1,
        }
    }

    /// Whether it deletes, so that there must be something to delete.
    pub fn deletes(&self) -> bool {
        matches!(self.call, Call::Delete { .. })
    }

    /// How many calls begin in a second at most, where what counts is not how many are answered.
    pub fn per_second(&self) -> Option<u32> {
        if let Call::Delete { per_second } = self.call { per_second } else { None }
    }

    /// The same, where rows are counted as things in memory are.
    pub fn batch(&self) -> usize {
        if self.copies() { BATCH } else { 1 }
    }

    /// Whether COPY is a limit besides pgbench.
    pub fn copies(&self) -> bool {
        matches!(self.call, Call::BatchCreate)
    }

    /// Counts what this case leaves behind, so that work which was not done is not counted.
    pub fn effect(&self) -> Option<&'static str> {
        match self.call {
            Call::Create | Call::BatchCreate => Some("select sum(message_count)::bigint from tickets"),
            Call::Delete { .. } => Some("select count(*) from deletion_logs"),
            Call::List { .. } | Call::Get | Call::Logs { .. } => None,
        }
    }
}

impl Tickets {
    fn range(self, dataset: &Dataset) -> (i64, i64) {
        match self {
            Self::Full => (2, dataset.last_full()),
            Self::All => (2, dataset.tickets),
            Self::Hot => (2, dataset.last_hot()),
            Self::Large => (LARGE_TICKET, LARGE_TICKET),
        }
    }
}

fn skip(deep: bool, depth: i64) -> i64 {
    if deep { depth } else { 0 }
}

/// The arrays of a batch, as PostgreSQL writes arrays.
fn batch() -> Vec<(&'static str, String)> {
    let same = |value: &str| array(repeat_n(value.to_owned(), BATCH));
    vec![
        ("user_sendbird_ids", same("customer_7")),
        ("user_types", same("CUSTOMER")),
        ("create_times", same("2026-11-01 00:00:00+00")),
        ("messages", array((0..BATCH).map(new_message))),
        ("data", same(DATA)),
        ("files", same("[]")),
        ("external_ids", array((0..BATCH).map(|n| format!("{n}-")))),
    ]
}

fn array(values: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = values.map(|value| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("{{{}}}", quoted.join(","))
}
