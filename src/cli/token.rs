//! `deskledger token`

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};

use crate::app::{App, NewToken};
use crate::cli::database::{Database, Running};
use crate::config::DatabaseSettings;
use crate::domain::agent::Agent;
use crate::domain::application::parse_name;
use crate::domain::caller::Scope;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::deletion::RequestedFrom;
use crate::domain::violation::Violations;
use crate::storage::application::Application;
use crate::storage::token::Token;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token; it is printed once and never shown again
    Create(Create),
    /// List an application's tokens, oldest first: id, when it was made, whether it is good, scopes, name, when it was used last
    List {
        /// The application's id
        application: String,
    },
    /// Revoke a token; running services notice within seconds
    Revoke {
        /// The token's id, the part between the underscores
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The application's id
    application: String,
    /// What the token is for, in words, at most 255 characters
    #[arg(long, default_value = "", value_parser = parse_name)]
    name: String,
    /// What it may do, separated by commas: tickets:read tickets:write messages:read messages:write messages:delete logs:read
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// Days until it expires, 1 to 3650. Default: never
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=3650))]
    expires_in_days: Option<i64>,
    /// How deletions with it are requested, where a request does not say
    #[arg(long, value_enum, default_value_t = Origin::PlatformApi)]
    requested_from: Origin,
    /// Numeric id of the agent who deletes with it, where a request does not say
    #[arg(long, default_value_t = 0)]
    agent_id: i64,
    /// That agent's id in the chat platform
    #[arg(long, default_value = "")]
    agent_sendbird_id: String,
    /// That agent's name
    #[arg(long, default_value = "")]
    agent_name: String,
    /// That agent's mail address
    #[arg(long, default_value = "")]
    agent_email: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Origin {
    Dashboard,
    PlatformApi,
}

pub(super) async fn run(database: DatabaseSettings, command: Command) -> anyhow::Result<()> {
    let database = Database::open(database, Running::Join).await?;
    let app = database.current_app().await?;
    match command {
        Command::Create(create) => {
            let application = find(&app, &create.application).await?;
            let issued = app.create_token(&application, create.new_token()?).await?;
            println!("{}", issued.text);
        }
        Command::List { application } => {
            let application = find(&app, &application).await?;
            for token in app.list_tokens(&application).await? {
                println!("{}", line(&token, SystemClock.now()));
            }
        }
        Command::Revoke { id } => {
            if !app.revoke_token(&id).await? {
                bail!("there is no token {id} that is not revoked");
            }
            println!("{id} is revoked.");
        }
    }
    database.close().await
}

async fn find(app: &App, id: &str) -> anyhow::Result<Application> {
    app.find_application(id).await?.with_context(|| format!("there is no application {id}"))
}

impl Create {
    fn new_token(self) -> anyhow::Result<NewToken> {
        let agent = Agent {
            id: self.agent_id,
            display_name: self.agent_name,
            sendbird_id: self.agent_sendbird_id,
            email: self.agent_email,
        };
        let requested_by = if agent == Agent::default() {
            None
        } else {
            let mut violations = Violations::default();
            let agent = Agent::parse("agent", agent, &mut violations);
            Some(violations.finish(agent)?)
        };
        Ok(NewToken {
            name: self.name,
            scopes: self.scopes,
            requested_from: match self.requested_from {
                Origin::Dashboard => RequestedFrom::Dashboard,
                Origin::PlatformApi => RequestedFrom::PlatformApi,
            },
            requested_by,
            expire_time: self.expires_in_days.map(|days| SystemClock.now() + TimeDelta::days(days)),
        })
    }
}

fn line(token: &Token, now: DateTime<Utc>) -> String {
    let time = |time: DateTime<Utc>| time.format("%FT%TZ").to_string();
    let state = match (token.revoke_time, token.expire_time) {
        (Some(revoked), _) => format!("revoked {}", time(revoked)),
        (None, Some(expires)) if expires <= now => format!("expired {}", time(expires)),
        (None, Some(expires)) => format!("expires {}", time(expires)),
        (None, None) => "good".to_owned(),
    };
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let used = token.last_use_time.map_or_else(|| "never used".to_owned(), |used| format!("used {}", time(used)));
    format!("{}\t{}\t{state}\t{}\t{}\t{used}", token.id, time(token.create_time), scopes.join(","), token.name)
}
