//! What the dispatcher knows of live operations, and of each backend.

use std::sync::Arc;

use opgate_core::{Tenant, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::gate::Gate;
use crate::ready::{Ready, Ticket};
use crate::router::{BackendIndex, Carrying, Placed, Route};

/// Where a live operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for room.
    Queued(Ticket),
    /// With its backend.
    Leased,
    /// On the desk of its backend, where workers lease it.
    Pulled,
    /// Between two attempts.
    Resting(Instant),
    /// Being ended by its deadline, without a route, or with one that does not lead to the backend whose upstream has it:
    /// not to be leased.
    Withheld,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) tenant: Tenant,
    /// Which one of all it was when it came.
    pub(super) came: u64,
    /// The name of its route.
    pub(super) route: Arc<str>,
    /// By which it was leased last, in this process.
    pub(super) by: Option<Arc<Route>>,
    /// None where its route is not configured any more, and no upstream has it.
    pub(super) backend: Option<BackendIndex>,
    /// Its backend's name, where that is not configured any more.
    pub(super) missing: Option<Arc<str>>,
    /// None once it has passed.
    pub(super) deadline: Option<Timestamp>,
    pub(super) overdue: bool,
    /// Whether a cancel request was heard of.
    pub(super) canceling: bool,
    /// Whether it was heard of under the present lease: then the next one follows without a rest.
    pub(super) hurried: bool,
    pub(super) attempts: u32,
    pub(super) phase: Phase,
}

impl Known {
    /// Whether a cancel request that was not heard of would make a difference: what is queued has
    /// no rest to sit out.
    pub(super) const fn may_miss_a_cancel(&self) -> bool {
        !self.canceling && matches!(self.phase, Phase::Leased | Phase::Pulled | Phase::Resting(_))
    }
}

/// One backend's queue and room.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) placed: Arc<Placed>,
    pub(super) ready: Ready,
    /// How many operations the backend has.
    pub(super) leased: usize,
    /// What its calls pass through.
    pub(super) gate: Gate,
    /// The last time that one was leased to find out whether the upstream is back.
    pub(super) tried: Option<u64>,
    /// How many the metrics say are queued.
    pub(super) told: usize,
}

impl Lane {
    /// `follower` is told when the upstream is left alone, or called again.
    pub(super) fn new(placed: &Arc<Placed>, follower: &Arc<Notify>) -> Self {
        Self {
            placed: Arc::clone(placed),
            ready: Ready::default(),
            leased: 0,
            gate: gate(placed, follower),
            tried: None,
            told: usize::MAX,
        }
    }
}

/// What the calls of a backend pass through; `follower` is told of its changes.
fn gate(placed: &Placed, follower: &Arc<Notify>) -> Gate {
    let gate = match &placed.carrying {
        Carrying::Push(backend) => backend.gate().cloned().unwrap_or_default(),
        Carrying::Pull(_) => Gate::default(),
    };
    gate.follow(follower);
    gate
}
