//! What is configured of a backend whose work is pulled by workers.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::router::CONCURRENCY;

/// How long a lease may be, and how far one call may extend it.
pub const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// A backend of workers: operations wait in its queues until a worker leases them
/// ([`Bus::lease`](crate::Bus::lease)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Operations leased out at once, over all its queues; at least 1.
    pub concurrency: usize,
    /// Operations that wait in one queue, at least 1; a start beyond is refused. Counted are those
    /// that wait and the starts under way, so it is overshot only by what a burst has accepted and
    /// the dispatcher has not heard of yet, and by what comes back from a lease, which always finds
    /// its place.
    pub backlog: usize,
    /// How long a lease lasts unless its worker asks for another length: within [`LEASE`].
    pub lease: Duration,
    /// Leases of one operation that may run out, or fail ([`Bus::fail`](crate::Bus::fail)), before
    /// it fails with the reason `lease_expired`; at least 1. Counted since the last start of the gateway.
    pub attempts: u32,
}

impl Default for Pull {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            backlog: 100_000,
            lease: Duration::from_secs(30),
            attempts: 3,
        }
    }
}

impl Pull {
    /// What is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.backlog == 0 {
            return Some("a backlog of 0, at least 1 is needed");
        }
        if self.attempts == 0 {
            return Some("0 attempts, at least 1 is needed");
        }
        (!LEASE.contains(&self.lease)).then_some("a lease outside 1 s to 1 h")
    }
}
