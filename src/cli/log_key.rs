//! The key that signs the deletion log, as files: who may read it, and where the heads that it has signed are kept.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::app::{App, LogSigner};
use crate::config::ServerSettings;
use crate::domain::proof::key::LogKey;
use crate::domain::random;
use crate::error::Error;

/// The key's file in the directory of a private server.
const PRIVATE_KEY_FILE: &str = "log.key";

/// Reads a key.
pub(super) fn read(path: &Path) -> anyhow::Result<LogKey> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the key file {}", path.display()))?;
    LogKey::parse(&text).with_context(|| format!("{} holds no key of a log", path.display()))
}

/// Writes a key to a new file that only its owner may read.
pub(super) fn write(key: &LogKey, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make the key file {}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(cannot)?;
    writeln!(file, "{}", key.to_text()).with_context(cannot)?;
    file.sync_all().with_context(cannot)
}

/// The signer that the settings name. A private server has no other home than its directory, so that one without a configured key makes
/// its own there.
pub(super) fn signer(settings: &ServerSettings, private_dir: Option<&Path>) -> anyhow::Result<Option<LogSigner>> {
    let configured = settings.log_key_file.clone().filter(|path| !path.as_os_str().is_empty());
    let path = match (configured, private_dir) {
        (Some(path), _) => path,
        (None, Some(directory)) => private_key(directory)?,
        (None, None) => {
            tracing::warn!(
                "no key signs the deletion log here: set DESKLEDGER_LOG_KEY_FILE, or receipts need another process that has it"
            );
            return Ok(None);
        }
    };
    let state = settings.log_state_file.clone().filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| state_of(&path));
    Ok(Some(LogSigner::new(read(&path)?, state)))
}

/// Refuses a database that lacks what the key has signed. One that cannot be asked yet is asked by the service, before it signs.
pub(super) async fn check(app: &App, signer: &LogSigner) -> anyhow::Result<()> {
    match app.check_signed_log(signer).await {
        Ok(()) => Ok(()),
        Err(Error::LogCorrupt(cause)) => bail!(
            "the database is not the one whose log was signed: {cause}. Was an older backup restored? docs/PROOF.md says what to do then"
        ),
        Err(error) => {
            tracing::warn!(%error, "cannot check the deletion log yet");
            Ok(())
        }
    }
}

fn private_key(directory: &Path) -> anyhow::Result<PathBuf> {
    let path = directory.join(PRIVATE_KEY_FILE);
    if !path.try_exists().with_context(|| format!("cannot look for the key file {}", path.display()))? {
        // No other private server has this name.
        write(&LogKey::generate(&format!("localhost/{}/log", random::hex::<8>()))?, &path)?;
    }
    Ok(path)
}

fn state_of(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".state");
    name.into()
}
