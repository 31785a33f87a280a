//! Verifies the deletion log now and then, and tells the operator of what is not as it should be.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Starts the loop; without an interval nothing is verified.
pub fn start(app: Arc<App>, every: Option<Duration>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(every) = every else { return };
        let last = &app.measures().loops.log_check;
        last.set(app.seconds());
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match shutdown.run_until_cancelled(app.check_logs()).await {
                Some(Ok(flaws)) => {
                    last.set(app.seconds());
                    app.measures().log.flaws.set(i64::try_from(flaws.len()).unwrap_or(i64::MAX));
                    for (application, flaw) in flaws {
                        tracing::error!(application, %flaw, "the deletion log is damaged: run `deskledger log verify`");
                    }
                }
                Some(Err(error)) => tracing::warn!(%error, "cannot verify the deletion log"),
                None => {}
            }
        }
    })
}
