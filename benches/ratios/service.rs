//! The service that is measured, as a child process.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::client::Connection;
use crate::database::Database;
use crate::dataset::APPLICATION;
use crate::process::Guarded;

const PROGRAM: &str = env!("CARGO_BIN_EXE_deskledger");
const SCOPES: &str = "tickets:read,tickets:write,messages:read,messages:write,messages:delete,logs:read";

/// Whether the service may keep pages in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// As it does by default.
    InMemory,
    /// Not at all.
    FromDatabase,
}

/// A running service.
pub struct Service {
    process: Guarded,
    pub address: SocketAddr,
    pub pages: Pages,
}

impl Service {
    /// Starts it and waits until it answers. Its files are in the directory, the log's key with them.
    pub async fn start(database: &Database, pages: Pages, directory: &Path, token: &str) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", &address.to_string()])
            .env("DATABASE_URL", database.service_url())
            .env("DESKLEDGER_LOG_KEY_FILE", key_file(directory))
            .env("DESKLEDGER_LOG_STATE_FILE", heads_file(directory))
            .env("DESKLEDGER_LOG", "warn");
        if pages == Pages::FromDatabase {
            command.env("DESKLEDGER_PAGE_CACHE_MIB", "0");
        }
        let log = directory.join("service.log");
        let mut process = Guarded::start("the service", &mut command, &log)?;
        let connected = Connection::open(address, token).await;
        process.runs().with_context(|| format!("{} says why", log.display()))?;
        connected?;
        Ok(Self { process, address, pages })
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

/// An address that nobody listens on now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Runs a command of the program on a database to its end, and answers what it printed.
pub fn command(url: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(PROGRAM).args(arguments).env("DATABASE_URL", url).env("DESKLEDGER_LOG", "warn").output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "deskledger {} ended with {}: {errors}", arguments.join(" "), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes the key that signs the log of a new database; the heads of an older one, which it would be refused for, go.
pub fn make_log_key(directory: &Path) -> anyhow::Result<()> {
    let key_file = key_file(directory);
    for file in [&key_file, &heads_file(directory)] {
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    let output =
        Command::new(PROGRAM).args(["log", "key", "generate", "benchmark/log", "--log-key-file"]).arg(&key_file).output()?;
    ensure!(output.status.success(), "no key for the log: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn key_file(directory: &Path) -> PathBuf {
    directory.join("log.key")
}

fn heads_file(directory: &Path) -> PathBuf {
    directory.join("log.heads")
}

/// Makes a token for all calls.
pub fn token(database: &Database) -> anyhow::Result<String> {
    let printed = command(&database.owner_url(), &["token", "create", APPLICATION, "--name", "benchmark", "--scopes", SCOPES])?;
    Ok(printed.trim().to_owned())
}
