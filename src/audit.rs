//! The audit of access: who was refused, from where, what and why. Lines of their own target, which a flood of refusals cannot fill.
//!
//! Neither credentials nor content nor queries come here: a token only by its public id, and only when there is one of that id.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{Method, Request, Uri};

use crate::domain::caller::BadCredential;
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::peer::Peer;
use crate::error::{Error, Kind};

/// How many lines there may be in a second, and at once.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("it is not zero");
const LINES_AT_ONCE: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");
/// How many bytes of a path are written.
const MAX_PATH_BYTES: usize = 200;

tokio::task_local! {
    /// The call that the current task serves.
    static CALL: Call;
}

/// Writes the audit.
pub struct Audit {
    lines: DefaultDirectRateLimiter,
    suppressed: AtomicU64,
    authentications: AtomicU64,
    permissions: AtomicU64,
    deletions: AtomicU64,
}

/// How much was refused since the start, whether written or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// Calls without a good token or signature.
    pub authentications: u64,
    /// Calls that lack a scope.
    pub permissions: u64,
    /// Deletions that a rule, a limit or a wrong request kept from happening.
    pub deletions: u64,
}

impl Default for Audit {
    fn default() -> Self {
        let lines = RateLimiter::direct(Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_AT_ONCE));
        let zero = || AtomicU64::new(0);
        Self { lines, suppressed: zero(), authentications: zero(), permissions: zero(), deletions: zero() }
    }
}

/// What is known of a call.
pub struct Call {
    audit: Arc<Audit>,
    peer: Option<SocketAddr>,
    method: Method,
    uri: Uri,
    token_id: OnceLock<String>,
    messages: OnceLock<(TicketId, ChatMessageId, usize)>,
}

impl Audit {
    /// What is known of a call when it comes.
    pub fn call<B>(self: &Arc<Self>, request: &Request<B>) -> Call {
        Call {
            audit: self.clone(),
            peer: request.extensions().get::<Peer>().map(|peer| peer.address),
            method: request.method().clone(),
            uri: request.uri().clone(),
            token_id: OnceLock::new(),
            messages: OnceLock::new(),
        }
    }

    /// How much was refused.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Refusals {
            authentications: count(&self.authentications),
            permissions: count(&self.permissions),
            deletions: count(&self.deletions),
        }
    }

    /// Whether there may be a line, and how many there could not be since the last.
    fn line(&self, counter: &AtomicU64) -> Option<u64> {
        counter.fetch_add(1, Ordering::Relaxed);
        if self.lines.check().is_err() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// Says which token the current call came with.
pub fn caller_is(token_id: &str) {
    // Outside of a call there is nothing to remember it for, and a call has one caller.
    let _ = CALL.try_with(|call| call.token_id.set(token_id.to_owned()));
}

/// Says which messages the current call wants to delete.
pub fn deletes(ticket_id: TicketId, ids: &[ChatMessageId]) {
    if let Some(first) = ids.first() {
        let _ = CALL.try_with(|call| call.messages.set((ticket_id, *first, ids.len())));
    }
}

/// Tells of an error that leaves the service; of those that matter to the audit a line is written.
pub fn refused(error: &Error) {
    let _ = CALL.try_with(|call| call.refused(error));
}

impl Call {
    /// Watches what `serving` refuses.
    pub async fn scope<T>(self, serving: impl Future<Output = T>) -> T {
        CALL.scope(self, serving).await
    }

    fn refused(&self, error: &Error) {
        match error {
            Error::CredentialsMissing => self.not_authenticated("missing", None),
            Error::CredentialsInvalid(BadCredential { flaw, token_id }) => {
                self.not_authenticated(flaw.as_str(), token_id.as_deref());
            }
            Error::ScopeMissing { scope } => self.not_permitted(scope.as_str()),
            _ if self.deletes() => self.not_deleted(error),
            _ => {}
        }
    }

    fn not_authenticated(&self, cause: &str, token_id: Option<&str>) {
        let Some(suppressed) = self.audit.line(&self.audit.authentications) else { return };
        let (peer, method, path) = self.origin();
        tracing::warn!(target: "deskledger::audit", cause, token_id, peer, method, path, suppressed, "authentication failed");
    }

    fn not_permitted(&self, scope: &str) {
        let Some(suppressed) = self.audit.line(&self.audit.permissions) else { return };
        let ((peer, method, path), token_id) = (self.origin(), self.token_id.get());
        tracing::warn!(target: "deskledger::audit", cause = "scope missing", scope, token_id, peer, method, path, suppressed, "permission denied");
    }

    fn not_deleted(&self, error: &Error) {
        let described = error.describe();
        let refused = match described.kind {
            Kind::InvalidArgument | Kind::NotFound | Kind::FailedPrecondition | Kind::ResourceExhausted => true,
            // No refusals, which stand in the log as failures; the last two have lines of their own.
            Kind::Aborted
            | Kind::Unavailable
            | Kind::DeadlineExceeded
            | Kind::DataLoss
            | Kind::Internal
            | Kind::Unauthenticated
            | Kind::PermissionDenied => false,
        };
        if !refused {
            return;
        }
        let Some(suppressed) = self.audit.line(&self.audit.deletions) else { return };
        let ((peer, method, path), token_id, cause) = (self.origin(), self.token_id.get(), described.reason);
        // Of a batch the first, and how many there are; nothing where the request could not be read.
        let messages = self.messages.get();
        let (ticket_id, id, count) = (messages.map(|all| all.0.0), messages.map(|all| all.1.0), messages.map(|all| all.2));
        tracing::info!(
            target: "deskledger::audit",
            cause, token_id, ticket_id, id, count, peer, method, path, suppressed,
            "deletion refused"
        );
    }

    fn origin(&self) -> (Option<String>, &str, &str) {
        let path = self.uri.path();
        let end = path.floor_char_boundary(MAX_PATH_BYTES);
        (self.peer.map(|peer| peer.to_string()), self.method.as_str(), &path[..end])
    }

    fn deletes(&self) -> bool {
        let method = self.uri.path().rsplit('/').next().unwrap_or_default();
        self.method == Method::DELETE || method.starts_with("Delete") || method.starts_with("BatchDelete")
    }
}
