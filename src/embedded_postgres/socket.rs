//! The folder of the server's Unix socket, its only door.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::data_dir::{DataDir, close_folder, create_private, give_folder};
use super::error::Error;
use super::path_hash::path_hash;

/// Names the socket file; nothing listens on a network port.
pub(super) const PORT: u16 = 5432;
/// The longest path that the kernel takes for a socket, in bytes.
const PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Where the folder goes when the data directory's path is no good. Fixed, because TMPDIR may be
/// long or private to a session.
const SHORT_PARENT: &str = "/tmp";

/// The socket's file in its folder.
fn file(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// The folder in the data directory; or, where its path is too long for a socket, is not UTF-8
/// (clients put it into URLs) or has a comma (libpq takes that for a list of hosts), one in /tmp
/// whose name comes from that path.
pub(super) fn folder(dir: &DataDir, account: &Account) -> PathBuf {
    let fits = file(&dir.socket).as_os_str().len() <= PATH_BYTES_MAX;
    if fits && dir.socket.to_str().is_some_and(|path| !path.contains(',')) {
        return dir.socket.clone();
    }
    Path::new(SHORT_PARENT).join(format!("deskledger-{}-{}", account.uid, path_hash(&dir.root)))
}

/// Makes the folder, 0700 and the account's. /tmp is everybody's: one that somebody else made there
/// in advance is refused.
pub(super) fn prepare(folder: &Path, account: &Account) -> Result<(), Error> {
    let found = match fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => return create_private(folder, account),
        Err(e) => return Err(Error::io("look at", folder)(e)),
    };
    let ours = found.uid() == account.uid.as_raw() || (account.switch && found.uid() == 0);
    if !found.is_dir() || !ours {
        let user = account.name.clone();
        return Err(Error::SocketFolderTaken { path: folder.to_path_buf(), user });
    }
    give_folder(folder, account)?;
    close_folder(folder)
}

/// Removes what a killed server left: it would refuse to start where the pid in the lock file now
/// belongs to somebody else. Call this only when no server runs.
pub(super) fn clear(folder: &Path) -> Result<(), Error> {
    for stale in [file(folder).with_extension(format!("{PORT}.lock")), file(folder)] {
        match fs::remove_file(&stale) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove", &stale)(e)),
        }
    }
    Ok(())
}

/// Removes the folder if it is the one in /tmp, where nobody would look for it.
pub(super) fn remove_short(folder: &Path) {
    if folder.parent() == Some(Path::new(SHORT_PARENT)) {
        // It stays if something is in it; the next start uses it again.
        let _ = fs::remove_dir(folder);
    }
}
