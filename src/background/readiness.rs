//! Tells `grpc.health.v1` whether calls can be served: the database is reachable and its migrations are current.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::app::App;
use crate::grpc::SERVICE_NAMES;

/// How often the database is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the loop. Until it has looked it says "not serving", where a new reporter would say "serving". On shutdown it says "not serving"
/// first, so that load balancers turn away before the listener closes.
pub async fn start(app: Arc<App>, mut health: HealthReporter, shutdown: CancellationToken) -> JoinHandle<()> {
    set(&health, ServingStatus::NotServing).await;
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let ready = match timeout(PATIENCE, app.is_ready()).await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => Err("the database lacks migrations of this build: run `deskledger migrate`".to_owned()),
                Ok(Err(error)) => Err(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)),
                Err(_) => Err("the database does not answer".to_owned()),
            };
            if ready.is_ok() {
                app.measures().loops.readiness.set(app.seconds());
            }
            if last.as_ref() != Some(&ready) {
                match &ready {
                    Ok(()) => tracing::info!("ready"),
                    Err(cause) => tracing::warn!(cause, "not ready"),
                }
                app.measures().ready.set(i64::from(ready.is_ok()));
                if ready.is_ok() && matches!(app.may_change_log().await, Ok(true)) {
                    tracing::warn!(
                        "the database lets this service change its log: serve as the role that `deskledger migrate` makes"
                    );
                }
                set(&health, if ready.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
                last = Some(ready);
            }
        }
        app.measures().ready.set(0);
        set(&health, ServingStatus::NotServing).await;
        // Ends the streams of those who watch, after they have been told: they would hold the drain up to its end.
        for service in names() {
            health.clear_service_status(service).await;
        }
    })
}

async fn set(health: &HealthReporter, status: ServingStatus) {
    for service in names() {
        health.set_service_status(service, status).await;
    }
}

/// Our services, and the name that stands for the whole.
fn names() -> impl Iterator<Item = &'static str> {
    SERVICE_NAMES.into_iter().chain([""])
}
