//! What callers are promised, through the public doors. A module for each promise; names are sentences.

mod authentication;
mod batch_deletion;
mod chat_message_batches;
mod chat_messages;
mod coverage;
mod deletion;
mod deletion_log;
mod erasure;
mod errors;
mod grpc_web;
mod house;
mod idempotency;
mod export;
mod limits;
mod page_tokens;
mod paging;
mod ticket_closing;
mod ticket_creation;
mod ticket_listing;
mod ticket_updates;
mod wire;
mod reflection;
mod tenancy;
mod rest;
mod two_doors;
