//! COPY of the rows that a batch stores: the limit of taking messages in. Numbers and ids are given, no ticket is touched, nothing is looked
//! up. The rows are another application's, each batch in a ticket of its own, so that every index grows at its end; or they go where those of
//! the service go, into tickets chosen at random, beyond all numbers that these come to.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;
use bytes::{BufMut, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::PgConnection;

use crate::database::Database;
use crate::dataset::{DATA, Dataset, new_message};
use crate::load::{Meter, Worker};

/// Nobody's key: there is one application.
const APPLICATION_KEY: i32 = 1_000_000;
const COPY: &str = "copy chat_messages (application_key, ticket_id, message_id, id, user_sendbird_id, user_type, create_time, message, data, \
                    files, external_id) from stdin (format binary)";
const COLUMNS: i16 = 11;
/// 2026-11-01, in microseconds since 2000-01-01, as the binary form has it.
const CREATE_TIME: i64 = 846_806_400_000_000;
/// Above all numbers and ids of messages, those included that are made to be deleted.
const FIRST_NUMBER: i64 = 1 << 52;

/// Where rows go.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Behind all that there is.
    End,
    /// Into tickets of the application with this key, chosen at random.
    Tickets(i32, Dataset),
}

/// Workers with a connection each that copy so many rows at a time. The numbers of the rows go on from those that were copied before.
pub async fn workers(
    meter: &Rc<Meter>,
    database: &Database,
    connections: u32,
    rows: usize,
    target: Target,
    copied: &Rc<Cell<i64>>,
) -> anyhow::Result<Vec<Worker>> {
    let mut workers: Vec<Worker> = Vec::new();
    for worker in 0..connections {
        let (connection, meter, copied) = (database.connection().await?, meter.clone(), copied.clone());
        let random = StdRng::seed_from_u64(worker.into());
        workers.push(Box::pin(async move { copy(connection, &meter, rows, target, random, &copied).await }));
    }
    Ok(workers)
}

async fn copy(
    mut connection: PgConnection,
    meter: &Meter,
    rows: usize,
    target: Target,
    mut random: StdRng,
    copied: &Cell<i64>,
) -> anyhow::Result<()> {
    let texts: Vec<String> = (0..rows).map(new_message).collect();
    let mut bytes = BytesMut::new();
    while !meter.stopped() {
        let first = FIRST_NUMBER + copied.get();
        copied.set(copied.get() + i64::try_from(rows)?);
        let ticket = match target {
            Target::End => (APPLICATION_KEY, first),
            Target::Tickets(application_key, dataset) => (application_key, random.random_range(2..=dataset.tickets)),
        };
        write(&mut bytes, ticket, first, &texts)?;
        let begin = Instant::now();
        let mut sink = connection.copy_in_raw(COPY).await?;
        sink.send(bytes.split()).await?;
        let stored = sink.finish().await?;
        ensure!(usize::try_from(stored)? == rows, "{stored} rows of {rows} were copied");
        meter.count(begin);
    }
    Ok(())
}

/// Writes rows of a ticket with these contents, numbered from `first` on, in the binary form of COPY.
fn write(bytes: &mut BytesMut, ticket: (i32, i64), first: i64, texts: &[String]) -> anyhow::Result<()> {
    bytes.put_slice(b"PGCOPY\n\xff\r\n\0");
    bytes.put_i32(0); // flags
    bytes.put_i32(0); // length of an extension
    for (id, text) in (first..).zip(texts) {
        bytes.put_i16(COLUMNS);
        field(bytes, &ticket.0.to_be_bytes())?;
        field(bytes, &ticket.1.to_be_bytes())?;
        field(bytes, &id.to_be_bytes())?;
        field(bytes, &id.to_be_bytes())?;
        field(bytes, b"customer_7")?;
        field(bytes, b"CUSTOMER")?;
        field(bytes, &CREATE_TIME.to_be_bytes())?;
        field(bytes, text.as_bytes())?;
        field(bytes, DATA.as_bytes())?;
        field(bytes, b"\x01[]")?; // jsonb: the version of its form, then text
        field(bytes, format!("{id}-{first}").as_bytes())?;
    }
    bytes.put_i16(-1);
    Ok(())
}

fn field(bytes: &mut BytesMut, value: &[u8]) -> anyhow::Result<()> {
    bytes.put_i32(i32::try_from(value.len())?);
    bytes.put_slice(value);
    Ok(())
}
