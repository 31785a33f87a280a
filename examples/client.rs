//! Shows how a Rust program works with deskledger: pages, refusals, deadlines, and calls that may be repeated.
//!
//! `deskledger demo` prints a token. Then: `TOKEN=... cargo run --example client`. ADDRESS is 127.0.0.1:50051 unless set.

use std::env;
use std::error::Error;
use std::time::Duration;

use deskledger::client::{Client, reason, refusal, repeat, request_id};
use deskledger::proto::{
    ChatMessage, CloseTicketRequest, CreateChatMessageRequest, CreateTicketRequest, Customer, DeleteChatMessageRequest,
    DeleteChatMessageResponse, DeletionLogFilter, DeletionReason, ErrorReason, ListChatMessagesRequest, ListDeletionLogsRequest,
    Ticket, UserType,
};
use tonic::{Response, Status};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "an example has no settings but these")]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = env::var("TOKEN").map_err(|_| "TOKEN is not set")?;
    let address = env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let url = format!("http://{address}"); // with TLS: https://
    let client = Client::builder(url, token).timeout(Duration::from_secs(10)).connect_lazy()?;

    let ticket_id = open_ticket(&client).await?;
    for number in 1..=5 {
        send(&client, ticket_id, &format!("Message {number}")).await?;
    }
    let ids = list(&client, ticket_id).await?;

    let deletion = DeleteChatMessageRequest {
        ticket_id,
        id: ids[0],
        reason: DeletionReason::PrivacyRequest.into(),
        wait_for_receipt: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
        request_id: request_id(),
        ..Default::default()
    };
    let deleted = match delete(&client, &deletion).await {
        // The reason says what is the matter; the text is for people and may change.
        Err(status) if reason(&status) == Some(ErrorReason::TicketNotClosed) => {
            let info = refusal(&status).ok_or("no details")?;
            println!("refused: {}, ticket {} is {}", info.reason, info.metadata["ticket_id"], info.metadata["status"]);
            let close = CloseTicketRequest { id: ticket_id, request_id: request_id(), ..Default::default() };
            repeat(client.timeout(), async || client.tickets().close_ticket(close.clone()).await).await?;
            delete(&client, &deletion).await?
        }
        answer => answer?,
    }
    .into_inner();
    println!("deleted: log entry {}", entry(&deleted)?);
    let format = deleted.receipt.lines().next().ok_or("the receipt was not there in time: GetReceipt answers it later")?;
    println!("receipt: {format}");

    // As after a broken connection, when nobody knows what became of the call.
    println!("repeated: log entry {}", entry(delete(&client, &deletion).await?.get_ref())?);

    let another = DeleteChatMessageRequest { ticket_id, id: ids[1], request_id: request_id(), ..Default::default() };
    delete(&client, &another).await?;
    read_log(&client, ticket_id).await?;
    Ok(())
}

async fn open_ticket(client: &Client) -> Result<i64, Box<dyn Error>> {
    let customer = Customer { sendbird_id: "ada".to_owned(), ..Default::default() };
    let ticket = Ticket { customer: Some(customer), ..Default::default() };
    let request = CreateTicketRequest { ticket: Some(ticket), request_id: request_id() };
    let created = repeat(client.timeout(), async || client.tickets().create_ticket(request.clone()).await).await?;
    Ok(created.into_inner().ticket.ok_or("no ticket")?.id)
}

async fn send(client: &Client, ticket_id: i64, text: &str) -> Result<(), Status> {
    let message = ChatMessage {
        user_type: UserType::Customer.into(),
        user_sendbird_id: "ada".to_owned(),
        message: text.to_owned(),
        ..Default::default()
    };
    let request = CreateChatMessageRequest { ticket_id, chat_message: Some(message), request_id: request_id() };
    repeat(client.timeout(), async || client.chat_messages().create_chat_message(request.clone()).await).await?;
    Ok(())
}

/// The ids of a ticket's messages, page by page: an empty token is the end, not a short page.
async fn list(client: &Client, ticket_id: i64) -> Result<Vec<i64>, Status> {
    let (mut ids, mut pages) = (Vec::new(), 0);
    let mut request = ListChatMessagesRequest { ticket_id, page_size: 2, ..Default::default() };
    loop {
        let page =
            repeat(client.timeout(), async || client.chat_messages().list_chat_messages(request.clone()).await).await?.into_inner();
        ids.extend(page.chat_messages.iter().map(|message| message.id));
        pages += 1;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            println!("ticket {ticket_id}: {} messages in {pages} pages", ids.len());
            return Ok(ids);
        }
    }
}

async fn delete(client: &Client, request: &DeleteChatMessageRequest) -> Result<Response<DeleteChatMessageResponse>, Status> {
    repeat(client.timeout(), async || client.chat_messages().delete_chat_message(request.clone()).await).await
}

fn entry(deleted: &DeleteChatMessageResponse) -> Result<i64, &'static str> {
    Ok(deleted.deletion_log.as_ref().ok_or("no log entry")?.id)
}

async fn read_log(client: &Client, ticket_id: i64) -> Result<(), Status> {
    let (mut entries, mut pages) = (0, 0);
    let filter = DeletionLogFilter { ticket_id, ..Default::default() };
    let mut request = ListDeletionLogsRequest { filter: Some(filter), page_size: 1, ..Default::default() };
    loop {
        let page =
            repeat(client.timeout(), async || client.deletion_logs().list_deletion_logs(request.clone()).await).await?.into_inner();
        entries += page.deletion_logs.len();
        pages += 1;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            println!("log: {entries} entries in {pages} pages");
            return Ok(());
        }
    }
}
