//! Random calls, most of which make sense.

use rand::RngExt;
use rand::rngs::StdRng;

use super::Call;
use super::oracle::Tenant;
use crate::support::pb;

/// A random call of a tenant. `foreign` is a ticket of another one.
pub fn random(random: &mut StdRng, tenant: &Tenant, foreign: i64) -> Call {
    let own = tenant.any_ticket(random);
    let ticket_id = if random.random_ratio(1, 50) { foreign } else { own };
    match random.random_range(0..100) {
        0..18 => {
            Call::Create(pb::CreateChatMessageRequest { ticket_id, chat_message: Some(message(random)), request_id: String::new() })
        }
        18..22 => {
            let chat_messages = (0..random.random_range(1..6)).map(|_| message(random)).collect();
            Call::BatchCreate(pb::BatchCreateChatMessagesRequest { ticket_id, chat_messages, request_id: String::new() })
        }
        22..40 => Call::List(list(random, tenant, ticket_id)),
        40..50 => Call::Get(pb::GetChatMessageRequest { ticket_id, id: tenant.any_message(own, random) }),
        50..66 => {
            let id = tenant.any_message(own, random);
            let (reason, reason_detail) = reason(random);
            let requested_from = random.random_range(0..3);
            let requested_by = random.random_ratio(1, 4).then(|| agent(random));
            let request = pb::DeleteChatMessageRequest {
                ticket_id,
                id,
                requested_from,
                requested_by,
                reason,
                reason_detail,
                ..Default::default()
            };
            Call::Delete(request)
        }
        66..72 => {
            let mut ids: Vec<i64> = (0..random.random_range(1..4)).map(|_| tenant.any_message(own, random)).collect();
            ids.sort_unstable();
            ids.dedup();
            if random.random() {
                ids.reverse();
            }
            let validate_only = random.random_ratio(1, 3);
            let (reason, reason_detail) = reason(random);
            Call::BatchDelete(pb::BatchDeleteChatMessagesRequest {
                ticket_id,
                ids,
                reason,
                reason_detail,
                validate_only,
                ..Default::default()
            })
        }
        72..79 => {
            let close_message = if random.random_ratio(1, 5) { "Thank you, good-bye." } else { "" }.to_owned();
            let close_comment = format!("comment {}", random.random_range(0..9));
            Call::Close(pb::CloseTicketRequest { id: ticket_id, close_comment, close_message, request_id: String::new() })
        }
        79..83 => Call::Reopen(pb::ReopenTicketRequest { id: ticket_id, request_id: String::new() }),
        83..88 => {
            let ticket = pb::Ticket { id: ticket_id, status: random.random_range(1..8), ..Default::default() };
            Call::Update(pb::UpdateTicketRequest { ticket: Some(ticket), ..Default::default() })
        }
        88 => {
            let reason = format!("reason {}", random.random_range(0..9));
            let requested_by = random.random_ratio(1, 4).then(|| agent(random));
            Call::PlaceHold(pb::PlaceHoldRequest { id: ticket_id, reason, requested_by, request_id: String::new() })
        }
        // Soon, so that most tickets are under no hold most of the time.
        89..93 => {
            let reason = "settled".to_owned();
            Call::ReleaseHold(pb::ReleaseHoldRequest { id: ticket_id, reason, ..Default::default() })
        }
        93..96 => Call::GetTicket(pb::GetTicketRequest { id: ticket_id }),
        _ => Call::Log(log(random, tenant, ticket_id)),
    }
}

fn message(random: &mut StdRng) -> pb::ChatMessage {
    let user_type = random.random_range(1..4);
    let text = |random: &mut StdRng| "täxt ".repeat(random.random_range(0..6));
    let file = pb::File {
        url: "https://files.example/1".to_owned(),
        name: "1.png".to_owned(),
        content_type: "image/png".to_owned(),
        size_bytes: 7,
    };
    pb::ChatMessage {
        user_sendbird_id: if user_type == pb::UserType::Event as i32 {
            String::new()
        } else {
            format!("user {}", random.random_range(0..9))
        },
        user_type,
        create_time: random.random_ratio(1, 3).then(|| prost_types::Timestamp {
            seconds: random.random_range(1_500_000_000..1_700_000_000),
            nanos: random.random_range(0..1_000_000) * 1000,
        }),
        message: text(random),
        data: text(random),
        files: if random.random_ratio(1, 10) { vec![file] } else { vec![] },
        external_id: if random.random_ratio(1, 2) { format!("sent {}", random.random_range(0..400)) } else { String::new() },
        ..Default::default()
    }
}

fn list(random: &mut StdRng, tenant: &Tenant, ticket_id: i64) -> pb::ListChatMessagesRequest {
    let page_size = random.random_range(0..40);
    let skip = if random.random() { 0 } else { random.random_range(0..800) };
    // Now and then the token of another ticket.
    let page_token = if random.random() { tenant.any_page_token(ticket_id, random) } else { String::new() };
    pb::ListChatMessagesRequest { ticket_id, page_size, skip, page_token }
}

fn log(random: &mut StdRng, tenant: &Tenant, ticket_id: i64) -> pb::ListDeletionLogsRequest {
    let ticket_id = if random.random() { ticket_id } else { 0 };
    let filter = pb::DeletionLogFilter { ticket_id, ..Default::default() };
    let skip = if random.random() { 0 } else { random.random_range(0..300) };
    let page_token = if random.random() { tenant.any_log_token(ticket_id, random) } else { String::new() };
    pb::ListDeletionLogsRequest { filter: Some(filter), page_size: random.random_range(0..20), skip, page_token }
}

fn reason(random: &mut StdRng) -> (i32, String) {
    if random.random() { (random.random_range(1..9), "because".to_owned()) } else { (0, String::new()) }
}

fn agent(random: &mut StdRng) -> pb::Agent {
    let id = random.random_range(1..4);
    pb::Agent { id, display_name: format!("Agent {id}"), sendbird_id: String::new(), email: "agent@example.com".to_owned() }
}
