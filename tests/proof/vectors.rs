//! A log in files, laid out as C2SP tlog-tiles lays it out, for verifiers that are not ours: `.ci/log-verifiers` runs them on it.

use std::fs;
use std::path::{Path, PathBuf};

use deskledger::domain::proof::tile::{TILE_WIDTH, TileId, TilePath, tile_width};
use deskledger::domain::random::digits;

use super::Log;
use crate::commands::program::{deskledger, run};

const SIZE: u64 = 700;
/// An older head of the same log, and the proof that the newer one begins with it.
const OLD: u64 = 300;
/// Every seventh entry has a receipt.
const RECEIPTS: usize = 7;

/// Where they are written, below the target directory.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("log-vectors")
}

fn write(path: &str, bytes: impl AsRef<[u8]>) {
    let path = directory().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    fs::write(&path, bytes).expect("the file");
}

fn write_tiles(log: &Log) {
    for level in 0..3 {
        for index in 0..3 {
            let id = TileId { level, index };
            let width = tile_width(SIZE, id);
            if width == 0 {
                continue;
            }
            write(&format!("tile/{}", TilePath { id, width, entries: false }), log.tiles.get(id).expect("the tile"));
            if level == 0 {
                let first = usize::try_from(index).expect("a place") * TILE_WIDTH;
                let bundle: Vec<u8> = log.openings[first..first + width]
                    .iter()
                    .flat_map(|opening| [&[0, 32], opening.entry().0.as_slice()].concat())
                    .collect();
                write(&format!("tile/{}", TilePath { id, width, entries: true }), bundle);
            }
        }
    }
}

#[test]
fn a_log_is_written_for_other_verifiers_and_the_program_accepts_its_receipts() {
    let log = Log::of(SIZE.cast_signed());
    // What an earlier run left would be of another key.
    if directory().exists() {
        fs::remove_dir_all(directory()).expect("the old vectors");
    }
    write("vkey", log.key.verifier_key("acme"));
    write("checkpoint", log.checkpoint(SIZE));
    write("old-checkpoint", log.checkpoint(OLD));
    let consistency = log.tiles.consistency(OLD, SIZE).expect("all tiles are there");
    write("consistency", consistency.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    write_tiles(&log);
    for index in (0..SIZE).step_by(RECEIPTS) {
        write(&format!("receipts/{index}.tlog-proof"), log.receipt(SIZE, index).to_text());
    }

    let verify = |receipt: &str, key: &str| run(&mut deskledger(&["log", "verify-receipt", receipt, "--key", key]));
    let receipt = directory().join("receipts/343.tlog-proof");
    let receipt = receipt.to_str().expect("a path of text");
    let said = verify(receipt, &log.key.verifier_key("acme")).good();
    let opening = &log.openings[343];
    assert!(said.starts_with("The receipt is good. Entry 343 of the log desk.example.com/log/acme is this record:\n"), "{said}");
    assert!(said.contains("\"chat_message_id\": 1343,"), "{said}");
    assert!(said.contains(&digits(&log.openings[342].entry().0)), "the deletion before it: {said}");
    assert!(said.contains(&format!("had 700 entries, with the root {}.", log.head(SIZE).root)), "{said}");
    assert!(!said.contains(&digits(&opening.salt)), "{said}");

    let other = Log::of(1).key.verifier_key("acme");
    let refused = verify(receipt, &other).failed(1);
    assert!(refused.starts_with("deskledger: the receipt proves nothing: the checkpoint is not signed by the key"), "{refused}");
}
