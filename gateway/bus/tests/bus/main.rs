//! The bus over a real store in a directory of its own, with a backend that does as its input says.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test, and one backend panics as told"
)]

mod abandon;
mod cancel;
mod carry;
mod deliver;
mod list;
mod metrics;
mod pass_on;
mod reach;
mod recent;
mod reroute;
mod restart;
mod share;
mod start;
mod support;
mod wait;
mod watch;
mod work;
