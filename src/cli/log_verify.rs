//! `deskledger log verify`

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::App;
use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;
use crate::domain::proof::key::VerifierKey;
use crate::storage::application::Application;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The application's id. Default: all applications
    application: Option<String>,
    /// The verifier key of the application's log, to check its checkpoint with
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse, requires = "application")]
    key: Option<VerifierKey>,
}

pub(super) async fn run(database: DatabaseSettings, arguments: Arguments) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    let app = database.current_app().await?;
    let applications = match &arguments.application {
        Some(id) => vec![app.find_application(id).await?.with_context(|| format!("there is no application {id}"))?],
        None => app.list_applications().await?,
    };
    let mut bad = 0;
    for application in &applications {
        match verify(&app, application, arguments.key.as_ref()).await? {
            Ok((entries, 0)) => println!("{}: {entries} entries, all as their rows say", application.id),
            Ok((entries, erased)) => {
                println!("{}: {entries} entries, {erased} of them erased, all others as their rows say", application.id);
            }
            Err(flaw) => {
                println!("{}: {flaw}", application.id);
                bad += 1;
            }
        }
    }
    database.close().await?;
    match bad {
        0 => Ok(()),
        1 => bail!("1 log is damaged"),
        _ => bail!("{bad} logs are damaged"),
    }
}

/// How many entries are good and how many of them erased, or the first flaw in words.
async fn verify(app: &App, application: &Application, key: Option<&VerifierKey>) -> anyhow::Result<Result<(u64, u64), String>> {
    let mut verification = match app.verify_log(application, key).await? {
        Ok(verification) => verification,
        Err(flaw) => return Ok(Err(flaw.to_string())),
    };
    let progress = progress(verification.head.size);
    while let Some(part) = verification.next().await? {
        match part {
            Ok(done) => progress.set_position(done),
            Err(flaw) => return Ok(Err(flaw.to_string())),
        }
    }
    progress.finish_and_clear();
    Ok(Ok((verification.head.size, verification.erased)))
}

/// A bar on a terminal, nothing elsewhere.
fn progress(entries: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta}");
    ProgressBar::new(entries).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
