//! For Rust programs that call a deskledger service: connections with a token, reasons of refusals, and calls that are repeated.
//!
//! A program needs no more of this crate than the feature `client`:
//!
//! ```toml
//! deskledger = { git = "...", default-features = false, features = ["client"] }
//! ```
//!
//! ```no_run
//! use deskledger::client::{Client, reason, repeat, request_id};
//! use deskledger::proto::{DeleteChatMessageRequest, ErrorReason};
//! # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let client = Client::builder("https://desk.example.com", token).connect_lazy()?;
//! // One id for the deletion, not for the attempt: however often it is sent, it happens once.
//! let request = DeleteChatMessageRequest { ticket_id: 7, id: 90, request_id: request_id(), ..Default::default() };
//! match repeat(client.timeout(), async || client.chat_messages().delete_chat_message(request.clone()).await).await {
//!     Ok(answer) => println!("deleted: {:?}", answer.into_inner().deletion_log),
//!     Err(status) if reason(&status) == Some(ErrorReason::TicketNotClosed) => println!("close the ticket first"),
//!     Err(status) => return Err(status.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/client.rs` is a whole program.

mod refusal;
mod repeat;

use std::time::Duration;

use tonic::codec::CompressionEncoding;
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{GrpcMethod, Request, Status};

use crate::proto::chat_message_service_client::ChatMessageServiceClient;
use crate::proto::deletion_log_service_client::DeletionLogServiceClient;
use crate::proto::ingest_service_client::IngestServiceClient;
use crate::proto::ticket_service_client::TicketServiceClient;

pub use refusal::{reason, refusal};
pub use repeat::{repeat, request_id};

/// How long a call may take unless the program says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be silent before it is asked whether it lives, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any answer has: that to the largest batch repeats its 8 MiB.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What the clients of the services send their calls by.
pub type Transport = InterceptedService<Channel, Authorization>;

/// A connection to a service with a token of an application. Clones are cheap and share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    authorization: Authorization,
}

impl Client {
    /// Begins a connection to the service at a URL, `http://` or `https://` with host and port, with a token. With `https` the service's
    /// certificate must come from an authority of the system, or from that of [`Builder::certificate_authority`].
    pub fn builder(url: impl Into<String>, token: impl AsRef<str>) -> Builder {
        Builder {
            url: url.into(),
            authorization: format!("Bearer {}", token.as_ref()),
            timeout: DEFAULT_TIMEOUT,
            certificate_authority: None,
            identity: None,
        }
    }

    /// Calls `TicketService`.
    pub fn tickets(&self) -> TicketServiceClient<Transport> {
        TicketServiceClient::new(self.transport())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Calls `ChatMessageService`.
    pub fn chat_messages(&self) -> ChatMessageServiceClient<Transport> {
        ChatMessageServiceClient::new(self.transport())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Calls `DeletionLogService`.
    pub fn deletion_logs(&self) -> DeletionLogServiceClient<Transport> {
        DeletionLogServiceClient::new(self.transport())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Calls `IngestService`.
    pub fn ingest(&self) -> IngestServiceClient<Transport> {
        IngestServiceClient::new(self.transport())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.authorization.timeout
    }

    fn transport(&self) -> Transport {
        InterceptedService::new(self.channel.clone(), self.authorization.clone())
    }
}

/// What a connection is made from: [`Client::builder`].
#[derive(Clone)]
pub struct Builder {
    url: String,
    authorization: String,
    timeout: Duration,
    certificate_authority: Option<String>,
    identity: Option<(String, String)>,
}

impl Builder {
    /// How long a call may take, exports apart. The service is told, and ends the call then. Default: 10 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The authorities, as PEM, one of which the service's certificate must come from. Default: those of the system.
    #[must_use]
    pub fn certificate_authority(mut self, pem: impl Into<String>) -> Self {
        self.certificate_authority = Some(pem.into());
        self
    }

    /// The certificate to show to the service, and its key, both as PEM. Default: none.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Makes the client. It connects with the first call, and again whenever it must.
    ///
    /// # Errors
    /// When the URL, a certificate or the token cannot be used.
    pub fn connect_lazy(self) -> Result<Client, BuildError> {
        let mut token: MetadataValue<Ascii> = self.authorization.parse()?;
        token.set_sensitive(true);
        let encrypted = self.url.starts_with("https://");
        let mut endpoint = Endpoint::from_shared(self.url)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if encrypted {
            let mut tls = match self.certificate_authority {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            if let Some((certificate, key)) = self.identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint.tls_config(tls)?;
        }
        let authorization = Authorization { token, timeout: self.timeout };
        Ok(Client { channel: endpoint.connect_lazy(), authorization })
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The URL or a certificate cannot be used.
    #[error("the URL or a certificate cannot be used")]
    Endpoint(#[from] tonic::transport::Error),
    /// The token has characters that no header may have.
    #[error("the token has characters that no header may have")]
    Token(#[from] InvalidMetadataValue),
}

/// Puts the token on each call, and the time that it may take.
#[derive(Debug, Clone)]
pub struct Authorization {
    token: MetadataValue<Ascii>,
    timeout: Duration,
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let export = request.extensions().get::<GrpcMethod<'_>>().is_some_and(|method| method.method().starts_with("Export"));
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.token.clone());
        if !export && !metadata.contains_key("grpc-timeout") {
            request.set_timeout(self.timeout);
        }
        Ok(request)
    }
}
