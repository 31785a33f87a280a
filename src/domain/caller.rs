//! Who is calling: an application, by one of its tokens. The only source of the tenant.

use std::fmt;
use std::str::FromStr;

use crate::domain::agent::Agent;
use crate::domain::deletion::RequestedFrom;
use crate::domain::ids::ApplicationKey;
use crate::error::Error;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Get and list tickets.
    TicketsRead,
    /// Create, update, close and reopen tickets.
    TicketsWrite,
    /// Place and release legal holds on tickets.
    HoldsWrite,
    /// Get, list and export messages.
    MessagesRead,
    /// Create messages.
    MessagesWrite,
    /// Delete messages.
    MessagesDelete,
    /// Get, list and export deletion logs.
    LogsRead,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 7] = [
        Self::TicketsRead,
        Self::TicketsWrite,
        Self::HoldsWrite,
        Self::MessagesRead,
        Self::MessagesWrite,
        Self::MessagesDelete,
        Self::LogsRead,
    ];

    /// The scope's name, such as `messages:delete`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TicketsRead => "tickets:read",
            Self::TicketsWrite => "tickets:write",
            Self::HoldsWrite => "holds:write",
            Self::MessagesRead => "messages:read",
            Self::MessagesWrite => "messages:write",
            Self::MessagesDelete => "messages:delete",
            Self::LogsRead => "logs:read",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or_else(|| format!("there is no scope {name:?}; scopes are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Whether a call changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It only reads.
    Read,
    /// It may change something.
    Write,
}

impl Access {
    /// The name in `error_reason.proto`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
        }
    }
}

/// Why a token or a signature is no good. Nobody's business but the operator's: callers are told the same for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCredential {
    /// What is wrong with it.
    pub flaw: Flaw,
    /// The public id of the token, or the key of the signature, where there is one of that name.
    pub token_id: Option<String>,
}

/// What is wrong with a token or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It does not look like a token.
    Malformed,
    /// There is none of that id.
    Unknown,
    /// The id is right and the secret is not, or the signature is not the key's.
    WrongSecret,
    /// Its time has passed.
    Expired,
    /// It was revoked.
    Revoked,
    /// It belongs to another application than the host name or the path says.
    OtherApplication,
}

impl Flaw {
    /// The word for it in the audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::WrongSecret => "wrong secret",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::OtherApplication => "other application",
        }
    }
}

/// The authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The application, the tenant whose rows the caller sees.
    pub application: ApplicationKey,
    /// The public id of the token.
    pub token_id: String,
    /// What the token may do.
    pub scopes: Vec<Scope>,
    /// How a deletion is requested where its request does not say.
    pub requested_from: RequestedFrom,
    /// Who requests a deletion where its request does not say.
    pub requested_by: Option<Agent>,
    /// Whether the platform upstream signs the calls. What it says is deleted is deleted there already, and counts against no quota.
    pub is_upstream: bool,
}

impl Caller {
    /// Checks that the token has a scope.
    ///
    /// # Errors
    /// [`Error::ScopeMissing`].
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.contains(&scope) { Ok(()) } else { Err(Error::ScopeMissing { scope }) }
    }
}
