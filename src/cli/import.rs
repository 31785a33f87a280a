//! `deskledger import`: reads JSON lines, stores the good ones, keeps the bad ones in a side file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, stdin};

use crate::app::App;
use crate::cli::database::{Database, Running};
use crate::cli::import_line::{Line, MessageLine, TicketLine};
use crate::config::DatabaseSettings;
use crate::domain::caller::{Caller, Scope};
use crate::domain::chat_message::NewChatMessage;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::deletion::RequestedFrom;
use crate::domain::ids::{RequestId, TicketId};
use crate::domain::random;
use crate::error::Error;
use crate::storage::application::Application;

/// How many bytes a line has at most: more than any line that could be taken in.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// What some programs begin a text with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// How many messages of a ticket are stored at once.
const BATCH: usize = 500;
/// How many bytes of lines are read before all that waits is stored.
const WAITING_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// File of JSON lines, one ticket or chat message each (docs/IMPORT.md); - is standard input
    file: PathBuf,
    /// Id of the application to import into
    #[arg(long)]
    application: String,
    /// File that lines which cannot be imported are written to. Default: FILE.rejected, for standard input import.rejected
    #[arg(long)]
    rejected: Option<PathBuf>,
}

/// What an import did.
#[derive(Debug, Default)]
pub(super) struct Summary {
    tickets: u64,
    tickets_known: u64,
    messages: u64,
    messages_known: u64,
    rejected: u64,
}

pub(super) async fn run(database: DatabaseSettings, arguments: Arguments) -> anyhow::Result<()> {
    let from_stdin = arguments.file == Path::new("-");
    let rejected = arguments.rejected.unwrap_or_else(|| {
        let mut name = if from_stdin { "import".into() } else { arguments.file.clone().into_os_string() };
        name.push(".rejected");
        name.into()
    });
    let is_input = |input: &Path| input.canonicalize().ok().is_some_and(|input| rejected.canonicalize().ok() == Some(input));
    ensure!(!is_input(&arguments.file), "the rejected lines cannot be written to the file that is read: name another one");
    // Opened first: a wrong name should not cost a database start.
    let file = if from_stdin { None } else { Some(open(&arguments.file).await?) };
    let database = Database::open(database, Running::Join).await?;
    let app = database.current_app().await?;
    let id = &arguments.application;
    let application = app.find_application(id).await?.with_context(|| format!("there is no application {id}"))?;
    let mut import = Import::new(&app, &application, Some(rejected.clone()));
    let imported = match file {
        Some((file, bytes)) => import.read(BufReader::new(file), progress(bytes)).await,
        None => import.read(BufReader::new(stdin()), ProgressBar::hidden()).await,
    };
    let closed = database.close().await;
    let Summary { tickets, tickets_known, messages, messages_known, rejected: lines } = import.summary;
    println!("{tickets} tickets and {messages} messages stored; {tickets_known} and {messages_known} were there already.");
    imported.context("the import stopped; running it again goes on where it stopped")?;
    closed?;
    if lines > 0 {
        let what = if lines == 1 {
            "1 line could not be imported; it is"
        } else {
            &format!("{lines} lines could not be imported; they are")
        };
        bail!("{what} in {}", rejected.display());
    }
    Ok(())
}

async fn open(path: &Path) -> anyhow::Result<(File, u64)> {
    let file = File::open(path).await.with_context(|| format!("cannot open {}", path.display()))?;
    let bytes = file.metadata().await?.len();
    Ok((file, bytes))
}

/// A bar on a terminal, nothing elsewhere.
fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// An import in progress.
pub(super) struct Import<'a> {
    app: &'a App,
    caller: Caller,
    /// When the import began.
    now: DateTime<Utc>,
    rejected_path: Option<PathBuf>,
    rejected: Option<File>,
    /// What was read and is not stored yet, by channel: exports by time go from ticket to ticket with every line.
    waiting: BTreeMap<String, Batch>,
    /// How many bytes of lines have been read since nothing waited.
    waiting_bytes: usize,
    pub(super) summary: Summary,
}

/// Messages of one ticket, in their order.
struct Batch {
    ticket_id: TicketId,
    messages: Vec<NewChatMessage>,
}

impl<'a> Import<'a> {
    pub(super) fn new(app: &'a App, application: &Application, rejected_path: Option<PathBuf>) -> Self {
        let caller = Caller {
            application: application.key,
            token_id: "import".to_owned(),
            scopes: vec![Scope::TicketsWrite, Scope::MessagesWrite],
            requested_from: RequestedFrom::PlatformApi,
            requested_by: None,
            is_upstream: false,
        };
        Self {
            app,
            caller,
            now: SystemClock.now(),
            rejected_path,
            rejected: None,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            summary: Summary::default(),
        }
    }

