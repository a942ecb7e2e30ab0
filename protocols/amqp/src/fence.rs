//! What stands between a stream of bytes and fe2o3-amqp: nothing reaches the crate that could harm it.
//!
//! The crate decodes what it is sent with trust: a frame of five bytes makes it panic, a length of 3 GiB makes it
//! allocate 3 GiB, and six thousand lists inside each other overflow the stack of the whole process, all of it before
//! anybody has said who they are. So a [`Fence`] is put around the stream, under the crate. It splits what comes into
//! frames, walks the encoding of each, keeps count of sessions, links and deliveries, and lets through what is sound,
//! byte for byte. What is not ends the connection, in the protocol's own way: with a Close frame that says why.
//!
//! On the way it cures what the crate does not do, by small edits of frames: see [`Fence`].

mod fields;
mod flow;
mod inbound;
mod incoming;
mod ledger;
mod limits;
mod outbound;
mod outgoing;
mod reading;
mod refusal;
mod sending;
mod settle;
mod shape;
mod short;
mod stream;
mod table;
mod transport;
mod walk;
mod watch;
mod writing;

/// How many bytes the value takes that these begin with; none where they begin with no whole value.
pub(crate) fn length_of(bytes: &[u8]) -> Option<usize> {
    walk::Walk::value(bytes, u32::MAX).ok()
}

#[cfg(test)]
mod tests;

pub(crate) use inbound::COORDINATOR;
pub use limits::Limits;
pub use outgoing::{Load, Outgoing};
pub use refusal::Refusal;
pub use sending::Letter;
pub(crate) use shape::sasl;
pub use short::Short;
pub use stream::{Fence, Opening};
pub use transport::Transport;
pub use walk::Fault;
pub use watch::{LinkWatch, Watch};
