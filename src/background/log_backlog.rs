//! Looks at how far the deletion log's trees are behind, where metrics are read.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it is looked: more often than metrics are read.
const INTERVAL: Duration = Duration::from_secs(5);

/// Starts the loop.
pub fn start(app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match shutdown.run_until_cancelled(app.measure_log()).await {
                None => {}
                Some(Ok(())) => {
                    app.measures().loops.log_backlog.set(app.seconds());
                }
                // The database's absence is told by the readiness loop.
                Some(Err(error)) => tracing::debug!(%error, "cannot measure the log"),
            }
        }
    })
}
