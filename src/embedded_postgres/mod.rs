//! The private PostgreSQL server that the service starts when no database is configured.
//!
//! It lives in the data directory, listens on a Unix socket only, and ends with the service however
//! that ends. Reading order: [`EmbeddedPostgres::start`] says what happens; `data_dir` what lies
//! where; `account` who runs it; `find` where its programs are; `cluster` how the database files
//! are made; `server` and `tied` how it is run; `orphans` how a killed run is cleared up.
//!
//! ```text
//! <data_dir>/postgres/         the cluster (PGDATA), 0700
//! <data_dir>/postgres.socket/  the Unix socket, 0700
//! <data_dir>/postgres.lock     locked by the service that owns the data directory; holds its pid
//! <data_dir>/postgres.log      what the server says; beyond 8 MB put aside at a start (.log.old)
//! ```

mod account;
mod cluster;
mod data_dir;
pub mod dev_cluster;
mod error;
mod find;
mod orphans;
mod path_hash;
mod postmaster_pid;
mod server;
mod socket;
mod tied;
mod wait;

use std::path::{Path, PathBuf};
use std::time::Instant;

pub use error::{BinaryProblem, Error, FoundVersion, UnusableFolder};
use nix::unistd::Uid;

use self::account::Account;
use self::data_dir::{DataDir, Ownership, close_folder};
use self::find::Programs;
use self::server::Server;
use self::tied::TiedProcess;

/// Where the private server keeps its database, and how it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The service's data directory; the server's files are in it, all with names that begin with
    /// `postgres`. Made if missing (mode 0700). A relative path counts from the working directory.
    /// Any path without line breaks will do; where it is longer than 77 bytes (73 on macOS), is not
    /// UTF-8 or has a comma, the socket goes to a private folder in /tmp.
    pub data_dir: PathBuf,
    /// The folder that holds `postgres` and `initdb` (`DESKLEDGER_POSTGRES_BIN`). None: PATH and the
    /// usual folders are searched for the newest version, or for the one that made the database.
    pub binaries: Option<PathBuf>,
    /// Whether the data survives a crash of the machine.
    pub durability: Durability,
    /// How many connections the server takes, 4 to 65535; with fewer it does not start, because
    /// three are reserved for the superuser.
    pub max_connections: u16,
}

/// What the data has to survive. Any kill of the service or of the server is survived by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the machine, too: what has been committed is on disk.
    Durable,
    /// Faster, for tests: a crash of the machine may leave the database unusable. Also without
    /// autovacuum and replication.
    Volatile,
}

/// A running private PostgreSQL server. It ends with this process, even if that is killed.
///
/// Dropping it stops it as [`stop`](Self::stop) does, which may block for up to 30 s; errors then go
/// to the log only.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    server: Server,
    process: TiedProcess,
    /// Given back only after the server has ended: fields are dropped after `drop` has run.
    _ownership: Ownership,
}

/// What to do with a database that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Discard,
}

