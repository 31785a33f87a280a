//! The cluster: the folder of database files that initdb makes once.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Durability;
use super::account::{Account, is_empty};
use super::data_dir::{DataDir, create_private};
use super::error::Error;
use super::find::Programs;
use super::orphans;
use super::tied::TiedProcess;
use super::wait;

/// The database superuser, and the only role that initdb makes.
pub(super) const USER: &str = "postgres";
/// The files are made in a side folder of this name and the pid, so that the folder with the final
/// name is always complete.
const SIDE_PREFIX: &str = "postgres.initdb-";
/// Usually half a second; a disk that needs more than this is of no use to a database.
const INITDB_PATIENCE: Duration = Duration::from_mins(5);
/// After this it is killed: it may be waiting for a disk.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(5);
/// Sorts by code point and knows the letters of all languages. macOS has no such locale.
const LOCALE: &str = if cfg!(target_os = "macos") { "--locale=C" } else { "--locale=C.UTF-8" };

/// The major version that made the cluster; None when there is no cluster yet.
pub(super) fn major_version(cluster: &Path) -> Result<Option<u32>, Error> {
    let file = cluster.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => match parse_pg_version(&text) {
            Some(major) => Ok(Some(major)),
            None => Err(Error::NotACluster(cluster.to_path_buf())),
        },
        Err(e) if e.kind() == ErrorKind::NotFound && is_empty(cluster)? => Ok(None),
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidData
            ) =>
        {
            Err(Error::NotACluster(cluster.to_path_buf()))
        }
        Err(e) => Err(Error::io("read", &file)(e)),
    }
}

/// "15", or "9.6" of the days when the major version had two numbers.
fn parse_pg_version(text: &str) -> Option<u32> {
    text.trim().split('.').next()?.parse().ok()
}

/// Makes the cluster. Killed at any moment, it leaves either none or a whole one.
pub(super) fn create(dir: &DataDir, account: &Account, programs: &Programs, durability: Durability) -> Result<(), Error> {
    if !account.has_name {
        return Err(Error::NoPasswdEntry { uid: account.uid.as_raw() });
    }
    let side = dir.root.join(format!("{SIDE_PREFIX}{}", std::process::id()));
    create_private(&side, account)?;
    let made = run_initdb(dir, &side, account, programs, durability)
        .and_then(|()| fs::rename(&side, &dir.cluster).map_err(Error::io("give the new database its name", &dir.cluster)));
    if made.is_err() {
        // What remains is swept at the next attempt; the first error is the one to tell.
        let _ = fs::remove_dir_all(&side);
        return made;
    }
    if durability == Durability::Durable {
        File::open(&dir.root).and_then(|folder| folder.sync_all()).map_err(Error::io("flush the folder", &dir.root))?;
    }
    Ok(())
}

/// Removes a cluster's folder, if it is there. Call this only when no server runs on it.
pub(super) fn remove(cluster: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(cluster) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", cluster)(e)),
        _ => Ok(()),
    }
}

fn run_initdb(dir: &DataDir, side: &Path, account: &Account, programs: &Programs, durability: Durability) -> Result<(), Error> {
    let log = dir.open_log(account)?;
    let log_start = log.metadata().map_err(Error::io("look at", &dir.log))?.len();
    let initdb = programs.initdb();
    let mut process = TiedProcess::spawn(account, &initdb, &arguments(side, durability), log).map_err(Error::io("run", &initdb))?;
    let status = wait::until(INITDB_PATIENCE, || process.ended().map_err(Error::io("wait for", &initdb)))?;
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    if status.is_none() {
        for signal in [Signal::SIGINT, Signal::SIGKILL] {
            process.signal(signal).map_err(Error::io("stop", &initdb))?;
            wait::until(INTERRUPT_PATIENCE, || process.ended().map_err(Error::io("wait for", &initdb)))?;
        }
    }
    Err(Error::Initdb { cluster: dir.cluster.clone(), status, log_tail: dir.log_tail(log_start) })
}

fn arguments(side: &Path, durability: Durability) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-D".into(), side.into(), "-U".into(), USER.into()];
    // Trust, because nobody else can enter the folder of the socket, and there is no other door.
    arguments.extend(["-A", "trust", "-E", "UTF8", LOCALE].map(OsString::from));
    if durability == Durability::Volatile {
        arguments.push("--no-sync".into());
    }
    arguments
}

/// Removes what killed runs of initdb left. One that was interrupted a moment ago may still be
/// writing, or be removing its files itself: it is given time to end.
pub(super) fn sweep_side_folders(dir: &DataDir) -> Result<(), Error> {
    let is_side = |name: &OsStr| name.as_encoded_bytes().starts_with(SIDE_PREFIX.as_bytes());
    for entry in fs::read_dir(&dir.root).map_err(Error::io("look into", &dir.root))? {
        let entry = entry.map_err(Error::io("look into", &dir.root))?;
        if is_side(&entry.file_name()) {
            let folder = entry.path();
            // One whose files vanish under it leaves its shared memory behind.
            wait::until(INTERRUPT_PATIENCE, || Ok::<_, Error>((!orphans::any(&folder)?).then_some(())))?;
            let removed = wait::until(INTERRUPT_PATIENCE, || Ok::<_, Error>(remove(&folder).ok()))?;
            if removed.is_none() {
                // Only a waste of space, and no reason to refuse the start.
                tracing::warn!(folder = %folder.display(), "an unfinished database could not be removed");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_pg_version;

    #[test]
    fn the_major_version_is_the_first_number_of_pg_version() {
        for (text, major) in
            [("15\n", Some(15)), ("9.6\n", Some(9)), ("18", Some(18)), ("", None), ("\n", None), ("fifteen\n", None)]
        {
            assert_eq!(parse_pg_version(text), major, "{text:?}");
        }
    }
}
