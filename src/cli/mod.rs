//! The commands, a file for each.

mod application;
mod completions;
mod database;
mod demo;
mod dev_db;
mod healthcheck;
mod import;
mod import_line;
mod log;
mod log_erase;
mod log_key;
mod log_verify;
mod man;
mod migrate;
mod open_files;
mod pinned_tls;
mod serve;
mod token;
mod webhook_key;

use std::future::Future;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{DatabaseSettings, LogSettings};
use crate::telemetry;

/// Keeps the chat messages of support tickets as records, deletes one when the rules allow, and logs every deletion.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C
    Serve(serve::Arguments),
    /// Serve sample conversations, and print calls to try; harmless to run again
    Demo(demo::Arguments),
    /// Bring the database's schema up to this version
    Migrate(migrate::Arguments),
    /// Make and list applications, the tenants
    #[command(subcommand)]
    Application(application::Command),
    /// Make, list and revoke the tokens of applications
    #[command(subcommand)]
    Token(token::Command),
    /// Add, list and revoke the keys that sign webhooks
    #[command(subcommand)]
    WebhookKey(webhook_key::Command),
    /// Take in tickets and messages from a file of JSON lines; harmless to run again
    Import(import::Arguments),
    /// Keep the key of the provable deletion log, and check the log and its receipts
    #[command(subcommand)]
    Log(log::Command),
    /// Ask a running service whether it is ready: exit code 0 if so, for containers
    Healthcheck(healthcheck::Arguments),
    /// Print the completions of a shell, made from these very commands
    Completions(completions::Arguments),
    /// Print the manual page, or write the pages of all commands
    Man(man::Arguments),
    /// Own the database server that test processes share
    #[command(hide = true)]
    DevDb(dev_db::Arguments),
}

/// Runs a command to its end.
///
/// # Errors
/// What keeps it from its end, in words for the person who called it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let (database, log) = (cli.database, cli.log);
    // What serves tells more than logs, and starts them itself.
    if !matches!(cli.command, Command::Serve(_) | Command::Demo(_)) {
        telemetry::init(&log)?;
    }
    match cli.command {
        Command::Serve(arguments) => block_on(serve::run(database, &log, arguments)),
        Command::Demo(arguments) => block_on(demo::run(database, &log, arguments)),
        Command::Migrate(arguments) => block_on(migrate::run(database, &arguments)),
        Command::Application(command) => block_on(application::run(database, command)),
        Command::Token(command) => block_on(token::run(database, command)),
        Command::WebhookKey(command) => block_on(webhook_key::run(database, command)),
        Command::Import(arguments) => block_on(import::run(database, arguments)),
        Command::Log(log::Command::Verify(arguments)) => block_on(log_verify::run(database, arguments)),
        Command::Log(log::Command::Erase(arguments)) => block_on(log_erase::run(database, arguments)),
        Command::Log(log::Command::Offline(command)) => log::run(command),
        Command::Healthcheck(arguments) => block_on(healthcheck::run(arguments)),
        Command::Completions(arguments) => {
            completions::run(&arguments);
            Ok(())
        }
        Command::Man(arguments) => man::run(&arguments),
        Command::DevDb(arguments) => dev_db::run(arguments, database.postgres_bin),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(command)
}
