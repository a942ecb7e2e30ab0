//! google.longrunning.Operations over gRPC, and over HTTP with JSON: any gRPC method that returns an
//! Operation can start one, and every operation, whatever protocol it was started through, can be
//! read, listed, waited for, canceled and deleted here.
//!
//! This crate must never know how an operation is stored or carried out, nor another protocol.
//! Entry point: [`Longrunning`], and its [`Longrunning::rest`].

pub mod backend;
mod buildgrid;
mod door;
#[cfg(feature = "fidelity")]
pub mod fidelity;
mod filter;
mod frontend;
mod map;
mod proto;
mod rest;
#[cfg(test)]
mod sample;
mod scan;
mod types;

pub use door::{DoorSettings, HttpForm, InputForm};
pub use frontend::{Longrunning, Settings};
pub use rest::Rest;
pub use types::{DescriptorSet, Types};
