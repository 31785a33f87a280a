//! A database server of a test's own, to be killed, stopped in its tracks, or filled up.

use std::path::{Path, PathBuf};

use deskledger::embedded_postgres::{EmbeddedPostgres, Settings};
use nix::sys::signal::Signal;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::embedded::process::{postmaster, processes_in, room, settings, signal};

/// A durable server. It ends with this value; databases on it must go before.
pub struct OwnServer {
    postgres: EmbeddedPostgres,
    data_dir: PathBuf,
    room: TempDir,
}

impl OwnServer {
    /// Starts it. Blocks for about a second.
    pub fn start(max_connections: u16) -> Self {
        let room = room();
        let data_dir = room.path().join("data");
        let postgres = EmbeddedPostgres::start(&Settings { max_connections, ..settings(&data_dir) });
        Self { postgres: postgres.expect("the server starts"), data_dir, room }
    }

    /// As its superuser.
    pub fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().socket(self.postgres.socket_dir()).port(self.postgres.port());
        options.username(self.postgres.user()).database("postgres")
    }

    /// A folder that every user can enter, which goes with the server.
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// Kills it as a power cut would, and starts it again.
    pub fn kill_and_restart(&mut self) {
        signal(postmaster(&self.data_dir), Signal::SIGKILL);
        self.postgres.restart().expect("the server starts again");
    }

    /// Stops all its processes in their tracks.
    pub fn pause(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, to_all: Signal) {
        // The first one first: it would start others.
        signal(postmaster(&self.data_dir), to_all);
        for process in processes_in(&self.data_dir.join("postgres")) {
            signal(process, to_all);
        }
    }
}
