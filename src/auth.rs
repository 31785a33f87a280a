//! Authentication: one layer for both doors, which makes a call's token its caller.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::app::App;
use crate::audit;
use crate::domain::caller::{Access, BadCredential, Caller, Flaw};
use crate::domain::peer::Peer;
use crate::error::Error;

/// The header that clients of the REST API know.
pub const SENDBIRD_DESK_API_TOKEN: HeaderName = HeaderName::from_static("sendbirddeskapitoken");
/// What the first label of a host name begins with when it names an application.
const HOST_PREFIX: &str = "desk-api-";

/// What the layer needs: whom to ask, and how its door tells an error.
#[derive(Clone)]
pub struct Gate {
    /// Knows the tokens.
    pub app: Arc<App>,
    /// Renders an error as the door does.
    pub refuse: fn(Error) -> Response,
}

/// Lets a call with a good token through, its [`Caller`] among the extensions; refuses any other before its body is read.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    let access = access_of(request.method(), uri.path());
    let caller = match caller(&gate.app, request.extensions().get(), headers, uri).await {
        Ok(caller) => admit(&gate.app, &caller, access).map(|()| caller),
        Err(error) => Err(error),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => (gate.refuse)(error),
    }
}

/// Lets a caller in: the audit knows who calls, and the call counts against the token's rate.
///
/// # Errors
/// [`Error::RateLimited`].
pub fn admit(app: &App, caller: &Caller, access: Access) -> Result<(), Error> {
    audit::caller_is(&caller.token_id);
    app.count_call(caller, access)
}

/// Whether a call reads or writes: by its method where it is one of HTTP, else by the verb in the name of the gRPC method.
#[must_use]
pub fn access_of(method: &Method, path: &str) -> Access {
    let name = path.rsplit('/').next().unwrap_or_default();
    let reads = match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => true,
        _ => ["Get", "List", "Export"].iter().any(|verb| name.starts_with(verb)),
    };
    if reads { Access::Read } else { Access::Write }
}

/// Finds out who is calling.
///
/// # Errors
/// [`Error::CredentialsMissing`], [`Error::CredentialsInvalid`]; when the database is away.
pub async fn caller(app: &App, peer: Option<&Peer>, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Error> {
    caller_of(app, peer, headers, application_of_host(headers, uri)).await
}

/// Finds out who is calling for an application, where it is known which: by the call, or by the certificate of its peer.
///
/// # Errors
/// [`Error::CredentialsMissing`], [`Error::CredentialsInvalid`] also for a token of another application; when the database is away.
pub async fn caller_of(app: &App, peer: Option<&Peer>, headers: &HeaderMap, application_id: Option<&str>) -> Result<Caller, Error> {
    app.authenticate(token(headers)?, of_peer(peer)?.application_id(application_id)?).await
}

/// The peer of a call. Absent only where the connection is: fail closed.
///
/// # Errors
/// [`Error::CredentialsMissing`]
pub fn of_peer(peer: Option<&Peer>) -> Result<&Peer, Error> {
    peer.ok_or(Error::CredentialsMissing)
}

/// The application that the host name is for, where it names one.
#[must_use]
pub fn application_of_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let host = uri.authority().map(Authority::host).or_else(|| text(headers.get(HOST)));
    host.and_then(application_of)
}

/// The token that the headers carry, in either way.
fn token(headers: &HeaderMap) -> Result<&str, Error> {
    // Of two, a proxy in front may have looked at the other.
    if [AUTHORIZATION, SENDBIRD_DESK_API_TOKEN].iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(malformed());
    }
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let (scheme, token) = text(Some(authorization)).and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(malformed()) };
    }
    match headers.get(SENDBIRD_DESK_API_TOKEN) {
        Some(token) => text(Some(token)).map(str::trim).ok_or_else(malformed),
        None => Err(Error::CredentialsMissing),
    }
}

fn malformed() -> Error {
    Error::CredentialsInvalid(BadCredential { flaw: Flaw::Malformed, token_id: None })
}

/// The application that a host name is for, `desk-api-{id}` being its first label.
fn application_of(host: &str) -> Option<&str> {
    let label = host.split(['.', ':']).next()?;
    let (prefix, id) = label.split_at_checked(HOST_PREFIX.len())?;
    prefix.eq_ignore_ascii_case(HOST_PREFIX).then_some(id)
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_is_the_rest_of_the_hosts_first_label() {
        assert_eq!(application_of("desk-api-acme.sendbird.com"), Some("acme"));
        assert_eq!(application_of("Desk-API-acme:443"), Some("acme"));
        assert_eq!(application_of("desk-api-"), Some(""));
        assert_eq!(application_of("localhost:50051"), None);
        assert_eq!(application_of("x.desk-api-acme.com"), None);
        assert_eq!(application_of("ünï-ködé-api"), None);
    }
}
