//! Receipts and proofs: what was deleted can be proved to anyone, and what proves nothing is not answered.

use deskledger::app::LogSequencer;
use deskledger::domain::proof::Hash;
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::entry::Entry;
use deskledger::domain::proof::receipt::{Proved, Receipt};
use deskledger::domain::proof::record::Record;
use deskledger::domain::proof::tree::{Head, check_consistency, check_inclusion};
use deskledger::domain::random::digits;
use tonic::{Code, Status};

use crate::support::world::TestKey;
use crate::support::{Actor, World, pb, refusal};

/// Nobody grows or signs the log from now on.
const STANDSTILL: &str = "update log_sequencer set holder = 'nobody', expire_time = 'infinity'";

fn proved(world: &World, receipt: &str) -> Proved {
    let key = world.key.as_ref().expect("a key").verifier_key("acme");
    Receipt::parse(receipt).expect("a receipt").verify(&key).expect("a good receipt")
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(bytes.try_into().expect("32 bytes"))
}

fn hashes(hashes: &[Vec<u8>]) -> Vec<Hash> {
    hashes.iter().map(|bytes| hash(bytes)).collect()
}

async fn checkpoint(actor: &mut Actor) -> pb::GetCheckpointResponse {
    actor.logs.get_checkpoint(pb::GetCheckpointRequest {}).await.expect("a checkpoint").into_inner()
}

async fn receipt(actor: &mut Actor, log: &pb::DeletionLog) -> Result<String, Status> {
    let request = pb::GetReceiptRequest { ticket_id: log.ticket_id, id: log.id };
    Ok(actor.logs.get_receipt(request).await?.into_inner().receipt)
}

/// Deletes messages of a ticket one after the other, each with its receipt, and answers their logs.
async fn deleted(actor: &mut Actor, count: usize) -> Vec<pb::DeletionLog> {
    let (ticket, messages) = actor.closed_ticket_with(count).await;
    let mut logs = Vec::new();
    for message in messages {
        let answer = actor.delete_with_receipt(ticket.id, message.id).await.expect("it may be deleted");
        assert!(!answer.receipt.is_empty(), "it is there in time");
        logs.push(answer.deletion_log.expect("a log entry"));
    }
    logs
}

#[tokio::test]
async fn a_receipt_proves_the_deletion_that_its_log_entry_tells_of() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let grounds = pb::DeleteChatMessageRequest {
        ticket_id: ticket.id,
        id: messages[0].id,
        requested_from: pb::RequestedFrom::Dashboard as i32,
        requested_by: Some(pb::Agent { id: 4, display_name: "Bob \u{1f600}".to_owned(), ..Default::default() }),
        reason: pb::DeletionReason::LegalOrder as i32,
        reason_detail: "file 12/\"3\"".to_owned(),
        wait_for_receipt: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
        ..Default::default()
    };
    let answer = actor.messages.delete_chat_message(grounds).await.expect("it may be deleted").into_inner();
    let log = answer.deletion_log.expect("a log entry");

    let Proved { record, index, head } = proved(&world, &answer.receipt);
    let Record::Deletion(record) = record else { panic!("it is of a deletion: {record:?}") };

    assert_eq!((index, head.size), (0, 1));
    assert_eq!((record.application.as_str(), record.ticket_id, record.chat_message_id), ("acme", ticket.id, messages[0].id));
    assert_eq!((record.id, record.message_id, record.previous), (log.id, 1, None));
    assert_eq!((record.reason.as_deref(), record.reason_detail.as_str()), (Some("LEGAL_ORDER"), "file 12/\"3\""));
    let by = record.requested_by.expect("an agent");
    assert_eq!((by.id, by.display_name.as_str(), record.requested_from.as_str()), (4, "Bob \u{1f600}", "DASHBOARD"));
    assert_eq!((record.token_id, record.content_digest), (log.token_id.clone(), digits(&log.content_digest)));
    assert_eq!(receipt(&mut actor, &log).await.expect("it is there"), answer.receipt, "on the same checkpoint");

    let next = actor.delete_with_receipt(ticket.id, messages[1].id).await.expect("it may be deleted");
    let Proved { record, index, .. } = proved(&world, &next.receipt);
    let Record::Deletion(record) = record else { panic!("it is of a deletion: {record:?}") };
    let first = Receipt::parse(&answer.receipt).expect("a receipt").opening.entry();
    assert_eq!((index, record.previous), (1, Some(digits(&first.0))), "it names the deletion before it in the ticket");
    proved(&world, &answer.receipt);
}

#[tokio::test]
async fn every_deletion_is_in_the_checkpoints_tree_and_every_tree_begins_with_the_ones_before() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let mut heads = Vec::new();
    let mut logs = Vec::new();
    for count in [1, 3, 2] {
        logs.extend(deleted(&mut actor, count).await);
        let answer = checkpoint(&mut actor).await;
        let key = world.key.as_ref().expect("a key").verifier_key("acme");
        let head = checkpoint::open(&answer.checkpoint, &key).expect("a good checkpoint");
        assert_eq!((answer.tree_size.unsigned_abs(), hash(&answer.root_hash)), (head.size, head.root));
        heads.push(head);
    }
    assert_eq!(heads.iter().map(|head| head.size).collect::<Vec<_>>(), [1, 4, 6]);

    for (index, log) in logs.iter().enumerate() {
        for head in heads.iter().filter(|head| index < usize::try_from(head.size).expect("small")) {
            let tree_size = head.size.cast_signed();
            let request = pb::GetInclusionProofRequest { ticket_id: log.ticket_id, id: log.id, tree_size };
            let proof = actor.logs.get_inclusion_proof(request).await.expect("a proof").into_inner();
            assert_eq!((proof.leaf_index, proof.tree_size), (i64::try_from(index).expect("small"), tree_size));
            let leaf = Entry(proof.entry.try_into().expect("32 bytes")).leaf_hash();
            check_inclusion(&hashes(&proof.hashes), *head, index as u64, leaf).expect("a good proof");
        }
    }
    for (at, new) in heads.iter().enumerate() {
        for old in heads[..=at].iter().chain([&Head::EMPTY]) {
            let request =
                pb::GetConsistencyProofRequest { old_tree_size: old.size.cast_signed(), new_tree_size: new.size.cast_signed() };
            let proof = actor.logs.get_consistency_proof(request).await.expect("a proof").into_inner();
            check_consistency(&hashes(&proof.hashes), *new, *old).expect("a good proof");
        }
    }
}

