//! Tenancy: an application sees its own rows only, and cannot even tell whether another one's are there.

use tonic::Code;

use crate::support::methods::{Elsewhere, Rows, every_method};
use crate::support::raw::call;
use crate::support::{Actor, World, pb, refusal};

/// A world in which `other` has rows, and `acme` has some of the same shapes or has none.
struct Pair {
    world: World,
    other: Actor,
    own: Rows,
}

impl Pair {
    async fn set() -> Self {
        let world = World::new().await;
        world.actor_of("acme").await;
        let mut other = world.actor_of("other").await;
        let own = Rows::of(&world, &mut other).await;
        Self { world, other, own }
    }

    /// What `other` gets for the bytes of a request: the whole answer, its bytes sorted, for the entries of a map come in any order.
    async fn ask(&self, method: &str, request: Vec<u8>) -> (Code, String, Vec<u8>) {
        let bearer = format!("Bearer {}", self.other.token);
        let headers = [("authorization", bearer.as_str()), ("x-request-id", "same")];
        let status = call(&self.world.channel().await, method, &headers, request).await.expect_err(method);
        let mut details = status.details().to_vec();
        details.sort_unstable();
        (status.code(), status.message().to_owned(), details)
    }
}

#[tokio::test]
async fn another_applications_ids_answer_byte_for_byte_as_ids_that_never_existed() {
    // The same ids in two worlds: in one they are acme's, in the other nobody's.
    let (full, empty) = (Pair::set().await, Pair::set().await);
    let rows = Rows::of(&full.world, &mut full.world.actor_of("acme").await).await;
    let before = full.world.database.rows_of_calls().await;
    let mut compared = 0;
    for method in every_method(&rows) {
        let Elsewhere::Refused(reason) = method.elsewhere else { continue };
        let theirs = full.ask(method.name, method.request.clone()).await;
        let nobodys = empty.ask(method.name, method.request).await;
        assert_eq!(theirs, nobodys, "{}", method.name);
        assert_eq!(theirs.0, Code::NotFound, "{} {reason}", method.name);
        compared += 1;
    }
    assert_eq!(compared, 19);
    assert_eq!(full.world.database.rows_of_calls().await, before);
}

#[tokio::test]
async fn ids_of_another_application_do_not_mix_with_ones_own() {
    let mut pair = Pair::set().await;
    let theirs = Rows::of(&pair.world, &mut pair.world.actor_of("acme").await).await;
    let (own, other) = (&pair.own, &mut pair.other);
    // Their messages in my ticket, my messages in their ticket, both in one batch.
    for (ticket_id, id) in [(own.closed.id, theirs.messages[1].id), (theirs.closed.id, own.messages[1].id)] {
        let refused = refusal(&other.delete(ticket_id, id).await.expect_err("they do not belong together"));
        assert_eq!(refused.reason, "CHAT_MESSAGE_NOT_FOUND");
        let get = pb::GetChatMessageRequest { ticket_id, id };
        assert_eq!(other.messages.get_chat_message(get).await.expect_err("not found").code(), Code::NotFound);
    }
    let request = |validate_only| pb::BatchDeleteChatMessagesRequest {
        ticket_id: own.closed.id,
        ids: vec![own.messages[1].id, theirs.messages[1].id],
        validate_only,
        ..Default::default()
    };
    let refused = refusal(&other.messages.batch_delete_chat_messages(request(false)).await.expect_err("one is not mine"));
    assert_eq!((refused.reason.as_str(), &refused.metadata["id"]), ("CHAT_MESSAGE_NOT_FOUND", &theirs.messages[1].id.to_string()));
    let verdicts = other.messages.batch_delete_chat_messages(request(true)).await.expect("it is only asked").into_inner().results;
    let Some(pb::batch_delete_chat_messages_result::Outcome::Refused(said)) = &verdicts[1].outcome else {
        panic!("it would be refused: {verdicts:?}")
    };
    assert_eq!(said.reason(), pb::ErrorReason::ChatMessageNotFound);
    for (ticket_id, id) in [(own.closed.id, theirs.log.id), (theirs.closed.id, own.log.id)] {
        let get = pb::GetDeletionLogRequest { ticket_id, id };
        assert_eq!(other.logs.get_deletion_log(get).await.expect_err("not found").code(), Code::NotFound);
    }
}

