//! `deskledger serve`

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use clap::builder::BoolishValueParser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::background;
use crate::cli::database::{Database, Running};
use crate::cli::{log_key, open_files};
use crate::config::{DatabaseSettings, LogSettings, ServerSettings};
use crate::server;
use crate::telemetry::Telemetry;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Bring the schema of DATABASE_URL up to this version first; a private database always is
    #[arg(long, env = "DESKLEDGER_MIGRATE", value_parser = BoolishValueParser::new())]
    migrate: bool,
    #[command(flatten)]
    server: ServerSettings,
}

pub(super) async fn run(database: DatabaseSettings, log: &LogSettings, arguments: Arguments) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(log, &arguments.server.telemetry).await?;
    let shutdown = shutdown_on_signal()?;
    let listener = bind(&arguments.server).await?;
    let database = Database::open(database, Running::Refuse).await?;
    if arguments.migrate {
        database.migrate_to_serve().await?;
    }
    let app = database.app(&arguments.server)?;
    serve(listener, database, app, telemetry, &arguments.server, shutdown).await
}

/// Binds before anything is started, so that a port in use costs nothing.
pub(super) async fn bind(settings: &ServerSettings) -> anyhow::Result<TcpListener> {
    TcpListener::bind(&settings.listen).await.with_context(|| format!("cannot listen on {}", settings.listen))
}

/// Serves until shutdown, then stops the private server.
pub(super) async fn serve(
    listener: TcpListener,
    database: Database,
    app: Arc<App>,
    mut telemetry: Telemetry,
    settings: &ServerSettings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    open_files::raise_limit(settings.limits.max_connections);
    let signer = log_key::signer(settings, database.private_dir().as_deref())?;
    if let Some(signer) = &signer {
        log_key::check(&app, signer).await?;
    }
    // The private server is watched until the calls have drained, and stopped after.
    let drained = CancellationToken::new();
    let watch = database.owned.clone().map(|owned| background::embedded_postgres::start(app.clone(), owned, drained.clone()));
    let exporter = telemetry.exporter.take();
    let served = server::serve(listener, app, signer, telemetry, settings, shutdown).await;
    drained.cancel();
    if let Some(watch) = watch {
        watch.await?;
    }
    database.close().await?;
    if let Some(exporter) = exporter {
        exporter.stop().await;
    }
    tracing::info!("stopped");
    Ok(served?)
}

/// A token that is cancelled by SIGTERM or Ctrl-C. A second signal ends the process at once.
pub(super) fn shutdown_on_signal() -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let cancelled = shutdown.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if last {
                tracing::warn!("stopping at once");
                std::process::exit(130);
            }
            cancelled.cancel();
        }
    });
    Ok(shutdown)
}
