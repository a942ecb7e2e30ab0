//! opgate's own side: its API, package `opgate.v1` over gRPC and as JSON, and the built-in showcase
//! backend.
//!
//! This crate must never know how an operation is stored, nor another protocol. Entry points:
//! [`Native`], [`Showcase`]; for those who call the API, [`client`].

mod api;
mod showcase;

pub use api::{DESCRIPTORS, Names, Native, SERVICES, Settings, Shown, client};
pub use showcase::{Showcase, check_options};
