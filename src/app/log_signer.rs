//! Signing the heads of the log's trees: any process with the key may, each head consistent with all that the key has signed before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::task::spawn_blocking;

use crate::app::App;
use crate::app::signed_heads::SignedHeads;
use crate::domain::ids::ApplicationKey;
use crate::domain::proof::ProofError;
use crate::domain::proof::checkpoint;
use crate::domain::proof::key::{LogKey, VerifierKey};
use crate::domain::proof::tree::{Head, check_consistency, tiles_of_consistency, tiles_of_root};
use crate::error::Error;
use crate::storage;
use crate::storage::log_tree::Unsigned;

/// Signs heads, each consistent with all that it has signed before.
#[derive(Debug, Clone)]
pub struct LogSigner {
    key: Arc<LogKey>,
    signed: SignedHeads,
}

impl LogSigner {
    /// A signer that keeps its last heads in this file.
    #[must_use]
    pub fn new(key: LogKey, state_file: PathBuf) -> Self {
        Self { key: Arc::new(key), signed: SignedHeads::new(state_file) }
    }

    /// What tells this key from others in the database.
    pub(super) fn name(&self) -> String {
        self.key.name()
    }

    async fn remembered(&self) -> Result<BTreeMap<String, Head>, Error> {
        let signed = self.signed.clone();
        spawn_blocking(move || signed.read()).await.map_err(Error::internal)?.map_err(Error::internal)
    }

    async fn remember(&self, heads: BTreeMap<String, Head>) -> Result<(), Error> {
        let signed = self.signed.clone();
        spawn_blocking(move || signed.remember(&heads)).await.map_err(Error::internal)?.map_err(Error::internal)
    }
}

impl App {
    /// Signs the heads that the key has not signed yet. Only what is committed is signed, and it is remembered outside the database before
    /// anyone can see it: whatever dies when, no head that was seen is ever forgotten.
    pub(super) async fn sign_log(&self, signer: &LogSigner) -> Result<(), Error> {
        let mut connection = self.connection().await?;
        let remembered = signer.remembered().await?;
        let (mut heads, mut checkpoints) = (BTreeMap::new(), Vec::new());
        for unsigned in storage::log_tree::unsigned(&mut connection, &signer.name()).await? {
            let Unsigned { application, application_id, head, checkpoint } = unsigned;
            let origin = signer.key.origin_of(&application_id);
            let verifier = VerifierKey::parse(&signer.key.verifier_key(&application_id)).map_err(Error::log_corrupt)?;
            let published = checkpoint.map(|text| checkpoint::open(&text, &verifier)).transpose().map_err(Error::log_corrupt)?;
            for old in published.into_iter().chain(remembered.get(&origin).copied()) {
                continues(&mut connection, application, old, head).await?;
            }
            let text = checkpoint::sign(&signer.key, &application_id, head).map_err(Error::log_corrupt)?;
            heads.insert(origin, head);
            checkpoints.push((application, head.size, text));
        }
        if heads.is_empty() {
            return Ok(());
        }
        signer.remember(heads).await?;
        for (application, size, text) in checkpoints {
            storage::log_tree::publish(&mut connection, application, &signer.name(), size, &text).await?;
        }
        Ok(())
    }

    /// Checks that the database has every head that the key has signed.
    ///
    /// # Errors
    /// [`Error::LogCorrupt`] when it has not, as a restored backup has not; when the database is away.
    pub async fn check_signed_log(&self, signer: &LogSigner) -> Result<(), Error> {
        let mut connection = self.connection().await?;
        for (origin, old) in signer.remembered().await? {
            let Some(id) = origin.strip_prefix(signer.key.origin()).and_then(|rest| rest.strip_prefix('/')) else { continue };
            let missing = || Error::log_corrupt(ProofError::OutOfTree { size: 0, asked: old.size });
            let application = storage::application::find(&mut connection, id).await?.ok_or_else(missing)?;
            let head = storage::log_tree::head(&mut connection, application.key).await?;
            continues(&mut connection, application.key, old, head).await?;
        }
        Ok(())
    }
}

/// Checks by the tiles that the tree with the new head begins with the old one.
async fn continues(connection: &mut PgConnection, application: ApplicationKey, old: Head, new: Head) -> Result<(), Error> {
    let mut needed = tiles_of_root(new.size);
    needed.extend(tiles_of_consistency(old.size, new.size));
    let tiles = storage::log_tree::tiles(connection, application, &needed).await?;
    let checked = || {
        if tiles.root(new.size)? != new.root {
            return Err(ProofError::OtherRoot { size: new.size });
        }
        check_consistency(&tiles.consistency(old.size, new.size)?, new, old)
    };
    checked().map_err(Error::log_corrupt)
}
