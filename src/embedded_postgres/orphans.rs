//! Servers of an earlier run that still use the cluster. Usually there is at most one that is
//! already stopping, because its service was killed a moment ago.
//!
//! Call this only as the owner of the data directory: then every such process is an orphan.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::Error;
use super::postmaster_pid::PostmasterPid;
use super::wait;

/// Fast shutdown, immediate shutdown, and the end; how long each is given. A fast shutdown writes
/// everything that is in memory to disk.
const STEPS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
}

/// Whether a server of an earlier run uses the cluster.
pub(super) fn any(cluster: &Path) -> Result<bool, Error> {
    Ok(!find(cluster)?.is_empty())
}

/// Ends all servers of earlier runs and removes the `postmaster.pid` they left. While even one
/// process lives this is an error, since a second server beside it would destroy the database.
pub(super) fn clear(cluster: &Path) -> Result<(), Error> {
    // Read first: a file that appears or changes while we look belongs to a living server.
    let before = read_pid_file(cluster)?;
    end_all(cluster)?;
    if before.is_some() && before == read_pid_file(cluster)? {
        // It names a dead process, a zombie or somebody else's, for which PostgreSQL would refuse
        // to start.
        match fs::remove_file(PostmasterPid::path(cluster)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove postmaster.pid in", cluster)(e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn end_all(cluster: &Path) -> Result<(), Error> {
    for (signal, patience) in STEPS {
        let found = find(cluster)?;
        if found.is_empty() {
            return Ok(());
        }
        let pids: Vec<i32> = found.iter().map(|process| process.pid).collect();
        let is_child = |process: &&Process| pids.contains(&process.parent);
        if signal == Signal::SIGINT && !found.iter().any(|process| is_child(&process)) {
            // Children of a dead server: there is nothing left that they could save.
            continue;
        }
        tracing::warn!(?pids, %signal, "ending the PostgreSQL of an earlier run");
        // A server stops its own children in good order.
        for process in found.iter().filter(|process| signal == Signal::SIGKILL || !is_child(process)) {
            end(process.pid, signal, cluster)?;
        }
        let gone = || Ok(find(cluster)?.is_empty().then_some(()));
        if wait::until(patience, gone)?.is_some() {
            return Ok(());
        }
    }
    let pids = find(cluster)?.iter().map(|process| process.pid).collect();
    Err(Error::OrphansSurvive { cluster: cluster.to_path_buf(), pids })
}

fn end(pid: i32, signal: Signal, cluster: &Path) -> Result<(), Error> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Error::io("stop the PostgreSQL that uses", cluster)(errno.into())),
    }
}

fn read_pid_file(cluster: &Path) -> Result<Option<Vec<u8>>, Error> {
    PostmasterPid::read_raw(cluster).map_err(Error::io("read postmaster.pid in", cluster))
}

/// PostgreSQL processes whose working directory is the cluster: the server and all its children.
/// The name counts, too, or an operator's shell that stands in the folder would be ended.
#[cfg(target_os = "linux")]
fn find(cluster: &Path) -> Result<Vec<Process>, Error> {
    use std::os::unix::fs::MetadataExt;

    let proc = Path::new("/proc");
    let cluster = match fs::metadata(cluster) {
        Ok(found) => (found.dev(), found.ino()),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("look at", cluster)(e)),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).map_err(Error::io("look into", proc))?.flatten() {
        let path = entry.path();
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Whatever cannot be read has ended in the meantime, is a zombie or is not ours.
        let Ok(stat) = fs::read(path.join("stat")) else { continue };
        let Some((name, parent)) = parse_stat(&stat) else { continue };
        if name.contains("postgres") && fs::metadata(path.join("cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == cluster) {
            found.push(Process { pid, parent });
        }
    }
    Ok(found)
}

/// Name and parent out of `/proc/PID/stat`, such as `42 (postgres) S 1 ...`; the name may itself
/// hold spaces and parentheses.
#[cfg(target_os = "linux")]
fn parse_stat(stat: &[u8]) -> Option<(String, i32)> {
    let stat = String::from_utf8_lossy(stat);
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
    Some((name.to_owned(), parent))
}

/// The server that `postmaster.pid` names, if that process is a PostgreSQL of this cluster. There
/// is no way here to find children that have outlived their server: PostgreSQL itself refuses to
/// start beside those.
#[cfg(not(target_os = "linux"))]
fn find(cluster: &Path) -> Result<Vec<Process>, Error> {
    let content = read_pid_file(cluster)?;
    let Some(pid) = content.and_then(|content| PostmasterPid::parse(&content).pid) else {
        return Ok(Vec::new());
    };
    let command_line = std::process::Command::new("/bin/ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .map_err(Error::io("run", Path::new("/bin/ps")))?
        .stdout;
    let command_line = String::from_utf8_lossy(&command_line);
    let ours = command_line.contains("postgres") && command_line.contains(&*cluster.to_string_lossy());
    Ok(if ours { vec![Process { pid, parent: 1 }] } else { Vec::new() })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::parse_stat;

    #[test]
    fn the_name_of_a_process_may_hold_spaces_and_parentheses() {
        assert_eq!(parse_stat(b"42 (postgres) S 1 42 42 0"), Some(("postgres".to_owned(), 1)));
        assert_eq!(parse_stat(b"7 (a) S 9 (b) R 42 7"), Some(("a) S 9 (b".to_owned(), 42)));
        assert_eq!(parse_stat(b"7 (\xff) R 42 7"), Some(("\u{fffd}".to_owned(), 42)));
    }

    #[test]
    fn a_process_that_is_just_going_has_no_name() {
        for stat in [b"".as_slice(), b"42", b"42 (postgres", b"42 (postgres) S"] {
            assert_eq!(parse_stat(stat), None);
        }
    }
}
