//! OCI's request signatures, version 1: draft-cavage-http-signatures-08 with `rsa-sha256`.
//!
//! [`Signer`] signs what opgate sends.

mod der;
mod key;
mod pem;
mod sign;
mod text;

pub use key::{Fingerprint, FingerprintError, KeyError, PublicKey, Strength};
pub use sign::{SignError, Signer};
