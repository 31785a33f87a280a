//! Keys that sign webhooks: how they are made, and how a signature becomes a caller.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::app::token::bad;
use crate::domain::caller::{Caller, Flaw, Scope};
use crate::domain::deletion::RequestedFrom;
use crate::domain::random;
use crate::error::Error;
use crate::storage;
use crate::storage::application::Application;
use crate::storage::webhook_key::WebhookKey;

impl App {
    /// Makes a key, of random text where none is given. `None` when there is a key of that name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_webhook_key(
        &self,
        application: &Application,
        key: Option<String>,
        secret: Option<String>,
        name: String,
    ) -> Result<Option<WebhookKey>, Error> {
        let key = WebhookKey {
            key: key.unwrap_or_else(random::hex::<10>),
            application: application.key,
            application_id: application.id.clone(),
            secret: secret.unwrap_or_else(random::hex::<32>),
            name,
            create_time: self.now(),
            revoke_time: None,
        };
        let made = storage::webhook_key::insert(&mut *self.connection().await?, &key).await?;
        Ok(made.then_some(key))
    }

    /// Lists an application's keys, oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list_webhook_keys(&self, application: &Application) -> Result<Vec<WebhookKey>, Error> {
        storage::webhook_key::list(&mut *self.connection().await?, application.key).await
    }

    /// Revokes a key; false when there is none or it is revoked already.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn revoke_webhook_key(&self, key: &str) -> Result<bool, Error> {
        storage::webhook_key::revoke(&mut *self.connection().await?, key, self.now()).await
    }

    /// Finds out who signed a body. `application_id` is the application that the host name is for, where it names one.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`], the same for an unknown key and a wrong signature; when the database is away.
    pub async fn authenticate_webhook(
        &self,
        key: &str,
        signature: &str,
        body: &[u8],
        application_id: Option<&str>,
    ) -> Result<Caller, Error> {
        let known = storage::webhook_key::find(&mut *self.connection().await?, key).await?;
        // Signed with something even for an unknown key, so that both take the same time.
        let secret = known.as_ref().map_or("", |key| key.secret.as_str());
        let is_signed: bool = sign(secret, body).as_bytes().ct_eq(signature.as_bytes()).into();
        let key = known.ok_or_else(|| bad(Flaw::Unknown, None))?;
        let flaw = if !is_signed {
            Some(Flaw::WrongSecret)
        } else if key.revoke_time.is_some() {
            Some(Flaw::Revoked)
        } else if application_id.is_some_and(|id| !id.eq_ignore_ascii_case(&key.application_id)) {
            Some(Flaw::OtherApplication)
        } else {
            None
        };
        if let Some(flaw) = flaw {
            return Err(bad(flaw, Some(&format!("webhook:{}", key.key))));
        }
        Ok(Caller {
            application: key.application,
            token_id: format!("webhook:{}", key.key),
            scopes: vec![Scope::MessagesWrite, Scope::MessagesDelete],
            requested_from: RequestedFrom::Dashboard,
            requested_by: None,
            is_upstream: true,
        })
    }
}

/// The signature of a body: HMAC-SHA256 in lower-case hexadecimal digits.
fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    random::digits(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn both_official_vectors_are_met() {
        let hello = br#"{"hello":"world"}"#;
        assert_eq!(sign("secret", hello), "2677ad3e7c090b2fa2c0fb13020d66d5420879b8316eb356a2d60fb9073bc778");
        let vacated = br#"{"time_ms":1403175510755,"events":[{"channel":"test_channel","name":"channel_vacated"}]}"#;
        assert_eq!(sign("tofu", vacated), "c17257e92037cd7de407ebc1ed174ceb7b2e518db127f44411b9ffc4f5b28cc5");
    }
}
