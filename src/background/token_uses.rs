//! Writes down when tokens were used last.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it is done.
const INTERVAL: Duration = Duration::from_secs(30);

/// Starts the loop. At shutdown it writes once more.
pub fn start(app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let goes_on = shutdown.run_until_cancelled(ticks.tick()).await.is_some();
            match app.record_token_uses().await {
                Ok(_) => {
                    app.measures().loops.token_uses.set(app.seconds());
                }
                // They are written the next time. The database's absence is told by the readiness loop.
                Err(error) => tracing::debug!(%error, "cannot write down when tokens were used"),
            }
            if !goes_on {
                return;
            }
        }
    })
}
