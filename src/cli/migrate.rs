//! `deskledger migrate`

use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;

pub(super) async fn run(database: DatabaseSettings) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    database.migrate().await?;
    println!("The database is up to date.");
    if let Some(role) = database.set_up_role().await? {
        println!("The role {role} may serve it.");
    }
    database.close().await
}
