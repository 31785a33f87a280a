//! Loops beside the calls. Each ends when its shutdown token is cancelled.

pub mod embedded_postgres;
pub mod list_milestones;
pub mod log_backlog;
pub mod log_check;
pub mod log_retention;
pub mod log_sequencer;
pub mod readiness;
pub mod replicas;
pub mod request_retention;
pub mod token_uses;
