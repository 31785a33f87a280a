//! Grows the log's trees and signs their heads. Every process runs it; one at a time does the growing.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::{App, LogSequencer, LogSigner};

/// How often it is looked at whether deletions wait: most receipts are there within two of these.
const INTERVAL: Duration = Duration::from_millis(100);

/// Starts the loop. Without a signer the trees grow, and another process may sign them.
pub fn start(app: Arc<App>, signer: Option<LogSigner>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut sequencer = LogSequencer::new(signer);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut told) = (false, None);
        while !last {
            // Once more at the end, for the last deletions.
            last = shutdown.run_until_cancelled(ticks.tick()).await.is_none();
            let failed = run(&mut sequencer, &app).await.err();
            if failed.is_none() {
                app.measures().loops.log_sequencer.set(app.seconds());
            }
            if failed.is_some() && failed != told {
                tracing::warn!(cause = failed, "the deletion log is not grown or not signed");
            }
            told = failed;
        }
        if let Err(error) = sequencer.release(&app).await {
            tracing::debug!(%error, "cannot let another process grow the log");
        }
    })
}

/// Takes all that waits. Not cut off in the middle: a head that is remembered should be published, too. Answers the cause of a failure.
async fn run(sequencer: &mut LogSequencer, app: &App) -> Result<(), String> {
    loop {
        match sequencer.run(app).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(error.source().map_or_else(|| error.to_string(), ToString::to_string)),
        }
    }
}
