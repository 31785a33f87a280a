//! `deskledger man`

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory into which a page for each command is written; without it the page of the whole is printed
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let command = Cli::command();
    match &arguments.directory {
        Some(directory) => clap_mangen::generate_to(command, directory)
            .with_context(|| format!("cannot write the pages into {}", directory.display())),
        None => Man::new(command).render(&mut std::io::stdout()).context("cannot print the page"),
    }
}
