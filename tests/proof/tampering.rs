//! Whoever changes one bit of what a proof rests on is found out.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use deskledger::domain::proof::ProofError;
use deskledger::domain::proof::act::Act;
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::entry::Opening;
use deskledger::domain::proof::receipt::Receipt;
use deskledger::domain::proof::record::Record;
use deskledger::domain::proof::tile::TileId;
use deskledger::domain::proof::tree::{Head, Tiles};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Log, deletion};

/// Changes of each kind: record, salt, proof, checkpoint, tile. With those of whole files, more than 10,000.
const CHANGES: usize = 2_000;

fn random() -> StdRng {
    StdRng::seed_from_u64(20_261_121)
}

fn flip(bytes: &mut [u8], random: &mut StdRng) {
    let bit = random.random_range(0..bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Reads and verifies a receipt of these bytes, which need not be text.
fn verify(log: &Log, text: Vec<u8>) -> Result<(), ProofError> {
    let text = String::from_utf8(text).map_err(|_| ProofError::Malformed("receipt"))?;
    Receipt::parse(&text)?.verify(&log.verifier_key()).map(drop)
}

/// A receipt's text with these bytes where the record and its salt stand.
fn with_extra(receipt: &Receipt, extra: &[u8]) -> Vec<u8> {
    let text = receipt.to_text();
    let (before, rest) = text.split_once("\nextra ").expect("its second line");
    let (_, after) = rest.split_once('\n').expect("the line's end");
    format!("{before}\nextra {}\n{after}", BASE64_STANDARD.encode(extra)).into_bytes()
}

#[test]
fn receipts_are_good_as_they_are_made() {
    let log = Log::of(700);
    for (size, index) in [(1, 0), (2, 0), (2, 1), (256, 255), (257, 256), (700, 0), (700, 699), (700, 300)] {
        let receipt = log.receipt(size, index);
        let proved = Receipt::parse(&receipt.to_text()).expect("a receipt").verify(&log.verifier_key()).expect("a good receipt");
        let expected = &log.openings[usize::try_from(index).expect("a place")];
        assert_eq!((proved.index, proved.head.size, &proved.record), (index, size, &expected.record));
    }
}

#[test]
fn a_bit_changed_in_record_salt_or_proof_is_found() {
    let (log, mut random) = (Log::of(700), random());
    let mut not_included = BTreeMap::new();
    for round in 0..3 * CHANGES {
        let receipt = log.receipt(700, random.random_range(0..700));
        let (kind, text) = match round % 3 {
            0 | 1 => {
                let mut extra = receipt.opening.to_bytes();
                let (salt, record) = extra.split_at_mut(32);
                flip(if round % 3 == 0 { salt } else { record }, &mut random);
                (["salt", "record"][round % 3], with_extra(&receipt, &extra))
            }
            _ => {
                let mut changed = receipt.clone();
                let hash = random.random_range(0..changed.proof.len());
                flip(&mut changed.proof[hash].0, &mut random);
                ("proof", changed.to_text().into_bytes())
            }
        };
        let refused = verify(&log, text).expect_err("a changed receipt");
        match refused {
            ProofError::NotIncluded => *not_included.entry(kind).or_insert(0) += 1,
            // Most changes of a record leave no record; the hash is the last word on the others.
            refused => assert_eq!((kind, refused), ("record", ProofError::Malformed("record"))),
        }
    }
    assert_eq!((not_included["salt"], not_included["proof"]), (CHANGES, CHANGES));
    assert!(not_included["record"] > CHANGES / 10, "{not_included:?}");
}

#[test]
fn a_bit_changed_in_a_checkpoint_is_found() {
    let (log, mut random) = (Log::of(700), random());
    let (good, key) = (log.checkpoint(700), log.verifier_key());
    assert!(checkpoint::open(&good, &key).is_ok());
    for _ in 0..CHANGES {
        let mut changed = good.clone().into_bytes();
        flip(&mut changed, &mut random);
        if let Ok(changed) = String::from_utf8(changed) {
            let refused = checkpoint::open(&changed, &key).expect_err("a changed checkpoint");
            assert!(matches!(refused, ProofError::Malformed("checkpoint") | ProofError::NotSigned(_)), "{refused}: {changed}");
        }
    }
}

#[test]
fn a_bit_changed_anywhere_in_the_file_of_a_receipt_is_found() {
    let (log, mut random) = (Log::of(300), random());
    let good = log.receipt(300, 123).to_text().into_bytes();
    assert_eq!(verify(&log, good.clone()), Ok(()));
    for _ in 0..2 * CHANGES {
        let mut changed = good.clone();
        flip(&mut changed, &mut random);
        assert!(verify(&log, changed.clone()).is_err(), "{}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn a_bit_changed_in_a_tile_is_found() {
    let (log, mut random) = (Log::of(700), random());
    let head = log.head(700);
    assert_eq!(log.tiles.check(head), Ok(()));
    let ids: Vec<TileId> = [(0, 0), (0, 1), (0, 2), (1, 0)].map(|(level, index)| TileId { level, index }).to_vec();
    for _ in 0..CHANGES {
        let id = ids[random.random_range(0..ids.len())];
        let mut changed = log.tiles.clone();
        let mut hashes = log.tiles.get(id).expect("the tile").to_vec();
        flip(&mut hashes, &mut random);
        changed.insert(id, hashes);
        let refused = changed.check(head).expect_err("a changed tile");
        let ProofError::OtherTile { .. } = refused else {
            assert_eq!(refused, ProofError::OtherRoot { size: 700 });
            continue;
        };
    }
}

#[test]
fn a_tile_that_is_not_of_the_tree_or_cannot_be_checked_is_refused() {
    let log = Log::of(700);
    let head = log.head(700);
    let (first, above) = (TileId { level: 0, index: 0 }, TileId { level: 1, index: 0 });
    let refused = |change: &dyn Fn(&mut Tiles)| {
        let mut tiles = log.tiles.clone();
        change(&mut tiles);
        tiles.check(head).expect_err("no good tiles")
    };
    let other = |id: TileId| ProofError::OtherTile { level: id.level, index: id.index };
    assert_eq!(refused(&|tiles| tiles.insert(TileId { level: 0, index: 3 }, vec![0; 32])), other(TileId { level: 0, index: 3 }));
    assert_eq!(refused(&|tiles| tiles.insert(first, vec![0; 255 * 32])), other(first));
    assert_eq!(refused(&|tiles| tiles.insert(above, vec![])), ProofError::TileMissing { level: 1, index: 0 });
    assert_eq!(log.tiles.check(Head { root: log.head(699).root, ..head }), Err(ProofError::OtherRoot { size: 700 }));
}

#[test]
fn a_receipt_of_another_log_or_of_another_applications_record_is_refused() {
    let log = Log::of(3);
    let receipt = log.receipt(3, 1);
    let other = Log::of(3);
    let key = other.verifier_key();
    assert_eq!(receipt.clone().verify(&key), Err(ProofError::NotSigned(key.to_string())));

    // A log that holds a record of an application that is not its own is not a good one, whoever signed it.
    let mut foreign = Log::of(1);
    foreign.openings[0].record = Record::of("zebra", &Act::Deletion(deletion(0)), None);
    foreign.tiles = Tiles::default();
    foreign.tiles.append(0, &[foreign.openings[0].entry().leaf_hash()]).expect("an empty tree needs no tiles");
    let refused = foreign.receipt(1, 0).verify(&foreign.verifier_key()).expect_err("another application's");
    assert_eq!(refused.to_string(), "the checkpoint is of the log zebra, not of desk.example.com/log/acme");
}

#[test]
fn a_receipt_has_one_form_only() {
    let log = Log::of(20);
    let receipt = log.receipt(20, 7);
    let text = receipt.to_text();
    assert_eq!(Receipt::parse(&text), Ok(receipt));
    let others = [
        text.replace("@v1", "@v2"),
        text.replace("index 7", "index 07"),
        text.replace("index 7", "index +7"),
        text.replace("index 7", "index  7"),
        text.replace("index 7\n", ""),
        text.replace('\n', "\r\n"),
        text.replace("\nextra ", "\nExtra "),
        text.lines().filter(|line| !line.starts_with("extra")).collect::<Vec<_>>().join("\n"),
        text.replacen("=\n", "\n", 1),
        format!("\n{text}"),
        String::new(),
    ];
    for other in others {
        assert!(Receipt::parse(&other).is_err(), "{other}");
    }
}

#[test]
fn the_same_record_twice_makes_entries_that_cannot_be_told_to_be_alike() {
    let record = Log::of(1).openings.remove(0).record;
    let (one, other) = (Opening::of(record.clone()), Opening::of(record));
    assert_ne!(one.entry(), other.entry());
    assert_ne!(one.salt, other.salt);
}
