//! AMQP 1.0: management in both of its dialects, queues of workers, upstream nodes.
//!
//! This crate must never know how an operation is stored, nor another protocol. What every request of
//! a link becomes is a [`node::Request`], answered by the [`node::Node`] it was sent to.

pub mod fence;
pub mod node;
pub mod wire;
