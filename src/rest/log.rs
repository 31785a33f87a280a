//! The deletion log for auditors' tools: checkpoint, tiles and entries of an application's tree as C2SP tlog-tiles asks for them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::App;
use crate::auth;
use crate::domain::caller::{Access, Scope};
use crate::domain::ids::ApplicationKey;
use crate::domain::peer::Peer;
use crate::domain::proof::tile::TilePath;
use crate::error::Error;
use crate::rest::error;

/// What the handlers work with.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
    /// Open to all, without a token.
    public: bool,
}

pub(super) fn router(app: Arc<App>, public: bool) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    router.method_not_allowed_fallback(error::method_not_allowed).with_state(Door { app, public })
}

/// The paths, each to get.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    table().into_iter().map(|(path, _)| path)
}

fn table() -> [(&'static str, MethodRouter<Door>); 2] {
    [("/log/{application}/checkpoint", get(checkpoint)), ("/log/{application}/tile/{*path}", get(tile))]
}

async fn checkpoint(
    State(door): State<Door>,
    peer: Option<Extension<Peer>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Some(application) = door.application(peer.as_deref(), &id, &headers).await? else { return Ok(error::unknown_path()) };
    let checkpoint = door.app.log_checkpoint(application).await?;
    // A new one may be there in a moment; an old one is good, too.
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CACHE_CONTROL, door.kept("max-age=1"))];
    Ok((headers, checkpoint.text).into_response())
}

async fn tile(
    State(door): State<Door>,
    peer: Option<Extension<Peer>>,
    Path((id, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Some(application) = door.application(peer.as_deref(), &id, &headers).await? else { return Ok(error::unknown_path()) };
    let Some(path) = TilePath::parse(&path) else { return Ok(error::unknown_path()) };
    let Some(bytes) = door.app.log_tile(application, path).await? else { return Ok(error::unknown_path()) };
    // What is under this path never changes.
    let kept = door.kept("max-age=31536000, immutable");
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CACHE_CONTROL, kept)];
    Ok((headers, bytes).into_response())
}

impl Door {
    /// The application of the path, of which the caller must have a token where the log is not open to all.
    async fn application(&self, peer: Option<&Peer>, id: &str, headers: &HeaderMap) -> Result<Option<ApplicationKey>, Error> {
        if self.public {
            return Ok(self.app.find_application(id).await?.map(|application| application.key));
        }
        let caller = auth::caller_of(&self.app, peer, headers, Some(id)).await?;
        auth::admit(&self.app, &caller, Access::Read)?;
        caller.require(Scope::LogsRead)?;
        Ok(Some(caller.application))
    }

    /// For how long an answer is kept; caches on the way keep only what is open to all.
    fn kept(&self, how: &str) -> String {
        format!("{}, {how}", if self.public { "public" } else { "private" })
    }
}