impl EmbeddedPostgres {
    /// Starts the server and returns when it takes connections: about 40 ms, or about a second when
    /// the database has to be made first. Blocks, for up to 5 minutes each for making the database
    /// and for its recovery after a crash, so call it where blocking is allowed.
    ///
    /// A server that a killed service left behind is ended first. As root, the server runs as the
    /// owner of the database or of the data directory, else as `postgres`, else as `nobody`.
    ///
    /// # Errors
    ///
    /// Every variant of [`Error`] but [`Error::WillNotStop`] is possible. On error nothing is left
    /// running.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        Self::start_with(settings, Existing::Keep)
    }

    fn start_with(settings: &Settings, existing: Existing) -> Result<Self, Error> {
        let begin = Instant::now();
        let dir = DataDir::new(&settings.data_dir)?;
        let account = Account::choose(&dir)?;
        dir.prepare(&account)?;
        let ownership = Ownership::take(&dir, &account)?;
        if existing == Existing::Discard {
            orphans::clear(&dir.cluster)?;
            cluster::remove(&dir.cluster)?;
        }
        cluster::sweep_side_folders(&dir)?;
        let major = cluster::major_version(&dir.cluster)?;
        let binaries = settings.binaries.as_deref();
        let programs = Programs::find(binaries, &dir.cluster, major, &account)?;
        if major.is_none() {
            cluster::create(&dir, &account, &programs, settings.durability)?;
        }
        let socket = socket::folder(&dir, &account);
        socket::prepare(&socket, &account)?;
        let server =
            Server { dir, account, programs, socket, durability: settings.durability, max_connections: settings.max_connections };
        let process = launch(&server)?;
        tracing::info!(
            version = server.programs.version.text,
            data_dir = %server.dir.root.display(),
            user = server.account.name,
            milliseconds = begin.elapsed().as_millis(),
            "embedded PostgreSQL is ready"
        );
        Ok(Self { server, process, _ownership: ownership })
    }

    /// Where the server's socket is, or would be: for a process that works beside the one that owns it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) for an unusable data directory.
    pub fn socket_dir_of(settings: &Settings) -> Result<PathBuf, Error> {
        let dir = DataDir::new(&settings.data_dir)?;
        let account = Account::choose(&dir)?;
        Ok(socket::folder(&dir, &account))
    }

    /// The folder of the Unix socket: absolute, UTF-8, without commas, short enough for a socket. It
    /// stays the same over restarts.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.server.socket
    }

    /// The number in the socket's file name, always 5432. Nothing listens on a network port.
    #[must_use]
    pub fn port(&self) -> u16 {
        socket::PORT
    }

    /// The database superuser, `postgres`, who needs no password. Not the operating system's user.
    #[must_use]
    pub fn user(&self) -> &str {
        cluster::USER
    }

    /// The server's version, such as "15.18".
    #[must_use]
    pub fn version(&self) -> &str {
        &self.server.programs.version.text
    }

    /// Whether the server's process still runs. It costs one system call.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.ended(), Ok(None))
    }

    /// Starts the server again after it has ended by itself, in the same place. One that still runs
    /// is stopped first. The data directory stays ours throughout. Blocks as [`start`](Self::start)
    /// does; it never makes a new database, not even where the old one has vanished.
    ///
    /// # Errors
    ///
    /// [`Error::EndedEarly`], [`Error::NotReady`], [`Error::OrphansSurvive`],
    /// [`Error::WillNotStop`] or [`Error::Io`]. No server runs then, and another try is allowed.
    pub fn restart(&mut self) -> Result<(), Error> {
        server::stop(&mut self.process)?;
        self.process = launch(&self.server)?;
        tracing::info!(data_dir = %self.server.dir.root.display(), "embedded PostgreSQL is ready again");
        Ok(())
    }

    /// Stops the server and waits for its end: usually some 10 ms. Connections are cut and all data
    /// is written to disk. After 20 s without success it is stopped the hard way, and after 5 s more
    /// killed; either is harmless to durable data and costs a recovery at the next start.
    ///
    /// # Errors
    ///
    /// [`Error::WillNotStop`] when even that is of no avail within 5 s, or [`Error::Io`].
    pub fn stop(mut self) -> Result<(), Error> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), Error> {
        server::stop(&mut self.process)?;
        socket::remove_short(&self.server.socket);
        Ok(())
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        // After `stop` there is nothing left to do here, and that is no error.
        if let Err(error) = self.shut_down() {
            tracing::error!(%error, "embedded PostgreSQL was not stopped");
        }
    }
}

/// Clears up after earlier runs, then runs the server.
fn launch(server: &Server) -> Result<TiedProcess, Error> {
    let cluster = &server.dir.cluster;
    let clear = || {
        orphans::clear(cluster)?;
        socket::clear(&server.socket)
    };
    clear()?;
    // File systems of containers like to open the modes of all folders; PostgreSQL then refuses.
    close_folder(cluster)?;
    match server.run() {
        // A service killed while it was starting its server leaves one that we did not see, because
        // it had not yet got as far as into its working directory. Now we would.
        Err(Error::EndedEarly { .. }) if orphans::any(cluster)? => {
            clear()?;
            server.run()
        }
        result => result,
    }
}

/// The data directory where none is set: `/var/lib/deskledger` for root, whose home PostgreSQL could
/// not enter; else `deskledger` in the user's folder for application data, which is
/// `~/Library/Application Support` on macOS and elsewhere `$XDG_DATA_HOME`, if that is an absolute
/// path, or `~/.local/share`. None for an ordinary user without a home.
#[must_use]
pub fn default_data_dir(user: Uid, home: Option<&Path>, xdg_data_home: Option<&Path>) -> Option<PathBuf> {
    if user.is_root() {
        return Some(PathBuf::from("/var/lib/deskledger"));
    }
    let in_home = |below: &str| home.map(|home| home.join(below));
    let parent = if cfg!(target_os = "macos") {
        in_home("Library/Application Support")
    } else {
        // The specification says that a relative path there is to be ignored.
        let set = xdg_data_home.filter(|path| path.is_absolute());
        set.map(Path::to_path_buf).or_else(|| in_home(".local/share"))
    };
    parent.map(|parent| parent.join("deskledger"))
}
