//! Tokens: how they are made, and how a call's token becomes its caller.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use moka::notification::RemovalCause;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::domain::agent::Agent;
use crate::domain::caller::{Caller, Scope};
use crate::domain::deletion::RequestedFrom;
use crate::domain::random;
use crate::error::Error;
use crate::measures::CacheMeasures;
use crate::storage;
use crate::storage::application::Application;
use crate::storage::token::Token;

/// What every token begins with, so that secret scanners know one.
const PREFIX: &str = "dl_";
/// How many tokens are remembered; beyond, the least used are looked up again.
const CACHE_CAPACITY: u64 = 10_000;

/// Tokens by public id; `None` is remembered too, so that a wrong one costs a look-up once in a while only.
pub(super) type Cache = moka::future::Cache<String, Option<Arc<Token>>>;

pub(super) fn cache(ttl: Duration, measures: &CacheMeasures) -> Cache {
    let evictions = measures.evictions.clone();
    let evicted = move |_, _, cause: RemovalCause| {
        if cause.was_evicted() {
            evictions.inc();
        }
    };
    moka::future::Cache::builder().max_capacity(CACHE_CAPACITY).time_to_live(ttl).eviction_listener(evicted).build()
}

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for, in words.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// How a deletion is requested where its request does not say.
    pub requested_from: RequestedFrom,
    /// Who requests a deletion where its request does not say.
    pub requested_by: Option<Agent>,
    /// From when on it is no good; `None` is never.
    pub expire_time: Option<DateTime<Utc>>,
}

/// A token that was just made. Only now is its secret known.
pub struct IssuedToken {
    /// The public id.
    pub id: String,
    /// The whole token, as callers send it.
    pub text: String,
}

impl App {
    /// Makes a token for an application.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn create_token(&self, application: &Application, new: NewToken) -> Result<IssuedToken, Error> {
        let id = random::hex::<8>();
        let secret = URL_SAFE_NO_PAD.encode(random::bytes::<32>());
        let token = Token {
            id: id.clone(),
            application: application.key,
            application_id: application.id.clone(),
            name: new.name,
            secret_digest: Sha256::digest(&secret).to_vec(),
            scopes: new.scopes,
            requested_from: new.requested_from,
            requested_by: new.requested_by,
            create_time: self.now(),
            expire_time: new.expire_time,
            revoke_time: None,
        };
        storage::token::insert(&mut *self.connection().await?, &token).await?;
        let text = format!("{PREFIX}{id}_{secret}");
        Ok(IssuedToken { id, text })
    }

    /// Lists an application's tokens, oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list_tokens(&self, application: &Application) -> Result<Vec<Token>, Error> {
        storage::token::list(&mut *self.connection().await?, application.key).await
    }

    /// Revokes a token; false when there is none or it is revoked already.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn revoke_token(&self, id: &str) -> Result<bool, Error> {
        let revoked = storage::token::revoke(&mut *self.connection().await?, id, self.now()).await?;
        self.tokens.invalidate(id).await;
        Ok(revoked)
    }

    /// Finds out who sends a token. `application_id` is the application that the host name is for, where it names one.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`], the same for every reason; when the database is away.
    pub async fn authenticate(&self, token: &str, application_id: Option<&str>) -> Result<Caller, Error> {
        let (id, secret) = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(Error::CredentialsInvalid)?;
        if id.len() != 16 {
            return Err(Error::CredentialsInvalid);
        }
        let known = self.known(id).await?;
        // A digest is compared even for an unknown id, so that both take the same time.
        let expected = known.as_ref().map_or(&[0; 32][..], |token| &token.secret_digest);
        let secret_is_right: bool = Sha256::digest(secret).as_slice().ct_eq(expected).into();
        match known {
            Some(token) if secret_is_right && self.is_good(&token, application_id) => Ok(Caller {
                application: token.application,
                token_id: token.id.clone(),
                scopes: token.scopes.clone(),
                requested_from: token.requested_from,
                requested_by: token.requested_by.clone(),
            }),
            _ => Err(Error::CredentialsInvalid),
        }
    }

    /// Checks that a caller's token is still good, for calls that last.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`]; when the database is away.
    pub async fn check_again(&self, caller: &Caller) -> Result<(), Error> {
        let known = self.known(&caller.token_id).await?;
        if known.is_some_and(|token| self.is_good(&token, None)) { Ok(()) } else { Err(Error::CredentialsInvalid) }
    }

    fn is_good(&self, token: &Token, application_id: Option<&str>) -> bool {
        token.revoke_time.is_none()
            && token.expire_time.is_none_or(|time| self.now() < time)
            && application_id.is_none_or(|id| id.eq_ignore_ascii_case(&token.application_id))
    }

    /// The token, from memory or looked up; those who ask for one at the same time wait for one look-up.
    async fn known(&self, id: &str) -> Result<Option<Arc<Token>>, Error> {
        let kept = self.tokens.get(id).await;
        self.measures.tokens.looked_up(kept.is_some());
        match kept {
            Some(token) => Ok(token),
            // Apart, or every call would carry the room for a look-up around.
            None => Box::pin(self.tokens.try_get_with_by_ref(id, self.look_up(id))).await.map_err(|error| Error::shared(&error)),
        }
    }

    async fn look_up(&self, id: &str) -> Result<Option<Arc<Token>>, Error> {
        let token = storage::token::find(&mut *self.connection().await?, id).await?;
        Ok(token.map(Arc::new))
    }
}
