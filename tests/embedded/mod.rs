//! What operators are promised of the private server, and developers of the one that tests share: both started, stopped and killed for
//! real. The program that is killed is `examples/embedded_postgres.rs`, which `cargo test` builds.

pub mod process;

mod data_directories;
mod dev_cluster;
mod killed;
mod owners;
mod programs;
mod start_and_stop;
mod users;
