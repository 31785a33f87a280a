//! A program with a private PostgreSQL of its own, which ends with it however it ends.
//!
//! `cargo run --example embedded_postgres -- serve DATA_DIR` starts a server, prints the folder of its socket and stops it when its
//! standard input ends. Try `psql -h FOLDER -U postgres` beside it, and `kill -9`. `join HOME LINGER_MS` does the same with the server
//! that test processes share, whose owner is `dev-db HOME LINGER_MS`. The tests of `tests/embedded` kill all three.

use std::ffi::OsStr;
use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use deskledger::embedded_postgres::dev_cluster::{self, HelperSettings};
use deskledger::embedded_postgres::{Durability, EmbeddedPostgres, Settings};

const USAGE: &str = "serve DATA_DIR | join HOME LINGER_MS | dev-db HOME LINGER_MS";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    let done = match arguments[..] {
        [command, data_dir] if command == "serve" => serve(Path::new(data_dir)),
        [command, home, linger] if command == "join" => join(Path::new(home), linger),
        [command, home, linger] if command == "dev-db" => dev_db(Path::new(home), linger),
        _ => Err(anyhow!(USAGE)),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("{error:#}");
    ExitCode::FAILURE
}

fn serve(data_dir: &Path) -> anyhow::Result<()> {
    let settings =
        Settings { data_dir: data_dir.to_path_buf(), binaries: None, durability: Durability::Durable, max_connections: 20 };
    let postgres = EmbeddedPostgres::start(&settings)?;
    say_and_wait(postgres.socket_dir())?;
    Ok(postgres.stop()?)
}

fn join(home: &Path, linger: &OsStr) -> anyhow::Result<()> {
    let membership = dev_cluster::join(home, &std::env::current_exe()?, &["dev-db".as_ref(), home.as_os_str(), linger])?;
    say_and_wait(membership.socket_dir())
}

fn dev_db(home: &Path, linger: &OsStr) -> anyhow::Result<()> {
    let linger = linger.to_str().and_then(|text| text.parse().ok()).context(USAGE)?;
    let settings =
        HelperSettings { home: home.to_path_buf(), binaries: None, max_connections: 20, linger: Duration::from_millis(linger) };
    Ok(dev_cluster::run_helper(&settings)?)
}

fn say_and_wait(socket_dir: &Path) -> anyhow::Result<()> {
    writeln!(stdout(), "{}", socket_dir.display())?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
