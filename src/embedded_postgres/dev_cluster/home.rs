//! The home of a shared cluster: its files and locks.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::Error;
use crate::embedded_postgres::data_dir::tail;
use crate::embedded_postgres::path_hash::path_hash;
use crate::embedded_postgres::{EmbeddedPostgres, Error as EmbeddedError};

/// With less memory than this free, in bytes, the cluster is kept on disk.
const MEMORY_MIN: u64 = 1 << 30;

/// The home for a checkout and the user who asks: in `/dev/shm` when that has at least 1 GB free,
/// else in the checkout's `target/tmp`. Two users, or two checkouts, never get the same.
#[must_use]
pub fn home(checkout: &Path) -> PathBuf {
    let checkout = checkout.canonicalize().unwrap_or_else(|_| checkout.to_path_buf());
    let name = format!("deskledger-dev-{}-{}", Uid::effective(), path_hash(&checkout));
    let in_memory = Path::new("/dev/shm").join(&name);
    // One that is there is used however little its own cluster has left free.
    if in_memory.exists() || free_memory() >= MEMORY_MIN { in_memory } else { checkout.join("target/tmp").join(name) }
}

/// In bytes.
#[cfg(target_os = "linux")]
fn free_memory() -> u64 {
    nix::sys::statvfs::statvfs("/dev/shm").map_or(0, |found| found.blocks_available().saturating_mul(found.fragment_size()))
}

#[cfg(not(target_os = "linux"))]
fn free_memory() -> u64 {
    0
}

/// The files of one home.
pub(super) struct Home {
    pub path: PathBuf,
}

impl Home {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// The data directory of the helper's server.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("helper.log")
    }

    pub fn log_tail(&self) -> String {
        tail(&self.log(), 0)
    }

    pub fn boot(&self) -> Result<File, EmbeddedError> {
        open_lock(&self.boot_path())
    }

    pub fn users(&self) -> Result<File, EmbeddedError> {
        open_lock(&self.users_path())
    }

    pub fn helper(&self) -> Result<File, EmbeddedError> {
        open_lock(&self.helper_path())
    }

    fn boot_path(&self) -> PathBuf {
        self.path.join("boot")
    }

    fn users_path(&self) -> PathBuf {
        self.path.join("users")
    }

    fn helper_path(&self) -> PathBuf {
        self.path.join("helper")
    }

    fn endpoint_path(&self) -> PathBuf {
        self.path.join("endpoint")
    }

    /// Makes the folder if it is missing. `/dev/shm` is everybody's: one that is not ours alone is
    /// refused.
    pub fn prepare(&self) -> Result<(), Error> {
        let user = Uid::effective();
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(EmbeddedError::io("create the folder", parent))?;
        }
        // Root's server runs as another user, who has to pass through.
        let mode = if user.is_root() { 0o711 } else { 0o700 };
        match DirBuilder::new().mode(mode).create(&self.path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(EmbeddedError::io("create the folder", &self.path)(e).into());
            }
            _ => {}
        }
        let private = fs::symlink_metadata(&self.path).map_or_else(
            // Removed again by a leaving helper: whoever opens a file in it will see that.
            |e| e.kind() == ErrorKind::NotFound,
            |found| found.is_dir() && found.uid() == user.as_raw() && found.mode() & 0o022 == 0,
        );
        if private { Ok(()) } else { Err(Error::HomeTaken { home: self.path.clone(), user: user.as_raw() }) }
    }

    /// Makes the home if it is missing and takes `boot`; None when somebody else has that, or is
    /// just removing the home.
    pub fn enter(&self) -> Result<Option<File>, Error> {
        self.prepare()?;
        let boot = match self.boot() {
            Err(EmbeddedError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            result => result?,
        };
        if !try_lock(&boot, &self.path)? {
            return Ok(None);
        }
        // A leaving helper removes the file, and a lock on a removed one excludes nobody.
        let mine = boot.metadata().map_err(EmbeddedError::io("look at", &self.path))?;
        let current = fs::metadata(self.boot_path());
        let same = current.is_ok_and(|it| (it.dev(), it.ino()) == (mine.dev(), mine.ino()));
        Ok(same.then_some(boot))
    }

    /// Whether there is no helper; what a dead one said about its cluster is then removed. For the
    /// holder of `boot`.
    pub fn clear_way_for_helper(&self) -> Result<bool, Error> {
        let helper = self.helper()?;
        if !try_lock(&helper, &self.path)? {
            return Ok(false);
        }
        // Under the lock, so that it cannot be what a new one says.
        remove_file(&self.endpoint_path())?;
        // By name, because closing the file would not do while a child that another thread has just
        // forked still has it, too; and the new helper tries only once.
        helper.unlock().map_err(EmbeddedError::io("unlock helper in", &self.path))?;
        Ok(true)
    }

    /// None while there is no cluster.
    pub fn endpoint(&self) -> Result<Option<Endpoint>, Error> {
        let path = self.endpoint_path();
        match fs::read(&path) {
            Ok(content) => Ok(Endpoint::parse(&content)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(EmbeddedError::io("read", &path)(e).into()),
        }
    }

    /// Says where the cluster is; the file is whole or not there.
    pub fn publish(&self, postgres: &EmbeddedPostgres) -> Result<(), Error> {
        let path = self.endpoint_path();
        let unfinished = path.with_extension("new");
        let endpoint =
            Endpoint { port: postgres.port(), user: postgres.user().to_owned(), socket_dir: postgres.socket_dir().to_path_buf() };
        File::create(&unfinished)
            .and_then(|mut file| file.write_all(&endpoint.to_bytes()))
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(EmbeddedError::io("write", &path))?;
        Ok(())
    }

    /// Removes the home. For the holder of `boot`, `users` and `helper`; `boot` goes last, because
    /// from then on a new process may come in.
    pub fn remove(&self) -> Result<(), Error> {
        let data = self.data();
        fs::remove_dir_all(&data).map_err(EmbeddedError::io("remove", &data))?;
        for file in [self.endpoint_path(), self.log(), self.helper_path(), self.users_path(), self.boot_path()] {
            remove_file(&file)?;
        }
        match fs::remove_dir(&self.path) {
            // Somebody has come in: it is theirs now.
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(e) => Err(EmbeddedError::io("remove", &self.path)(e).into()),
            Ok(()) => Ok(()),
        }
    }
}

/// Where the cluster can be reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub port: u16,
    pub user: String,
    pub socket_dir: PathBuf,
}

