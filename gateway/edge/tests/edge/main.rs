//! The edge over real sockets: replies, drain, limits, panics, and the admin pages.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::panic, reason = "some frontends here panic on purpose")]

mod admin;
mod drain;
mod fixture;
mod limits;
mod panics;
mod replies;
mod tls;
