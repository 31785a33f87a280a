//! What it was measured on.

use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};
use deskledger::domain::clock::{Clock, SystemClock};
use serde::Serialize;

use crate::database::{Database, SETTINGS};

#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cpus: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub postgres: String,
    pub postgres_settings: String,
    pub rustc: String,
    /// The service's settings that the environment changed, by name.
    pub service_settings: Vec<String>,
    pub date: String,
}

impl Machine {
    pub fn read(database: &Database) -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        // Not every architecture names the model.
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(std::env::consts::ARCH);
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).context("/proc/meminfo has no total")?;
        let kibibytes: u64 = total.split_whitespace().next().context("the total is empty")?.parse()?;
        let rustc = Command::new("rustc").arg("--version").output().context("cannot run rustc")?;
        ensure!(rustc.status.success(), "rustc ended with {}", rustc.status);
        let mut service_settings: Vec<String> = std::env::vars_os()
            .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
            .filter(|setting| setting.starts_with("DESKLEDGER_"))
            .collect();
        service_settings.sort();
        Ok(Self {
            processor: processor.trim_start_matches([' ', '\t', ':']).to_owned(),
            cpus: std::thread::available_parallelism()?.get(),
            memory_gib: (kibibytes + 512 * 1024) / (1024 * 1024),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            postgres: database.version().to_owned(),
            postgres_settings: SETTINGS.map(|(name, value)| format!("{name}={value}")).join(", "),
            rustc: String::from_utf8(rustc.stdout)?.trim().to_owned(),
            service_settings,
            date: SystemClock.now().format("%F").to_string(),
        })
    }
}
