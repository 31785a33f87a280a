//! The REST door: the wire of the Sendbird Desk Platform API v1, for clients that exist already. Parse, call, render, as in `grpc`.

mod body;
mod call;
mod chat_message;
mod deletion_log;
mod docs;
mod envelope;
mod error;
mod log;
mod query;
mod ticket;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use tokio::sync::Semaphore;

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
    /// Bytes that bodies may have in memory whose signatures are not known to be good.
    unverified: Arc<Semaphore>,
}

/// One operation: a method on a path below [`BASE`], and who handles it.
struct Operation {
    method: &'static str,
    path: &'static str,
    route: MethodRouter<Door>,
}

/// Puts the operations together, behind authentication, and their description, open to all. `trust_forwarded` takes scheme and host of
/// answered URLs from `X-Forwarded-Proto` and `X-Forwarded-Host`, which a proxy in front must then set. Signed
/// webhooks from further than `webhook_window` ago are refused. `public_log` serves the deletion log's tree without a token.
pub fn router(app: Arc<App>, trust_forwarded: bool, webhook_window: Duration, public_log: bool) -> Router {
    let gate = Gate { app: app.clone(), refuse: error::response };
    let mut router = Router::new();
    for Operation { path, route, .. } in table() {
        // A trailing slash is tolerated.
        router = router.route(&format!("{BASE}{path}/"), route.clone()).route(&format!("{BASE}{path}"), route);
    }
    router
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .route_layer(from_fn_with_state(gate, auth::authenticate))
        .merge(webhooks())
        .layer(map_response(not_kept))
        .with_state(Door {
            app: app.clone(),
            trust_forwarded,
            webhook_window,
            unverified: Arc::new(Semaphore::new(webhook::MAX_UNVERIFIED_BYTES)),
        })
        .merge(log::router(app, public_log))
        .merge(docs::router())
}

/// The webhook knows its sender by a token or by a signature of the body, so that it authenticates by itself.
fn webhooks() -> Router<Door> {
    let methods = on(MethodFilter::POST, webhook::receive).fallback(webhook::method_not_allowed);
    Router::new().route(webhook::PATH, methods)
}

/// Keeps what may have to be erased out of caches on the way: they know `Authorization`, but not the other header of the token.
async fn not_kept(mut response: Response) -> Response {
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The method and the whole path of every operation, as the router has them: what `docs/openapi.json` must describe.
#[must_use]
pub fn operations() -> Vec<(&'static str, String)> {
    let below_base = table().into_iter().map(|operation| (operation.method, format!("{BASE}{}", operation.path)));
    below_base.chain([("POST", webhook::PATH.to_owned())]).collect()
}

/// The method and the whole path of everything that this door answers: the operations, the tree of the log, and what describes the door.
#[must_use]
pub fn routes() -> Vec<(&'static str, String)> {
    let others = log::paths().chain(docs::paths()).map(|path| ("GET", path.to_owned()));
    operations().into_iter().chain(others).collect()
}

/// Every operation; the router is built from this table and from nothing else.
fn table() -> Vec<Operation> {
    vec![
        get("/tickets", ticket::list),
        post("/tickets", ticket::create),
        get("/tickets/{ticket_id}", ticket::view),
        patch("/tickets/{ticket_id}", ticket::update),
        patch("/tickets/{ticket_id}/close", ticket::close),
        patch("/tickets/{ticket_id}/reopen", ticket::reopen),
        get("/tickets/{ticket_id}/chat_messages", chat_message::list),
        delete("/tickets/{ticket_id}/chat_messages/{chatmessage_id}", chat_message::delete),
        get("/chat_messages", chat_message::list_of_application),
        get("/chat_messages/deletion_logs", deletion_log::list),
        delete("/chat_messages/{chatmessage_id}", chat_message::delete),
    ]
}

fn get<H: Handler<T, Door>, T: 'static>(path: &'static str, handler: H) -> Operation {
    Operation { method: "GET", path, route: on(MethodFilter::GET, handler) }
}

fn post<H: Handler<T, Door>, T: 'static>(path: &'static str, handler: H) -> Operation {
    Operation { method: "POST", path, route: on(MethodFilter::POST, handler) }
}

fn patch<H: Handler<T, Door>, T: 'static>(path: &'static str, handler: H) -> Operation {
    Operation { method: "PATCH", path, route: on(MethodFilter::PATCH, handler) }
}

fn delete<H: Handler<T, Door>, T: 'static>(path: &'static str, handler: H) -> Operation {
    Operation { method: "DELETE", path, route: on(MethodFilter::DELETE, handler) }
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
