//! Opening tickets: the defaults, and what each field takes.

use prost_types::Timestamp;
use tonic::Code;

use crate::support::ticket::{custom_field, full_ticket, plain_ticket};
use crate::support::{World, pb, refusal};

/// 2^53-1, the greatest id there is.
const MAX_ID: i64 = 9_007_199_254_740_991;

#[tokio::test]
async fn a_ticket_of_nothing_but_a_customer_gets_the_defaults() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    world.clock.set("2026-03-15T12:00:00.123456Z");
    world.clock.freeze();

    let ticket = actor.create(plain_ticket()).await.expect("the ticket opens");

    let customer =
        pb::Customer { sendbird_id: "ada".to_owned(), channel_type: pb::ChannelType::Sendbird as i32, ..Default::default() };
    let expected = pb::Ticket {
        id: ticket.id,
        channel_url: format!("desk_ticket_{}", ticket.id),
        status: pb::TicketStatus::Initialized as i32,
        priority: pb::TicketPriority::Medium as i32,
        customer: Some(customer),
        related_channels: "[]".to_owned(),
        create_time: Some(Timestamp { seconds: 1_773_576_000, nanos: 123_456_000 }),
        etag: ticket.etag.clone(),
        ..Default::default()
    };
    assert_eq!(ticket, expected);
    assert!(ticket.id > 0 && !ticket.etag.is_empty());
}

#[tokio::test]
async fn every_field_of_a_ticket_comes_back_and_output_only_fields_are_ignored() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let time = Some(Timestamp { seconds: 1, nanos: 0 });
    let given = pb::Ticket {
        id: 999,
        message_count: 7,
        last_message: "hello".to_owned(),
        create_time: time,
        close_time: time,
        issue_time: time,
        close_status: "DEFAULT".to_owned(),
        close_comment: "done".to_owned(),
        etag: "17".to_owned(),
        ..full_ticket()
    };

    let created = actor.create(given).await.expect("the ticket opens");

    assert_ne!((created.id, created.create_time), (999, time));
    assert_ne!(created.etag, "17");
    assert_eq!(as_given(created.clone()), full_ticket());
    assert_eq!(actor.ticket(created.id).await, created);
}

#[tokio::test]
async fn a_ticket_opens_as_initialized_proactive_or_pending_only() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let openings = [pb::TicketStatus::Initialized, pb::TicketStatus::Proactive, pb::TicketStatus::Pending];
    for number in 1..=7 {
        let status = pb::TicketStatus::try_from(number).expect("there are seven");
        let answer = actor.create(pb::Ticket { status: number, ..plain_ticket() }).await;
        if openings.contains(&status) {
            assert_eq!(answer.expect("it may open so").status(), status);
        } else {
            let refused = refusal(&answer.expect_err("it may not open so"));
            assert_eq!(refused.fields, [violation("ticket.status", "be one of INITIALIZED, PROACTIVE, PENDING")], "{status:?}");
        }
    }
}

#[tokio::test]
async fn every_priority_and_channel_type_comes_back() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for priority in 1..=4 {
        let ticket = actor.create(pb::Ticket { priority, ..plain_ticket() }).await.expect("the ticket opens");
        assert_eq!(ticket.priority, priority);
    }
    for channel_type in 1..=10 {
        let channel_type = pb::ChannelType::try_from(channel_type).expect("there are ten");
        let ticket = actor.open_ticket_of(channel_type).await;
        assert_eq!(ticket.customer.expect("it has one").channel_type(), channel_type);
    }
}

type SetText = fn(&mut pb::Ticket, String);
type SetId = fn(&mut pb::Ticket, i64);
type Break = fn(&mut pb::Ticket);

