//! One run of the server: starting it, waiting until it is ready, stopping it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::account::Account;
use super::data_dir::DataDir;
use super::error::Error;
use super::find::Programs;
use super::postmaster_pid::PostmasterPid;
use super::socket::PORT;
use super::tied::TiedProcess;
use super::{Durability, wait};

/// Tens of milliseconds after a clean stop; after a kill it first replays its log, which is bounded
/// by `max_wal_size` (1 GB).
const START_PATIENCE: Duration = Duration::from_mins(5);
/// Fast shutdown (cuts connections, writes memory to disk), immediate shutdown (recovers at the next
/// start), and the end; how long each is given.
const STOP_STEPS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// Set on the command line, where they prevail over postgresql.conf and ALTER SYSTEM. The server's
/// log keeps no row contents: those stand in the details of errors and in statements.
const ALWAYS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "log_destination=stderr",
    "logging_collector=off",
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
];
const DURABLE: &[&str] = &["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
const VOLATILE: &[&str] =
    &["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "wal_level=minimal", "max_wal_senders=0"];

/// What a run needs to know.
#[derive(Debug)]
pub(super) struct Server {
    pub dir: DataDir,
    pub account: Account,
    pub programs: Programs,
    pub socket: PathBuf,
    pub durability: Durability,
    pub max_connections: u16,
}

impl Server {
    /// Starts it and waits until it takes connections.
    pub fn run(&self) -> Result<TiedProcess, Error> {
        let log = self.dir.open_log(&self.account)?;
        let log_start = log.metadata().map_err(Error::io("look at", &self.dir.log))?.len();
        let program = self.programs.postgres();
        let mut process =
            TiedProcess::spawn(&self.account, &program, &self.arguments(), log).map_err(Error::io("run", &program))?;
        let ready = wait::until(START_PATIENCE, || {
            if let Some(status) = process.ended().map_err(Error::io("wait for", &program))? {
                let log_tail = self.dir.log_tail(log_start);
                return Err(Error::EndedEarly { status, log: self.dir.log.clone(), log_tail });
            }
            Ok(self.is_ready(process.pid())?.then_some(()))
        })?;
        if ready.is_some() {
            return Ok(process);
        }
        stop(&mut process)?;
        Err(Error::NotReady {
            seconds: START_PATIENCE.as_secs(),
            log: self.dir.log.clone(),
            log_tail: self.dir.log_tail(log_start),
        })
    }

    fn is_ready(&self, pid: i32) -> Result<bool, Error> {
        let cluster = &self.dir.cluster;
        let content = PostmasterPid::read_raw(cluster).map_err(Error::io("read postmaster.pid in", cluster))?;
        Ok(content.is_some_and(|content| PostmasterPid::parse(&content) == PostmasterPid { pid: Some(pid), ready: true }))
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.dir.cluster.clone().into()];
        let mut set = |setting: OsString| arguments.extend(["-c".into(), setting]);
        let durability = match self.durability {
            Durability::Durable => DURABLE,
            Durability::Volatile => VOLATILE,
        };
        for setting in ALWAYS.iter().chain(durability) {
            set(setting.into());
        }
        set(format!("port={PORT}").into());
        set(format!("max_connections={}", self.max_connections).into());
        set(socket_setting(&self.socket));
        arguments
    }
}

/// The setting is a list; quotes keep a path whole, whatever is in it.
fn socket_setting(folder: &Path) -> OsString {
    let mut setting = b"unix_socket_directories=\"".to_vec();
    for byte in folder.as_os_str().as_bytes() {
        setting.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
    }
    setting.push(b'"');
    OsString::from_vec(setting)
}

/// Ends the server and waits for it, at most 30 s. Nothing to do when it has ended by itself.
pub(super) fn stop(process: &mut TiedProcess) -> Result<(), Error> {
    let pid = process.pid();
    let refused = |cause| Error::io("stop the PostgreSQL process", Path::new(&pid.to_string()))(cause);
    for (signal, patience) in STOP_STEPS {
        process.signal(signal).map_err(refused)?;
        let ended = || process.ended().map_err(refused);
        if wait::until(patience, ended)?.is_some() {
            return Ok(());
        }
        tracing::warn!(pid, %signal, seconds = patience.as_secs(), "PostgreSQL goes on after a signal to end");
    }
    Err(Error::WillNotStop { pid })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::socket_setting;

    #[test]
    fn a_socket_folder_with_commas_and_quotes_stays_one_folder() {
        assert_eq!(socket_setting(Path::new("/a, b/\"c\"")), "unix_socket_directories=\"/a, b/\"\"c\"\"\"");
    }
}
