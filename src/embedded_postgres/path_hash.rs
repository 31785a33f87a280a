//! A short name for a long path, for a folder that stands for it elsewhere.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The first 16 hexadecimal digits of the path's SHA-256: short, and different for every path that
/// one machine will ever have.
pub(super) fn path_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let (first, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}