/// Each text of a ticket: its field, how many it has at least and at most, of what, and how it is set.
const TEXTS: [(&str, usize, usize, &str, SetText); 13] = [
    ("ticket.channel_url", 0, 512, "characters", |ticket, text| ticket.channel_url = text),
    ("ticket.channel_name", 0, 512, "characters", |ticket, text| ticket.channel_name = text),
    ("ticket.customer.sendbird_id", 1, 80, "characters", |ticket, text| customer(ticket).sendbird_id = text),
    ("ticket.customer.display_name", 0, 255, "characters", |ticket, text| customer(ticket).display_name = text),
    ("ticket.recent_assignment.agent.display_name", 0, 255, "characters", |ticket, text| agent(ticket).display_name = text),
    ("ticket.recent_assignment.agent.sendbird_id", 0, 80, "characters", |ticket, text| agent(ticket).sendbird_id = text),
    ("ticket.recent_assignment.agent.email", 0, 255, "characters", |ticket, text| agent(ticket).email = text),
    ("ticket.group.name", 0, 255, "characters", |ticket, text| group(ticket).name = text),
    ("ticket.group.key", 0, 255, "characters", |ticket, text| group(ticket).key = text),
    ("ticket.info", 0, 8192, "bytes", |ticket, text| ticket.info = text),
    ("ticket.custom_fields[1].key", 1, 255, "characters", |ticket, text| ticket.custom_fields[1].key = text),
    ("ticket.custom_fields[1].value", 0, 1024, "characters", |ticket, text| ticket.custom_fields[1].value = text),
    ("ticket.related_channels", 0, 8192, "bytes", |ticket, text| ticket.related_channels = text),
];

#[tokio::test]
async fn every_text_of_a_ticket_has_a_length_and_no_nul() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for (field, min, max, unit, set) in TEXTS {
        let mut longest = full_ticket();
        set(&mut longest, text_of(field, max, unit));
        let created = actor.create(longest.clone()).await.unwrap_or_else(|refused| panic!("{field} at its limit: {refused}"));
        assert_eq!(as_given(created), longest, "{field}");

        let rule = match min {
            0 => format!("have at most {max} {unit}"),
            _ => format!("have {min} to {max} {unit}"),
        };
        let mut wrong = vec![
            (text_of(field, max, unit) + "x", violation(field, &rule)),
            ("a\0b".to_owned(), violation(field, "not hold the character U+0000")),
        ];
        if min > 0 {
            wrong.push((String::new(), required(field)));
        }
        for (text, expected) in wrong {
            let mut ticket = full_ticket();
            set(&mut ticket, text);
            assert_eq!(refused_fields(&mut actor, ticket).await, [expected], "{field}");
        }
    }
    let stored = actor.list_tickets(pb::TicketFilter::default()).await.expect("the tickets are listed");
    assert_eq!(usize::try_from(stored.total_size), Ok(TEXTS.len()), "what was refused was not stored");
}

/// A text of so many characters or bytes, of characters of two bytes.
fn text_of(field: &str, count: usize, unit: &str) -> String {
    match (field, unit) {
        ("ticket.related_channels", _) => format!(r#"["{}"]"#, "x".repeat(count - 4)),
        (_, "bytes") => "é".repeat(count / 2),
        _ => "é".repeat(count),
    }
}

#[tokio::test]
async fn every_id_of_a_ticket_has_a_range() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ids: [(&str, i64, SetId); 4] = [
        ("ticket.customer.id", 0, |ticket, id| customer(ticket).id = id),
        ("ticket.recent_assignment.agent.id", 0, |ticket, id| agent(ticket).id = id),
        ("ticket.group.id", 1, |ticket, id| group(ticket).id = id),
        ("ticket.custom_fields[1].id", 0, |ticket, id| ticket.custom_fields[1].id = id),
    ];
    for (field, min, set) in ids {
        for id in [min, MAX_ID] {
            let mut ticket = full_ticket();
            set(&mut ticket, id);
            let created = actor.create(ticket.clone()).await.expect("the id is in its range");
            assert_eq!(as_given(created), ticket, "{field}");
        }
        for id in [min - 1, MAX_ID + 1, i64::MIN, i64::MAX] {
            let mut ticket = full_ticket();
            set(&mut ticket, id);
            let expected = violation(field, &format!("be between {min} to {MAX_ID}"));
            assert_eq!(refused_fields(&mut actor, ticket).await, [expected], "{id}");
        }
    }
}

