//! What can go wrong with the private server, told to the operator.
//!
//! A text says what happened, where, and what to do. The cause given by the operating system is
//! part of the text and not a `source()`, so that printing the error once prints it all.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::unistd::Uid;

/// Why the private PostgreSQL could not be started, restarted or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither PATH nor the usual folders hold the server's programs.
    #[error(
        "PostgreSQL is not installed here: no folder holds a usable `postgres` and `initdb`{}. \
         Install it (`apt-get install postgresql`, `dnf install postgresql-server`, \
         `apk add postgresql` or `brew install postgresql`), or set DESKLEDGER_POSTGRES_BIN to the \
         folder of these programs, or set DATABASE_URL to a PostgreSQL server that already runs",
        Listed { before: " (", items: unusable, after: ")" }
    )]
    NotInstalled {
        /// Folders that looked right and were not, each with its reason.
        unusable: Vec<UnusableFolder>,
    },

    /// The folder that the operator named is not one of a PostgreSQL server.
    #[error(
        "DESKLEDGER_POSTGRES_BIN does not name a usable PostgreSQL: {0}. Set it to the folder that \
         holds `postgres` and `initdb`, such as /usr/lib/postgresql/15/bin, or unset it to have \
         the usual folders searched"
    )]
    BinariesUnusable(UnusableFolder),

    /// The cluster was made by a major version that is not among the programs found.
    #[error(
        "the database in {} was made by PostgreSQL {cluster_major}, but the programs found here \
         are {}: a major version cannot read the files of another. Install PostgreSQL \
         {cluster_major} or set DESKLEDGER_POSTGRES_BIN to its folder; or convert the database \
         with pg_upgrade",
        cluster.display(), Listed { before: "", items: found, after: "" }
    )]
    OtherMajorVersion {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The major version that made it.
        cluster_major: u32,
        /// What was found instead.
        found: Vec<FoundVersion>,
    },

    /// Another service holds the data directory.
    #[error(
        "the data directory {} is in use by {}: it can have one owner only. Stop that one, or give \
         this service a data directory of its own, or set DATABASE_URL",
        data_dir.display(), Holder(*pid)
    )]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// The process that holds it; None in the instant before it has said so.
        pid: Option<i32>,
    },

    /// Something else than a folder has the name of the data directory.
    #[error("the data directory {} is not a folder: give the service another one", .0.display())]
    NotAFolder(PathBuf),

    /// The path cannot be handed to PostgreSQL.
    #[error(
        "the data directory {0:?} has a line break or a NUL in its name, which PostgreSQL's own \
         files cannot hold: give the service another one"
    )]
    UnusablePath(PathBuf),

    /// The cluster's folder holds something else.
    #[error(
        "{} is not empty and holds no PostgreSQL cluster (no readable PG_VERSION): move it away, or \
         give the service another data directory",
        .0.display()
    )]
    NotACluster(PathBuf),

    /// The data directory is itself a cluster, where the service wants to keep one inside it.
    #[error(
        "the data directory {} is itself a PostgreSQL cluster, perhaps of another server: the \
         service keeps its own in a folder inside its data directory. Give it another one",
        .0.display()
    )]
    IsACluster(PathBuf),

    /// The cluster's folder belongs to somebody that the server will not run as.
    #[error(
        "{} belongs to {owner}, but PostgreSQL would run as {user} and reads only its own files: \
         run `chown -R {user} {}`, or give the service another data directory",
        path.display(), path.display()
    )]
    WrongOwner {
        /// The cluster's folder.
        path: PathBuf,
        /// The name or number of its owner.
        owner: String,
        /// The name or number of the user the server would run as.
        user: String,
    },

    /// The user the server runs as cannot reach the data directory.
    #[error(
        "PostgreSQL does not run as root, so it runs as {user}, who cannot enter {}, which is on \
         the way to the data directory {}: allow it (`chmod o+x`), or give the service a data \
         directory elsewhere, such as /var/lib/deskledger",
        folder.display(), data_dir.display()
    )]
    CannotEnter {
        /// The first folder that is closed.
        folder: PathBuf,
        /// The data directory below it.
        data_dir: PathBuf,
        /// Who cannot enter.
        user: String,
    },

    /// Root has nobody to run the server as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to \
         run it as: create one (`useradd --system postgres`), or start the service as an ordinary \
         user, or set DATABASE_URL"
    )]
    NobodyToRunAs,

    /// The operating system does not let this root become another user.
    #[error(
        "PostgreSQL does not run as root, and becoming {user} was refused: {cause}. Start the \
         service as an ordinary user; or give root the capabilities CAP_SETUID, CAP_SETGID and \
         CAP_CHOWN, and a rootless container more than one uid; or set DATABASE_URL"
    )]
    CannotBecome {
        /// Whom to become.
        user: String,
        /// The refusal.
        cause: io::Error,
    },

    /// A uid without a name, as containers with a random uid have it.
    #[error(
        "uid {uid} has no entry in /etc/passwd, and PostgreSQL's initdb refuses to work for a user \
         without a name: add one, or run the service as a user that has one, or set DATABASE_URL. \
         (Once its database exists, the server itself does run for this uid.)"
    )]
    NoPasswdEntry {
        /// The user's number.
        uid: u32,
    },

    /// The short socket folder in /tmp is somebody else's.
    #[error(
        "the path of the data directory is no good for a socket (too long, not UTF-8, or with a \
         comma), and {}, which would be used instead, is not a private folder of {user}: remove \
         it, or give the service a data directory with a shorter, plain path",
        path.display()
    )]
    SocketFolderTaken {
        /// The folder in /tmp.
        path: PathBuf,
        /// Who should own it.
        user: String,
    },

    /// initdb could not make the cluster.
    #[error("initdb could not create the database in {}: it {}{}", cluster.display(), Ended(*status), Tail(log_tail))]
    Initdb {
        /// Where the cluster was to be.
        cluster: PathBuf,
        /// How it ended; None when it took too long and was stopped.
        status: Option<ExitStatus>,
        /// The last lines it wrote.
        log_tail: String,
    },

    /// The server ended instead of becoming ready.
    #[error("PostgreSQL did not start: it {}. Its log is {}{}", Ended(Some(*status)), log.display(), Tail(log_tail))]
    EndedEarly {
        /// How it ended.
        status: ExitStatus,
        /// The log file.
        log: PathBuf,
        /// The last lines it wrote.
        log_tail: String,
    },

    /// The server runs but did not become ready in time.
    #[error(
        "PostgreSQL was not ready after {seconds} s and has been stopped; after a crash of the \
         machine it may need longer than that on a slow disk. Its log is {}{}",
        log.display(), Tail(log_tail)
    )]
    NotReady {
        /// How long it was given, in seconds.
        seconds: u64,
        /// The log file.
        log: PathBuf,
        /// The last lines it wrote.
        log_tail: String,
    },

    /// A server of an earlier run is still there and cannot be ended.
    #[error(
        "PostgreSQL processes of an earlier run still use {} and survive being killed: {pids:?}. \
         No second server may be started beside them. See what they wait for (`ps -o \
         pid,stat,wchan -p PID`; state D is a disk or network file system that does not answer)",
        cluster.display()
    )]
    OrphansSurvive {
        /// The cluster they use.
        cluster: PathBuf,
        /// Their process ids.
        pids: Vec<i32>,
    },

    /// The server was killed and has not ended.
    #[error(
        "PostgreSQL (process {pid}) does not end, though it was killed: see what it waits for \
         (`ps -o pid,stat,wchan -p {pid}`; state D is a disk that does not answer)"
    )]
    WillNotStop {
        /// The postmaster's process id.
        pid: i32,
    },

    /// The operating system refused something.
    #[error("cannot {action} {}: {cause}{}", path.display(), AsWhom(cause))]
    Io {
        /// A verb, such as "create the folder".
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The refusal.
        cause: io::Error,
    },
}

