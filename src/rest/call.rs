//! What every handler gets of its call.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::domain::caller::{Caller, Scope};
use crate::domain::violation::FieldViolation;
use crate::error::Error;
use crate::rest::Door;
use crate::rest::body::Object;
use crate::rest::query::{Query, integer};

/// A call, its body read and not yet looked at.
pub(super) struct Call {
    caller: Caller,
    path: Vec<(String, String)>,
    body: Bytes,
    pub(super) query: Query,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

impl FromRequest<Door> for Call {
    type Rejection = Error;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        // Absent only where the authentication layer is: fail closed.
        let caller = parts.extensions.remove::<Caller>().ok_or(Error::CredentialsMissing)?;
        let path = match RawPathParams::from_request_parts(&mut parts, door).await {
            Ok(path) => path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            Err(_) => undecoded(parts.uri.path()),
        };
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        let body = Bytes::from_request(Request::from_parts(parts, body), door).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(_) => Error::RequestTooLarge,
            _ => Error::RequestMalformed,
        })?;
        Ok(Self { caller, path, body, query, uri, headers })
    }
}

/// The parameters of a path that is not UTF-8 when it is decoded, so that the error names the one that is no integer.
fn undecoded(path: &str) -> Vec<(String, String)> {
    let segments: Vec<&str> = path.split('/').collect();
    let names = [("tickets", "ticket_id"), ("chat_messages", "chatmessage_id")];
    let name_after = |segment: &str| names.iter().find(|(before, _)| *before == segment).map(|(_, name)| (*name).to_owned());
    segments.windows(2).filter_map(|pair| Some((name_after(pair[0])?, pair[1].to_owned()))).collect()
}

impl Call {
    /// The caller, who must have a scope: the first thing that a handler asks for.
    pub(super) fn authorize(&self, scope: Scope) -> Result<&Caller, Error> {
        self.caller.require(scope)?;
        Ok(&self.caller)
    }

    /// The body as a JSON object; an empty one is an empty object.
    pub(super) fn object(&self) -> Result<Object, Error> {
        Object::parse(&self.body)
    }

    /// An integer in the path.
    pub(super) fn path_integer(&self, name: &str) -> Result<i64, FieldViolation> {
        let value = self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        integer(name, value)
    }

    /// Whether the path has a parameter.
    pub(super) fn path_has(&self, name: &str) -> bool {
        self.path.iter().any(|(key, _)| key == name)
    }
}
