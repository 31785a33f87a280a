//! What the deletion log can prove, without a database: trees, proofs and receipts, compared with implementations that are not ours.

mod tampering;
mod trees;
mod vectors;

use std::cell::RefCell;
use std::collections::BTreeMap;

use deskledger::domain::chat_message::UserType;
use deskledger::domain::deletion::{DeletionReason, RequestedFrom};
use deskledger::domain::deletion_log::DeletionLog;
use deskledger::domain::erasure::{Erasure, ErasureCause};
use deskledger::domain::hold::{HoldAction, HoldEvent};
use deskledger::domain::ids::{ChatMessageId, DeletionLogId, ErasureId, HoldEventId, MessageId, TicketId};
use deskledger::domain::proof::act::Act;
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::entry::Opening;
use deskledger::domain::proof::key::{LogKey, VerifierKey};
use deskledger::domain::proof::receipt::Receipt;
use deskledger::domain::proof::record::Record;
use deskledger::domain::proof::tree::{Head, Tiles};

/// A log in memory, with its key.
struct Log {
    key: LogKey,
    openings: Vec<Opening>,
    tiles: Tiles,
    /// The heads that were signed: signing takes long in a debug build.
    checkpoints: RefCell<BTreeMap<u64, String>>,
}

impl Log {
    /// A log of this many entries, ten in each ticket: nine deletions, and a legal hold that is placed after them. One deletion makes way for
    /// an erasure of the first entries.
    fn of(size: i64) -> Self {
        let mut openings: Vec<Opening> = Vec::new();
        for at in 0..size {
            let previous = if at % 10 == 0 { None } else { openings.last().map(Opening::entry) };
            openings.push(Opening::of(match at % 10 {
                9 => Record::of("acme", &Act::Hold(placing(at)), None),
                _ if at == ERASURE => Record::of("acme", &Act::Erasure(erasure()), None),
                _ => Record::of("acme", &Act::Deletion(deletion(at)), previous.as_ref()),
            }));
        }
        let leaves: Vec<_> = openings.iter().map(|opening| opening.entry().leaf_hash()).collect();
        let mut tiles = Tiles::default();
        tiles.append(0, &leaves).expect("an empty tree needs no tiles");
        Self { key: LogKey::generate("desk.example.com/log").expect("an origin"), openings, tiles, checkpoints: RefCell::default() }
    }

    fn verifier_key(&self) -> VerifierKey {
        VerifierKey::parse(&self.key.verifier_key("acme")).expect("a verifier key")
    }

    fn head(&self, size: u64) -> Head {
        Head { size, root: self.tiles.root(size).expect("all tiles are there") }
    }

    fn checkpoint(&self, size: u64) -> String {
        let sign = || checkpoint::sign(&self.key, "acme", self.head(size)).expect("a checkpoint");
        self.checkpoints.borrow_mut().entry(size).or_insert_with(sign).clone()
    }

    fn receipt(&self, size: u64, index: u64) -> Receipt {
        Receipt {
            opening: self.openings[usize::try_from(index).expect("a place")].clone(),
            index,
            proof: self.tiles.inclusion(size, index).expect("all tiles are there"),
            checkpoint: self.checkpoint(size),
        }
    }
}

/// Where the erasure is: among the entries that get receipts for other verifiers, the last of a ticket before its hold.
const ERASURE: i64 = 98;

fn erasure() -> Erasure {
    let erase_time = "2026-03-15T12:00:00.000001Z".parse().expect("a time");
    let older_than = "2026-02-13T12:00:00Z".parse().expect("a time");
    let id = ErasureId(3);
    Erasure { id, erase_time, older_than, cause: ErasureCause::Retention, leaf_indexes: vec![0, 1, 7], remains_digest: [7; 32] }
}

fn placing(at: i64) -> HoldEvent {
    HoldEvent {
        id: HoldEventId(at + 1),
        ticket_id: TicketId(at / 10 + 1),
        action: HoldAction::Placed,
        placed_id: None,
        create_time: "2026-11-21T08:00:00.000001Z".parse().expect("a time"),
        reason: "file 12/\"3\" of the court in Köln".to_owned(),
        requested_by: None,
        token_id: "t0".to_owned(),
    }
}

fn deletion(at: i64) -> DeletionLog {
    let time = "2026-11-21T08:00:00.000001Z".parse().expect("a time");
    DeletionLog {
        id: DeletionLogId(at + 1),
        ticket_id: TicketId(at / 10 + 1),
        chat_message_id: ChatMessageId(at + 1000),
        message_id: MessageId(at % 10 + 1),
        user_sendbird_id: format!("käufer {at}"),
        user_type: UserType::Customer,
        create_time: time,
        delete_time: time,
        requested_from: RequestedFrom::PlatformApi,
        requested_by: None,
        reason: Some(DeletionReason::PrivacyRequest),
        reason_detail: "the \"customer\" asked\nfor it \u{1f5d1}".to_owned(),
        token_id: "t0".to_owned(),
        content_digest: vec![u8::try_from(at % 256).expect("a byte"); 32],
        erase_time: None,
    }
}
