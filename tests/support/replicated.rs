//! A primary and a streaming replica of it: two real servers, started by the module that starts private ones.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use deskledger::app::Replicas;
use deskledger::embedded_postgres::{Durability, EmbeddedPostgres, Settings};
use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;

use super::World;
use super::database::{SERVICE_ROLE, TestDatabase};
use crate::embedded::process::{as_server_user, eventually, postmaster, room, signal, sql};

/// Two servers, of which one follows the other. They end with this value.
pub struct Replicated {
    pub primary: EmbeddedPostgres,
    pub replica: EmbeddedPostgres,
    room: TempDir,
}

impl Replicated {
    /// Makes a primary, copies it with `pg_basebackup`, and starts the copy as its replica.
    pub fn start() -> Self {
        let room = room();
        let primary = start(&room.path().join("primary"));
        // The copy has this setting, too: else it looks for a primary that was away only every five seconds.
        sql(primary.socket_dir(), "alter system set wal_retrieve_retry_interval = '50ms'");
        let home = room.path().join("replica");
        fs::create_dir(&home).expect("the replica's folder");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("its mode");
        let owner = fs::metadata(room.path().join("primary/postgres")).expect("the primary's files");
        chown(&home, Some(owner.uid()), Some(owner.gid())).expect("its owner");
        let programs = sql(primary.socket_dir(), "select setting from pg_config where name = 'BINDIR'");
        let copied = as_server_user(PathBuf::from(programs).join("pg_basebackup"))
            .args(["--username=postgres", "--port=5432", "--checkpoint=fast", "--write-recovery-conf", "--no-sync", "--host"])
            .arg(primary.socket_dir())
            .arg("--pgdata")
            .arg(home.join("postgres"))
            .current_dir("/")
            .output()
            .expect("pg_basebackup runs");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let replica = start(&home);
        Self { primary, replica, room }
    }

    /// A service on a database of the primary, which may read from the replica what may be old by `max_lag`.
    pub async fn world(&self, max_lag: Duration) -> World {
        let database = TestDatabase::on(&options(&self.primary)).await;
        let name = database.options.get_database().expect("a name").to_owned();
        let pool = PgPoolOptions::new().max_connections(4).test_before_acquire(false).connect_lazy_with(
            options(&self.replica).username(SERVICE_ROLE).database(&name).options([("default_transaction_read_only", "on")]),
        );
        World::with_replicas(database, Replicas::new(vec![pool], max_lag)).await
    }

    /// Has the replica receive and not replay, so that it stays as it is now.
    pub fn pause(&self) {
        let replica = self.replica.socket_dir();
        sql(replica, "select pg_wal_replay_pause()");
        while sql(replica, "select pg_get_wal_replay_pause_state()") != "paused" {}
    }

    /// Ends the primary, until it is restarted.
    pub fn kill_primary(&mut self) {
        signal(postmaster(&self.room.path().join("primary")), Signal::SIGQUIT);
        eventually("the primary ends", || (!self.primary.is_running()).then_some(()));
    }

    pub fn resume(&self) {
        sql(self.replica.socket_dir(), "select pg_wal_replay_resume()");
    }

    /// Stops the replica and starts it again when `meanwhile` has been done.
    pub async fn without_replica(mut self, meanwhile: impl AsyncFnOnce()) -> Self {
        self.replica.stop().expect("the replica stops");
        meanwhile().await;
        self.replica = start(&self.room.path().join("replica"));
        self
    }
}

fn start(data_dir: &Path) -> EmbeddedPostgres {
    let settings = Settings { data_dir: data_dir.to_owned(), binaries: None, durability: Durability::Durable, max_connections: 60 };
    EmbeddedPostgres::start(&settings).expect("the server starts")
}

fn options(server: &EmbeddedPostgres) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(server.socket_dir())
        .port(server.port())
        .username(server.user())
        .database("postgres")
}
