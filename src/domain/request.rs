//! What a mutating call is known by when it is repeated.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::ids::RequestId;

/// A request id with the digest of the request that it came with.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey {
    /// The caller's id.
    pub id: RequestId,
    /// SHA-256 of the method's name and the parsed request, the same from every door. What messages hold is left out: a digest outlives
    /// them, and could be tried against guesses. It is compared with the messages themselves, while they are there.
    pub digest: [u8; 32],
}

impl RequestKey {
    /// Binds `id` to a method and its request, in which no message has its content.
    ///
    /// # Panics
    /// Never: the requests are plain structs, which always serialize.
    #[must_use]
    pub fn new(id: RequestId, method: &str, request: &impl Serialize) -> Self {
        let request = serde_json::to_vec(request).expect("a plain struct serializes");
        let digest = Sha256::new().chain_update(method).chain_update([0]).chain_update(request).finalize().into();
        Self { id, digest }
    }
}
