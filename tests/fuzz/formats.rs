//! Readers of texts and bytes that come from others: page tokens, receipts, checkpoints, keys, records, events.

use deskledger::domain::conversation_message::{ConversationMessage, Remains};
use deskledger::domain::ids::ApplicationKey;
use deskledger::domain::page::Binding;
use deskledger::domain::proof::checkpoint;
use deskledger::domain::proof::entry::Opening;
use deskledger::domain::proof::key::{LogKey, VerifierKey};
use deskledger::domain::proof::receipt::Receipt;
use deskledger::domain::proof::record::Record;
use deskledger::domain::proof::tile::TilePath;
use serde_json::json;

use super::mutation::fuzz;
use crate::support::{World, pb};

const COUNT: u32 = 3000;

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

#[test]
fn page_tokens() {
    let binding = Binding::new(ApplicationKey(1), "List", &"filter");
    let other = Binding::new(ApplicationKey(2), "List", &"filter");
    let good = [binding.token([1, 2]), binding.token([i64::MAX]), other.token([1, 2])];
    fuzz("page tokens", COUNT, good.iter().map(|token| token.clone().into_bytes()).collect(), |input| {
        let token = text(input);
        match binding.position::<2>("page_token", &token) {
            // There is one token for each position.
            Ok(position) if binding.token(position) != token => Err(format!("another token for {position:?}")),
            _ => Ok(()),
        }
    });
}

#[test]
fn receipts_checkpoints_and_keys() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (receipt, hold_receipt, key) = runtime.block_on(async {
        let world = World::signing().await;
        let mut actor = world.actor().await;
        let (ticket, messages) = actor.closed_ticket_with(3).await;
        let mut receipt = String::new();
        for message in &messages {
            receipt = actor.delete_with_receipt(ticket.id, message.id).await.expect("it may be deleted").receipt;
        }
        let id = actor.place_hold(ticket.id).await.hold.expect("it is held").id;
        let of_hold = pb::GetHoldReceiptRequest { ticket_id: ticket.id, id };
        let hold_receipt = loop {
            // It is signed in a moment.
            if let Ok(answer) = actor.logs.get_hold_receipt(of_hold).await {
                break answer.into_inner().receipt;
            }
        };
        (receipt, hold_receipt, world.key.as_ref().expect("a key").clone())
    });
    let verifier = key.verifier_key("acme");
    let good = Receipt::parse(&receipt).expect("a receipt");
    let (opening, note) = (good.opening.to_bytes(), good.checkpoint.clone());
    good.verify(&verifier).expect("it is good");
    let seeds = vec![
        receipt.clone().into_bytes(),
        note.into_bytes(),
        key.key.to_text().into_bytes(),
        key.key.verifier_key("acme").into_bytes(),
        opening.clone(),
        opening[32..].to_vec(),
        b"tile/0/x001/234.p/7".to_vec(),
        hold_receipt.clone().into_bytes(),
        Receipt::parse(&hold_receipt).expect("a receipt").opening.to_bytes()[32..].to_vec(),
        br#"{"application":"acme","cause":"RETENTION","entries":[0,7],"erase_time":"2026-03-15T12:00:00.000001Z","id":1,"older_than":"2025-03-15T12:00:00.000001Z","remains_digest":"00","type":"deskledger.erasure.v1"}"#.to_vec(),
    ];
    fuzz("receipts, checkpoints and keys", COUNT, seeds, |input| {
        let given = text(input);
        if let Ok(parsed) = Receipt::parse(&given)
            && parsed.verify(&verifier).is_ok()
            // A note may have other signatures beside ours; what ours is about is the same.
            && [&receipt, &hold_receipt].iter().all(|good| given.split("\n\n").next() != good.split("\n\n").next())
        {
            return Err("a receipt that was changed is accepted".to_owned());
        }
        let _ = (checkpoint::head_of(&given), checkpoint::open(&given, &verifier));
        let _ = (LogKey::parse(&given), VerifierKey::parse(&given), TilePath::parse(&given));
        let _ = (Opening::parse(input), Record::parse(input));
        Ok(())
    });
}

#[test]
fn conversation_messages() {
    let reference = json!({"id": 2, "type": "contacts", "meta": {}});
    let whole = json!({
        "id": 1, "contactId": reference, "userId": null, "message": "hello", "state": "deleted", "createdAt": "2026-03-15T12:00:00Z",
        "files": [{"filename": "a.png", "url": "https://example.com/a.png", "contentType": "image/png", "size": 1}],
        "deletedAt": "2026-03-15T12:00:00Z", "deletedBy": {"id": 3, "type": "users"}, "filter_args": {},
    });
    let seeds = [
        whole.clone(),
        json!({"conversationmessage": whole}),
        json!({"name": "client_event", "channel": "c", "event": "client-message", "data": whole.to_string(), "socket_id": "1.2"}),
        json!({"name": "channel_vacated", "channel": "c"}),
        json!({"contactId": 2, "message": "", "createdAt": 1_400_000_000}),
    ];
    fuzz("conversation messages", COUNT, seeds.iter().map(|seed| seed.to_string().into_bytes()).collect(), |input| {
        let event = text(input);
        let _ = Remains::of(&event);
        if let Ok(Some(message)) = ConversationMessage::of_event(&event) {
            let again = message.to_event();
            if let Ok(incoming) = message.parse(Some("event:1"))
                && incoming.message.message.len() > event.len()
            {
                return Err(format!("a message is longer than its event: {again}"));
            }
        }
        Ok(())
    });
}
