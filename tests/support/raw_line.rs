//! Calls byte by byte, for what no generated client sends.

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::codegen::Bytes;

use super::World;

/// A connection of HTTP/2 that adds nothing: a generated client would see to deadlines and sizes itself.
pub struct RawLine {
    sender: SendRequest<Full<Bytes>>,
    address: String,
    token: String,
}

/// What came back.
pub struct Answer {
    pub http: StatusCode,
    pub headers: HeaderMap,
    /// The framed message; empty for a refusal.
    pub body: Bytes,
    /// Absent where the answer was no gRPC.
    pub status: Option<Status>,
}

impl RawLine {
    pub async fn new(world: &World, token: &str) -> Self {
        Self::to(&world.address, token).await
    }

    /// A connection to a service that runs by itself.
    pub async fn to(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the service listens");
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the service speaks HTTP/2");
        tokio::spawn(connection);
        Self { sender, address: address.to_owned(), token: token.to_owned() }
    }

    /// Sends a body to a method, such as `TicketService/GetTicket`, with headers beside the usual ones.
    pub async fn call(&mut self, method: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.send(self.request(method, headers, body)).await.await.expect("no panic")
    }

    /// The same, not waiting for the answer; what is sent after it comes after it.
    pub async fn begin(&mut self, method: &str, body: Vec<u8>) -> JoinHandle<Answer> {
        self.send(self.request(method, &[], body)).await
    }

    fn request(&self, method: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::post(format!("http://{}/deskledger.v1.{method}", self.address))
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.token));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(Bytes::from(body))).expect("a request")
    }

    /// Calls the REST door.
    pub async fn rest(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.begin_rest(method, path, body).await.await.expect("no panic")
    }

    /// The same, not waiting for the answer; what is sent after it comes after it.
    pub async fn begin_rest(&mut self, method: &str, path: &str, body: &[u8]) -> JoinHandle<Answer> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        self.send(request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request")).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> JoinHandle<Answer> {
        self.sender.ready().await.expect("the connection is open");
        let answer = self.sender.send_request(request);
        tokio::spawn(async move {
            let (head, body) = answer.await.expect("an answer").into_parts();
            let body = body.collect().await.expect("the whole answer");
            let trailers = body.trailers().cloned().unwrap_or_default();
            let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
            Answer { http: head.status, headers: head.headers, body: body.to_bytes(), status }
        })
    }
}

/// A message as it stands in a body: not compressed, and how long it is.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a length that fits");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

impl Answer {
    pub fn status(&self) -> &Status {
        self.status.as_ref().expect("the answer is gRPC")
    }
}
