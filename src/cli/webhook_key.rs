//! `deskledger webhook-key`

use anyhow::{Context, bail};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};

use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;
use crate::domain::application::parse_name;
use crate::domain::webhook_key::{parse_key, parse_secret};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a key; key and secret are printed once, separated by a tab
    Add {
        /// The application's id
        application: String,
        /// What senders name in X-Pusher-Key. Default: random
        #[arg(long, value_parser = parse_key)]
        key: Option<String>,
        /// What signatures are made with, from the environment so that it stands in no list of processes. Default: random
        #[arg(long, env = "DESKLEDGER_WEBHOOK_SECRET", hide_env_values = true)]
        secret: Option<SecretString>,
        /// What the key is for, in words
        #[arg(long, default_value = "", value_parser = parse_name)]
        name: String,
    },
    /// List an application's keys, oldest first, without their secrets
    List {
        /// The application's id
        application: String,
    },
    /// Revoke a key: from now on its signatures are refused
    Revoke {
        /// The key
        key: String,
    },
}

pub(super) async fn run(database: DatabaseSettings, command: Command) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    let app = database.app_of_command();
    match command {
        Command::Add { application, key, secret, name } => {
            // Not by clap, which would tell the value.
            let secret =
                secret.as_ref().map(|secret| parse_secret(secret.expose_secret())).transpose().map_err(anyhow::Error::msg)?;
            let found =
                app.find_application(&application).await?.with_context(|| format!("there is no application {application}"))?;
            match app.add_webhook_key(&found, key, secret, name).await? {
                Some(key) => println!("{}\t{}", key.key, key.secret),
                None => bail!("there is a webhook key of that name already"),
            }
        }
        Command::List { application } => {
            let found =
                app.find_application(&application).await?.with_context(|| format!("there is no application {application}"))?;
            for key in app.list_webhook_keys(&found).await? {
                let state = key.revoke_time.map_or("good".to_owned(), |time| format!("revoked {}", time.format("%FT%TZ")));
                println!("{}\t{}\t{state}\t{}", key.key, key.create_time.format("%FT%TZ"), key.name);
            }
        }
        Command::Revoke { key } => {
            if !app.revoke_webhook_key(&key).await? {
                bail!("there is no webhook key {key} that is not revoked");
            }
            println!("{key} is revoked.");
        }
    }
    database.close().await
}
