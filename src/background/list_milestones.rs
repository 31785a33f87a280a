//! Sets the milestones by which pages of the lists of a whole application are found.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::{App, MilestoneKeeper};

/// How often it is looked whether there are some to set.
const INTERVAL: Duration = Duration::from_secs(2);

/// Starts the loop.
pub fn start(app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        // Side by side: each may wait for the writers of its own table.
        join_all(MilestoneKeeper::all().map(|keeper| keep(&app, keeper, &shutdown))).await;
    })
}

async fn keep(app: &App, mut keeper: MilestoneKeeper, shutdown: &CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        match shutdown.run_until_cancelled(keeper.keep(app)).await {
            None => {}
            Some(Ok(())) => {
                app.measures().loops.list_milestones.set(app.seconds());
            }
            // Pages are right without, only slower. The database's absence is told by the readiness loop.
            Some(Err(error)) => tracing::debug!(%error, "cannot set milestones"),
        }
    }
}
