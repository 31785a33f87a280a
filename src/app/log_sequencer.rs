//! Growing the log's trees. Every process of a service tries, one at a time does; then whoever has the key signs.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::app::connection::Transaction;
use crate::app::log_signer::LogSigner;
use crate::domain::proof::growth::grow;
use crate::domain::proof::tree::tiles_of_root;
use crate::domain::random;
use crate::error::Error;
use crate::storage;
use crate::storage::log_sequencer::Todo;

/// How many deletions of an application become entries in one transaction at most.
const MAX_MERGE: i64 = 2000;
/// How long the place of the one who grows the trees is kept after each time. Another one need not wait longer when it dies.
const LEASE_SECONDS: f64 = 0.5;
/// How often it is looked for legal holds that were placed or released by a program that does not log them. Beside an older version, during
/// an upgrade, there are some.
const ADOPT_INTERVAL: Duration = Duration::from_secs(60);

/// Puts deletions into the trees and signs them.
#[derive(Debug)]
pub struct LogSequencer {
    /// What this one is called in the database.
    name: String,
    signer: Option<LogSigner>,
    /// The database was seen to hold all that the key has signed.
    checked: bool,
    /// The applications whose logs are damaged, as the operator was told.
    damaged: Vec<String>,
    /// When holds that no entry waits for were last looked for.
    adopted: Option<Instant>,
}

/// What growing came to.
#[derive(Debug, Default)]
struct Grown {
    /// More deletions wait than one transaction takes.
    more: bool,
    /// The applications whose tiles do not make their root: somebody has damaged them. They do not grow, and do not hold up the others.
    damaged: Vec<String>,
}

impl LogSequencer {
    /// A sequencer. Without a signer the trees grow, and another process may sign them.
    #[must_use]
    pub fn new(signer: Option<LogSigner>) -> Self {
        Self { name: random::hex::<16>(), signer, checked: false, damaged: Vec::new(), adopted: None }
    }

    /// Puts the deletions that wait into the trees, if this process may, and signs what is not signed yet. Answers whether more wait than
    /// it took. What contradicts the key's earlier signatures is never signed: then the operator is told, and this sequencer signs no more.
    ///
    /// # Errors
    /// When the database or the file of signed heads is away.
    pub async fn run(&mut self, app: &App) -> Result<bool, Error> {
        match self.grow_and_sign(app).await {
            Err(Error::LogCorrupt(cause)) => {
                tracing::error!(%cause, "the log in the database is not what its key has signed: no more is signed");
                self.signer = None;
                Ok(false)
            }
            outcome => outcome,
        }
    }

    /// Lets another process grow the trees at once.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn release(&self, app: &App) -> Result<(), Error> {
        storage::log_sequencer::release(&mut *app.connection().await?, &self.name).await
    }

    async fn grow_and_sign(&mut self, app: &App) -> Result<bool, Error> {
        if let Some(signer) = self.signer.as_ref().filter(|_| !self.checked) {
            app.check_signed_log(signer).await?;
            self.checked = true;
        }
        let key = self.signer.as_ref().map(LogSigner::name);
        let todo = storage::log_sequencer::todo(&mut *app.connection().await?, &self.name, key.as_deref()).await?;
        let Todo { pending, free, unsigned } = todo;
        let adopt = self.adopted.is_none_or(|at| at.elapsed() >= ADOPT_INTERVAL);
        let turn = (pending || adopt) && free;
        let grown = if turn { app.grow_log(&self.name, adopt).await? } else { Grown::default() };
        if turn && adopt {
            self.adopted = Some(Instant::now());
        }
        if turn {
            app.measures.log.damaged.set(i64::try_from(grown.damaged.len()).unwrap_or(i64::MAX));
        }
        if turn && grown.damaged != self.damaged {
            tracing::error!(applications = grown.damaged.join(" "), "logs whose tiles do not make their roots do not grow");
            self.damaged = grown.damaged;
        }
        if let Some(signer) = self.signer.as_ref().filter(|_| unsigned || turn) {
            app.sign_log(signer).await?;
        }
        Ok(grown.more)
    }
}

impl App {
    /// Looks at how far the trees and their signatures are behind what was done, for who measures it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn measure_log(&self) -> Result<(), Error> {
        let backlog = storage::log_sequencer::backlog(&mut *self.connection().await?).await?;
        let waited = backlog.oldest_time.map_or(0.0, |time| (self.now() - time).as_seconds_f64().max(0.0));
        let log = &self.measures.log;
        log.pending.set(backlog.pending);
        log.oldest_pending.set(waited);
        log.unsigned.set(backlog.unsigned);
        Ok(())
    }

    /// Grows every tree that has deletions waiting, in one transaction; `adopt` looks for holds that should wait and do not.
    async fn grow_log(&self, name: &str, adopt: bool) -> Result<Grown, Error> {
        let (mut grown, mut merged) = (Grown::default(), Vec::new());
        let mut transaction = Transaction::begin_read_committed(self.connection().await?).await?;
        let fence = storage::log_sequencer::hold(&mut transaction, name, LEASE_SECONDS).await?;
        let Some(fence) = fence else { return Ok(grown) };
        // One at a time, as growing is: each hold is adopted once.
        let unlogged = if adopt { storage::log_adoption::applications(&mut transaction).await? } else { Vec::new() };
        for application in unlogged {
            let holds = storage::log_adoption::adopt(&mut transaction, application).await?;
            tracing::info!(holds, "holds of an older version go into the log");
        }
        for (application, id) in storage::log_sequencer::waiting(&mut transaction).await? {
            let old = storage::log_tree::head(&mut transaction, application).await?;
            let edge = storage::log_tree::tiles(&mut transaction, application, &tiles_of_root(old.size)).await?;
            if edge.root(old.size) != Ok(old.root) {
                grown.damaged.push(id);
                continue;
            }
            let pending = storage::log_sequencer::take(&mut transaction, application, MAX_MERGE).await?;
            grown.more |= pending.len() == usize::try_from(MAX_MERGE).unwrap_or(usize::MAX);
            let growth = grow(&id, old, edge, pending).map_err(Error::log_corrupt)?;
            storage::log_sequencer::grow(&mut transaction, application, fence, old, &growth).await?;
            merged.extend(growth.delete_times);
        }
        transaction.commit().await?;
        let now = self.now();
        for time in merged {
            self.measures.log.merge_delay.observe((now - time).as_seconds_f64().max(0.0));
        }
        Ok(grown)
    }
}
