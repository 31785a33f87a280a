//! What callers are promised, through the public doors. A module for each promise; names are sentences.

mod chat_message_batches;
mod chat_messages;
mod deletion;
mod ticket_closing;
mod ticket_creation;
mod ticket_listing;
mod ticket_updates;
mod batch_deletion;
mod deletion;
mod deletion_log;
mod erasure;
mod idempotency;
