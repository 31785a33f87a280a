//! A child process that ends when we do, without unsafe code and whatever signal ends us.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::Account;

/// The shell starts a watcher and then *becomes* the program, which is therefore our direct child:
/// its end and its exit status are seen at once. The watcher reads a pipe of which we hold the only
/// other end. When that closes, because we closed it or because we are no more, it interrupts the
/// program. It cannot hit a stranger: it is a member of the process group whose number is the
/// program's pid, and no pid is given away again while a process group of that number exists.
/// The inner parentheses make it nobody's child, since a postmaster would take an interest in it.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
( ( trap '' HUP INT TERM; read -r _ <&3; kill -INT $$ ) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"#;
/// What `ps` shows of the watcher.
const WATCHER_NAME: &str = "deskledger-postgres-watcher";

/// Dropping it interrupts the program and does not wait for its end.
#[derive(Debug)]
pub(super) struct TiedProcess {
    child: Child,
    /// Held out of `child`, whose `wait` would close it.
    _lifeline: Option<ChildStdin>,
}

impl TiedProcess {
    /// Starts it in a process group of its own, so that a terminal's Ctrl-C does not reach it.
    pub fn spawn(account: &Account, program: &Path, arguments: &[OsString], log: File) -> io::Result<Self> {
        let mut child = account
            .command("/bin/sh")
            .args(["-c", SCRIPT, WATCHER_NAME])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        Ok(Self { _lifeline: child.stdin.take(), child })
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// None while it runs.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Signals the program and not its group, unless it is known to have ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            // We have not reaped it, so the pid is still its own.
            kill(Pid::from_raw(self.pid()), signal)?;
        }
        Ok(())
    }
}
