//! A peer for the benchmarks: ListChatMessages with tonic and a plain sqlx pool.

mod list;

use std::env;
use std::error::Error;

use sqlx::postgres::PgPoolOptions;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;

use crate::list::ChatMessages;
use crate::proto::chat_message_service_server::ChatMessageServiceServer;

#[expect(clippy::large_enum_variant, reason = "generated code")]
mod proto {
    tonic::include_proto!("deskledger.v1");
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "the benchmarks set this program by its environment")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = env::var("PEER_LISTEN")?.parse()?;
    let application_key = env::var("PEER_APPLICATION_KEY")?.parse()?;
    let pool = PgPoolOptions::new().max_connections(16).connect(&env::var("PEER_DATABASE_URL")?).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let service = ChatMessageServiceServer::new(ChatMessages { pool, application_key });
    let until = async move {
        terminate.recv().await;
    };
    Server::builder().add_service(service).serve_with_shutdown(listen, until).await?;
    Ok(())
}