#[tokio::test]
async fn the_parts_of_a_ticket_have_rules_of_their_own() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let fields = |count: usize| (0..count).map(|number| custom_field(&format!("key {number}"))).collect::<Vec<_>>();
    let most = pb::Ticket { custom_fields: fields(100), ..full_ticket() };
    assert_eq!(as_given(actor.create(most.clone()).await.expect("100 fields")), most);

    let nobody = violation_of_items("ticket.custom_fields", "have 0 to 100 items");
    let rows: [(Break, (String, String)); 6] = [
        (|ticket| ticket.customer = None, required("ticket.customer")),
        (|ticket| ticket.recent_assignment = Some(pb::Assignment { agent: None }), required("ticket.recent_assignment.agent")),
        (
            |ticket| *agent(ticket) = pb::Agent { display_name: "Grace".to_owned(), ..Default::default() },
            required("ticket.recent_assignment.agent.id"),
        ),
        (
            |ticket| ticket.custom_fields = vec![custom_field("order"), custom_field("order")],
            (
                "ticket.custom_fields[1].key".to_owned(),
                "The items of ticket.custom_fields[1].key should differ from each other.".to_owned(),
            ),
        ),
        (|ticket| ticket.related_channels = "{}".to_owned(), violation("ticket.related_channels", "be the text of a JSON array")),
        (|ticket| ticket.related_channels = "[1".to_owned(), violation("ticket.related_channels", "be the text of a JSON array")),
    ];
    for (break_it, expected) in rows {
        let mut ticket = full_ticket();
        break_it(&mut ticket);
        assert_eq!(refused_fields(&mut actor, ticket).await, [expected]);
    }
    let too_many = pb::Ticket { custom_fields: fields(101), ..full_ticket() };
    assert_eq!(refused_fields(&mut actor, too_many).await, [nobody]);
    let missing = actor.tickets.create_ticket(pb::CreateTicketRequest::default()).await.expect_err("there is no ticket");
    assert_eq!(refusal(&missing).fields, [required("ticket")]);
}

#[tokio::test]
async fn all_violations_are_told_at_once_and_the_first_one_leads() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut ticket = pb::Ticket { channel_name: "x".repeat(513), priority: 9, status: 5, ..full_ticket() };
    customer(&mut ticket).sendbird_id.clear();
    customer(&mut ticket).channel_type = 99;
    group(&mut ticket).id = 0;
    let request = pb::CreateTicketRequest { ticket: Some(ticket), request_id: "no uuid".to_owned() };

    let refused = refusal(&actor.tickets.create_ticket(request).await.expect_err("much is wrong"));

    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    let mut names = refused.field_names();
    assert_eq!(refused.metadata["field"], names[0]);
    names.sort_unstable();
    let expected = [
        "request_id",
        "ticket.channel_name",
        "ticket.customer.channel_type",
        "ticket.customer.sendbird_id",
        "ticket.group.id",
        "ticket.priority",
        "ticket.status",
    ];
    assert_eq!(names, expected);
    assert_eq!(actor.list_tickets(pb::TicketFilter::default()).await.expect("the tickets are listed").total_size, 0);
}

/// The ticket without the fields that the service sets.
fn as_given(ticket: pb::Ticket) -> pb::Ticket {
    pb::Ticket { id: 0, create_time: None, etag: String::new(), ..ticket }
}

async fn refused_fields(actor: &mut crate::support::Actor, ticket: pb::Ticket) -> Vec<(String, String)> {
    let refused = refusal(&actor.create(ticket).await.expect_err("a field breaks a rule"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    refused.fields
}

fn violation(field: &str, rule: &str) -> (String, String) {
    (field.to_owned(), format!("The value of {field} should {rule}."))
}

fn violation_of_items(field: &str, rule: &str) -> (String, String) {
    (field.to_owned(), format!("The list {field} should {rule}."))
}

fn required(field: &str) -> (String, String) {
    (field.to_owned(), format!("The {field} parameter is required."))
}

fn customer(ticket: &mut pb::Ticket) -> &mut pb::Customer {
    ticket.customer.as_mut().expect("a full ticket has one")
}

fn agent(ticket: &mut pb::Ticket) -> &mut pb::Agent {
    ticket.recent_assignment.as_mut().and_then(|assignment| assignment.agent.as_mut()).expect("a full ticket has one")
}

fn group(ticket: &mut pb::Ticket) -> &mut pb::Group {
    ticket.group.as_mut().expect("a full ticket has one")
}
