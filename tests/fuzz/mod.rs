//! Fuzzing: whatever bytes come, every reader answers or refuses, and none panics, hangs or calls it an internal error. `cargo test` tries a
//! few inputs for each target; `DESKLEDGER_FUZZ_SECONDS=600 cargo test --test tests -- fuzz:: --test-threads=1 --nocapture` tries for long.

mod doors;
mod formats;
mod import;
mod mutation;
