//! Looks after the replicas: notes where the primary's journal stands, and says when a replica can be read from and when not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::freshness::Standing;

/// How often it is looked within the time that a replica may be behind: what it is compared with is always younger than that.
const LOOKS: u32 = 5;
/// The shortest and the longest time from one look to the next.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the loops; without replicas there are none.
pub fn start(app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let count = app.replicas().count();
        if count == 0 {
            return;
        }
        app.measures().loops.replicas.set(app.seconds());
        let every = (app.replicas().max_lag() / LOOKS).clamp(INTERVALS.0, INTERVALS.1);
        let replicas = join_all((0..count).map(|number| look_at(&app, number, ticks(every), &shutdown)));
        join(note_primary(&app, ticks(every), &shutdown), replicas).await;
    })
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn note_primary(app: &App, mut ticks: Interval, shutdown: &CancellationToken) {
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // Its absence is told by the readiness loop.
        if let Ok(Err(error)) = timeout(PATIENCE, app.note_primary_position()).await {
            tracing::debug!(%error, "cannot ask where the primary's journal stands");
        }
    }
}

async fn look_at(app: &App, replica: usize, mut ticks: Interval, shutdown: &CancellationToken) {
    let mut last = None;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let cause = match timeout(PATIENCE, app.look_at_replica(replica)).await {
            Ok(Ok(standing)) => {
                app.measures().loops.replicas.set(app.seconds());
                said(standing).map(ToOwned::to_owned)
            }
            Ok(Err(error)) => Some(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)),
            Err(_) => Some("it does not answer".to_owned()),
        };
        if last.as_ref() != Some(&cause) {
            match &cause {
                None => tracing::info!(replica, "reads go to the replica"),
                Some(cause) => tracing::warn!(replica, cause, "reads do not go to the replica"),
            }
            last = Some(cause);
        }
    }
}

/// Why reads do not go there.
fn said(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Fresh => None,
        Standing::Behind => Some("it is further behind than the setting --read-max-lag-ms allows"),
        Standing::NotReplica => Some("it is no replica, or one no longer"),
        Standing::OfOtherPrimary => Some("it is no replica of this primary, or follows it no longer since a promotion"),
        Standing::Unknown => Some("the primary does not say where it stands"),
    }
}
