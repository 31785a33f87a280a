//! The REST door: the wire of the Sendbird Desk Platform API v1, for clients that exist already. Parse, call, render, as in `grpc`.

mod body;
mod call;
mod chat_message;
mod deletion_log;
mod envelope;
mod error;
mod query;
mod ticket;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use http::HeaderValue;
use http::header::CACHE_CONTROL;

use crate::app::App;
use crate::auth::{self, Gate};
use crate::error::Error;

/// The base of all paths.
pub const BASE: &str = "/platform/v1";
/// How many bytes the body of a request has at most.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// What each handler works with.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
    trust_forwarded: bool,
    webhook_window: Duration,
}

/// Puts the paths together, behind authentication. `trust_forwarded` takes scheme and host of answered URLs from `X-Forwarded-Proto` and
/// `X-Forwarded-Host`, which a proxy in front must then set. Signed webhooks from further than `webhook_window` ago are refused.
pub fn router(app: Arc<App>, trust_forwarded: bool, webhook_window: Duration) -> Router {
    let gate = Gate { app: app.clone(), refuse: error::response };
    let mut router = Router::new();
    for (path, methods) in paths() {
        // A trailing slash is tolerated.
        let path = format!("{BASE}{path}");
        router = router.route(&format!("{path}/"), methods.clone().fallback(error::method_not_allowed));
        router = router.route(&path, methods.fallback(error::method_not_allowed));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .route_layer(from_fn_with_state(gate, auth::authenticate))
        .merge(webhooks())
        .layer(map_response(not_kept))
        .with_state(Door { app, trust_forwarded, webhook_window })
}

/// The webhook knows its sender by a token or by a signature of the body, so that it authenticates by itself.
fn webhooks() -> Router<Door> {
    let methods = post(webhook::receive).fallback(webhook::method_not_allowed);
    Router::new().route(webhook::PATH, methods).layer(DefaultBodyLimit::max(webhook::MAX_BODY_BYTES))
}

/// Keeps what may have to be erased out of caches on the way: they know `Authorization`, but not the other header of the token.
async fn not_kept(mut response: Response) -> Response {
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Every path below [`BASE`] with its methods.
fn paths() -> [(&'static str, MethodRouter<Door>); 9] {
    [
        ("/tickets", get(ticket::list).post(ticket::create)),
        ("/tickets/{ticket_id}", get(ticket::view).patch(ticket::update)),
        ("/tickets/{ticket_id}/close", patch(ticket::close)),
        ("/tickets/{ticket_id}/reopen", patch(ticket::reopen)),
        ("/tickets/{ticket_id}/chat_messages", get(chat_message::list)),
        ("/tickets/{ticket_id}/chat_messages/{chatmessage_id}", delete(chat_message::delete)),
        ("/chat_messages", get(chat_message::list_of_application)),
        ("/chat_messages/deletion_logs", get(deletion_log::list)),
        ("/chat_messages/{chatmessage_id}", delete(chat_message::delete)),
    ]
}

/// Answers a path that there is not.
#[must_use]
pub fn unknown_path() -> Response {
    error::unknown_path()
}

/// An error as this door's clients know it.
#[must_use]
pub fn error_response(error: Error) -> Response {
    error.into_response()
}
