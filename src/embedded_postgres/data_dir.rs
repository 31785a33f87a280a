//! The data directory: what lies where in it, who may enter it, and whose it is at the moment.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};

use super::account::{Account, is_empty};
use super::error::Error;
use super::wait;

/// A log longer than this is put aside at the next start.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long a lock without a living owner is waited for: a child that a killed service had just
/// forked holds it until it has become its program.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
/// How much of the log an error shows at most.
const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 20;

/// The paths of one data directory. All are absolute.
#[derive(Debug, Clone)]
pub(super) struct DataDir {
    pub root: PathBuf,
    pub cluster: PathBuf,
    pub socket: PathBuf,
    pub lock: PathBuf,
    pub log: PathBuf,
}

impl DataDir {
    pub fn new(root: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).map_err(Error::io("make absolute", root))?;
        if root.as_os_str().as_bytes().iter().any(|byte| b"\n\r\0".contains(byte)) {
            return Err(Error::UnusablePath(root));
        }
        Ok(Self {
            cluster: root.join("postgres"),
            socket: root.join("postgres.socket"),
            lock: root.join("postgres.lock"),
            log: root.join("postgres.log"),
            root,
        })
    }

    /// Makes the folder if it is missing, and sees that `account` can reach it. A folder that was
    /// there before keeps its owner and its mode, unless it is root's, empty and closed.
    pub fn prepare(&self, account: &Account) -> Result<(), Error> {
        // Whether we can become that user at all is the first question, because all else would fail
        // for that reason with a worse text.
        if account.switch {
            account.can_enter(Path::new("/"))?;
        }
        match fs::metadata(&self.root) {
            Ok(found) if !found.is_dir() => return Err(Error::NotAFolder(self.root.clone())),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => self.create(account)?,
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                return Err(Error::NotAFolder(self.root.clone()));
            }
            Err(e) => return Err(Error::io("look at", &self.root)(e)),
        }
        // Not `exists()`: a folder that we may not look into is no cluster of ours either.
        if fs::symlink_metadata(self.root.join("PG_VERSION")).is_ok() {
            return Err(Error::IsACluster(self.root.clone()));
        }
        if account.switch { self.open_the_way(account) } else { Ok(()) }
    }

    fn create(&self, account: &Account) -> Result<(), Error> {
        if let Some(parent) = self.root.parent() {
            // Root makes room for another user, who has to pass through.
            let mode = if account.switch { 0o755 } else { 0o700 };
            DirBuilder::new().recursive(true).mode(mode).create(parent).map_err(Error::io("create the folder", parent))?;
        }
        match create_private(&self.root, account) {
            // By another service that starts at this moment; who gets it is for the lock to say.
            Err(Error::Io { cause, .. }) if cause.kind() == ErrorKind::AlreadyExists && self.root.is_dir() => Ok(()),
            result => result,
        }
    }

    fn open_the_way(&self, account: &Account) -> Result<(), Error> {
        if account.can_enter(&self.root)? {
            return Ok(());
        }
        for folder in self.root.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if !account.can_enter(folder)? {
                return Err(self.closed(folder, account));
            }
        }
        // An empty 0700 folder of root's, as `mktemp -d` makes it, was made for us: take it.
        let owner = fs::metadata(&self.root).map_err(Error::io("look at", &self.root))?.uid();
        if Uid::from_raw(owner).is_root() && is_empty(&self.root)? {
            give_folder(&self.root, account)?;
        }
        // Asked again in any case: another service that starts at this moment may have taken it.
        if account.can_enter(&self.root)? { Ok(()) } else { Err(self.closed(&self.root, account)) }
    }

    fn closed(&self, folder: &Path, account: &Account) -> Error {
        Error::CannotEnter { folder: folder.to_path_buf(), data_dir: self.root.clone(), user: account.name.clone() }
    }

    /// Opens the log to append to; a long one is put aside first, as `postgres.log.old`.
    pub fn open_log(&self, account: &Account) -> Result<File, Error> {
        if fs::symlink_metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(&self.log, self.log.with_extension("log.old")).map_err(Error::io("put aside the log", &self.log))?;
        }
        open_private(OpenOptions::new().append(true), &self.log, account)
    }

    /// The last lines of the log after its first `start` bytes. Empty when it cannot be read: this
    /// goes into an error that is more important than that.
    pub fn log_tail(&self, start: u64) -> String {
        tail(&self.log, start)
    }
}

/// The last lines of a file after its first `start` bytes; empty when it cannot be read.
pub(super) fn tail(path: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let start = start.max(file.metadata()?.len().saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(start))?;
        let mut content = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Makes a folder of mode 0700 that belongs to `account`; its parent has to exist.
pub(super) fn create_private(path: &Path, account: &Account) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(path).map_err(Error::io("create the folder", path))?;
    give_folder(path, account)
}

/// Gives a folder to `account` where we are root. Never follows a link: what lies in a folder of
/// another user may have been put there to make root give away something else.
pub(super) fn give_folder(path: &Path, account: &Account) -> Result<(), Error> {
    match account.to_chown() {
        Some((uid, gid)) => lchown(path, uid, gid).map_err(Error::io("change the owner of", path)),
        None => Ok(()),
    }
}

/// Takes group's and others' rights from a folder, if they have any.
pub(super) fn close_folder(path: &Path) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    if found.is_dir() && found.mode() & 0o077 != 0 {
        // Opened without following a link, should it have been exchanged for one in the meantime.
        OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY).bits())
            .open(path)
            .and_then(|folder| folder.set_permissions(Permissions::from_mode(0o700)))
            .map_err(Error::io("change the mode of", path))?;
    }
    Ok(())
}

/// Opens or makes a file of mode 0600 that belongs to `account`, following no link.
fn open_private(options: &mut OpenOptions, path: &Path, account: &Account) -> Result<File, Error> {
    let file = options
        .create(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(Error::io("open for writing", path))?;
    if let Some((uid, gid)) = account.to_chown() {
        fchown(&file, uid, gid).map_err(Error::io("change the owner of", path))?;
    }
    Ok(file)
}

/// The ownership of a data directory, held as long as this lives. The kernel gives it back when the
/// process ends, however it ends, so that no lock is ever stale.
#[derive(Debug)]
pub(super) struct Ownership {
    file: File,
}

impl Ownership {
    pub fn take(dir: &DataDir, account: &Account) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let file = open_private(options.read(true).write(true), &dir.lock, account)?;
        let in_use = |pid| Error::InUse { data_dir: dir.root.clone(), pid };
        let locked = wait::until(LOCK_PATIENCE, || match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => match holder(&file) {
                Some(pid) if is_alive(pid) => Err(in_use(Some(pid))),
                _ => Ok(None),
            },
            Err(TryLockError::Error(cause)) => Err(Error::io("lock", &dir.lock)(cause)),
        })?;
        if locked.is_none() {
            return Err(in_use(holder(&file)));
        }
        let ownership = Self { file };
        ownership.sign().map_err(Error::io("write to", &dir.lock))?;
        Ok(ownership)
    }

    /// Only a help for whoever is refused: it is the lock that counts.
    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{}\n", std::process::id()).as_bytes())
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // A pid left behind would be misleading. Unlocked by name, because closing the file would not
        // do while a child that another thread has just forked still has it, too.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// The pid that the owner has written; None in the instant before it has.
fn holder(file: &File) -> Option<i32> {
    let mut content = [0; 16];
    let length = file.read_at(&mut content, 0).ok()?;
    str::from_utf8(&content[..length]).ok()?.trim().parse().ok()
}

/// Also true for a process that is not ours to signal.
fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}
