//! Changing tickets: the mask, the life cycle, the etag.

use pb::TicketStatus::{self, Active, Closed, Idle, Initialized, Pending, Proactive, WorkInProgress};
use tonic::Code;

use crate::support::actor::customer_message;
use crate::support::ticket::{EVERY_STATUS, full_ticket, plain_ticket};
use crate::support::{World, pb, refusal};

type Take = fn(&mut pb::Ticket, pb::Ticket);

#[tokio::test]
async fn an_update_changes_the_fields_that_the_mask_names_and_no_other() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let before = actor.create(plain_ticket()).await.expect("the ticket opens");
    let new = pb::Ticket { id: before.id, ..full_ticket() };
    let rows: [(&str, Take); 8] = [
        ("channel_name", |to, from| to.channel_name = from.channel_name),
        ("status", |to, from| to.status = from.status),
        ("priority", |to, from| to.priority = from.priority),
        ("recent_assignment", |to, from| to.recent_assignment = from.recent_assignment),
        ("group", |to, from| to.group = from.group),
        ("info", |to, from| to.info = from.info),
        ("custom_fields", |to, from| to.custom_fields = from.custom_fields),
        ("related_channels", |to, from| to.related_channels = from.related_channels),
    ];
    let mut expected = before;
    for (path, take) in rows {
        let updated = actor.update(new.clone(), &[path]).await.expect("the ticket changes");
        take(&mut expected, new.clone());
        assert_ne!(updated.etag, expected.etag, "{path}");
        expected.etag.clone_from(&updated.etag);
        assert_eq!(updated, expected, "{path}");
        assert_eq!(actor.ticket(updated.id).await, expected, "{path}");
    }
}

#[tokio::test]
async fn without_a_mask_the_fields_with_a_value_change() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let before = actor.create(full_ticket()).await.expect("the ticket opens");
    let some = pb::Ticket { id: before.id, info: "new".to_owned(), priority: pb::TicketPriority::Low as i32, ..Default::default() };

    let updated = actor.update(some, &[]).await.expect("the ticket changes");

    let expected = pb::Ticket {
        info: "new".to_owned(),
        priority: pb::TicketPriority::Low as i32,
        etag: updated.etag.clone(),
        ..before.clone()
    };
    assert_eq!(updated, expected);

    let all = pb::Ticket { id: before.id, ..full_ticket() };
    let updated = actor.update(all, &[]).await.expect("the ticket changes");
    assert_eq!(updated, pb::Ticket { etag: updated.etag.clone(), ..before });
}

#[tokio::test]
async fn a_mask_clears_what_has_no_value() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let before = actor.create(full_ticket()).await.expect("the ticket opens");
    let empty = pb::Ticket { id: before.id, ..Default::default() };
    let paths = ["channel_name", "recent_assignment", "group", "info", "custom_fields", "related_channels"];

    let updated = actor.update(empty.clone(), &paths).await.expect("the ticket changes");

    let expected = pb::Ticket {
        channel_name: String::new(),
        recent_assignment: None,
        group: None,
        info: String::new(),
        custom_fields: vec![],
        related_channels: "[]".to_owned(),
        etag: updated.etag.clone(),
        ..before
    };
    assert_eq!(updated, expected);
    for path in ["status", "priority"] {
        let refused = refusal(&actor.update(empty.clone(), &[path]).await.expect_err("a ticket always has one"));
        assert_eq!((refused.field_names(), refused.metadata["rule"].as_str()), (vec![&*format!("ticket.{path}")], "REQUIRED"));
    }
    assert_eq!(actor.ticket(updated.id).await, updated);
}

#[tokio::test]
async fn an_update_that_breaks_a_rule_changes_nothing() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let before = actor.create(full_ticket()).await.expect("the ticket opens");
    let wrong = pb::Ticket {
        id: before.id,
        channel_name: "é".repeat(513),
        info: "x".repeat(8193),
        related_channels: "{}".to_owned(),
        group: Some(pb::Group::default()),
        ..Default::default()
    };
    let refused = refusal(&actor.update(wrong.clone(), &[]).await.expect_err("much is wrong"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert_eq!(refused.field_names(), ["ticket.channel_name", "ticket.group.id", "ticket.info", "ticket.related_channels"]);

    for path in ["customer", "channel_url", "id", "message_count", "close_comment", "etag", "ticket.info", "Info", "*", ""] {
        let refused = refusal(&actor.update(before.clone(), &["info", path]).await.expect_err("the path cannot be changed"));
        let expected = format!("The path {path} in update_mask is not one that can be changed.");
        assert_eq!(refused.fields, [("update_mask".to_owned(), expected)]);
    }
    let refused = refusal(&actor.update(full_ticket(), &[]).await.expect_err("no ticket is named"));
    assert_eq!(refused.field_names(), ["ticket.id"]);
    let missing = actor.tickets.update_ticket(pb::UpdateTicketRequest::default()).await.expect_err("there is no ticket");
    assert_eq!(refusal(&missing).field_names(), ["ticket"]);
    assert_eq!(actor.ticket(before.id).await, before);
}

const STEPS: [(TicketStatus, TicketStatus); 7] = [
    (Initialized, Pending),
    (Proactive, Pending),
    (Pending, Active),
    (Active, Idle),
    (Idle, Active),
    (Active, WorkInProgress),
    (WorkInProgress, Active),
];

#[tokio::test]
async fn an_update_leads_a_ticket_along_its_life_cycle_only_and_never_closes_it() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for from in EVERY_STATUS {
        for to in EVERY_STATUS {
            let before = actor.ticket_in(from).await;
            assert_eq!(before.status(), from);
            let answer = actor.update(pb::Ticket { id: before.id, status: to as i32, ..Default::default() }, &[]).await;
            if STEPS.contains(&(from, to)) || from == to && from != Closed {
                assert_eq!(answer.expect("a step of the life cycle").status(), to, "{from:?} to {to:?}");
                continue;
            }
            let refused = refusal(&answer.expect_err("no step of the life cycle"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TICKET_STATUS_TRANSITION_INVALID"));
            let name = |status: TicketStatus| status.as_str_name().trim_start_matches("TICKET_STATUS_");
            assert_eq!(refused.metadata["ticket_id"], before.id.to_string());
            assert_eq!((refused.metadata["from"].as_str(), refused.metadata["to"].as_str()), (name(from), name(to)));
            assert_eq!(actor.ticket(before.id).await, before, "{from:?} to {to:?}");
        }
    }
}

#[tokio::test]
async fn an_update_with_an_etag_needs_the_current_one() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let read = actor.open_ticket().await;
    let change = |etag: &str| pb::Ticket { id: read.id, etag: etag.to_owned(), info: "new".to_owned(), ..Default::default() };
    actor.send(read.id, customer_message("a change in between")).await;

    for etag in [read.etag.as_str(), "no etag", "-1", "\0"] {
        let refused = refusal(&actor.update(change(etag), &[]).await.expect_err("the ticket changed"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
        let current = actor.ticket(read.id).await;
        assert_eq!((&refused.metadata["etag"], current.info.as_str()), (&current.etag, ""));
    }
    let current = actor.ticket(read.id).await;
    let updated = actor.update(change(&current.etag), &[]).await.expect("nothing changed in between");
    assert_eq!(updated.info, "new");
}
