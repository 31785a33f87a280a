//! The REST door: the wire that existing clients know. Expectations are literal, because clients are.

mod bad_input;
mod conditional;
mod description;
mod errors;
mod origins;
mod paging;
mod parameters;
mod shapes;
mod tickets;
mod tolerance;
