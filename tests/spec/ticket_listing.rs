//! Lists of tickets: their order, and what each filter chooses.

use tonic::Code;

use crate::support::ticket::{full_agent, plain_ticket};
use crate::support::{Actor, World, pb, refusal};

#[tokio::test]
async fn tickets_are_listed_ascending_by_id_and_only_the_applications_own() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut other = world.actor_of("globex").await;
    let mut opened = Vec::new();
    for _ in 0..3 {
        opened.push(actor.open_ticket().await);
        other.open_ticket().await;
    }
    // What was changed last does not move.
    opened[0] = actor.close(opened[0].id).await;

    let listed = actor.list_tickets(pb::TicketFilter::default()).await.expect("the tickets are listed");

    assert!(opened.is_sorted_by_key(|ticket| ticket.id));
    assert_eq!((listed.tickets, listed.total_size, listed.next_page_token), (opened, 3, String::new()));
}

/// Three tickets that differ in all that a filter looks at.
async fn three_tickets(world: &World, actor: &mut Actor) -> Vec<i64> {
    world.clock.freeze();
    let mut ids = Vec::new();
    let rows = [
        ("2026-03-13T23:59:59.999999Z", "ada", "channel_a", 1, "Parcel 100% late"),
        ("2026-03-14T00:00:00Z", "bob", "channel_b", 2, "parcel_lost"),
        ("2026-03-14T23:59:59.999999Z", "ada", "channel_b", 2, "ÄRGER mit\\dem Paket"),
    ];
    for (time, sendbird_id, channel_url, agent_id, channel_name) in rows {
        world.clock.set(time);
        let customer = pb::Customer {
            sendbird_id: sendbird_id.to_owned(),
            display_name: format!("{sendbird_id} Lovelace"),
            ..Default::default()
        };
        let ticket = pb::Ticket {
            customer: Some(customer),
            channel_url: channel_url.to_owned(),
            channel_name: channel_name.to_owned(),
            recent_assignment: Some(pb::Assignment { agent: Some(pb::Agent { id: agent_id, ..full_agent() }) }),
            ..plain_ticket()
        };
        ids.push(actor.create(ticket).await.expect("the ticket opens").id);
    }
    actor.close(ids[2]).await;
    ids
}

#[tokio::test]
async fn a_filter_chooses_the_tickets_for_which_all_its_conditions_hold() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ids = three_tickets(&world, &mut actor).await;
    let all = pb::TicketFilter::default();
    let query = |text: &str| pb::TicketFilter { query: text.to_owned(), ..Default::default() };
    let days =
        |start: &str, end: &str| pb::TicketFilter { start_date: start.to_owned(), end_date: end.to_owned(), ..Default::default() };
    let closed = pb::TicketStatus::Closed as i32;
    let rows: Vec<(pb::TicketFilter, &[usize])> = vec![
        (all.clone(), &[0, 1, 2]),
        (pb::TicketFilter { status: closed, ..all.clone() }, &[2]),
        (pb::TicketFilter { status: pb::TicketStatus::Active as i32, ..all.clone() }, &[]),
        (pb::TicketFilter { agent_id: 2, ..all.clone() }, &[1, 2]),
        (pb::TicketFilter { agent_id: -2, ..all.clone() }, &[]),
        (pb::TicketFilter { sendbird_id: "ada".to_owned(), ..all.clone() }, &[0, 2]),
        (pb::TicketFilter { sendbird_id: "ADA".to_owned(), ..all.clone() }, &[]),
        (pb::TicketFilter { channel_url: "channel_b".to_owned(), ..all.clone() }, &[1, 2]),
        (pb::TicketFilter { channel_url: "channel".to_owned(), ..all.clone() }, &[]),
        (query("PARCEL"), &[0, 1]),
        (query("ärger"), &[2]),
        (query("bob love"), &[1]),
        (query("LOVELACE"), &[0, 1, 2]),
        (query("%"), &[0]),
        (query("_"), &[1]),
        (query("\\"), &[2]),
        (query("parcel.*"), &[]),
        (days("2026-03-14", ""), &[1, 2]),
        (days("", "2026-03-13"), &[0]),
        (days("2026-03-14", "2026-03-14"), &[1, 2]),
        (days("2026-03-13", "2026-03-14"), &[0, 1, 2]),
        (days("2026-03-15", ""), &[]),
        (days("0001-01-01", "9999-12-31"), &[0, 1, 2]),
        (pb::TicketFilter { agent_id: 2, sendbird_id: "ada".to_owned(), ..all.clone() }, &[2]),
        (pb::TicketFilter { query: "parcel".to_owned(), ..days("2026-03-14", "2026-03-14") }, &[1]),
        (
            pb::TicketFilter {
                status: closed,
                agent_id: 2,
                sendbird_id: "ada".to_owned(),
                channel_url: "channel_b".to_owned(),
                query: "paket".to_owned(),
                ..days("2026-03-14", "2026-03-14")
            },
            &[2],
        ),
        (pb::TicketFilter { status: closed, channel_url: "channel_a".to_owned(), ..all }, &[]),
    ];
    for (filter, expected) in rows {
        let listed = actor.list_tickets(filter.clone()).await.expect("the tickets are listed");
        let found: Vec<i64> = listed.tickets.iter().map(|ticket| ticket.id).collect();
        let expected: Vec<i64> = expected.iter().map(|at| ids[*at]).collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(usize::try_from(listed.total_size), Ok(expected.len()), "{filter:?}");
    }
}

#[tokio::test]
async fn a_filter_that_breaks_a_rule_is_refused() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let all = pb::TicketFilter::default();
    let rows = [
        (pb::TicketFilter { sendbird_id: "é".repeat(81), ..all.clone() }, "filter.sendbird_id", "LENGTH"),
        (pb::TicketFilter { channel_url: "é".repeat(513), ..all.clone() }, "filter.channel_url", "LENGTH"),
        (pb::TicketFilter { query: "é".repeat(256), ..all.clone() }, "filter.query", "LENGTH"),
        (pb::TicketFilter { query: "\0".to_owned(), ..all.clone() }, "filter.query", "NO_NUL"),
        (pb::TicketFilter { start_date: "2026-02-29".to_owned(), ..all.clone() }, "filter.start_date", "DATE"),
        (pb::TicketFilter { end_date: "14.03.2026".to_owned(), ..all.clone() }, "filter.end_date", "DATE"),
        (
            pb::TicketFilter { start_date: "2026-03-15".to_owned(), end_date: "2026-03-14".to_owned(), ..all.clone() },
            "filter.end_date",
            "DATE_ORDER",
        ),
    ];
    for (filter, field, rule) in rows {
        let refused = refusal(&actor.list_tickets(filter).await.expect_err("the filter breaks a rule"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert_eq!(refused.field_names(), [field]);
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
    }
    let longest = pb::TicketFilter { sendbird_id: "é".repeat(80), channel_url: "é".repeat(512), query: "é".repeat(255), ..all };
    actor.list_tickets(longest).await.expect("all at their limits");
}
