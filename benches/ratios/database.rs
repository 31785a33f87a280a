//! The private PostgreSQL server that everything is measured on, its database, and what is looked up in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use deskledger::embedded_postgres::{Durability, EmbeddedPostgres, Settings};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::dataset::{APPLICATION, Dataset};
use crate::options::Options;
use crate::{process, service};

/// What is measured on.
const DATABASE: &str = "deskledger";
/// What it is made from; with --keep it stays for the next run.
const LOADED: &str = "loaded";
/// For the service, pgbench's clients and the peers together.
const MAX_CONNECTIONS: u16 = 300;
/// Statements of the benchmark itself.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the server is set to besides durability. The tables fit into its memory; neither a checkpoint nor a vacuum that starts by itself
/// falls into one contestant's turn and not into the other's.
pub const SETTINGS: [(&str, &str); 6] = [
    ("shared_buffers", "2GB"),
    ("effective_cache_size", "6GB"),
    ("random_page_cost", "1.1"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// The server, stopped when dropped.
pub struct Database {
    // Before the directory: what is dropped first.
    server: EmbeddedPostgres,
    _data_dir: DataDir,
    postmaster: u32,
    pub application_key: i32,
}

/// Removes its directory when dropped, unless that is kept.
struct DataDir {
    path: PathBuf,
    keep: bool,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}

impl Database {
    /// Starts the server, and loads the data where they are not there yet.
    pub async fn open(options: &Options, dataset: &Dataset) -> anyhow::Result<Self> {
        let settings = Settings {
            data_dir: options.data_dir(),
            binaries: None,
            durability: Durability::Durable,
            max_connections: MAX_CONNECTIONS,
        };
        let server = EmbeddedPostgres::start(&settings)?;
        let data_dir = DataDir { path: options.data_dir(), keep: options.keep };
        let mut database = Self { server, _data_dir: data_dir, postmaster: 0, application_key: 0 };
        database.tune().await?;
        database.make(options, dataset).await?;
        Ok(database)
    }

    async fn tune(&mut self) -> anyhow::Result<()> {
        let mut connection = self.connect("postgres").await?;
        for (name, value) in SETTINGS {
            execute(&mut connection, &format!("alter system set {name} = '{value}'")).await?;
        }
        connection.close().await?;
        self.server.restart()?;
        let socket = self.server.socket_dir().join(format!(".s.PGSQL.{}.lock", self.server.port()));
        let lock = fs::read_to_string(&socket).with_context(|| format!("cannot read {}", socket.display()))?;
        self.postmaster = lock.lines().next().context("the socket's lock is empty")?.parse()?;
        Ok(())
    }

    async fn make(&mut self, options: &Options, dataset: &Dataset) -> anyhow::Result<()> {
        let mut connection = self.connect("postgres").await?;
        execute(&mut connection, &format!("drop database if exists {DATABASE}")).await?;
        let mark: Option<String> =
            sqlx::query_scalar("select shobj_description(oid, 'pg_database') from pg_database where datname = $1")
                .bind(LOADED)
                .fetch_optional(&mut connection)
                .await?
                .flatten();
        if options.keep && mark == Some(dataset.mark()) {
            eprintln!("the data are there");
        } else {
            execute(&mut connection, &format!("drop database if exists {LOADED}")).await?;
            execute(&mut connection, &format!("create database {LOADED}")).await?;
            self.load(dataset).await?;
            execute(&mut connection, &format!("comment on database {LOADED} is '{}'", dataset.mark())).await?;
        }
        let make = if options.keep {
            format!("create database {DATABASE} template {LOADED} strategy file_copy")
        } else {
            format!("alter database {LOADED} rename to {DATABASE}")
        };
        execute(&mut connection, &make).await?;
        connection.close().await?;
        // What a newer build has added, where the data were kept.
        service::command(&self.url(DATABASE), &["migrate"])?;
        self.warm().await
    }

    async fn load(&mut self, dataset: &Dataset) -> anyhow::Result<()> {
        let url = self.url(LOADED);
        service::command(&url, &["migrate"])?;
        service::command(&url, &["application", "create", APPLICATION])?;
        let mut connection = self.connect(LOADED).await?;
        let application_key = key(&mut connection).await?;
        eprintln!("loading {} tickets with {} messages", dataset.tickets, dataset.large + dataset.others);
        for statement in dataset.load(application_key) {
            execute(&mut connection, &statement).await?;
        }
        let (tickets, messages): (i64, i64) =
            sqlx::query_as("select count(*), sum(message_count)::bigint from tickets").fetch_one(&mut connection).await?;
        let stored: i64 = sqlx::query_scalar("select count(*) from chat_messages").fetch_one(&mut connection).await?;
        ensure!(
            (tickets, messages, stored) == (dataset.tickets, dataset.large + dataset.others, dataset.large + dataset.others),
            "loaded {tickets} tickets with {messages} messages, of which {stored} are stored"
        );
        execute(&mut connection, "checkpoint").await?;
        connection.close().await?;
        Ok(())
    }

    /// Reads everything once through the server's memory; a sequential scan would pass it by.
    async fn warm(&mut self) -> anyhow::Result<()> {
        let mut connection = self.connect(DATABASE).await?;
        self.application_key = key(&mut connection).await?;
        execute(&mut connection, "set enable_seqscan = off; set enable_bitmapscan = off; set max_parallel_workers_per_gather = 0")
            .await?;
        for order in ["application_key, ticket_id, message_id", "application_key, ticket_id, id", "application_key, id"] {
            let statement =
                format!("select sum(length(message)) from (select message from chat_messages order by {order} offset 0) m");
            execute(&mut connection, &statement).await?;
        }
        execute(&mut connection, "checkpoint").await?;
        connection.close().await?;
        Ok(())
    }

    /// Connects to the database that is measured on.
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        self.connect(DATABASE).await
    }

    async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.server.socket_dir())
            .port(self.server.port())
            .username(self.server.user())
            .database(database);
        PgConnection::connect_with(&options).await.context("cannot connect to the private server")
    }

    /// The URL for the service, as the role that `migrate` has made for it.
    pub fn service_url(&self) -> String {
        format!("postgres:///{DATABASE}?host={}&user=deskledger_service", self.socket_dir().display())
    }

    /// The URL for commands of the database's owner.
    pub fn owner_url(&self) -> String {
        self.url(DATABASE)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={}", self.socket_dir().display(), self.server.user())
    }

    /// The folder of the socket, the user and the database, for pgbench.
    pub fn address(&self) -> (&Path, &str, &str) {
        (self.socket_dir(), self.server.user(), DATABASE)
    }

    fn socket_dir(&self) -> &Path {
        self.server.socket_dir()
    }

    /// CPU time of the server, with all its processes.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        process::tree_cpu(self.postmaster)
    }

    pub fn version(&self) -> &str {
        self.server.version()
    }

    /// The pgbench that belongs to the server.
    pub fn pgbench(&self) -> anyhow::Result<PathBuf> {
        let server =
            fs::read_link(format!("/proc/{}/exe", self.postmaster)).context("cannot tell where the server's programs are")?;
        let pgbench = server.with_file_name("pgbench");
        ensure!(pgbench.exists(), "there is no {}: install PostgreSQL's contributed programs", pgbench.display());
        Ok(pgbench)
    }
}

/// Runs a statement, or several.
pub async fn execute(connection: &mut PgConnection, statement: &str) -> anyhow::Result<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
    match tokio::time::timeout(PATIENCE, done).await {
        Ok(done) => done.map(|_| ()).with_context(|| format!("cannot run: {statement}")),
        Err(_) => bail!("did not end within {} s: {statement}", PATIENCE.as_secs()),
    }
}

async fn key(connection: &mut PgConnection) -> anyhow::Result<i32> {
    let key = sqlx::query_scalar("select key from applications where id = $1").bind(APPLICATION);
    key.fetch_one(connection).await.context("cannot find the application")
}