impl Endpoint {
    /// Three lines; the path comes last, as it is.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n{}\n", self.port, self.user).into_bytes();
        bytes.extend_from_slice(self.socket_dir.as_os_str().as_bytes());
        bytes
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let mut lines = content.splitn(3, |byte| *byte == b'\n');
        let mut text = || str::from_utf8(lines.next()?).ok();
        let port = text()?.parse().ok()?;
        let user = text()?.to_owned();
        let socket_dir = OsString::from_vec(lines.next()?.to_vec()).into();
        Some(Self { port, user, socket_dir })
    }
}

fn open_lock(path: &Path) -> Result<File, EmbeddedError> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(EmbeddedError::io("open", path))
}

/// Whether the lock is now ours.
pub(super) fn try_lock(file: &File, home: &Path) -> Result<bool, EmbeddedError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(cause)) => Err(EmbeddedError::io("lock a file in", home)(cause)),
    }
}

fn remove_file(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(EmbeddedError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Endpoint, home};

    #[test]
    fn an_endpoint_is_read_as_it_was_written() {
        let endpoint = Endpoint { port: 5432, user: "postgres".to_owned(), socket_dir: "/a b/\u{fc}".into() };
        assert_eq!(Endpoint::parse(&endpoint.to_bytes()), Some(endpoint));
        assert_eq!(Endpoint::parse(b"5432\npostgres"), None);
        assert_eq!(Endpoint::parse(b""), None);
    }

    #[test]
    fn each_checkout_has_a_home_of_its_own() {
        assert_eq!(home(Path::new("/a")), home(Path::new("/a")));
        assert_ne!(home(Path::new("/a")), home(Path::new("/b")));
    }
}
