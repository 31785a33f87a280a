//! Random calls, each answer compared with that of a model in memory.

mod calls;
mod oracle;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tonic::{Response, Status};

use super::invariants::assert_sound;
use crate::support::{Actor, World, pb, refusal};
use oracle::Tenant;

/// All calls together. Another number is given in the environment as `DESKLEDGER_TEST_CALLS`.
const CALLS: u64 = 100_000;
/// Lanes run at once; each has two applications of its own, whose calls it makes one after the other.
const LANES: u64 = 6;
/// Another one is given in the environment as `DESKLEDGER_TEST_SEED`.
const SEED: u64 = 20_260_315;

/// A call of a lane.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "few live at a time")]
enum Call {
    Create(pb::CreateChatMessageRequest),
    BatchCreate(pb::BatchCreateChatMessagesRequest),
    List(pb::ListChatMessagesRequest),
    Get(pb::GetChatMessageRequest),
    Delete(pb::DeleteChatMessageRequest),
    BatchDelete(pb::BatchDeleteChatMessagesRequest),
    Close(pb::CloseTicketRequest),
    Reopen(pb::ReopenTicketRequest),
    PlaceHold(pb::PlaceHoldRequest),
    ReleaseHold(pb::ReleaseHoldRequest),
    Update(pb::UpdateTicketRequest),
    GetTicket(pb::GetTicketRequest),
    Log(pb::ListDeletionLogsRequest),
}

/// What a call is answered.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few live at a time")]
enum Answer {
    Stored(Vec<pb::CreateChatMessageResponse>),
    Messages(pb::ListChatMessagesResponse),
    Message(pb::ChatMessage),
    Deleted(Vec<pb::BatchDeleteChatMessagesResult>),
    Ticket(pb::Ticket),
    Log(pb::ListDeletionLogsResponse),
    Refused { reason: String, metadata: BTreeMap<String, String> },
}

async fn make(actor: &mut Actor, call: Call) -> Answer {
    match call {
        Call::Create(request) => answer(actor.messages.create_chat_message(request).await, |stored| Answer::Stored(vec![stored])),
        Call::BatchCreate(request) => {
            answer(actor.messages.batch_create_chat_messages(request).await, |stored| Answer::Stored(stored.results))
        }
        Call::List(request) => answer(actor.messages.list_chat_messages(request).await, Answer::Messages),
        Call::Get(request) => {
            answer(actor.messages.get_chat_message(request).await, |got| Answer::Message(got.chat_message.unwrap_or_default()))
        }
        Call::Delete(request) => {
            let id = request.id;
            let result = |deleted| pb::BatchDeleteChatMessagesResult { id, outcome: Some(oracle::deleted(deleted)) };
            answer(actor.messages.delete_chat_message(request).await, |deleted| Answer::Deleted(vec![result(deleted)]))
        }
        Call::BatchDelete(request) => {
            answer(actor.messages.batch_delete_chat_messages(request).await, |deleted| Answer::Deleted(deleted.results))
        }
        Call::Close(request) => {
            answer(actor.tickets.close_ticket(request).await, |closed| Answer::Ticket(closed.ticket.unwrap_or_default()))
        }
        Call::Reopen(request) => {
            answer(actor.tickets.reopen_ticket(request).await, |opened| Answer::Ticket(opened.ticket.unwrap_or_default()))
        }
        Call::PlaceHold(request) => {
            answer(actor.tickets.place_hold(request).await, |held| Answer::Ticket(held.ticket.unwrap_or_default()))
        }
        Call::ReleaseHold(request) => {
            answer(actor.tickets.release_hold(request).await, |released| Answer::Ticket(released.ticket.unwrap_or_default()))
        }
        Call::Update(request) => {
            answer(actor.tickets.update_ticket(request).await, |updated| Answer::Ticket(updated.ticket.unwrap_or_default()))
        }
        Call::GetTicket(request) => {
            answer(actor.tickets.get_ticket(request).await, |got| Answer::Ticket(got.ticket.unwrap_or_default()))
        }
        Call::Log(request) => answer(actor.logs.list_deletion_logs(request).await, Answer::Log),
    }
}

fn answer<T>(answered: Result<Response<T>, Status>, given: impl FnOnce(T) -> Answer) -> Answer {
    match answered {
        Ok(response) => given(response.into_inner()),
        Err(status) => {
            let refused = refusal(&status);
            Answer::Refused { reason: refused.reason, metadata: refused.metadata.into_iter().collect() }
        }
    }
}

/// Two applications and what the model knows of them.
struct Lane {
    number: u64,
    random: StdRng,
    tenants: [(Actor, Tenant); 2],
}

impl Lane {
    async fn new(world: &World, seed: u64, number: u64) -> Self {
        let mut tenants = Vec::new();
        for name in ["a", "b"] {
            let mut actor = world.actor_of(&format!("lane-{number}-{name}")).await;
            let mut tenant = Tenant::new(&actor.token);
            for channel_type in [pb::ChannelType::Sendbird, pb::ChannelType::SendbirdIos, pb::ChannelType::WhatsappMessage] {
                tenant.add(actor.open_ticket_of(channel_type).await);
            }
            tenants.push((actor, tenant));
        }
        let random = StdRng::seed_from_u64(seed.wrapping_add(number));
        let tenants = tenants.try_into().unwrap_or_else(|_| unreachable!("two were made"));
        Self { number, random, tenants }
    }

    async fn run(mut self, seed: u64, calls: u64) {
        for step in 0..calls {
            let caller = self.random.random_range(0..2);
            let other = self.tenants[1 - caller].1.any_ticket(&mut self.random);
            let (actor, tenant) = &mut self.tenants[caller];
            let call = calls::random(&mut self.random, tenant, other);
            let answered = make(actor, call.clone()).await;
            let expected = tenant.foretell(&call, &answered);
            assert_eq!(
                answered, expected,
                "the service's answer (left) is not the model's (right): DESKLEDGER_TEST_SEED={seed}, lane {}, step {step}, {call:#?}",
                self.number
            );
            if let Some(look) = tenant.unlearned() {
                tenant.learn(&make(actor, Call::List(look)).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_calls_are_answered_as_the_model_foretells() {
    let seed = setting("DESKLEDGER_TEST_SEED", SEED);
    let calls = setting("DESKLEDGER_TEST_CALLS", CALLS) / LANES;
    let world = World::new().await;
    let mut lanes = Vec::new();
    for number in 0..LANES {
        lanes.push(tokio::spawn(Lane::new(&world, seed, number).await.run(seed, calls)));
    }
    for lane in lanes {
        lane.await.expect("the lane agrees with its model");
    }
    assert_sound(&world.database).await;
}

#[expect(clippy::disallowed_methods, reason = "a setting of this test, not of the service")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().expect("the setting is a number"))
}