impl Error {
    /// Turns an I/O error into ours, with what was being done and to what.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |cause| Self::Io { action, path, cause }
    }
}

/// A folder that has been looked at for the server's programs in vain.
#[derive(Debug)]
pub struct UnusableFolder {
    /// The folder.
    pub folder: PathBuf,
    /// What it lacks.
    pub problem: BinaryProblem,
}

/// What is wrong with the programs of a folder.
#[derive(Debug)]
pub enum BinaryProblem {
    /// A program is not there.
    Missing(&'static str),
    /// It is there and cannot be run.
    CannotRun(io::Error),
    /// It ran, and its answer to `-V` is not PostgreSQL's.
    UnknownVersion(String),
}

impl Display for UnusableFolder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match &self.problem {
            BinaryProblem::Missing(program) => write!(f, "{folder} has no `{program}`"),
            BinaryProblem::CannotRun(cause) => {
                write!(f, "`postgres` in {folder} cannot be run: {cause}")
            }
            BinaryProblem::UnknownVersion(answer) => {
                write!(f, "`postgres -V` in {folder} answers {answer:?}")
            }
        }
    }
}

/// A server that was found and is of another major version.
#[derive(Debug)]
pub struct FoundVersion {
    /// Such as "15.18".
    pub version: String,
    /// Where its programs are.
    pub folder: PathBuf,
}

impl Display for FoundVersion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.version, self.folder.display())
    }
}

/// A list in a sentence; nothing at all when it is empty.
struct Listed<'a, T> {
    before: &'static str,
    items: &'a [T],
    after: &'static str,
}

impl<T: Display> Display for Listed<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            let separator = if index == 0 { self.before } else { ", " };
            write!(f, "{separator}{item}")?;
        }
        if self.items.is_empty() { Ok(()) } else { f.write_str(self.after) }
    }
}

struct Holder(Option<i32>);

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Who was refused, where that is the question.
struct AsWhom<'a>(&'a io::Error);

impl Display for AsWhom<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.kind() == io::ErrorKind::PermissionDenied {
            write!(f, "; the service runs as uid {}", Uid::effective())?;
        }
        Ok(())
    }
}

struct Ended(Option<ExitStatus>);

impl Display for Ended {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => write!(f, "ended with {status}"),
            None => f.write_str("took too long and was stopped"),
        }
    }
}

struct Tail<'a>(&'a str);

impl Display for Tail<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(", which says nothing") } else { write!(f, "; it ends with:\n{}", self.0) }
    }
}
