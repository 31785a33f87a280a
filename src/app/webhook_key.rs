//! Keys that sign webhooks: how they are made, and how a signature becomes a caller while the body that is signed comes in.

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

    /// Begins to find out who signed a body, before the body is there. `application_id` is the application that the host name is for,
    /// where it names one.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`] for a text that cannot be a signature; when the database is away.
    pub async fn begin_webhook(&self, key: &str, signature: &str, application_id: Option<&str>) -> Result<Signing, Error> {
        if signature.len() != SIGNATURE_DIGITS {
            return Err(bad(Flaw::WrongSecret, None));
        }
        let known = storage::webhook_key::find(&mut *self.connection().await?, key).await?;
        let flaw = match &known {
            None => Some(Flaw::Unknown),
            Some(key) if key.revoke_time.is_some() => Some(Flaw::Revoked),
            Some(key) if application_id.is_some_and(|id| !id.eq_ignore_ascii_case(&key.application_id)) => {
                Some(Flaw::OtherApplication)
            }
            Some(_) => None,
        };
        // Signed with something even for an unknown key, so that both take the same time.
        let mac = mac(known.as_ref().map_or("", |key| key.secret.as_str()));
        Ok(Signing { key: known, flaw, mac, signature: signature.to_owned() })
    }
}

/// How many digits a signature has.
const SIGNATURE_DIGITS: usize = 64;

/// A body that somebody signed, as far as it has come.
pub struct Signing {
    key: Option<WebhookKey>,
    /// Why it is refused in the end, whatever comes.
    flaw: Option<Flaw>,
    mac: Hmac<Sha256>,
    signature: String,
}

impl Signing {
    /// Takes the next part of the body.
    pub fn take(&mut self, part: &[u8]) {
        self.mac.update(part);
    }

    /// Whether the body may be good. What cannot be is taken all the same, so that nobody learns before its end that a key is unknown.
    #[must_use]
    pub fn may_be_good(&self) -> bool {
        self.flaw.is_none()
    }

    /// Finds out who signed the body, now that all of it was taken.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`], the same for an unknown key and a wrong signature.
    pub fn caller(self) -> Result<Caller, Error> {
        let signed = random::digits(&self.mac.finalize().into_bytes());
        let is_signed: bool = signed.as_bytes().ct_eq(self.signature.as_bytes()).into();
        let key = self.key.ok_or_else(|| bad(Flaw::Unknown, None))?;
        let token_id = format!("webhook:{}", key.key);
        // Who cannot sign is not told what else is wrong with the key.
        if let Some(flaw) = Some(Flaw::WrongSecret).filter(|_| !is_signed).or(self.flaw) {
            return Err(bad(flaw, Some(&token_id)));
        }
        Ok(Caller {
            application: key.application,
            token_id,
            scopes: vec![Scope::MessagesWrite, Scope::MessagesDelete],
            requested_from: RequestedFrom::Dashboard,
            requested_by: None,
            is_upstream: true,
        })
    }
}

fn mac(secret: &str) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use hmac::Mac;

    use super::mac;
    use crate::domain::random::digits;

    /// The signature of a body: HMAC-SHA256 in lower-case hexadecimal digits.
    fn sign(secret: &str, body: &[u8]) -> String {
        digits(&mac(secret).chain_update(body).finalize().into_bytes())
    }

    #[test]
    fn both_official_vectors_are_met() {
        let hello = br#"{"hello":"world"}"#;
        assert_eq!(sign("secret", hello), "2677ad3e7c090b2fa2c0fb13020d66d5420879b8316eb356a2d60fb9073bc778");
        let vacated = br#"{"time_ms":1403175510755,"events":[{"channel":"test_channel","name":"channel_vacated"}]}"#;
        assert_eq!(sign("tofu", vacated), "c17257e92037cd7de407ebc1ed174ceb7b2e518db127f44411b9ffc4f5b28cc5");
    }
}
