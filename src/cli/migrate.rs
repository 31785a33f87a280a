//! `deskledger migrate`

use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;

pub(super) async fn run(database: DatabaseSettings) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    database.migrate().await?;
    println!("The database is up to date.");
    database.close().await
}
