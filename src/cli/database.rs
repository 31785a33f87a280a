//! The database of a command: the configured one, or a private server, started or already running.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::app::{App, AppSettings, Replicas};
use crate::config::{DatabaseSettings, ReplicaSettings, ServerSettings, default_data_dir};
use crate::domain::clock::SystemClock;
use crate::domain::deletion::ReasonRule;
use crate::embedded_postgres::{Durability, EmbeddedPostgres, Error, Settings};
use crate::storage::migration::{self, Citus};
use crate::storage::privilege::{self, Role};

/// The database in the private server.
const DATABASE_NAME: &str = "deskledger";
/// Connections of the private server beyond those of the service: for other commands beside it.
const SPARE_CONNECTIONS: u16 = 20;
/// The longest that a call waits for a connection to a replica: the primary can be asked as well.
const REPLICA_WAIT: Duration = Duration::from_secs(1);

/// A private server that this process owns, shared with the loop that restarts it.
pub(super) type Owned = Arc<Mutex<EmbeddedPostgres>>;

/// The database of a command.
pub(super) struct Database {
    /// As who serves: the role of the configured URL, in a private server the one that owns nothing.
    options: PgConnectOptions,
    /// As who migrates, and makes applications and credentials: the role of the configured URL, in a private server its superuser.
    owner: PgConnectOptions,
    /// The private server, where this process started it.
    pub(super) owned: Option<Owned>,
    settings: DatabaseSettings,
}

/// What a command does with a private server that another process has started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// Works beside that process.
    Join,
    /// Is told who has it.
    Refuse,
}

impl Database {
    /// Opens the database; a private one is made and migrated where needed.
    pub(super) async fn open(settings: DatabaseSettings, running: Running) -> anyhow::Result<Self> {
        if let Some(url) = settings.url() {
            let options = tuned(parse_url("DATABASE_URL", url)?, &settings);
            return Ok(Self { owner: options.clone(), options, owned: None, settings });
        }
        let server = Settings {
            data_dir: data_dir(&settings)
                .context("there is no home directory for the data: set DESKLEDGER_DATA_DIR or DATABASE_URL")?,
            binaries: settings.postgres_bin.clone().filter(|path| !path.as_os_str().is_empty()),
            durability: Durability::Durable,
            max_connections: settings.database_connections + SPARE_CONNECTIONS,
        };
        let (started, server) = spawn_blocking(move || (EmbeddedPostgres::start(&server), server)).await?;
        let (socket, owned) = match started {
            Ok(postgres) => (postgres.socket_dir().to_owned(), Some(Arc::new(Mutex::new(postgres)))),
            Err(Error::InUse { .. }) if running == Running::Join => (EmbeddedPostgres::socket_dir_of(&server)?, None),
            Err(error) => return Err(error.into()),
        };
        let superuser =
            PgConnectOptions::new_without_pgpass().socket(socket).port(5432).username("postgres").database(DATABASE_NAME);
        let superuser = tuned(superuser, &settings);
        let options = settings.service_role().map_or_else(|| superuser.clone(), |role| superuser.clone().username(role));
        let database = Self { options, owner: superuser, owned, settings };
        database.prepare().await?;
        Ok(database)
    }

    /// The directory of the private server, where this process started it.
    pub(super) fn private_dir(&self) -> Option<PathBuf> {
        self.owned.as_ref().and_then(|_| data_dir(&self.settings))
    }

    /// Makes the use cases of a service over this database.
    pub(super) fn app(&self, server: &ServerSettings) -> anyhow::Result<Arc<App>> {
        let settings = AppSettings {
            token_cache_ttl: server.token_cache_ttl(),
            page_cache_bytes: server.page_cache_bytes(),
            lane_connections: self.settings.connections().1,
            reason_rule: if server.require_deletion_reason { ReasonRule::Required } else { ReasonRule::Optional },
            reads_per_minute: server.admission.reads_per_minute,
            writes_per_minute: server.admission.writes_per_minute,
            deletions_per_hour: server.admission.deletions_per_hour,
        };
        Ok(Arc::new(self.app_with(&self.options, settings).with_replicas(self.replicas(&server.replicas)?)))
    }

    /// Makes the use cases for a command that ends: it works as the owner, and remembers no tokens and no pages.
    pub(super) fn app_of_command(&self) -> Arc<App> {
        let settings = AppSettings {
            token_cache_ttl: Duration::ZERO,
            page_cache_bytes: 0,
            lane_connections: self.settings.connections().1,
            reason_rule: ReasonRule::Optional,
            reads_per_minute: 0,
            writes_per_minute: 0,
            deletions_per_hour: 0,
        };
        Arc::new(self.app_with(&self.owner, settings))
    }

    fn app_with(&self, options: &PgConnectOptions, settings: AppSettings) -> App {
        let (pooled, _) = self.settings.connections();
        let pool = PgPoolOptions::new()
            .max_connections(pooled.into())
            .acquire_timeout(self.settings.wait())
            // Each call looks for itself when it asks for the session's number.
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        App::new(pool, Arc::new(SystemClock), settings)
    }

