//! `deskledger application`

use anyhow::bail;
use clap::Subcommand;

use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;
use crate::domain::application::{parse_id, parse_name};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an application
    Create {
        /// Its public id: 1 to 54 lower-case letters, digits and inner hyphens
        #[arg(value_parser = parse_id)]
        id: String,
        /// Its name, for people, at most 255 characters. Default: the id
        #[arg(long, value_parser = parse_name)]
        name: Option<String>,
    },
    /// List all applications
    List,
}

pub(super) async fn run(database: DatabaseSettings, command: Command) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    let app = database.current_app().await?;
    match command {
        Command::Create { id, name } => {
            if !app.create_application(&id, name.as_deref().unwrap_or(&id)).await? {
                bail!("there is an application {id} already");
            }
            println!("{id}");
        }
        Command::List => {
            for application in app.list_applications().await? {
                println!("{}\t{}\t{}", application.id, application.create_time.format("%FT%TZ"), application.name);
            }
        }
    }
    database.close().await
}
