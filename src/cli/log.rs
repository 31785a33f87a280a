//! `deskledger log`: the key that signs the deletion log, and receipts; what needs a database is in files of its own.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::cli::{log_erase, log_key, log_verify};
use crate::domain::proof::ProofError;
use crate::domain::proof::key::{LogKey, VerifierKey};
use crate::domain::proof::receipt::{Proved, Receipt};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the whole log again from its rows and compare: exit code 0 if all is as it was signed, 1 if not
    Verify(log_verify::Arguments),
    /// Erase what is personal in old entries, and their salts: the entries and all proofs stay, an entry tells of the erasure
    Erase(log_erase::Arguments),
    #[command(flatten)]
    Offline(Offline),
}

/// What needs no database.
#[derive(Debug, Subcommand)]
pub(super) enum Offline {
    /// Make and show the key that signs the log
    #[command(subcommand)]
    Key(KeyCommand),
    /// Check a receipt offline, without a database: exit code 0 if it is good, 1 if not
    VerifyReceipt(VerifyReceipt),
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key, in a file that only its owner may read; a file that is there is left as it is
    Generate {
        /// What the logs of all applications are named by, like a URL without scheme, such as desk.example.com/log; for good
        origin: String,
        #[command(flatten)]
        file: KeyFile,
    },
    /// Print the verifier key of an application's log: public, for those who check receipts and checkpoints
    Show {
        /// The application's id
        application: String,
        #[command(flatten)]
        file: KeyFile,
    },
}

#[derive(Debug, Args)]
pub(super) struct KeyFile {
    /// File of the key
    #[arg(long = "log-key-file", env = "DESKLEDGER_LOG_KEY_FILE")]
    path: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct VerifyReceipt {
    /// The receipt; - is standard input
    file: PathBuf,
    /// The verifier key of the application's log, as `deskledger log key show` prints it; from someone other than who gave the receipt
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    key: VerifierKey,
}

pub(super) fn run(command: Offline) -> anyhow::Result<()> {
    match command {
        Offline::Key(KeyCommand::Generate { origin, file }) => generate(&origin, &file.path),
        Offline::Key(KeyCommand::Show { application, file }) => {
            println!("{}", log_key::read(&file.path)?.verifier_key(&application));
            Ok(())
        }
        Offline::VerifyReceipt(VerifyReceipt { file, key }) => verify_receipt(&file, &key),
    }
}

fn generate(origin: &str, path: &Path) -> anyhow::Result<()> {
    let key = LogKey::generate(origin)?;
    log_key::write(&key, path)?;
    println!("{} holds the key of {}. Keep a copy where the database's backups are not.", path.display(), key.origin());
    Ok(())
}

fn verify_receipt(path: &Path, key: &VerifierKey) -> anyhow::Result<()> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => io::stdin().read_to_string(&mut text),
        false => fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read the receipt {}", path.display()))?;
    let verified = |text: &str| -> Result<Proved, ProofError> { Receipt::parse(text)?.verify(key) };
    let Proved { record, index, head } = verified(&text).context("the receipt proves nothing")?;
    println!("The receipt is good. Entry {index} of the log {} is this record:\n", key.origin());
    println!("{}\n", serde_json::to_string_pretty(&record)?);
    println!("The key {key} signed that log when it had {} entries, with the root {}.", head.size, head.root);
    println!("The record cannot be taken out of it or changed without that being seen by all who keep a later checkpoint.");
    Ok(())
}