    /// A pool for each replica. Their sessions write nothing, even where a URL names a primary by mistake.
    fn replicas(&self, settings: &ReplicaSettings) -> anyhow::Result<Replicas> {
        let pool = |url| {
            let options = tuned(parse_url("DESKLEDGER_READ_URL", url)?, &self.settings);
            Ok(PgPoolOptions::new()
                .max_connections(self.settings.connections().0.into())
                .acquire_timeout(self.settings.wait().min(REPLICA_WAIT))
                // Each connection is asked how far it is before it is read from.
                .test_before_acquire(false)
                .connect_lazy_with(options.options([("default_transaction_read_only", "on")])))
        };
        let pools: Vec<_> = settings.urls().map(pool).collect::<anyhow::Result<_>>()?;
        Ok(Replicas::new(pools, settings.max_lag()))
    }

    /// The same for a command that needs all migrations.
    pub(super) async fn current_app(&self) -> anyhow::Result<Arc<App>> {
        let app = self.app_of_command();
        ensure!(app.is_ready().await?, "the database lacks migrations of this build: run `deskledger migrate`");
        Ok(app)
    }

    /// Brings the schema up to this build.
    pub(super) async fn migrate(&self) -> anyhow::Result<()> {
        // A migration may take longer than a call. Its notices, of what is there already, are nothing to an operator.
        let options = self.owner.clone().options([("statement_timeout", "0"), ("client_min_messages", "warning")]);
        let mut connection = sqlx::PgConnection::connect_with(&options).await.context("cannot connect to the database")?;
        migration::run(&mut connection, self.settings.migration_lock_timeout()).await.context("cannot migrate the database")?;
        connection.close().await?;
        Ok(())
    }

    /// Says why the tables cannot be distributed over the nodes of a Citus cluster. Looks at the database, and changes nothing.
    pub(super) async fn refuse_citus(&self) -> anyhow::Result<()> {
        let mut connection = sqlx::PgConnection::connect_with(&self.owner).await.context("cannot connect to the database")?;
        let found = migration::citus(&mut connection).await?;
        connection.close().await?;
        match found {
            Citus::Missing => bail!("the server of this database does not have the extension citus; nothing was changed"),
            Citus::NotCreated => {
                bail!("this database does not have the extension citus (`create extension citus`); nothing was changed")
            }
            Citus::Created => bail!(
                "this version does not run on distributed tables: Citus refuses the triggers that guard deletions, and runs the parts of a \
                 statement that inserts one after the other (docs/SCALING.md); nothing was changed"
            ),
        }
    }

    /// Makes the role that serves, where there is none, and grants it what it needs. Answers its name, unless none is wanted.
    pub(super) async fn set_up_role(&self) -> anyhow::Result<Option<&str>> {
        let Some(role) = self.settings.service_role() else { return Ok(None) };
        let mut connection = sqlx::PgConnection::connect_with(&self.owner).await.context("cannot connect to the database")?;
        let made = privilege::make_role(&mut connection, role).await.with_context(|| format!("cannot make the role {role}"))?;
        match made {
            Role::Ready => {}
            Role::Missing => bail!(
                "the role {role} is not there, and the role of DATABASE_URL may not make it: `create role \"{role}\" login` does, \
                 or set DESKLEDGER_SERVICE_ROLE empty to do without"
            ),
            Role::TooPowerful => {
                bail!("the role {role} may do all that the owner may: name another one for the service, DESKLEDGER_SERVICE_ROLE")
            }
        }
        privilege::grant(&mut connection, role).await.with_context(|| format!("cannot grant the role {role} what it needs"))?;
        connection.close().await?;
        Ok(Some(role))
    }

    /// The same for a service that migrates at its start; it can do without a role.
    pub(super) async fn migrate_to_serve(&self) -> anyhow::Result<()> {
        self.migrate().await?;
        if let Err(error) = self.set_up_role().await {
            tracing::warn!(cause = format!("{error:#}"), "there is no role of the service's own");
        }
        Ok(())
    }

    /// Stops the private server, where this process started it.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        if let Some(owned) = self.owned.and_then(Arc::into_inner) {
            spawn_blocking(move || owned.into_inner().stop()).await??;
        }
        Ok(())
    }

    /// A private database has one user, this service: it makes and migrates it by itself.
    async fn prepare(&self) -> anyhow::Result<()> {
        let maintenance = self.owner.clone().database("postgres");
        let mut connection =
            sqlx::PgConnection::connect_with(&maintenance).await.context("cannot connect to the private server")?;
        migration::create_database(&mut connection, DATABASE_NAME).await?;
        connection.close().await?;
        self.migrate().await?;
        self.set_up_role().await.map(drop)
    }
}

fn parse_url(setting: &str, url: &str) -> anyhow::Result<PgConnectOptions> {
    // The driver would take the URL of any kind of database for one of PostgreSQL.
    ensure!(
        url.starts_with("postgres://") || url.starts_with("postgresql://"),
        "{setting} is not the URL of a PostgreSQL database: it should begin with postgres://"
    );
    // The driver's words may quote the URL, password and all.
    let Ok(options) = url.parse::<PgConnectOptions>() else {
        bail!("{setting} is not the URL of a PostgreSQL database: postgres://user:password@host:port/name")
    };
    Ok(options)
}

fn data_dir(settings: &DatabaseSettings) -> Option<PathBuf> {
    settings.data_dir.clone().filter(|path| !path.as_os_str().is_empty()).or_else(default_data_dir)
}

fn tuned(options: PgConnectOptions, settings: &DatabaseSettings) -> PgConnectOptions {
    let statement_timeout = format!("{}s", settings.statement_timeout_seconds);
    options.application_name("deskledger").options([("statement_timeout", statement_timeout.as_str()), ("timezone", "UTC")])
}
