//! Nexus over HTTP.
//!
//! This crate must never know how an operation is stored, nor another protocol. Entry points:
//! [`Nexus`], the face. [`wire`] is what a client, a server and a sender of completions write and
//! read alike.

pub mod backend;
mod server;
pub mod token;
pub mod wire;

pub use server::{Admit, Nexus, Settings};
