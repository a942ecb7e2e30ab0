//! Work that is pulled: workers lease operations from queues, report, and complete them.
//!
//! A lease is held by its token, not by a connection: it lasts until its time is over, and every
//! word of its worker extends it. Each lease has the operation's next epoch, and an operation is
//! under one lease at a time.

pub(crate) mod books;
pub(crate) mod desk;
mod hearing;
mod hold;
mod lease;

use std::sync::Arc;
use std::time::Duration;

use opgate_core::Timestamp;
use opgate_store::{Snapshot, Store};
use opgate_telemetry::Metrics;
use tokio::sync::{Notify, SetOnce};

use crate::router::{BackendIndex, Carrying, Router};
use desk::Desk;
use hearing::Hearing;

/// Most operations one ask is answered with.
pub const LEASES: usize = 100;
/// Longest name of a worker, in bytes.
pub const WORKER_BYTES: usize = 256;
/// Longest rest of an operation that is released.
pub const REST: Duration = Duration::from_hours(1);

/// What a worker asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The queue, one that a route leads to.
    pub queue: Arc<str>,
    /// How many operations at most, 1 to [`LEASES`].
    pub max: usize,
    /// What their inputs may weigh together, in bytes. What does not fit keeps its place; where that is
    /// the first, the ask is answered with nothing.
    pub bytes: usize,
    /// How many are leased whatever they weigh.
    pub least: usize,
    /// How long to wait for the first.
    pub wait: Duration,
    /// How long the leases are to last, within [`LEASE`](crate::LEASE); as configured where none is
    /// given. A report extends its lease by the same length.
    pub length: Option<Duration>,
    /// Who asks, at most [`WORKER_BYTES`] bytes. An operation's log names the worker whose lease ran
    /// out or that gave the operation back.
    pub worker: Box<str>,
}

/// An operation under a lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// By which the worker reports, completes and releases; good for nobody else, and of use until
    /// the lease is over, across restarts of the gateway. At most 128 characters of a URL.
    pub token: String,
    /// The operation as the lease began.
    pub snapshot: Arc<Snapshot>,
    /// When the lease runs out unless something is heard of the worker.
    pub until: Timestamp,
    /// By how much a report extends it.
    pub length: Duration,
    /// Earlier leases of it that ran out or failed, since the last start of the gateway.
    pub failed: u32,
}

/// What a worker learns by a report.
#[derive(Clone, Debug)]
pub struct Held {
    /// The operation after it: whether its cancellation is asked for or it was removed.
    pub snapshot: Arc<Snapshot>,
    /// When the lease runs out now.
    pub until: Timestamp,
}

/// What the desks of all backends of workers share.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Tells the dispatcher that something is due sooner than it looks.
    pub(crate) nudge: Arc<Notify>,
    /// Set once the dispatcher has taken up what was live when the gateway started.
    pub(crate) taken_up: SetOnce<()>,
    /// How far the dispatcher has heard.
    pub(crate) hearing: Hearing,
}

impl Work {
    /// Gives every backend of workers its desk, with a place for each of its queues.
    pub(crate) fn furnish(&self, router: &Router, store: &Store, metrics: &Arc<Metrics>) {
        for (index, placed) in router.backends().iter().enumerate() {
            if let Carrying::Pull(pull) = &placed.carrying {
                let desk =
                    placed.furnish(|| Desk::new(&placed.name, *pull, store, metrics, &self.nudge));
                desk.widen(router.queue_count(BackendIndex(index)));
            }
        }
    }
}