#[tokio::test]
async fn sizes_of_trees_that_are_not_signed_or_lack_the_entry_are_refused() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let log = deleted(&mut actor, 3).await.remove(1);
    for (tree_size, range) in [(1, ("2", "3")), (4, ("2", "3"))] {
        let request = pb::GetInclusionProofRequest { ticket_id: log.ticket_id, id: log.id, tree_size };
        let refused = refusal(&actor.logs.get_inclusion_proof(request).await.expect_err("no such tree"));
        assert_eq!((refused.reason.as_str(), refused.metadata["field"].as_str()), ("INVALID_FIELD", "tree_size"));
        assert_eq!((refused.metadata["min"].as_str(), refused.metadata["max"].as_str()), range);
    }
    for (old, new, field) in [(0, 4, "new_tree_size"), (3, 2, "old_tree_size"), (4, 0, "old_tree_size"), (-1, 0, "old_tree_size")] {
        let request = pb::GetConsistencyProofRequest { old_tree_size: old, new_tree_size: new };
        let refused = refusal(&actor.logs.get_consistency_proof(request).await.expect_err("no such tree"));
        assert_eq!((refused.reason.as_str(), refused.metadata["field"].as_str()), ("INVALID_FIELD", field));
    }
}

#[tokio::test]
async fn a_deletion_that_is_in_no_signed_tree_yet_is_told_from_one_that_there_is_not() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    world.sign_log().await;
    world.database.run(STANDSTILL).await;
    let log = actor.delete(ticket.id, messages[0].id).await.expect("it may be deleted").deletion_log.expect("a log entry");

    let refused = refusal(&receipt(&mut actor, &log).await.expect_err("it waits"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "RECEIPT_NOT_READY"));
    let absent = pb::DeletionLog { id: log.id + 1, ..log };
    let refused = refusal(&receipt(&mut actor, &absent).await.expect_err("there is none"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "DELETION_LOG_NOT_FOUND"));
}

#[tokio::test]
async fn without_a_key_deletions_are_carried_out_and_the_log_is_not_signed_until_one_comes() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(1).await;
    let request = pb::DeleteChatMessageRequest {
        ticket_id: ticket.id,
        id: messages[0].id,
        wait_for_receipt: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
        ..Default::default()
    };
    let answer = actor.messages.delete_chat_message(request).await.expect("it is deleted").into_inner();
    assert_eq!(answer.receipt, "");
    let refused = actor.logs.get_checkpoint(pb::GetCheckpointRequest {}).await.expect_err("nobody signs");
    let refused = refusal(&refused);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "LOG_NOT_SIGNED"));
    let log = answer.deletion_log.expect("a log entry");

    // Another process has the key.
    let key = TestKey::new();
    let mut another = LogSequencer::new(Some(key.signer()));
    while receipt(&mut actor, &log).await.is_err() {
        another.run(&world.app).await.expect("it is signed");
    }
    let good = Receipt::parse(&receipt(&mut actor, &log).await.expect("it is signed")).expect("a receipt");
    assert!(good.verify(&key.verifier_key("acme")).is_ok());
}

#[tokio::test]
async fn deletions_of_every_kind_get_receipts_each_in_its_tickets_order() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(5).await;
    let ids = vec![messages[3].id, messages[0].id];
    let batch = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, ..Default::default() };
    actor.messages.batch_delete_chat_messages(batch).await.expect("they may be deleted");
    let last = actor.delete_with_receipt(ticket.id, messages[4].id).await.expect("it may be deleted");

    let mut logs = actor.log().await;
    logs.sort_by_key(|log| log.id);
    let mut previous = None;
    for log in &logs {
        let text = receipt(&mut actor, log).await.expect("it is there");
        let Record::Deletion(record) = proved(&world, &text).record else { panic!("it is of a deletion: {text}") };
        assert_eq!(record.previous, previous);
        previous = Some(digits(&Receipt::parse(&text).expect("a receipt").opening.entry().0));
    }
    assert_eq!(logs.iter().map(|log| log.message_id).collect::<Vec<_>>(), [4, 1, 5]);
    assert_eq!(logs.last(), last.deletion_log.as_ref());
}

#[tokio::test]
async fn a_log_that_was_changed_in_the_database_proves_nothing() {
    let changes = [
        "update deletion_logs set reason_detail = 'nothing happened'",
        "update log_leaves set entry = sha256(entry)",
        "update log_leaves set salt = sha256(salt)",
        "update log_tiles set hashes = sha256(hashes) || substr(hashes, 33) where level = 0",
        "delete from log_tiles",
    ];
    for change in changes {
        let world = World::signing().await;
        let mut actor = world.actor().await;
        let log = deleted(&mut actor, 2).await.remove(1);
        world.database.run(change).await;

        let refused = refusal(&receipt(&mut actor, &log).await.expect_err(change));

        assert_eq!((refused.code, refused.reason.as_str()), (Code::DataLoss, "LOG_CORRUPT"), "{change}");
        assert_eq!(refused.message, "The deletion log is damaged.");
    }
}
