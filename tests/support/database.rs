//! A database for each test: a copy of a migrated template on one server that all test processes share.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use deskledger::domain::random;
use deskledger::embedded_postgres::dev_cluster::{self, Membership};
use deskledger::storage::migration::{self, MIGRATOR};
use deskledger::storage::privilege::{self, GRANTS, Role};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

/// The server of this test process, or the one that `TEST_DATABASE_URL` names.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
fn server() -> PgConnectOptions {
    static MEMBERSHIP: OnceLock<Option<Membership>> = OnceLock::new();
    if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
        return url.parse().expect("TEST_DATABASE_URL is the URL of a PostgreSQL database");
    }
    let membership = MEMBERSHIP.get_or_init(|| {
        let home = dev_cluster::home(Path::new(env!("CARGO_MANIFEST_DIR")));
        let helper = Path::new(env!("CARGO_BIN_EXE_deskledger"));
        let arguments = ["dev-db".as_ref(), "--home".as_ref(), home.as_os_str()];
        Some(dev_cluster::join(&home, helper, &arguments).expect("the shared test server starts"))
    });
    let membership = membership.as_ref().expect("joined above");
    PgConnectOptions::new_without_pgpass()
        .socket(membership.socket_dir())
        .port(membership.port())
        .username(membership.user())
        .database("postgres")
}

/// The role that services work as, as `deskledger migrate` makes it by default.
pub const SERVICE_ROLE: &str = "deskledger_service";
/// Its password, for servers that ask for one.
const SERVICE_PASSWORD: &str = "of a test";

/// Longer than any lock is held here.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// A migrated database of its own, dropped with this value.
pub struct TestDatabase {
    /// As its owner, a superuser, who sets scenes and looks at what came of them.
    pub options: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// Copies the template, which the first test of all makes.
    pub async fn create() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let server = server();
        let template = TEMPLATE.get_or_init(|| make_template(server.clone())).await;
        let name = unique_name();
        // Strategy file_copy: 6 ms, where the default takes 55 ms.
        let statement = format!("create database {name} template {template} strategy file_copy");
        execute(&server, &statement).await;
        Self { options: server.database(&name), name }
    }

    /// A copy of the database as it is now. Nobody may be connected to it.
    pub async fn copy(&self) -> Self {
        let name = unique_name();
        let statement = format!("create database {name} template {} strategy file_copy", self.name);
        execute(&self.options.clone().database("postgres"), &statement).await;
        Self { options: self.options.clone().database(&name), name }
    }

    /// An empty database, without even the migrations.
    pub async fn create_empty() -> Self {
        let server = server();
        let name = unique_name();
        execute(&server, &format!("create database {name}")).await;
        make_service_role(&mut lock_server(&server).await).await;
        Self { options: server.database(&name), name }
    }

    /// A migrated database on a server of the test's own, which must outlive it.
    pub async fn on(server: &PgConnectOptions) -> Self {
        let name = unique_name();
        execute(server, &format!("create database {name}")).await;
        let made = Self { options: server.clone().database(&name), name };
        make_service_role(&mut lock_server(server).await).await;
        prepare(&mut made.connect().await).await;
        made
    }

    /// A database that is not there yet: see [`Self::appear`].
    pub fn absent() -> Self {
        let name = unique_name();
        Self { options: server().database(&name), name }
    }

    /// Makes an absent database, migrated.
    pub async fn appear(&self) {
        execute(&self.options.clone().database("postgres"), &format!("create database {}", self.name)).await;
        self.migrate().await;
    }

    /// Does what `deskledger migrate` does.
    pub async fn migrate(&self) {
        prepare(&mut self.connect().await).await;
    }

    /// As the role that services work as.
    pub fn service_options(&self) -> PgConnectOptions {
        self.options.clone().username(SERVICE_ROLE).password(SERVICE_PASSWORD)
    }

    /// Connects as the role that services work as.
    pub async fn connect_as_service(&self) -> PgConnection {
        PgConnection::connect_with(&self.service_options()).await.expect("the test's database is there")
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options).await.expect("the test's database is there")
    }

    /// Connections of a service.
    pub fn pool(&self, connections: u32) -> PgPool {
        PgPoolOptions::new().max_connections(connections).connect_lazy_with(self.service_options())
    }

    /// Connections of an operator, who makes applications and credentials.
    pub fn owner_pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(self.options.clone())
    }

    /// Gives the database a setting that every connection made from now on has.
    pub async fn set(&self, setting: &str, value: &str) {
        execute(&self.options, &format!("alter database {} set {setting} = '{value}'", self.name)).await;
    }

    /// The URL of the database for commands of its owner, which are started as processes.
    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    /// The URL of the database for a role with the password of the service's.
    pub fn url_of(&self, role: &str) -> String {
        self.options.clone().username(role).password(SERVICE_PASSWORD).to_url_lossy().to_string()
    }

    /// The URL of the database for services that are started as processes.
    pub fn service_url(&self) -> String {
        self.service_options().to_url_lossy().to_string()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let options = self.options.clone().database("postgres");
        let statement = format!("drop database if exists {} with (force)", self.name);
        // Drop cannot wait for a future of the test's runtime, which may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(execute(&options, &statement));
        })
        .join();
        if !std::thread::panicking() {
            dropped.expect("the test's database is dropped");
        }
    }
}

