//! `deskledger migrate`

use anyhow::ensure;
use clap::Args;

use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Distribute the tables over the nodes of a Citus cluster. This version cannot: it says why, and changes nothing (docs/SCALING.md)
    #[arg(long)]
    pub(super) citus: bool,
}

pub(super) async fn run(database: DatabaseSettings, arguments: &Arguments) -> anyhow::Result<()> {
    // A private server is one server; and opening it migrates.
    ensure!(!arguments.citus || database.url().is_some(), "--citus is for the database of DATABASE_URL; nothing was changed");
    let database = Database::open(database, Running::Join).await?;
    if arguments.citus {
        database.refuse_citus().await?;
    }
    database.migrate().await?;
    println!("The database is up to date.");
    if let Some(role) = database.set_up_role().await? {
        println!("The role {role} may serve it.");
    }
    database.close().await
}
