//! OCI work requests.
//!
//! This crate must never know how an operation is stored, nor another protocol. Entry points:
//! [`Oci`], the face; [`backend`], upstream APIs; [`signature`], request signatures. [`wire`] is what
//! the face and the backend write and read alike.

pub mod backend;
#[cfg(feature = "fidelity")]
pub mod fidelity;
mod server;
pub mod signature;
pub mod wire;

pub use server::{
    Anyone, Authenticator, Caller, Compartment, DoorProblem, DoorSettings, Oci, Placing, Service,
    Settings, Tenancy,
};
