//! The helper process, which owns the shared cluster while anybody uses it.

use std::fs::File;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Error;
use super::home::{Home, try_lock};
use crate::embedded_postgres::{Durability, EmbeddedPostgres, Error as EmbeddedError, Existing, Settings};

/// How often the helper looks whether it is still needed, and its server still there.
const TICK: Duration = Duration::from_millis(50);

/// What the helper process is told.
#[derive(Debug, Clone)]
pub struct HelperSettings {
    /// The home that the test processes join.
    pub home: PathBuf,
    /// As in [`Settings::binaries`].
    pub binaries: Option<PathBuf>,
    /// As in [`Settings::max_connections`]; for all test processes together.
    pub max_connections: u16,
    /// How long it stays after the last test process has gone. Runners that start a process for each
    /// test have none for some milliseconds; 2 s is plenty.
    pub linger: Duration,
}

/// Runs the shared cluster: starts a new, volatile one, says where it is, restarts it should it die,
/// and waits until no test process uses it; then stops it and removes the home. Returns at once if
/// the home has a helper already. A killed helper's cluster ends with it, and the next one to
/// [`join`](super::join) starts afresh.
///
/// # Errors
///
/// [`Error::Embedded`], or [`Error::HomeTaken`].
pub fn run_helper(settings: &HelperSettings) -> Result<(), Error> {
    let home = Home::new(&settings.home);
    home.prepare()?;
    let helper = home.helper()?;
    if !try_lock(&helper, &home.path)? {
        return Ok(());
    }
    // Always a new one: what a killed helper left may be half removed.
    let mut postgres = EmbeddedPostgres::start_with(
        &Settings {
            data_dir: home.data(),
            binaries: settings.binaries.clone(),
            durability: Durability::Volatile,
            max_connections: settings.max_connections,
        },
        Existing::Discard,
    )?;
    home.publish(&postgres)?;
    let locks = Locks { boot: home.boot()?, users: home.users()?, home: &home };
    let mut unused_since = None;
    loop {
        if locks.take_all()? {
            let since = *unused_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= settings.linger {
                break;
            }
            locks.give_back()?;
        } else {
            unused_since = None;
        }
        if !postgres.is_running() {
            tracing::warn!("the shared cluster has died and is started again");
            postgres.restart()?;
        }
        sleep(TICK);
    }
    // Under both locks, so that nobody joins what is going away.
    postgres.stop()?;
    home.remove()
}

struct Locks<'a> {
    boot: File,
    users: File,
    home: &'a Home,
}

impl Locks<'_> {
    /// Takes both, which is only possible while nobody uses the cluster or is about to; else neither.
    /// Those who come take them in the same order, and here neither is waited for.
    fn take_all(&self) -> Result<bool, Error> {
        if !try_lock(&self.boot, &self.home.path)? {
            return Ok(false);
        }
        let alone = try_lock(&self.users, &self.home.path)?;
        if !alone {
            self.unlock(&self.boot)?;
        }
        Ok(alone)
    }

    fn give_back(&self) -> Result<(), Error> {
        self.unlock(&self.users)?;
        self.unlock(&self.boot)
    }

    fn unlock(&self, file: &File) -> Result<(), Error> {
        file.unlock().map_err(EmbeddedError::io("unlock a file in", &self.home.path))?;
        Ok(())
    }
}
