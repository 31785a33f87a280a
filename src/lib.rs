//! deskledger keeps the chat messages of support tickets as records, deletes one when the rules allow, and logs every deletion.
//!
//! The modules in reading order; `docs/ARCHITECTURE.md` follows one deletion through them.

pub mod domain; // values and rules
pub mod error; // what can go wrong
pub mod measures; // what is counted
pub mod storage; // SQL
pub mod app; // use cases
pub mod auth; // from a token to a caller
pub mod grpc; // the gRPC door
pub mod rest; // the REST door
pub mod telemetry; // logs
pub mod server; // the doors on a listener
pub mod background; // loops beside the calls
pub mod embedded_postgres; // the private database server
pub mod config; // settings
pub mod cli; // commands
