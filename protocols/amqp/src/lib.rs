//! AMQP 1.0: management in both of its dialects, queues of workers, upstream nodes.
//!
//! This crate must never know how an operation is stored, nor another protocol. What every request of
//! a link becomes is a [`node::Request`], answered by the [`node::Node`] it was sent to.
//!
//! Entry point: [`Amqp`], the listener.

pub mod backend;
mod cut;
pub mod fence;
#[cfg(feature = "fidelity")]
pub mod fidelity;
pub mod http;
pub mod management;
pub mod node;
pub mod queue;
mod server;
pub mod wire;

pub use server::settings::{Anonymous, Limits, Product, Settings, User};
pub use server::{Amqp, TermsInForce, Users};
