//! The same request sent twice is one operation.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::name::{Kind, Tenant};
use crate::payload::Payload;
use crate::time::Timestamp;

/// Which family of keys a key belongs to. Spaces are separate: one UUID sent through two faces is
/// two keys unless a route unifies them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySpace(Arc<str>);

impl KeySpace {
    /// A space by name, for example `grpc` or `oci`.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// (tenant, key space, key) in 128 bits of SHA-256, the form in which keys are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupeKey(pub u128);

impl DedupeKey {
    /// The indexed form of a caller's key.
    pub fn derive(tenant: &Tenant, space: &KeySpace, key: &str) -> Self {
        let digest =
            framed([tenant.as_str().as_bytes(), space.as_str().as_bytes(), key.as_bytes()]);
        let mut half = [0_u8; 16];
        half.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(half))
    }
}

/// What the request asked for: two requests under one key with different fingerprints are a
/// conflict. Headers, trace, deadline and credentials are not part of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a kind, its input and where its completion is to be sent.
    pub fn of(kind: &Kind, input: &Payload, callback_url: Option<&str>) -> Self {
        Self(framed([
            kind.service().as_bytes(),
            kind.operation().as_bytes(),
            input.media_type.as_bytes(),
            &input.bytes,
            callback_url.unwrap_or_default().as_bytes(),
        ]))
    }
}

impl Fingerprint {
    /// Of a request as it came, where more than its input tells two of them apart.
    pub fn of_request<const N: usize>(parts: [&[u8]; N]) -> Self {
        Self(framed(parts))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
fn framed<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The dedupe record of an operation: stored in the same journal record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// The space the key came from.
    pub space: KeySpace,
    /// The indexed key.
    pub key: DedupeKey,
    /// What the first request asked for.
    pub fingerprint: Fingerprint,
    /// Until when the key is honoured, even if the operation itself is forgotten earlier.
    pub until: Timestamp,
    /// Whether the key is honoured beyond that for as long as the operation has neither ended nor
    /// been removed: a request that names what it works on, as an HTTP DELETE does, is not begun
    /// again while it runs.
    pub live: bool,
}
