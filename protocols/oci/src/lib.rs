//! OCI work requests.
//!
//! This crate must never know how an operation is stored, nor another protocol. Entry points:
//! [`signature`], request signatures both ways.

pub mod signature;
