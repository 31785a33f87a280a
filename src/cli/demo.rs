//! `deskledger demo`

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use crate::app::{App, NewToken};
use crate::cli::database::{Database, Running};
use crate::cli::import::Import;
use crate::cli::serve;
use crate::config::{DatabaseSettings, LogSettings, ServerSettings};
use crate::domain::caller::{Caller, Scope};
use crate::domain::chat_message::{ChatMessage, ChatMessageDraft, NewChatMessage, UserType};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::deletion::RequestedFrom;
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::violation::Violations;
use crate::storage::application::Application;
use crate::telemetry::Telemetry;

/// The conversations that the demo begins with.
const CONVERSATIONS: &str = include_str!("../../examples/conversations.jsonl");
/// The application of the demo.
const APPLICATION_ID: &str = "demo";
/// The name of its token; earlier ones of that name are revoked.
const TOKEN_NAME: &str = "printed by deskledger demo";
/// How long its token is good.
const TOKEN_DAYS: i64 = 7;
/// The channels of a closed ticket and of an open one.
const CLOSED_CHANNEL: &str = "demo_card_number";
const OPEN_CHANNEL: &str = "demo_late_parcel";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    server: ServerSettings,
}

pub(super) async fn run(database: DatabaseSettings, log: &LogSettings, arguments: Arguments) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(log, &arguments.server.telemetry).await?;
    let shutdown = serve::shutdown_on_signal()?;
    let listener = serve::bind(&arguments.server).await?;
    let database = Database::open(database, Running::Refuse).await?;
    database.migrate_to_serve().await?;
    let owner = database.app_of_command();
    let application = application(&owner).await?;
    let token = token(&owner, &application).await?;
    drop(owner);
    let app = database.app(&arguments.server)?;
    let mut import = Import::new(&app, &application, None);
    import.read(CONVERSATIONS.as_bytes(), ProgressBar::hidden()).await?;
    let caller = app.authenticate(&token, None).await?;
    let samples = Samples::find(&app, &caller).await?;
    println!("{}", samples.calls(&listener.local_addr()?.to_string(), &token));
    drop(import);
    serve::serve(listener, database, app, telemetry, &arguments.server, CancellationToken::clone(&shutdown)).await
}

async fn application(app: &App) -> anyhow::Result<Application> {
    app.create_application(APPLICATION_ID, "Demo").await?;
    app.find_application(APPLICATION_ID).await?.context("the demo's application is gone")
}

async fn token(app: &App, application: &Application) -> anyhow::Result<String> {
    for old in app.list_tokens(application).await?.into_iter().filter(|token| token.name == TOKEN_NAME) {
        app.revoke_token(&old.id).await?;
    }
    let new = NewToken {
        name: TOKEN_NAME.to_owned(),
        scopes: Scope::ALL.to_vec(),
        requested_from: RequestedFrom::PlatformApi,
        requested_by: None,
        expire_time: Some(SystemClock.now() + TimeDelta::days(TOKEN_DAYS)),
    };
    Ok(app.create_token(application, new).await?.text)
}

/// What the printed calls are about.
struct Samples {
    closed: TicketId,
    open: TicketId,
    /// Messages of the closed ticket that can be deleted now, one by each door.
    deletable: [ChatMessageId; 2],
    /// A message of the open ticket.
    refused: ChatMessageId,
}

impl Samples {
    async fn find(app: &App, caller: &Caller) -> anyhow::Result<Self> {
        let closed = ticket(app, caller, CLOSED_CHANNEL).await?;
        let open = ticket(app, caller, OPEN_CHANNEL).await?;
        let mut deletable = messages_of_people(app, caller, closed).await?;
        while deletable.len() < 2 {
            // Earlier runs have deleted them.
            deletable.push(app.create_chat_message(caller, closed, another_message()?, None).await?.message.id);
        }
        let refused = messages_of_people(app, caller, open).await?;
        let refused = *refused.first().context("the demo's open ticket has no messages")?;
        Ok(Self { closed, open, deletable: [deletable[0], deletable[1]], refused })
    }

    fn calls(&self, address: &str, token: &str) -> String {
        let Self { closed, open, deletable: [first, second], refused } = self;
        let grpc = |method: &str, body: &str| {
            format!("grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" -d '{body}' {address} deskledger.v1.{method}")
        };
        let rest =
            |call: &str| format!("curl -H \"SENDBIRDDESKAPITOKEN: $TOKEN\" {call}").replace("BASE", &format!("http://{address}"));
        let lines = [
            "\nServing until Ctrl-C. In another terminal:\n".to_owned(),
            format!("TOKEN={token}\n"),
            format!("# The messages of ticket {closed}"),
            grpc("ChatMessageService/ListChatMessages", &format!("{{\"ticket_id\": {closed}}}")),
            rest(&format!("BASE/platform/v1/tickets/{closed}/chat_messages\n")),
            format!("# Ticket {closed} is closed: its messages may be deleted"),
            grpc(
                "ChatMessageService/DeleteChatMessage",
                &format!("{{\"ticket_id\": {closed}, \"id\": {first}, \"reason\": \"DELETION_REASON_SENSITIVE_DATA\"}}"),
            ),
            rest(&format!("-X DELETE BASE/platform/v1/tickets/{closed}/chat_messages/{second}\n")),
            format!("# Ticket {open} is open: refused, TICKET_NOT_CLOSED or deskp400600"),
            grpc("ChatMessageService/DeleteChatMessage", &format!("{{\"ticket_id\": {open}, \"id\": {refused}}}")),
            rest(&format!("-X DELETE BASE/platform/v1/tickets/{open}/chat_messages/{refused}\n")),
            "# The log of deletions".to_owned(),
            grpc("DeletionLogService/ListDeletionLogs", "{}"),
            rest("BASE/platform/v1/chat_messages/deletion_logs\n"),
            "# A message that comes in by webhook; its ticket is opened".to_owned(),
            rest(
                "-d '{\"conversationmessage\": {\"id\": 1, \"contactId\": 2, \"message\": \"Hello\"}}' \
                 BASE/desk/api/v2/conversationmessages/webhooks.json\n",
            ),
        ];
        lines.join("\n")
    }
}

async fn ticket(app: &App, caller: &Caller, channel_url: &str) -> anyhow::Result<TicketId> {
    let found = app.find_ticket_by_channel_url(caller, channel_url).await?;
    found.with_context(|| format!("the demo has no ticket of channel {channel_url}"))
}

/// The messages of a ticket that a person wrote and nobody deleted.
async fn messages_of_people(app: &App, caller: &Caller, ticket_id: TicketId) -> anyhow::Result<Vec<ChatMessageId>> {
    let part = app.export_chat_messages(caller, Some(ticket_id), None).await?;
    let good = |message: &ChatMessage| message.user_type != UserType::Event && message.deletion.is_none();
    Ok(part.iter().flat_map(|part| &part.messages).filter(|message| good(message)).map(|message| message.id).collect())
}

fn another_message() -> anyhow::Result<NewChatMessage> {
    let draft = ChatMessageDraft {
        user_sendbird_id: "customer_ada".to_owned(),
        user_type: Some(UserType::Customer),
        message: "One more thing: please delete this too.".to_owned(),
        ..ChatMessageDraft::default()
    };
    let mut violations = Violations::default();
    let message = NewChatMessage::parse("chat_message", draft, &mut violations);
    Ok(violations.finish(message)?)
}
