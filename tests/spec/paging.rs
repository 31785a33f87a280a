//! Pages: their size, what is passed over, and that walking them meets every row once.

use prost::Message;
use tonic::{Code, Status};

use crate::support::actor::customer_message;
use crate::support::ticket::full_agent;
use crate::support::{Actor, World, pb, refusal};

async fn page(actor: &mut Actor, request: pb::ListChatMessagesRequest) -> Result<pb::ListChatMessagesResponse, Status> {
    Ok(actor.messages.list_chat_messages(request).await?.into_inner())
}

fn numbers(page: &pb::ListChatMessagesResponse) -> Vec<i64> {
    page.chat_messages.iter().map(|message| message.message_id).collect()
}

#[tokio::test]
async fn a_page_of_messages_has_fifty_or_as_many_as_are_asked_for_up_to_five_hundred() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(501).await;
    for (page_size, expected) in [(0, 50), (1, 1), (499, 499), (500, 500)] {
        let request = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size, ..Default::default() };
        let page = page(&mut actor, request).await.expect("the page is answered");
        assert_eq!(numbers(&page), (1..=expected).collect::<Vec<i64>>());
        assert_eq!(page.total_size, 501);
        assert!(!page.next_page_token.is_empty());
    }
}

#[tokio::test]
async fn a_page_of_any_list_that_is_out_of_range_is_refused() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket_id = actor.open_ticket().await.id;
    let sizes = [-1, i32::MIN, 501, i32::MAX].map(|size| (size, 0, "page_size"));
    let skips = [-1, i64::MIN].map(|skip| (0, skip, "skip"));
    for (page_size, skip, field) in sizes.into_iter().chain(skips).chain([(101, 0, "logs only")]) {
        let page_token = String::new();
        let messages = pb::ListChatMessagesRequest { ticket_id, page_size, skip, page_token: page_token.clone() };
        let tickets = pb::ListTicketsRequest { page_size, skip, page_token: page_token.clone(), ..Default::default() };
        let logs = pb::ListDeletionLogsRequest { page_size, skip, page_token, ..Default::default() };
        let answers = [
            actor.messages.list_chat_messages(messages).await.map(|_| ()),
            actor.tickets.list_tickets(tickets).await.map(|_| ()),
            actor.logs.list_deletion_logs(logs).await.map(|_| ()),
        ];
        for (answer, max) in answers.into_iter().zip([500, 500, 100]) {
            if field == "logs only" && max == 500 {
                answer.expect("up to five hundred");
                continue;
            }
            let refused = refusal(&answer.expect_err("out of range"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            let expected = match field {
                "skip" => "The value of skip should be 0 or greater.".to_owned(),
                _ => format!("The value of page_size should be between 1 to {max}."),
            };
            assert_eq!(refused.message, expected);
        }
    }
}

#[tokio::test]
async fn skipping_passes_over_rows_and_past_the_end_gives_an_empty_page() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.closed_ticket_with(5).await;
    actor.open_ticket().await;
    for id in actor.list(ticket.id).await.iter().map(|message| message.id) {
        actor.delete(ticket.id, id).await.expect("it may be deleted");
    }
    let list = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 2, ..Default::default() };
    let first = page(&mut actor, list.clone()).await.expect("the first page");
    let rows: [(i64, &str, &[i64], bool); 8] = [
        (0, "", &[1, 2], true),
        (2, "", &[3, 4], true),
        (3, "", &[4, 5], false),
        (5, "", &[], false),
        (i64::MAX, "", &[], false),
        (0, &first.next_page_token, &[3, 4], true),
        (2, &first.next_page_token, &[5], false),
        (i64::MAX, &first.next_page_token, &[], false),
    ];
    for (skip, page_token, expected, more) in rows {
        let request = pb::ListChatMessagesRequest { skip, page_token: page_token.to_owned(), ..list.clone() };
        let page = page(&mut actor, request).await.expect("the page is answered");
        assert_eq!((numbers(&page), page.total_size), (expected.to_vec(), 5), "{skip} {page_token}");
        assert_eq!(!page.next_page_token.is_empty(), more, "{skip} {page_token}");
    }
    for (skip, tickets, logs) in [(1, 1, 4), (2, 0, 3), (5, 0, 0), (i64::MAX, 0, 0)] {
        let request = pb::ListTicketsRequest { skip, ..Default::default() };
        let page = actor.tickets.list_tickets(request).await.expect("the page is answered").into_inner();
        assert_eq!((page.tickets.len(), page.total_size, page.next_page_token.as_str()), (tickets, 2, ""), "{skip}");
        let request = pb::ListDeletionLogsRequest { skip, ..Default::default() };
        let page = actor.logs.list_deletion_logs(request).await.expect("the page is answered").into_inner();
        assert_eq!((page.deletion_logs.len(), page.total_size, page.next_page_token.as_str()), (logs, 5, ""), "{skip}");
    }
}

