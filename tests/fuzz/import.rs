//! Lines of an import, read by the program.

use std::cell::Cell;

use super::mutation::fuzz;
use crate::commands::program::{deskledger, run_with};
use crate::support::database::TestDatabase;

/// How often the program is run; each run reads many lines.
const COUNT: u32 = 12;

#[test]
fn import_lines() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let _guard = runtime.enter();
    let database = runtime.block_on(TestDatabase::create());
    crate::commands::program::run_on(&database, &["application", "create", "acme"]).good();
    let example = include_str!("../../examples/conversations.jsonl");
    let lines: Vec<&str> = example.lines().take(40).collect();
    let seeds = lines.chunks(8).map(|lines| format!("{}\n", lines.join("\n")).into_bytes()).collect();
    let runs = Cell::new(0);
    let directory = tempfile::tempdir().expect("a directory");
    fuzz("import lines", COUNT, seeds, |input| {
        runs.set(runs.get() + 1);
        let mut command = deskledger(&["import", "-", "--application", "acme"]);
        let ended = run_with(command.env("DATABASE_URL", database.url()).current_dir(&directory), input);
        match ended.code {
            Some(0 | 1) if !ended.stderr.contains("panicked") => Ok(()),
            code => Err(format!("{code:?}: {}", ended.stderr)),
        }
    });
    assert!(runs.get() >= COUNT);
}
