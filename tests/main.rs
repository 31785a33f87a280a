//! All tests in one binary, so that they are linked once and run in parallel. `support` holds the actors, `spec` the promises made to
//! callers, `storage` the promises of the database, `commands` the program as a process,
//! `embedded` the private server, `fuzz` what no bytes may do, `proof` what the deletion log can prove, `attacks` what attackers send to a running service.

mod support;

mod attacks;
mod chaos;
mod commands;
mod embedded;
mod fuzz;
mod proof;
mod spec;
mod storage;
