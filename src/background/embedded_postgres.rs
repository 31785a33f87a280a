//! Starts the private server again when it has died: what was committed is there, and the service recovers without a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::embedded_postgres::EmbeddedPostgres;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts the loop.
pub fn start(app: Arc<App>, postgres: Arc<Mutex<EmbeddedPostgres>>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let last = &app.measures().loops.embedded_postgres;
        last.set(app.seconds());
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let mut postgres = postgres.clone().lock_owned().await;
            // It blocks, and is let finish even when the service stops meanwhile: half a start would leave an orphan.
            let looked = spawn_blocking(move || match postgres.is_running() {
                true => None,
                false => Some(postgres.restart()),
            });
            match looked.await {
                Ok(None) => {
                    last.set(app.seconds());
                }
                Ok(Some(Ok(()))) => {
                    last.set(app.seconds());
                    tracing::warn!("the private PostgreSQL server had died and was started again");
                }
                Ok(Some(Err(error))) => tracing::error!(%error, "the private PostgreSQL server died and cannot be started"),
                Err(error) => tracing::error!(%error, "the watch over the private PostgreSQL server failed"),
            }
        }
    })
}
