//! The keyring of a face, which can be replaced while it serves.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::keyring::Keyring;
use super::reason::Reason;
use super::verify::{Head, verify_body};
use crate::server::{Authenticator, Caller};

/// Believes signatures by a keyring that can be replaced while requests are served.
#[derive(Debug, Default)]
pub struct Verifier(RwLock<Arc<Keyring>>);

impl Verifier {
    /// Believes whom `keyring` has.
    pub fn new(keyring: Keyring) -> Self {
        Self(RwLock::new(Arc::new(keyring)))
    }

    /// Believes whom `keyring` has from now on. A request that is being judged is judged by the old
    /// one to its end: none is dropped, and none by some keys of each.
    pub fn replace(&self, keyring: Keyring) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
    }

    fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Authenticator for Verifier {
    fn authenticate(&self, head: &Head<'_>) -> Result<Caller, Reason> {
        self.keyring().verify_head(head, SystemTime::now()).map(Caller::from)
    }

    fn check_body(&self, head: &Head<'_>, body: &[u8]) -> Result<(), Reason> {
        verify_body(head, body)
    }
}
