//! Erasures of old entries in the provable log: each is listed and has a receipt, which names the entries whose records are gone.

use deskledger::domain::erasure::ErasureCause;
use deskledger::domain::proof::receipt::Receipt;
use deskledger::domain::proof::record::Record;
use deskledger::domain::proof::record::erasure::ErasureRecord;
use tonic::{Code, Status};

use crate::commands::program::{deskledger, run};
use crate::spec::log_erasure::{OLD, YEAR, deleted_at};
use crate::support::{Actor, World, pb, refusal};

/// Nobody grows or signs the log from now on.
const STANDSTILL: &str = "update log_sequencer set holder = 'nobody', expire_time = 'infinity'";

async fn erasures(actor: &mut Actor) -> Vec<pb::Erasure> {
    let listed = actor.logs.list_erasures(pb::ListErasuresRequest::default()).await.expect("they are listed").into_inner();
    assert_eq!(listed.next_page_token, "");
    listed.erasures
}

async fn receipt(actor: &mut Actor, id: i64) -> Result<String, Status> {
    Ok(actor.logs.get_erasure_receipt(pb::GetErasureReceiptRequest { id }).await?.into_inner().receipt)
}

/// The place and the record that a good receipt proves.
fn proved(world: &World, receipt: &str) -> (u64, ErasureRecord) {
    let key = world.key.as_ref().expect("a key").verifier_key("acme");
    let proved = Receipt::parse(receipt).expect("a receipt").verify(&key).expect("a good receipt");
    let Record::Erasure(record) = proved.record else { panic!("it is of an erasure: {receipt}") };
    (proved.index, record)
}

#[tokio::test]
async fn each_erasure_has_a_receipt_that_names_the_entries_and_what_stays_of_them() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    deleted_at(&world, &mut actor, OLD, 2).await;
    world.clock.set("2026-03-15T12:00:00.000001Z");
    world.clock.freeze();
    let application = world.owner.find_application("acme").await.expect("the database").expect("the application").key;
    assert_eq!(world.app.erase_log(application, YEAR, ErasureCause::Command).await.expect("they are erased"), 2);
    deleted_at(&world, &mut actor, "2021-02-01T08:00:00Z", 1).await;
    world.clock.set("2026-03-16T12:00:00Z");
    assert_eq!(world.app.retain_logs(YEAR).await.expect("it is erased"), 1);
    // What comes last is in no earlier tree than what came before.
    deleted_at(&world, &mut actor, "2026-03-16T12:00:00Z", 1).await;

    let listed = erasures(&mut actor).await;

    let told: Vec<_> = listed.iter().map(|erasure| (erasure.cause(), erasure.entry_count)).collect();
    assert_eq!(told, [(pb::ErasureCause::Command, 2), (pb::ErasureCause::Retention, 1)]);
    let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    assert_eq!((listed[0].erase_time, listed[0].older_than), (time(1_773_576_000, 1000), time(1_773_576_000 - 365 * 86_400, 1000)));
    for (erasure, (place, cause, entries)) in listed.iter().zip([(2, "COMMAND", vec![0, 1]), (4, "RETENTION", vec![3])]) {
        let text = receipt(&mut actor, erasure.id).await.expect("it is there");
        let (index, record) = proved(&world, &text);
        assert_eq!((index, record.id, record.cause.as_str(), &record.entries), (place, erasure.id, cause, &entries));
        // What stays of the rows is listed, and makes the digest of the receipt.
        let rows = "select string_agg(encode(sha256(convert_to(concat_ws(' ', f.leaf_index, l.ticket_id, l.id, l.chat_message_id, l.message_id,
                l.user_type, (extract(epoch from l.create_time) * 1000000)::bigint, (extract(epoch from l.delete_time) * 1000000)::bigint,
                l.requested_from, coalesce(l.reason, '-'), encode(l.content_digest, 'hex')), 'UTF8')), 'hex'), '' order by f.leaf_index)
            from log_leaves f join deletion_logs l on l.id = f.deletion_log_id where f.leaf_index = any ($1)";
        let places: Vec<i64> = entries.iter().map(|place| i64::try_from(*place).expect("small")).collect();
        let lines: String =
            sqlx::query_scalar(rows).bind(places).fetch_one(&mut world.database.connect().await).await.expect("the rows");
        let digest = "select encode(sha256(decode($1, 'hex')), 'hex')";
        let digest: String =
            sqlx::query_scalar(digest).bind(lines).fetch_one(&mut world.database.connect().await).await.expect("a digest");
        assert_eq!(record.remains_digest, digest);
    }
}

