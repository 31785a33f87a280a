//! A database with a service on it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use deskledger::app::{App, AppSettings, LogSequencer, LogSigner, NewToken, Replicas};
use deskledger::config::ServerSettings;
use deskledger::domain::caller::Scope;
use deskledger::domain::deletion::{ReasonRule, RequestedFrom};
use deskledger::domain::proof::key::{LogKey, VerifierKey};
use deskledger::server;
use deskledger::telemetry::Telemetry;
use sqlx::PgPool;
use tempfile::{TempDir, tempdir};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::actor::Actor;
use super::clock::TestClock;
use super::database::TestDatabase;
use super::http::Http;

/// Connections that the service of a world has in its pool, and beside it.
const CONNECTIONS: u32 = 8;
const LANE_CONNECTIONS: u16 = 4;

/// A service on a database of its own, with a clock that the test sets. Both end with this value.
pub struct World {
    pub clock: Arc<TestClock>,
    pub app: Arc<App>,
    /// The use cases of an operator, who works as the database's owner.
    pub owner: Arc<App>,
    /// HOST:PORT of the service.
    pub address: String,
    pub database: TestDatabase,
    /// The key that signs the log, where the service has one.
    pub key: Option<TestKey>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

/// A key that signs the log, in a file, with a file of the heads that it has signed; the files go with the last copy of this value.
#[derive(Clone)]
pub struct TestKey {
    pub key: LogKey,
    directory: Arc<TempDir>,
}

impl TestKey {
    pub fn new() -> Self {
        let key = LogKey::generate("desk.example.com/log").expect("an origin");
        let directory = Arc::new(tempdir().expect("a directory"));
        let made = Self { key, directory };
        fs::write(made.key_file(), made.key.to_text()).expect("the key file");
        made
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("log.key")
    }

    pub fn signer(&self) -> LogSigner {
        LogSigner::new(self.key.clone(), self.state_file())
    }

    pub fn state_file(&self) -> PathBuf {
        self.directory.path().join("log.state")
    }

    pub fn verifier_key(&self, application: &str) -> VerifierKey {
        VerifierKey::parse(&self.key.verifier_key(application)).expect("a verifier key")
    }
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    server: ServerSettings,
}

/// The settings of a service that nobody configured, which on a slow machine is not to think that it is overloaded.
pub fn default_settings() -> ServerSettings {
    Defaults::parse_from(["deskledger", "--latency-target-ms=60000"]).server
}

/// How the use cases are set up with these settings.
pub fn app_settings(settings: &ServerSettings) -> AppSettings {
    AppSettings {
        token_cache_ttl: settings.token_cache_ttl(),
        page_cache_bytes: settings.page_cache_bytes(),
        lane_connections: LANE_CONNECTIONS,
        reason_rule: if settings.require_deletion_reason { ReasonRule::Required } else { ReasonRule::Optional },
        reads_per_minute: settings.admission.reads_per_minute,
        writes_per_minute: settings.admission.writes_per_minute,
        deletions_per_hour: settings.admission.deletions_per_hour,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::on(TestDatabase::create().await, default_settings()).await
    }

    /// A service that signs its log.
    pub async fn signing() -> Self {
        Self::signing_on(TestDatabase::create().await, TestKey::new(), default_settings()).await
    }

    /// A service on a database that the test has prepared, which signs its log with this key.
    pub async fn signing_on(database: TestDatabase, key: TestKey, settings: ServerSettings) -> Self {
        let pool = database.pool(CONNECTIONS);
        Self::made(database, pool, settings, Some(key), Replicas::none()).await
    }

    /// A service with other settings, or on a database that the test has prepared.
    pub async fn on(database: TestDatabase, settings: ServerSettings) -> Self {
        let pool = database.pool(CONNECTIONS);
        Self::with_pool(database, pool, settings).await
    }

    /// A service that reaches the database by connections of the test's making.
    pub async fn with_pool(database: TestDatabase, pool: PgPool, settings: ServerSettings) -> Self {
        Self::made(database, pool, settings, None, Replicas::none()).await
    }

    /// A service that may read from replicas.
    pub async fn with_replicas(database: TestDatabase, replicas: Replicas) -> Self {
        let pool = database.pool(CONNECTIONS);
        Self::made(database, pool, default_settings(), None, replicas).await
    }

    async fn made(
        database: TestDatabase,
        pool: PgPool,
        settings: ServerSettings,
        key: Option<TestKey>,
        replicas: Replicas,
    ) -> Self {
        let clock = Arc::new(TestClock::new());
        let owner = AppSettings { token_cache_ttl: Duration::ZERO, ..app_settings(&settings) };
        let owner = Arc::new(App::new(database.owner_pool(), clock.clone(), owner));
        let app = Arc::new(App::new(pool, clock.clone(), app_settings(&settings)).with_replicas(replicas));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let shutdown = CancellationToken::new();
        let signer = key.as_ref().map(TestKey::signer);
        let (serving, until) = (app.clone(), shutdown.clone());
        let served = tokio::spawn(async move {
            server::serve(listener, serving, signer, Telemetry::default(), &settings, until).await.expect("the service ends well");
        });
        Self { clock, app, owner, address, database, key, shutdown, served }
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("the service listens")
    }

    /// A caller of the application `acme` who may do everything.
    pub async fn actor(&self) -> Actor {
        self.actor_of("acme").await
    }

    /// A caller of an application who may do everything.
    pub async fn actor_of(&self, application: &str) -> Actor {
        self.actor_with(application, &Scope::ALL).await
    }

    /// A caller of an application who may do what is given.
    pub async fn actor_with(&self, application: &str, scopes: &[Scope]) -> Actor {
        let token = self.token(application, NewToken { scopes: scopes.to_vec(), ..plain_token() }).await;
        Actor::new(self.channel().await, &token)
    }

    /// A token of an application, which is made where there is none.
    pub async fn token(&self, application: &str, new: NewToken) -> String {
        self.owner.create_application(application, application).await.expect("the application");
        let application = self.owner.find_application(application).await.expect("the database").expect("the application");
        self.owner.create_token(&application, new).await.expect("the token").text
    }

    /// Signs what is not signed yet, beside the service's own loop.
    pub async fn sign_log(&self) {
        let signer = self.key.as_ref().expect("a key").signer();
        LogSequencer::new(Some(signer)).run(&self.app).await.expect("the log is signed");
    }

    /// The caller of the REST door with an actor's token.
    pub fn http(&self, actor: &Actor) -> Http {
        Http::new(&self.address, &actor.token)
    }

    /// Stops the service, and answers its database.
    pub async fn into_database(self) -> TestDatabase {
        let Self { database, app, owner, shutdown, served, .. } = self;
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(30), served).await.expect("the service stops in time").expect("it ends well");
        drop((app, owner));
        database
    }

    /// Asks the service to stop and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.served).await.expect("the service stops in time").expect("it ends well");
    }
}

/// A token with every scope that says nothing of who uses it.
pub fn plain_token() -> NewToken {
    NewToken {
        name: "test".to_owned(),
        scopes: Scope::ALL.to_vec(),
        requested_from: RequestedFrom::PlatformApi,
        requested_by: None,
        expire_time: None,
    }
}
