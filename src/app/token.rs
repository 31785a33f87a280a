//! Tokens: how they are made, and how a call's token becomes its caller.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use moka::notification::RemovalCause;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::domain::agent::Agent;
use crate::domain::caller::{BadCredential, Caller, Flaw, Scope};
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
pub(super) type Cache = moka::future::Cache<String, Option<Arc<Known>>>;

/// A token that was looked up.
pub(super) struct Known {
    token: Token,
    /// The minute, since 1970, in which its use was noted.
    noted: AtomicI64,
}

/// When tokens were used last, as far as that is not written down.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<String, DateTime<Utc>>>);

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
            last_use_time: None,
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
        let parts = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).filter(|(id, _)| id.len() == 16);
        let (id, secret) = parts.ok_or_else(|| bad(Flaw::Malformed, None))?;
        let known = self.known(id).await?;
        // A digest is compared even for an unknown id, so that both take the same time.
        let expected = known.as_ref().map_or(&[0; 32][..], |known| &known.token.secret_digest);
        let secret_is_right: bool = Sha256::digest(secret).as_slice().ct_eq(expected).into();
        let known = known.ok_or_else(|| bad(Flaw::Unknown, None))?;
        let token = &known.token;
        let now = self.now();
        let flaw = if secret_is_right { flaw_of(token, application_id, now) } else { Some(Flaw::WrongSecret) };
        if let Some(flaw) = flaw {
            return Err(bad(flaw, Some(&token.id)));
        }
        self.uses.note(&known, now);
        Ok(Caller {
            application: token.application,
            token_id: token.id.clone(),
            scopes: token.scopes.clone(),
            requested_from: token.requested_from,
            requested_by: token.requested_by.clone(),
            is_upstream: false,
        })
    }

    /// Checks that a caller's token is still good, for calls that last.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`]; when the database is away.
    pub async fn check_again(&self, caller: &Caller) -> Result<(), Error> {
        let known = self.known(&caller.token_id).await?;
        let flaw = known.map_or(Some(Flaw::Unknown), |known| flaw_of(&known.token, None, self.now()));
        flaw.map_or(Ok(()), |flaw| Err(bad(flaw, Some(&caller.token_id))))
    }

    /// Writes down when tokens were used last, to about a minute, and says of how many.
    ///
    /// # Errors
    /// When the database is away. What was to be written is kept for the next time.
    pub async fn record_token_uses(&self) -> Result<usize, Error> {
        let uses = self.uses.take();
        if uses.is_empty() {
            return Ok(0);
        }
        let (ids, times): (Vec<String>, Vec<DateTime<Utc>>) = uses.iter().cloned().unzip();
        let recorded = match self.connection().await {
            Ok(mut connection) => storage::token::record_uses(&mut connection, &ids, &times).await,
            Err(error) => Err(error),
        };
        if recorded.is_err() {
            self.uses.put_back(uses);
        }
        recorded.map(|()| ids.len())
    }

    /// The token, from memory or looked up; those who ask for one at the same time wait for one look-up.
    async fn known(&self, id: &str) -> Result<Option<Arc<Known>>, Error> {
        let kept = self.tokens.get(id).await;
        self.measures.tokens.looked_up(kept.is_some());
        match kept {
            Some(known) => Ok(known),
            // Apart, or every call would carry the room for a look-up around.
            None => Box::pin(self.tokens.try_get_with_by_ref(id, self.look_up(id))).await.map_err(|error| Error::shared(&error)),
        }
    }

    async fn look_up(&self, id: &str) -> Result<Option<Arc<Known>>, Error> {
        let token = storage::token::find(&mut *self.connection().await?, id).await?;
        Ok(token.map(|token| Arc::new(Known { token, noted: AtomicI64::new(i64::MIN) })))
    }
}

impl Uses {
    fn note(&self, known: &Known, now: DateTime<Utc>) {
        let minute = now.timestamp().div_euclid(60);
        // Once a minute for each token, so that a call costs no more than this look.
        if known.noted.load(Ordering::Relaxed) != minute && known.noted.swap(minute, Ordering::Relaxed) != minute {
            self.uses().insert(known.token.id.clone(), now);
        }
    }

    fn take(&self) -> Vec<(String, DateTime<Utc>)> {
        let mut uses: Vec<_> = std::mem::take(&mut *self.uses()).into_iter().collect();
        // In one order for all processes, which write to the same rows.
        uses.sort_unstable();
        uses
    }

    fn put_back(&self, old: Vec<(String, DateTime<Utc>)>) {
        let mut uses = self.uses();
        for (id, time) in old {
            uses.entry(id).or_insert(time);
        }
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with a token whose secret is right.
fn flaw_of(token: &Token, application_id: Option<&str>, now: DateTime<Utc>) -> Option<Flaw> {
    if token.revoke_time.is_some() {
        Some(Flaw::Revoked)
    } else if token.expire_time.is_some_and(|time| time <= now) {
        Some(Flaw::Expired)
    } else if application_id.is_some_and(|id| !id.eq_ignore_ascii_case(&token.application_id)) {
        Some(Flaw::OtherApplication)
    } else {
        None
    }
}

pub(super) fn bad(flaw: Flaw, token_id: Option<&str>) -> Error {
    Error::CredentialsInvalid(BadCredential { flaw, token_id: token_id.map(str::to_owned) })
}
