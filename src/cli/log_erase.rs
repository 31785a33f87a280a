//! `deskledger log erase`

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;

use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;
use crate::domain::erasure::{ErasureCause, MAX_AGE_DAYS, MIN_AGE_DAYS};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The application's id. Default: all applications
    application: Option<String>,
    /// Erase the entries of deletions that are older than so many days, 30 to 36500
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(MIN_AGE_DAYS..=MAX_AGE_DAYS))]
    older_than_days: i64,
}

pub(super) async fn run(database: DatabaseSettings, arguments: Arguments) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    let app = database.current_app().await?;
    let applications = match &arguments.application {
        Some(id) => vec![app.find_application(id).await?.with_context(|| format!("there is no application {id}"))?],
        None => app.list_applications().await?,
    };
    let age = TimeDelta::days(arguments.older_than_days);
    for application in &applications {
        let erased = app.erase_log(application.key, age, ErasureCause::Command).await?;
        println!("{}: {erased} entries erased", application.id);
    }
    database.close().await
}
