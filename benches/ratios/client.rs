//! A lean gRPC client: one HTTP/2 connection, messages as bytes. It looks at the status and the length of every answer and leaves the rest to
//! its caller, so that the load costs little beside what is measured.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// How much may be on its way: more than all calls in flight have, so that none waits for leave to send.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Before a message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;
/// How often a server that starts is tried.
const TICK: Duration = Duration::from_millis(50);
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    headers: HeaderMap,
}

/// What a call names.
#[derive(Clone)]
pub struct Target(Uri);

impl Connection {
    /// Connects to a server, which may still be starting.
    pub async fn open(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(error) if begin.elapsed() > PATIENCE => {
                    return Err(error).with_context(|| format!("nothing listens on {address}"));
                }
                Err(_) => tokio::time::sleep(TICK).await,
            }
        };
        stream.set_nodelay(true)?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // Its end shows in the calls.
        tokio::spawn(connection);
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}"))?);
        Ok(Self { sender, authority: address.to_string(), headers })
    }

    /// Names a method, such as `deskledger.v1.ChatMessageService/ListChatMessages`.
    pub fn target(&self, method: &str) -> anyhow::Result<Target> {
        Ok(Target(Uri::builder().scheme("http").authority(self.authority.as_str()).path_and_query(format!("/{method}")).build()?))
    }

    /// Calls, with a message that has its prefix already, and answers the message that came, without its prefix.
    pub async fn call(&self, target: &Target, message: Bytes) -> anyhow::Result<Answer> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.0.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.sender.clone().send_request(request).await?;
        ensure!(response.status() == StatusCode::OK, "the answer's status is {}", response.status());
        // An answer without a message has its status among the headers.
        let mut status = response.headers().get("grpc-status").map(|_| response.headers().clone());
        let mut body = response.into_body();
        let mut parts = Vec::with_capacity(1);
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => parts.push(data),
                Err(frame) => status = frame.into_trailers().ok().or(status),
            }
        }
        judge(&status.context("the answer has no grpc-status")?)?;
        let answer = Answer { parts };
        answer.ensure_whole()?;
        Ok(answer)
    }
}

/// An answer, in the parts that it came in.
pub struct Answer {
    parts: Vec<Bytes>,
}

impl Answer {
    /// The message.
    pub fn message(mut self) -> Bytes {
        let mut whole = match self.parts.len() {
            1 => self.parts.remove(0),
            _ => self
                .parts
                .into_iter()
                .fold(BytesMut::new(), |mut whole, part| {
                    whole.extend_from_slice(&part);
                    whole
                })
                .freeze(),
        };
        whole.split_off(PREFIX)
    }

    fn ensure_whole(&self) -> anyhow::Result<()> {
        let length: usize = self.parts.iter().map(Bytes::len).sum();
        let first = self.parts.first().and_then(|part| part.first_chunk::<PREFIX>());
        let Some([compressed, length_bytes @ ..]) = first else { bail!("the answer has no message") };
        ensure!(*compressed == 0, "the answer is compressed");
        let told = u32::from_be_bytes(*length_bytes);
        ensure!(usize::try_from(told)? + PREFIX == length, "the answer has {length} bytes where its prefix tells {told}");
        Ok(())
    }
}

fn judge(trailers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ensure!(text("grpc-status") == "0", "the call failed with code {}: {}", text("grpc-status"), text("grpc-message"));
    Ok(())
}