    /// Reads lines to the end. A bad line is told and kept aside; a database that is away ends the import.
    pub(super) async fn read(&mut self, mut lines: impl AsyncBufRead + Unpin, bar: ProgressBar) -> anyhow::Result<()> {
        let mut number = 0_u64;
        let mut line = Vec::new();
        loop {
            line.clear();
            let bytes = (&mut lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await.context("cannot read on")?;
            if bytes == 0 {
                break;
            }
            number += 1;
            if number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            bar.inc(bytes as u64);
            let whole = line.ends_with(b"\n") || (bytes as u64) < MAX_LINE_BYTES;
            let taken = if whole { self.take(&line).await } else { Err(Stop::Line("the line has more than 1 MiB".to_owned())) };
            match taken {
                Ok(()) => {}
                Err(Stop::Line(why)) => {
                    bar.suspend(|| eprintln!("line {number}: {why}"));
                    self.reject(&mut line, &mut lines, whole).await?;
                }
                Err(Stop::Import(error)) => return Err(error.into()),
            }
        }
        self.flush().await?;
        bar.finish_and_clear();
        Ok(())
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Stop> {
        // Without the line break, which would put the end of an unfinished line into column 0 of the next.
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Ok(());
        }
        let bytes = line.len();
        match Line::read(line).map_err(Stop::Line)? {
            Line::Ticket(ticket) => self.take_ticket(*ticket).await,
            Line::ChatMessage(message) => self.take_message(*message, bytes).await,
        }
    }

    async fn take_ticket(&mut self, line: TicketLine) -> Result<(), Stop> {
        let ticket = line.parse(self.now)?;
        let channel_url = ticket.channel_url.clone().unwrap_or_default();
        if self.find(&channel_url).await?.is_some() {
            self.summary.tickets_known += 1;
            return Ok(());
        }
        // Two imports of the same channel at once wait for each other at the request id, and the second learns of the first one's ticket.
        let request_id = RequestId(uuid::Builder::from_random_bytes(random::derived(&channel_url)).into_uuid());
        match self.app.create_ticket(&self.caller, &ticket, Some(request_id)).await {
            Ok(_) => self.summary.tickets += 1,
            Err(Error::RequestIdReused { .. }) if self.find(&channel_url).await?.is_some() => self.summary.tickets_known += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn take_message(&mut self, line: MessageLine, bytes: usize) -> Result<(), Stop> {
        let channel_url = line.channel_url.clone();
        let message = line.parse()?;
        if !self.waiting.contains_key(&channel_url) {
            let ticket_id = self.find(&channel_url).await?.ok_or_else(|| {
                Stop::Line(format!("there is no ticket of channel_url {channel_url:?}; its line must come before its messages"))
            })?;
            self.waiting.insert(channel_url.clone(), Batch { ticket_id, messages: Vec::new() });
        }
        let Some(batch) = self.waiting.get_mut(&channel_url) else { return Ok(()) };
        batch.messages.push(message);
        self.waiting_bytes += bytes;
        if batch.messages.len() >= BATCH {
            let full = std::mem::take(&mut batch.messages);
            let ticket_id = batch.ticket_id;
            self.store(ticket_id, full).await?;
        }
        if self.waiting_bytes >= WAITING_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn find(&self, channel_url: &str) -> Result<Option<TicketId>, Error> {
        self.app.find_ticket_by_channel_url(&self.caller, channel_url).await
    }

    /// Stores all that waits.
    async fn flush(&mut self) -> Result<(), Error> {
        self.waiting_bytes = 0;
        for Batch { ticket_id, messages } in std::mem::take(&mut self.waiting).into_values() {
            if !messages.is_empty() {
                self.store(ticket_id, messages).await?;
            }
        }
        Ok(())
    }

    async fn store(&mut self, ticket_id: TicketId, messages: Vec<NewChatMessage>) -> Result<(), Error> {
        let stored = self.app.create_chat_messages(&self.caller, ticket_id, messages, None).await?;
        let known = stored.iter().filter(|stored| stored.duplicate).count() as u64;
        self.summary.messages_known += known;
        self.summary.messages += stored.len() as u64 - known;
        Ok(())
    }

    /// Writes the rejected line to the side file, the rest of an overlong one too.
    async fn reject(&mut self, line: &mut Vec<u8>, lines: &mut (impl AsyncBufRead + Unpin), whole: bool) -> anyhow::Result<()> {
        self.summary.rejected += 1;
        let mut ended = whole;
        loop {
            if ended && !line.ends_with(b"\n") {
                line.push(b'\n');
            }
            self.keep(line).await?;
            if ended {
                return Ok(());
            }
            line.clear();
            let bytes = (&mut *lines).take(MAX_LINE_BYTES).read_until(b'\n', line).await.context("cannot read on")?;
            ended = line.ends_with(b"\n") || (bytes as u64) < MAX_LINE_BYTES;
        }
    }

    async fn keep(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(path) = &self.rejected_path else { return Ok(()) };
        let cannot_write = || format!("cannot write to {}", path.display());
        if self.rejected.is_none() {
            // It holds content: for its owner only.
            let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).await;
            self.rejected = Some(options.with_context(cannot_write)?);
        }
        if let Some(file) = &mut self.rejected {
            file.write_all(bytes).await.with_context(cannot_write)?;
            file.flush().await.with_context(cannot_write)?;
        }
        Ok(())
    }
}

/// Why a line was not taken: it is bad itself, or the import cannot go on.
enum Stop {
    Line(String),
    Import(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            // A request id that is taken by a call which made no ticket of this channel: nobody's but the application's own fault.
            Error::InvalidFields(_) | Error::RequestIdReused { .. } => Self::Line(error.to_string()),
            error => Self::Import(error),
        }
    }
}
