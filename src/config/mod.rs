//! Every setting: a flag and an environment variable, with its unit, default and range. Read once, here; a file for each group.

mod admission;
mod database;
mod limits;
mod log;
mod replicas;
mod server;
mod telemetry;
mod tls;

use std::path::PathBuf;

pub use crate::config::admission::AdmissionSettings;
pub use crate::config::database::DatabaseSettings;
pub use crate::config::limits::LimitSettings;
pub use crate::config::log::{LogFormat, LogSettings};
pub use crate::config::replicas::ReplicaSettings;
pub use crate::config::server::ServerSettings;
pub use crate::config::telemetry::{AdminListen, TelemetrySettings};
pub use crate::config::tls::{ClientCertificates, TlsSettings};

/// Where the private server keeps its data when no setting says so; `None` when the user has no home.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn default_data_dir() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (home, data_home) = (variable("HOME"), variable("XDG_DATA_HOME"));
    crate::embedded_postgres::default_data_dir(nix::unistd::geteuid(), home.as_deref(), data_home.as_deref())
}
