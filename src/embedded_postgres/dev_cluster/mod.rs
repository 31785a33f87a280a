//! One disposable cluster that all test processes of a checkout share, with nothing to configure.
//!
//! The first process that [`join`]s starts a helper, which owns the cluster; the helper leaves when
//! all of them are gone. Everything is in one folder, the home. Files in it serve as locks, which
//! the kernel gives back whatever becomes of a process:
//!
//! - `boot`, exclusive: held while a process joins and while the helper leaves, never for long. It
//!   settles every race between the two.
//! - `users`, shared: held by each test process for its life. The helper is free to leave when it
//!   gets this one exclusively.
//! - `helper`, exclusive: held by the helper for its life. Free means that there is none, also
//!   after it was killed.

mod helper;
mod home;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use helper::{HelperSettings, run_helper};
pub use home::home;

use self::home::{Endpoint, Home};
use super::wait;

/// A first start takes a second; on a machine busy with compiling, several.
const JOIN_PATIENCE: Duration = Duration::from_mins(1);

/// Why there is no shared cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The helper could not start, run or stop its server; or a file of the home made trouble.
    #[error(transparent)]
    Embedded(#[from] super::Error),

    /// The home's name is taken by something that is not ours alone.
    #[error("{} is not a private folder of uid {user}: remove it", home.display())]
    HomeTaken {
        /// The home.
        home: PathBuf,
        /// Who should own it.
        user: u32,
    },

    /// The helper ended before there was a cluster.
    #[error(
        "the helper {} ended with {status} instead of starting a cluster; its log {} ends with:\n\
         {log_tail}",
        helper.display(), log.display()
    )]
    HelperEnded {
        /// The program.
        helper: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// Where its output is.
        log: PathBuf,
        /// The last lines of that.
        log_tail: String,
    },

    /// Nobody got the cluster ready in time.
    #[error(
        "no cluster in {} after {seconds} s; the helper's log ends with:\n{log_tail}",
        home.display()
    )]
    NotReady {
        /// The home.
        home: PathBuf,
        /// How long it was given, in seconds.
        seconds: u64,
        /// The last lines of the helper's output.
        log_tail: String,
    },
}

/// A test process's share of the cluster, which stays up for as long as this lives: keep it until
/// the process ends.
#[derive(Debug)]
pub struct Membership {
    endpoint: Endpoint,
    _users: File,
    /// In the process that started it.
    _helper: Option<Child>,
}

impl Membership {
    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.endpoint.socket_dir
    }

    /// The number in the socket's file name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// The database superuser, who needs no password.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.endpoint.user
    }
}

/// Joins the cluster in `home`. If there is none, starts the program `helper_exe` with
/// `helper_args`, which has to call [`run_helper`] for the same home, and waits until its cluster
/// is ready: about a second. The helper is in a process group of its own and outlives the caller.
///
/// # Errors
///
/// Any variant of [`enum@Error`]; [`Error::NotReady`] after 60 s.
pub fn join<A: AsRef<OsStr>>(home: &Path, helper_exe: &Path, helper_args: &[A]) -> Result<Membership, Error> {
    let begin = Instant::now();
    let home = Home::new(home);
    let not_ready = || Error::NotReady { home: home.path.clone(), seconds: JOIN_PATIENCE.as_secs(), log_tail: home.log_tail() };
    let _boot = wait::until(JOIN_PATIENCE, || home.enter())?.ok_or_else(not_ready)?;
    // From here to the end of this function no helper leaves, and nobody else starts one.
    let users = home.users()?;
    users.lock_shared().map_err(super::Error::io("lock users in", &home.path))?;
    let mut start = HelperStart { home: &home, exe: helper_exe, args: helper_args, child: None };
    let patience = JOIN_PATIENCE.saturating_sub(begin.elapsed());
    let endpoint = wait::until(patience, || {
        start.advance()?;
        home.endpoint()
    })?;
    let endpoint = endpoint.ok_or_else(not_ready)?;
    Ok(Membership { endpoint, _users: users, _helper: start.child })
}

/// The start of a helper, step by step; for the holder of `boot`.
struct HelperStart<'a, A> {
    home: &'a Home,
    exe: &'a Path,
    args: &'a [A],
    child: Option<Child>,
}

impl<A: AsRef<OsStr>> HelperStart<'_, A> {
    /// Sees to it that there is a helper. As long as ours runs nothing is to be done: it will
    /// become *the* helper, or find that there is one already and end well.
    fn advance(&mut self) -> Result<(), Error> {
        if let Some(child) = &mut self.child {
            let Some(status) = child.try_wait().map_err(super::Error::io("wait for", self.exe))? else {
                return Ok(());
            };
            if !status.success() || self.home.clear_way_for_helper()? {
                return Err(Error::HelperEnded {
                    helper: self.exe.to_path_buf(),
                    status,
                    log: self.home.log(),
                    log_tail: self.home.log_tail(),
                });
            }
            self.child = None;
        } else if self.home.clear_way_for_helper()? {
            self.child = Some(self.spawn()?);
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Child, Error> {
        let path = self.home.log();
        let log = File::create(&path).map_err(super::Error::io("create", &path))?;
        let copy = log.try_clone().map_err(super::Error::io("open", &path))?;
        // No pipe of ours reaches it, or whoever reads our output would wait for its end, too.
        let child = Command::new(self.exe)
            .args(self.args)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .process_group(0)
            .spawn()
            .map_err(super::Error::io("run", self.exe))?;
        Ok(child)
    }
}