#[tokio::test]
async fn the_receipt_of_an_erasure_is_checked_offline_by_the_program() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    deleted_at(&world, &mut actor, OLD, 1).await;
    world.clock.set("2026-03-15T12:00:00Z");
    world.app.retain_logs(YEAR).await.expect("it is erased");
    deleted_at(&world, &mut actor, "2026-03-15T12:00:00Z", 1).await;
    let id = erasures(&mut actor).await[0].id;
    let text = receipt(&mut actor, id).await.expect("it is there");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let key = world.key.as_ref().expect("a key").key.verifier_key("acme");
    let verify = |text: &str| {
        std::fs::write(file.path(), text).expect("the receipt");
        run(deskledger(&["log", "verify-receipt"]).arg(file.path()).args(["--key", &key]))
    };

    let said = verify(&text).good();

    assert!(said.starts_with("The receipt is good. Entry 1 of the log desk.example.com/log/acme is this record:\n"), "{said}");
    for part in ["\"type\": \"deskledger.erasure.v1\"", "\"cause\": \"RETENTION\"", "\"entries\": [\n    0\n  ]"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let refused = verify(&text.replacen("index 1", "index 0", 1)).failed(1);
    assert!(refused.starts_with("deskledger: the receipt proves nothing: "), "{refused}");
}

#[tokio::test]
async fn erasures_are_listed_page_by_page_and_only_the_applications_own() {
    let world = World::signing().await;
    let (mut actor, mut other) = (world.actor().await, world.actor_of("other").await);
    for year in ["2020", "2021", "2022"] {
        for actor in [&mut actor, &mut other] {
            deleted_at(&world, actor, &format!("{year}-02-01T08:00:00Z"), 1).await;
        }
        world.clock.set("2026-03-15T12:00:00Z");
        assert_eq!(world.app.retain_logs(YEAR).await.expect("they are erased"), 2);
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    for size in [2, 1] {
        let request = pb::ListErasuresRequest { page_size: 2, page_token };
        let page = actor.logs.list_erasures(request).await.expect("a page").into_inner();
        assert_eq!(page.erasures.len(), size);
        found.extend(page.erasures);
        page_token = page.next_page_token;
    }
    let (own, others) = (erasures(&mut actor).await, erasures(&mut other).await);
    assert_eq!((&found, page_token.as_str(), others.len()), (&own, "", 3));
    assert!(own.iter().all(|erasure| others.iter().all(|other| other.id != erasure.id)));

    let request = pb::ListErasuresRequest { page_size: 101, ..Default::default() };
    let refused = refusal(&actor.logs.list_erasures(request).await.expect_err("it is too large"));
    assert_eq!((refused.reason.as_str(), refused.metadata["field"].as_str()), ("INVALID_FIELD", "page_size"));
    let request = pb::ListErasuresRequest { page_token: "x".to_owned(), ..Default::default() };
    let refused = refusal(&actor.logs.list_erasures(request).await.expect_err("it is no token"));
    assert_eq!(refused.reason, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn an_erasure_that_waits_is_told_from_one_that_there_is_not_and_from_one_that_was_changed() {
    let world = World::signing().await;
    let mut actor = world.actor().await;
    deleted_at(&world, &mut actor, OLD, 1).await;
    world.clock.set("2026-03-15T12:00:00Z");
    world.database.run(STANDSTILL).await;
    world.app.retain_logs(YEAR).await.expect("it is erased");
    let id = erasures(&mut actor).await[0].id;

    let refused = refusal(&receipt(&mut actor, id).await.expect_err("it waits"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "RECEIPT_NOT_READY"));
    assert_eq!((refused.metadata["id"].as_str(), refused.metadata.get("ticket_id")), (id.to_string().as_str(), None));
    let refused = refusal(&receipt(&mut actor, id + 1).await.expect_err("there is none"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "ERASURE_NOT_FOUND"));

    world.database.run("update log_sequencer set expire_time = '-infinity'").await;
    deleted_at(&world, &mut actor, "2026-03-15T12:00:00Z", 1).await;
    receipt(&mut actor, id).await.expect("it is there");
    world.database.run("update log_erasures set older_than = now()").await;
    let refused = refusal(&receipt(&mut actor, id).await.expect_err("it was changed"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::DataLoss, "LOG_CORRUPT"));
}
