//! Actors and their world: a real PostgreSQL database, a real server on a port of its own, and callers that go through its doors.

pub mod actor;
pub mod certificates;
pub mod clock;
pub mod collector;
pub mod database;
pub mod ingest;
pub mod methods;
pub mod own_server;
pub mod raw;
pub mod raw_line;
pub mod door;
pub mod frames;
pub mod http;
pub mod refusal;
pub mod replicated;
pub mod scrape;
pub mod ticket;
pub mod webhook;
pub mod world;

pub use actor::Actor;
pub use http::{Answer, Http};
pub use refusal::refusal;
pub use world::World;

/// The generated types, under a short name.
pub use deskledger::proto as pb;
