//! Nexus over HTTP.
//!
//! This crate must never know how an operation is stored, nor another protocol. Entry points:
//! [`Nexus`], the face; [`backend`], upstream handlers; [`callback`], which tells of completions.
//! [`wire`] is what they write and read alike.

pub mod backend;
pub mod callback;
mod server;
pub mod token;
pub mod wire;

pub use server::{Admit, Nexus, Settings};
