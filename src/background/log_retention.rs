//! Erases entries of the deletion log whose retention has passed.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it is done. Each time the old entries are looked through once.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Starts the loop; without a retention nothing is erased.
pub fn start(app: Arc<App>, retention: Option<TimeDelta>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(retention) = retention else { return };
        let last = &app.measures().loops.log_retention;
        last.set(app.seconds());
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match shutdown.run_until_cancelled(app.retain_logs(retention)).await {
                None => {}
                Some(Ok(erased)) => {
                    last.set(app.seconds());
                    if erased > 0 {
                        tracing::info!(erased, "erased old entries of the deletion log");
                    }
                }
                // Tried again in an hour. The database's absence is told by the readiness loop.
                Some(Err(error)) => tracing::warn!(%error, "cannot erase old entries of the deletion log"),
            }
        }
    })
}
