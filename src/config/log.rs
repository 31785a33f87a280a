//! What is logged, and how.

use clap::{Args, ValueEnum};

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// What to log to standard error: a level (error, warn, info, debug, trace), or levels by module such as info,deskledger=debug
    #[arg(long, env = "DESKLEDGER_LOG", default_value = "info,sqlx=warn", global = true)]
    pub log: String,
    /// Form of the log lines
    #[arg(long, env = "DESKLEDGER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty, global = true)]
    pub log_format: LogFormat,
}

/// Forms of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Pretty,
}
