//! A caller of the REST door. Speaks HTTP/1.1 by itself, HTTP/2 where asked: nothing is tidied up on the way, so that tests can send what odd clients send.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

/// The base of all paths of the door.
pub const BASE: &str = "/platform/v1";

/// A caller with a token, or without.
#[derive(Clone)]
pub struct Http {
    pub address: String,
    pub token: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Http {
    pub fn new(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), token: Some(token.to_owned()) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, "").await
    }

    /// Calls a path below the base, as a plain client would.
    pub async fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call_with(method, path, &[], body).await
    }

    /// Calls a path below the base with more headers; one that is the host's replaces it.
    pub async fn call_with(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{BASE}{path}"));
        if let Some(token) = &self.token {
            request = request.header("SENDBIRDDESKAPITOKEN", token);
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("Host", &self.address);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// Sends a request just as it is.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        let stream = TcpStream::connect(&self.address).await.expect("the service listens");
        let builder = hyper::client::conn::http1::Builder::new().title_case_headers(true).clone();
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a connection");
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request.map(Full::new)).await.expect("an answer");
        let answer = answer(response).await;
        connection.abort();
        answer
    }

    /// Sends a request over HTTP/2, where its URI names scheme and host.
    pub async fn send_over_http2(&self, request: Request<Bytes>) -> Answer {
        let stream = TcpStream::connect(&self.address).await.expect("the service listens");
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a connection");
        let connection = tokio::spawn(connection);
        let answer = answer(sender.send_request(request.map(Full::new)).await.expect("an answer")).await;
        connection.abort();
        answer
    }
}

async fn answer(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header is ASCII"))
    }

    /// The body as JSON, whatever the status.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The body of a success.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// Status, code and message of a refusal, whose body must be just what the contract says.
    pub fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |key: &str| body[key].as_str().unwrap_or_else(|| panic!("{key} in {body}")).to_owned();
        let (code, message) = (text("code"), text("message"));
        assert_eq!(body, serde_json::json!({"error": true, "code": code, "message": message, "detail": message}));
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.status.is_client_error() || self.status.is_server_error(), "{}", self.status);
        (self.status.as_u16(), code, message)
    }

    /// Checks status, code and message of a refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!(self.refusal(), (status, code.to_owned(), message.to_owned()));
    }
}