#[tokio::test]
async fn a_walk_by_tokens_meets_every_message_once_while_others_delete_and_send() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(10).await;
    let mut request = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 3, ..Default::default() };
    let mut met = Vec::new();
    let mut total = 10;
    loop {
        let page = page(&mut actor, request.clone()).await.expect("the page is answered");
        assert_eq!(page.total_size, total);
        met.extend(numbers(&page));
        assert!(met.len() <= 12, "the walk ends");
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // The last of the page that was read, the first of the next one, and one more at the end.
        let read = met.len();
        if total < 12 {
            actor.delete(ticket.id, messages[read - 1].id).await.expect("it may be deleted");
            actor.delete(ticket.id, messages[read].id).await.expect("it may be deleted");
            actor.send(ticket.id, customer_message("late")).await;
            total += 1;
        }
    }
    assert_eq!(met, (1..=12).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_walk_by_tokens_meets_every_ticket_once() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let mut opened = Vec::new();
    for number in 0..7 {
        let ticket = actor.open_ticket().await;
        // Every second one is closed and filtered out.
        if number % 2 == 0 { opened.push(ticket.id) } else { drop(actor.close(ticket.id).await) }
    }
    let filter = Some(pb::TicketFilter { status: pb::TicketStatus::Initialized as i32, ..Default::default() });
    for page_size in 1..=5 {
        let mut request = pb::ListTicketsRequest { filter: filter.clone(), page_size, ..Default::default() };
        let mut met = Vec::new();
        loop {
            let page = actor.tickets.list_tickets(request.clone()).await.expect("the page is answered").into_inner();
            assert_eq!(page.total_size, 4);
            assert!(!page.tickets.is_empty(), "no page is empty but that of an empty list");
            met.extend(page.tickets.iter().map(|ticket| ticket.id));
            assert!(met.len() <= 4, "the walk ends");
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(met, opened);
    }
}

#[tokio::test]
async fn a_walk_by_tokens_meets_every_deletion_of_one_instant_once_and_keeps_its_range_over_midnight() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(7).await;
    world.clock.set("2026-03-15T23:59:59Z");
    world.clock.freeze();
    for message in &messages[..6] {
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let log = actor.log().await;
    assert!(log.iter().all(|entry| entry.delete_time == log[0].delete_time), "all at one instant");
    assert!(log.is_sorted_by(|one, next| one.id > next.id), "of one instant the higher id goes first");
    for page_size in [1, 2, 3, 4, 6] {
        world.clock.set("2026-03-15T23:59:59Z");
        let mut request = pb::ListDeletionLogsRequest { page_size, ..Default::default() };
        let mut met = Vec::new();
        loop {
            let page = actor.logs.list_deletion_logs(request.clone()).await.expect("the page is answered").into_inner();
            assert_eq!(page.total_size, 6);
            met.extend(page.deletion_logs);
            assert!(met.len() <= 6, "the walk ends");
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
            // A list that began now would not reach back so far.
            world.clock.set("2026-05-01T00:00:00Z");
        }
        assert_eq!(met, log, "{page_size}");
    }
    world.clock.set("2026-05-01T00:00:00Z");
    actor.delete(ticket.id, messages[6].id).await.expect("it may be deleted");
    assert_eq!(actor.log().await.len(), 1, "a new list has the range of today");
}

#[tokio::test]
async fn a_page_ends_where_it_would_exceed_three_mebibytes_and_the_walk_goes_on() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    // Small messages with long ids, then large ones, then tombstones that name their requester at length.
    let wide = "\u{10ffff}";
    let small = (0..450).map(|number| pb::ChatMessage {
        user_sendbird_id: wide.repeat(80),
        external_id: format!("{}{number}", wide.repeat(250)),
        ..customer_message(&"x".repeat(6_000))
    });
    let large = (0..60).map(|_| pb::ChatMessage { data: "y".repeat(32_768), ..customer_message(&"x".repeat(32_768)) });
    let sent: Vec<_> = small.chain(large).collect();
    for batch in sent.chunks(100) {
        actor.send_all(ticket.id, batch.to_vec()).await;
    }
    actor.close(ticket.id).await;
    let who = pb::Agent { display_name: wide.repeat(255), email: wide.repeat(255), sendbird_id: wide.repeat(80), ..full_agent() };
    let first = page(&mut actor, pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 200, ..Default::default() });
    let ids = first.await.expect("the page is answered").chat_messages.iter().map(|message| message.id).collect();
    let deletion = pb::BatchDeleteChatMessagesRequest { ticket_id: ticket.id, ids, requested_by: Some(who), ..Default::default() };
    actor.messages.batch_delete_chat_messages(deletion).await.expect("they may be deleted");

    let mut request = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 500, ..Default::default() };
    let mut met = Vec::new();
    let mut pages = 0;
    loop {
        let page = page(&mut actor, request.clone()).await.expect("the page is answered");
        assert!(page.encoded_len() <= 3 * 1024 * 1024, "{} bytes", page.encoded_len());
        pages += 1;
        met.extend(numbers(&page));
        assert!(met.len() <= 510, "the walk ends");
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(met, (1..=510).collect::<Vec<i64>>());
    assert!(pages > 2, "{pages} pages");
}

#[tokio::test]
async fn a_page_of_large_tickets_ends_where_it_would_exceed_three_mebibytes_too() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for _ in 0..100 {
        let ticket = pb::Ticket {
            customer: Some(pb::Customer { sendbird_id: "ada".to_owned(), ..Default::default() }),
            info: "i".repeat(8192),
            custom_fields: (0..30)
                .map(|number| pb::CustomField { key: format!("key {number}"), value: "v".repeat(1024), ..Default::default() })
                .collect(),
            ..Default::default()
        };
        let request = pb::CreateTicketRequest { ticket: Some(ticket), ..Default::default() };
        actor.tickets.create_ticket(request).await.expect("the ticket opens");
    }

    let mut request = pb::ListTicketsRequest { page_size: 500, ..Default::default() };
    let (mut met, mut pages) = (0, 0);
    loop {
        let page = actor.tickets.list_tickets(request.clone()).await.expect("the page is answered").into_inner();
        assert!(page.encoded_len() <= 3 * 1024 * 1024, "{} bytes", page.encoded_len());
        assert_eq!(page.total_size, 100);
        (met, pages) = (met + page.tickets.len(), pages + 1);
        assert!(met <= 100, "the walk ends");
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(met, 100);
    assert!(pages > 1, "{pages} pages");
}