#[tokio::test]
async fn lists_filters_and_exports_show_ones_own_rows_only() {
    let mut pair = Pair::set().await;
    let acme = &mut pair.world.actor_of("acme").await;
    let theirs = Rows::of(&pair.world, acme).await;
    let other = &mut pair.other;

    for (actor, rows, foreign) in [(acme, &theirs, &pair.own), (other, &pair.own, &theirs)] {
        let tickets = [rows.erased, rows.closed.id, rows.resting.id, rows.open.id];
        assert_eq!(ticket_ids(actor, None).await, tickets);
        // Both applications' customers have the same name: the filter chooses mine.
        let by_customer = pb::TicketFilter { sendbird_id: "ada".to_owned(), ..Default::default() };
        assert_eq!(ticket_ids(actor, Some(by_customer)).await, tickets);
        let by_channel = pb::TicketFilter { channel_url: foreign.open.channel_url.clone(), ..Default::default() };
        assert_eq!(ticket_ids(actor, Some(by_channel)).await, Vec::<i64>::new());

        let exported = [rows.erased].into_iter().chain([rows.closed.id; 5]).chain([rows.resting.id]);
        assert_eq!(exported_tickets(actor).await, exported.collect::<Vec<_>>());

        assert_eq!(actor.log().await, vec![rows.log.clone()]);
        assert_eq!(logs(actor, pb::DeletionLogFilter::default()).await, vec![rows.log.clone()]);
        let by_ticket = pb::DeletionLogFilter { ticket_id: foreign.closed.id, ..Default::default() };
        assert_eq!(logs(actor, by_ticket).await, vec![]);
    }
}

#[tokio::test]
async fn page_tokens_of_another_application_are_refused() {
    let mut pair = Pair::set().await;
    let mut acme = pair.world.actor_of("acme").await;
    Rows::of(&pair.world, &mut acme).await;
    let request = pb::ListTicketsRequest { page_size: 1, ..Default::default() };
    let page_token = acme.tickets.list_tickets(request.clone()).await.expect("a page").into_inner().next_page_token;
    assert!(!page_token.is_empty());

    let refused = pair.other.tickets.list_tickets(pb::ListTicketsRequest { page_token, ..request }).await;

    assert_eq!(refusal(&refused.expect_err("the token is acme's")).reason, "PAGE_TOKEN_INVALID");
}

async fn ticket_ids(actor: &mut Actor, filter: Option<pb::TicketFilter>) -> Vec<i64> {
    let request = pb::ListTicketsRequest { filter, ..Default::default() };
    let page = actor.tickets.list_tickets(request).await.expect("a page").into_inner();
    assert_eq!(page.total_size, i64::try_from(page.tickets.len()).expect("a small number"));
    page.tickets.into_iter().map(|ticket| ticket.id).collect()
}

/// The tickets of all messages of an export, in its order.
async fn exported_tickets(actor: &mut Actor) -> Vec<i64> {
    let request = pb::ExportChatMessagesRequest::default();
    let mut stream = actor.messages.export_chat_messages(request).await.expect("the export").into_inner();
    let mut tickets = Vec::new();
    while let Some(part) = stream.message().await.expect("a part") {
        tickets.extend(part.chat_messages.into_iter().map(|message| message.ticket_id));
    }
    tickets
}

async fn logs(actor: &mut Actor, filter: pb::DeletionLogFilter) -> Vec<pb::DeletionLog> {
    let request = pb::ExportDeletionLogsRequest { filter: Some(filter), ..Default::default() };
    let mut stream = actor.logs.export_deletion_logs(request).await.expect("the export").into_inner();
    let mut logs = Vec::new();
    while let Some(part) = stream.message().await.expect("a part") {
        logs.extend(part.deletion_logs);
    }
    logs
}
