//! Calls over real sockets, and the guard before them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod calls;
mod guarded;
mod kept;
mod multiplexed;
mod support;
mod tls;
