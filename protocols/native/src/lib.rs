//! opgate's own side: its API, package `opgate.v1` over gRPC and as JSON, the web console over that, and the built-in
//! showcase backend.
//!
//! This crate must never know how an operation is stored, nor another protocol. Entry points:
//! [`Native`], [`Console`], [`Showcase`]; for those who call the API, [`client`].

mod api;
mod showcase;

pub use api::{
    Console, ConsoleSettings, DESCRIPTORS, Names, Native, SERVICES, Settings, Shown, client,
};
pub use showcase::{Showcase, check_options};
