//! Page tokens: good for the list that gave them, and for nothing else.

use deskledger::domain::ids::ApplicationKey;
use deskledger::domain::page::Binding;
use tonic::{Code, Status};

use crate::support::{Actor, World, pb, refusal};

/// Every list and export with a token, by the field that holds it.
async fn every_answer(actor: &mut Actor, ticket_id: i64, token: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let page_token = token.to_owned();
    let messages = pb::ListChatMessagesRequest { ticket_id, page_token: page_token.clone(), ..Default::default() };
    let tickets = pb::ListTicketsRequest { page_token: page_token.clone(), ..Default::default() };
    let logs = pb::ListDeletionLogsRequest { page_token: page_token.clone(), ..Default::default() };
    let messages_export = pb::ExportChatMessagesRequest { ticket_id, resume_token: page_token.clone() };
    let logs_export = pb::ExportDeletionLogsRequest { resume_token: page_token, ..Default::default() };
    vec![
        ("page_token", actor.messages.list_chat_messages(messages).await.map(|_| ())),
        ("page_token", actor.tickets.list_tickets(tickets).await.map(|_| ())),
        ("page_token", actor.logs.list_deletion_logs(logs).await.map(|_| ())),
        ("resume_token", actor.messages.export_chat_messages(messages_export).await.map(|_| ())),
        ("resume_token", actor.logs.export_deletion_logs(logs_export).await.map(|_| ())),
    ]
}

fn assert_invalid(field: &str, answer: &Status) {
    let refused = refusal(answer);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "PAGE_TOKEN_INVALID"));
    assert_eq!((refused.metadata["field"].as_str(), refused.field_names()), (field, vec![field]));
    assert_eq!(refused.metadata["legacy_code"], "deskp400113");
}

#[tokio::test]
async fn a_text_that_no_list_gave_is_no_token() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(2).await;
    let request = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 1, ..Default::default() };
    let token = actor.messages.list_chat_messages(request).await.expect("a page").into_inner().next_page_token;
    let mut flipped = token.clone().into_bytes();
    flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
    let texts = [
        "garbage",
        "0",
        " ",
        "\0",
        "🎫",
        &token[..token.len() - 1],
        &token[..token.len() / 2],
        &token[1..],
        &format!("{token}A"),
        &format!("{token}AAAAAAAAAAA"),
        &format!("{token}="),
        &format!(" {token}"),
        &String::from_utf8(flipped).expect("still ASCII"),
        &"A".repeat(200_000),
    ];
    for text in texts {
        for (field, answer) in every_answer(&mut actor, ticket.id, text).await {
            assert_invalid(field, &answer.expect_err("no list gave it"));
        }
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let world = World::new().await;
    let (mut actor, mut other) = (world.actor().await, world.actor_of("globex").await);
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    let (another, _) = actor.closed_ticket_with(2).await;
    for message in &messages {
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let list = pb::ListChatMessagesRequest { ticket_id: ticket.id, page_size: 1, ..Default::default() };
    let tickets = pb::ListTicketsRequest { page_size: 1, ..Default::default() };
    let logs = pb::ListDeletionLogsRequest { page_size: 1, ..Default::default() };
    let export = pb::ExportChatMessagesRequest { ticket_id: ticket.id, ..Default::default() };
    let mut part = actor.messages.export_chat_messages(export).await.expect("an export").into_inner();
    let mut log_part =
        actor.logs.export_deletion_logs(pb::ExportDeletionLogsRequest::default()).await.expect("an export").into_inner();
    let tokens = [
        actor.messages.list_chat_messages(list).await.expect("a page").into_inner().next_page_token,
        actor.tickets.list_tickets(tickets).await.expect("a page").into_inner().next_page_token,
        actor.logs.list_deletion_logs(logs).await.expect("a page").into_inner().next_page_token,
        part.message().await.expect("a part").expect("the first").resume_token,
        log_part.message().await.expect("a part").expect("the first").resume_token,
    ];
    for (own, token) in tokens.iter().enumerate() {
        for (at, (field, answer)) in every_answer(&mut actor, ticket.id, token).await.into_iter().enumerate() {
            match at == own {
                true => answer.expect("its own list"),
                false => assert_invalid(field, &answer.expect_err("another list")),
            }
        }
        // Of the ticket's lists, those of another one.
        for (at, (field, answer)) in every_answer(&mut actor, another.id, token).await.into_iter().enumerate() {
            if at == own && [0, 3].contains(&own) {
                assert_invalid(field, &answer.expect_err("the list of another ticket"));
            }
        }
        for (field, answer) in every_answer(&mut other, ticket.id, token).await {
            assert_invalid(field, &answer.expect_err("another application"));
        }
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_filter_only() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.closed_ticket_with(2).await;
    actor.open_ticket().await;
    for message in &messages {
        actor.delete(ticket.id, message.id).await.expect("it may be deleted");
    }
    let page_token = actor
        .tickets
        .list_tickets(pb::ListTicketsRequest { page_size: 1, ..Default::default() })
        .await
        .expect("a page")
        .into_inner()
        .next_page_token;
    let filter = Some(pb::TicketFilter { query: "Ada".to_owned(), ..Default::default() });
    let request = pb::ListTicketsRequest { filter, page_token, ..Default::default() };
    assert_invalid("page_token", &actor.tickets.list_tickets(request).await.expect_err("another filter"));

    let logs = pb::ListDeletionLogsRequest { page_size: 1, ..Default::default() };
    let page_token = actor.logs.list_deletion_logs(logs).await.expect("a page").into_inner().next_page_token;
    let filter = Some(pb::DeletionLogFilter { ticket_id: ticket.id, ..Default::default() });
    let request = pb::ListDeletionLogsRequest { filter, page_token, ..Default::default() };
    assert_invalid("page_token", &actor.logs.list_deletion_logs(request).await.expect_err("another filter"));
}

#[tokio::test]
async fn a_forged_token_gives_no_more_than_an_empty_page_or_a_refusal() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, _) = actor.ticket_with(2).await;
    // Whoever guesses how a token is made can name any position.
    let log_filter = deskledger::domain::deletion_log::DeletionLogFilter::default();
    let ends = [i64::MIN, -8_200_000_000_000_000_000, -90_000_000, -1, 0, 90_000_000, 8_200_000_000_000_000_000, i64::MAX];
    for position in ends {
        let key = ApplicationKey(1);
        let tokens = [
            Binding::new(key, "ListChatMessages", &ticket.id).token([position]),
            Binding::new(key, "ListTickets", &deskledger::domain::ticket::TicketFilter::default()).token([position]),
            Binding::new(key, "ListDeletionLogs", &log_filter).token([position, position, position, position]),
            Binding::new(key, "ListDeletionLogs", &log_filter).token([0, 1, position, 0]),
            Binding::new(key, "ExportChatMessages", &Some(ticket.id)).token([position, position]),
            Binding::new(key, "ExportDeletionLogs", &log_filter).token([position, position, position, position]),
        ];
        let mut taken = 0;
        for token in tokens {
            for (_, answer) in every_answer(&mut actor, ticket.id, &token).await {
                let code = answer.map_or_else(|refused| refused.code(), |()| Code::Ok);
                assert!([Code::Ok, Code::InvalidArgument].contains(&code), "{position}: {code:?}");
                taken += usize::from(code == Code::Ok);
            }
        }
        assert!(taken >= 3, "the tokens are made as the service makes them");
    }
}
