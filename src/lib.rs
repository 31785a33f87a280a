//! deskledger keeps the chat messages of support tickets as records, deletes one when the rules allow, and logs every deletion.
//!
//! The modules in reading order; `docs/ARCHITECTURE.md` follows one deletion through them.

/// The code generated from the protos.
#[expect(clippy::pedantic, clippy::large_enum_variant, reason = "generated")]
pub mod proto;

#[cfg(feature = "client")]
pub mod client; // for programs that call the service

#[cfg(feature = "server")]
pub mod domain; // values and rules
#[cfg(feature = "server")]
pub mod error; // what can go wrong
#[cfg(feature = "server")]
pub mod measures; // what is counted
#[cfg(feature = "server")]
pub mod storage; // SQL
#[cfg(feature = "server")]
pub mod app; // use cases
#[cfg(feature = "server")]
pub mod audit; // who was refused
#[cfg(feature = "server")]
pub mod auth; // from a token to a caller
#[cfg(feature = "server")]
pub mod grpc; // the gRPC door
#[cfg(feature = "server")]
pub mod rest; // the REST door
#[cfg(feature = "server")]
pub mod telemetry; // logs, metrics, traces
#[cfg(feature = "server")]
pub mod server; // the doors on a listener
#[cfg(feature = "server")]
pub mod background; // loops beside the calls
#[cfg(feature = "server")]
pub mod embedded_postgres; // the private database server
#[cfg(feature = "server")]
pub mod config; // settings
#[cfg(feature = "server")]
pub mod cli; // commands
