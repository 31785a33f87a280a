//! Who runs the server. PostgreSQL refuses to run as root, so root has to choose somebody.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User};

use super::data_dir::DataDir;
use super::error::Error;

/// Whom root runs the server as when no folder's owner decides it.
const USUAL_NAMES: [&str; 2] = ["postgres", "nobody"];

/// The user that the server's programs run as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub uid: Uid,
    pub gid: Gid,
    /// The user's name, or its number when it has none.
    pub name: String,
    /// initdb refuses a user without a name.
    pub has_name: bool,
    /// We are root and become this user; otherwise we are it.
    pub switch: bool,
}

impl Account {
    /// Chooses by the data directory: ourselves, or for root the owner of the cluster, else the
    /// owner of the data directory, else `postgres`, else `nobody`; never root.
    pub fn choose(dir: &DataDir) -> Result<Self, Error> {
        let me = Uid::effective();
        let account = if me.is_root() { Self::chosen_by_root(dir)? } else { Self::of(me, Gid::effective(), false) };
        if let Some((owner, _)) = owner_of(&dir.cluster)?
            && owner != account.uid
            && !(account.switch && is_empty(&dir.cluster)?)
        {
            let owner = Self::of(owner, account.gid, false).name;
            return Err(Error::WrongOwner { path: dir.cluster.clone(), owner, user: account.name });
        }
        Ok(account)
    }

    fn chosen_by_root(dir: &DataDir) -> Result<Self, Error> {
        for folder in [&dir.cluster, &dir.root] {
            if let Some((uid, gid)) = owner_of(folder)?
                && !uid.is_root()
            {
                return Ok(Self::of(uid, gid, true));
            }
        }
        USUAL_NAMES
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self::from_user(user, true))
            .ok_or(Error::NobodyToRunAs)
    }

    /// A uid that has no name keeps the group of what it owns.
    fn of(uid: Uid, gid: Gid, switch: bool) -> Self {
        match User::from_uid(uid) {
            Ok(Some(user)) => Self::from_user(user, switch),
            _ => Self { uid, gid, name: format!("uid {uid}"), has_name: false, switch },
        }
    }

    fn from_user(user: User, switch: bool) -> Self {
        Self { uid: user.uid, gid: user.gid, name: user.name, has_name: true, switch }
    }

    /// A command that runs as this user with a clean environment: no PG* variable, no locale and no
    /// time zone of ours reaches it, and its working directory is one that everybody can enter.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        if self.switch {
            // Also drops root's supplementary groups.
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    /// Whether the user can enter the folder, found out by entering it: modes alone do not tell
    /// where there are access lists or security modules.
    pub fn can_enter(&self, folder: &Path) -> Result<bool, Error> {
        let entered = self
            .command("/bin/sh")
            .args(["-c", ":"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match entered {
            Ok(_) => Ok(true),
            Err(e) if e.raw_os_error() == Some(Errno::EACCES as i32) => Ok(false),
            // EPERM: no capability; EINVAL: a user namespace that has no such user.
            Err(cause) if [Errno::EPERM as i32, Errno::EINVAL as i32].map(Some).contains(&cause.raw_os_error()) => {
                Err(Error::CannotBecome { user: self.name.clone(), cause })
            }
            Err(cause) => Err(Error::io("enter", folder)(cause)),
        }
    }

    /// Uid and gid in the form that std's chown functions take; None when there is nothing to
    /// change, because what we make is the user's anyway.
    pub fn to_chown(&self) -> Option<(Option<u32>, Option<u32>)> {
        self.switch.then(|| (Some(self.uid.as_raw()), Some(self.gid.as_raw())))
    }
}

/// The owner of a file or folder; None when it does not exist.
pub(super) fn owner_of(path: &Path) -> Result<Option<(Uid, Gid)>, Error> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((Uid::from_raw(found.uid()), Gid::from_raw(found.gid())))),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(Error::io("look at", path)(e)),
    }
}

/// Whether a folder has nothing in it; also true when it does not exist, false for other files.
pub(super) fn is_empty(folder: &Path) -> Result<bool, Error> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(e) => Err(Error::io("look into", folder)(e)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
