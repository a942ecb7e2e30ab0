//! OCI's request signatures, version 1: draft-cavage-http-signatures-08 with `rsa-sha256`.
//!
//! [`Signer`] signs what opgate sends; [`Keyring::verify`] tells who signed what came, and [`Verifier`]
//! does so for the face.

mod authorization;
mod der;
#[cfg(test)]
mod fuzz;
mod key;
mod keyring;
mod pem;
mod reason;
mod session;
mod sign;
#[cfg(test)]
mod tests;
mod text;
mod verifier;
mod verify;

pub use key::{Fingerprint, FingerprintError, KeyError, PublicKey, Strength};
pub use keyring::{CLOCK_SKEW, Keyring, Signed};
pub use reason::Reason;
pub use session::Issuer;
pub use sign::{SignError, Signer};
pub use verifier::Verifier;
pub use verify::{Head, Presented, verify_body};
