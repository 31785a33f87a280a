//! Webhooks as their senders send them: HTTP/1.1 by hand, signed as Pusher does.

use deskledger::storage::webhook_key::WebhookKey;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::World;

pub const PATH: &str = "/desk/api/v2/conversationmessages/webhooks.json";

/// No message.
pub const NONE: [i64; 0] = [];

/// An answer: its status and its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl World {
    /// Adds a key of an application, which is made where there is none.
    pub async fn webhook_key(&self, application: &str, key: &str, secret: &str) -> WebhookKey {
        self.owner.create_application(application, application).await.expect("the database");
        let application = self.owner.find_application(application).await.expect("the database").expect("the application");
        let made = self.owner.add_webhook_key(&application, Some(key.to_owned()), Some(secret.to_owned()), String::new()).await;
        made.expect("the database").expect("it is new")
    }

    /// Sends a body, each header as `name: value`.
    pub async fn post_webhook(&self, headers: &[String], body: &[u8]) -> Answer {
        let has_host = headers.iter().any(|header| header.starts_with("host: "));
        let host = if has_host { String::new() } else { format!("host: {}\r\n", self.address) };
        let headers: String = headers.iter().flat_map(|header| [header.as_str(), "\r\n"]).collect();
        let head = format!("POST {PATH} HTTP/1.1\r\n{host}{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let (mut reader, mut writer) = TcpStream::connect(&self.address).await.expect("the service listens").into_split();
        let request = [head.as_bytes(), body].concat();
        // A body that is refused early is not read to its end.
        let sent = tokio::spawn(async move { writer.write_all(&request).await.map(|()| writer) });
        let mut answer = Vec::new();
        let read = reader.read_to_end(&mut answer).await;
        assert!(read.is_ok() || !answer.is_empty(), "an answer comes: {read:?}");
        let _ = sent.await.expect("no panic");
        let answer = String::from_utf8(answer).expect("a text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("the head ends");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    /// Sends events as Pusher does, now.
    pub async fn send_events(&self, key: &WebhookKey, events: &Value) -> Answer {
        let body = json!({"time_ms": self.app.milliseconds(), "events": events}).to_string();
        self.post_webhook(&signed(key, body.as_bytes()), body.as_bytes()).await
    }

    /// Sends a body with a token.
    pub async fn post_bare(&self, token: &str, body: &Value) -> Answer {
        self.post_webhook(&[format!("authorization: Bearer {token}")], body.to_string().as_bytes()).await
    }
}

/// The headers of a signed body.
pub fn signed(key: &WebhookKey, body: &[u8]) -> Vec<String> {
    vec![format!("x-pusher-key: {}", key.key), format!("x-pusher-signature: {}", signature(&key.secret, body))]
}

pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body);
    deskledger::domain::random::digits(&mac.finalize().into_bytes())
}

/// The event that carries a message in a channel.
pub fn client_event(channel: &str, message: &Value) -> Value {
    event_with_data(channel, &message.to_string())
}

/// A client event with this as its data.
pub fn event_with_data(channel: &str, data: &str) -> Value {
    json!({"name": "client_event", "channel": channel, "event": "client-message", "data": data, "socket_id": "123.456"})
}

impl Answer {
    /// The ids of the stored messages that it tells of.
    pub fn stored(&self) -> Vec<i64> {
        assert_eq!(self.status, 201, "{self:?}");
        let messages = self.body["conversationmessages"].as_array().expect("an array");
        assert_eq!(self.body["conversationmessage"], messages.last().cloned().unwrap_or(Value::Null));
        messages.iter().map(|message| message["id"].as_i64().expect("an id")).collect()
    }
}
