//! What operators are promised: the program itself, run as a process. A module for each command; names are sentences.

mod applications;
mod audit;
mod canary;
mod demo;
mod documentation;
mod documents;
mod fleet;
mod healthcheck;
mod import;
mod import_again;
mod log;
mod metrics;
pub mod program;
mod restore;
mod serve;
mod service_role;
mod settings;
mod shutdown;
mod tls;
mod tokens;
mod traces;
mod webhook_keys;
#[cfg(feature = "test-with-tools")]
mod real_tools;
#[cfg(feature = "test-with-tools")]
mod upgrade;
