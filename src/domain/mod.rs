//! Pure values and rules: no database, no protocol, no clock of its own.

pub mod agent;
pub mod application;
pub mod caller;
pub mod chat_message;
pub mod clock;
pub mod conversation_message;
pub mod deletion;
pub mod deletion_log;
pub mod erasure;
pub mod freshness;
pub mod hold;
pub mod ids;
pub mod json;
pub mod list_milestone;
pub mod page;
pub mod peer;
pub mod proof;
pub mod random;
pub mod request;
pub mod text;
pub mod ticket;
pub mod violation;
pub mod webhook_key;
