//! A database with a service on it.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use deskledger::app::{App, AppSettings, NewToken};
use deskledger::config::ServerSettings;
use deskledger::domain::caller::Scope;
use deskledger::domain::deletion::{ReasonRule, RequestedFrom};
use deskledger::server;
use sqlx::PgPool;
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
    /// HOST:PORT of the service.
    pub address: String,
    pub database: TestDatabase,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    server: ServerSettings,
}

/// The settings of a service that nobody configured.
pub fn default_settings() -> ServerSettings {
    Defaults::parse_from(["deskledger"]).server
}

/// How the use cases are set up with these settings.
pub fn app_settings(settings: &ServerSettings) -> AppSettings {
    AppSettings {
        token_cache_ttl: settings.token_cache_ttl(),
        page_cache_bytes: settings.page_cache_bytes(),
        lane_connections: LANE_CONNECTIONS,
        reason_rule: if settings.require_deletion_reason { ReasonRule::Required } else { ReasonRule::Optional },
    }
}

impl World {
    pub async fn new() -> Self {
        Self::on(TestDatabase::create().await, default_settings()).await
    }

    /// A service with other settings, or on a database that the test has prepared.
    pub async fn on(database: TestDatabase, settings: ServerSettings) -> Self {
        let pool = database.pool(CONNECTIONS);
        Self::with_pool(database, pool, settings).await
    }

    /// A service that reaches the database by connections of the test's making.
    pub async fn with_pool(database: TestDatabase, pool: PgPool, settings: ServerSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let app = Arc::new(App::new(pool, clock.clone(), app_settings(&settings)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let shutdown = CancellationToken::new();
        let (serving, until) = (app.clone(), shutdown.clone());
        let served = tokio::spawn(async move {
            server::serve(listener, serving, &settings, until).await.expect("the service ends well");
        });
        Self { clock, app, address, database, shutdown, served }
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
        self.app.create_application(application, application).await.expect("the application");
        let application = self.app.find_application(application).await.expect("the database").expect("the application");
        self.app.create_token(&application, new).await.expect("the token").text
    }

    /// The caller of the REST door with an actor's token.
    pub fn http(&self, actor: &Actor) -> Http {
        Http::new(&self.address, &actor.token)
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
