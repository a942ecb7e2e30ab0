//! The grammars of Nexus over HTTP, both ways: pure functions between headers, bytes and the
//! canonical types. Where versions of the specification or its implementations differ, all are read,
//! and what is written is read by all.

pub mod content;
pub mod duration;
pub mod failure;
pub mod handler_error;
pub mod link;
pub mod names;

#[cfg(test)]
mod fuzz;
