//! Nexus over HTTP.
//!
//! This crate must never know how an operation is stored, nor another protocol. [`wire`] is what a
//! client, a server and a sender of completions write and read alike.

pub mod backend;
pub mod wire;