async fn make_template(server: PgConnectOptions) -> String {
    let mut digest = Sha256::new();
    for migration in MIGRATOR.iter() {
        digest.update(&migration.checksum);
    }
    for (object, privileges) in GRANTS {
        digest.update(format!("{object} {privileges};"));
    }
    let name = format!("template_{}", random::digits(&digest.finalize()[..8]));
    // Other test processes make the same template: one at a time.
    let mut connection = lock_server(&server).await;
    let ready: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1 and datistemplate)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("the server's databases");
    if !ready {
        execute(&server, &format!("drop database if exists {name} with (force)")).await;
        execute(&server, &format!("create database {name}")).await;
        let mut template = PgConnection::connect_with(&server.clone().database(&name)).await.expect("the template");
        make_service_role(&mut template).await;
        prepare(&mut template).await;
        template.close().await.expect("the template is left");
        execute(&server, &format!("alter database {name} is_template true allow_connections false")).await;
    }
    connection.close().await.expect("the lock is given back");
    name
}

/// Keeps other test processes from changing what belongs to the whole server, while the connection lives.
async fn lock_server(server: &PgConnectOptions) -> PgConnection {
    let mut connection = PgConnection::connect_with(server).await.expect("the shared server answers");
    sqlx::query("select pg_advisory_lock(7331)").execute(&mut connection).await.expect("a lock");
    connection
}

/// Makes the role that services work as. It belongs to the server, not to a database.
async fn make_service_role(connection: &mut PgConnection) {
    assert_eq!(privilege::make_role(connection, SERVICE_ROLE).await.expect("the server answers"), Role::Ready);
    let password = format!("alter role {SERVICE_ROLE} password '{SERVICE_PASSWORD}'");
    sqlx::raw_sql(AssertSqlSafe(password)).execute(connection).await.expect("the role has a password");
}

/// Brings the schema up to this build, and grants the role that services work as what it needs.
async fn prepare(connection: &mut PgConnection) {
    migration::run(connection, LOCK_TIMEOUT).await.expect("the migrations run");
    privilege::grant(connection, SERVICE_ROLE).await.expect("the role is granted what it needs");
}

async fn execute(server: &PgConnectOptions, statement: &str) {
    let mut connection = PgConnection::connect_with(server).await.expect("the shared server answers");
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.expect("the statement runs");
    connection.close().await.expect("the connection closes");
}

fn unique_name() -> String {
    format!("test_{}", random::hex::<16>())
}

impl TestDatabase {
    /// Every row of every table as text, bytes as hexadecimal digits: what is nowhere in it is nowhere in the database.
    pub async fn every_row(&self) -> String {
        self.rows_but_of(&[]).await
    }

    /// The rows that calls write, as [`Self::every_row`]: not those of the log's tree, which grows by itself after them.
    pub async fn rows_of_calls(&self) -> String {
        let of_the_tree =
            ["deletion_log_counts", "log_heads", "log_leaves", "log_sequencer", "log_tiles", "pending_acts", "pending_leaves"];
        self.rows_but_of(&of_the_tree).await
    }

    async fn rows_but_of(&self, left_out: &[&str]) -> String {
        let mut connection = self.connect().await;
        let tables: Vec<String> =
            sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public' order by 1")
                .fetch_all(&mut connection)
                .await
                .expect("the tables");
        let mut rows = String::new();
        for table in tables.into_iter().filter(|table| !left_out.contains(&table.as_str())) {
            let statement = format!("select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {table} t");
            let text: String =
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.expect("the rows of a table");
            rows.extend([table.as_str(), "\n", &text, "\n"]);
        }
        rows
    }

    /// Carries out SQL that no door offers, to set a scene.
    /// The guard of deletions does not look: what it would refuse is what an intruder leaves.
    pub async fn run(&self, statement: &str) {
        execute(&self.options.clone().options([("session_replication_role", "replica")]), statement).await;
    }
}

/// A text as [`TestDatabase::every_row`] shows it where it is kept as bytes.
pub fn as_bytes(text: &str) -> String {
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from_digit(digit.into(), 16).expect("a digit")).collect()
}
