//! Forgets request ids whose retention has passed.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it is done.
const INTERVAL: Duration = Duration::from_secs(600);

/// Starts the loop.
pub fn start(app: Arc<App>, retention: TimeDelta, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match shutdown.run_until_cancelled(app.forget_requests(retention)).await {
                None => {}
                Some(Ok(forgotten)) => {
                    app.measures().loops.request_retention.set(app.seconds());
                    tracing::debug!(forgotten, "forgot old request ids");
                }
                // The database's absence is told by the readiness loop.
                Some(Err(error)) => tracing::debug!(%error, "cannot forget old request ids"),
            }
        }
    })
}
