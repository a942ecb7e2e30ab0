//! How it stands with each backend, for operators.

use std::sync::Arc;
use std::time::Duration;

use opgate_core::Timestamp;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::gate::{Breaking, Gate, Rate, Stand};
use crate::pull::Pull;
use crate::router::{BackendIndex, Carrying, Placed};

/// One backend, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is configured. Where it is not, live operations name it, and `queued` is how many.
    pub configured: bool,
    /// Operations it carries out at once, at most.
    pub concurrency: usize,
    /// Operations it has now.
    pub in_flight: usize,
    /// Operations that wait for it to have room, or for a worker to ask.
    pub queued: usize,
    /// Of a backend of workers: how many wait for an operation.
    pub workers: Option<usize>,
    /// Of a backend of workers: its queues.
    pub queues: Vec<Arc<str>>,
    /// Whether its upstream is called.
    pub breaker: Breaker,
    /// Whether its last attempt reached what is behind it; a backend of workers always does.
    pub reachable: bool,
    /// What went wrong last since the start of the process, and when.
    pub last_error: Option<(Timestamp, Box<str>)>,
}

/// Whether an upstream is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It is.
    Closed,
    /// One call is, to find out whether it is back.
    Probing,
    /// It is left alone for so long.
    Open(Duration),
}

impl Bus {
    /// Has calls to the upstream of a backend go by another rate and another breaker from now on. False where there is
    /// no such backend, or none whose calls leave this process.
    pub fn govern(&self, backend: &str, rate: Option<Rate>, breaking: Option<Breaking>) -> bool {
        let router = self.door().router();
        router.backend(backend).is_some_and(|placed| match &placed.carrying {
            Carrying::Push(backend) => {
                backend.gate().is_some_and(|gate| gate.govern(rate, breaking))
            }
            Carrying::Pull(_) => false,
        })
    }

    /// Has a backend carry out so many operations at a time from now on. Where it has more already it keeps them, and is
    /// given no other one until there is room. False where there is no such backend that is given its operations.
    pub fn allot(&self, backend: &str, concurrency: usize) -> bool {
        let router = self.door().router();
        let pushed = |placed: &&Arc<Placed>| matches!(placed.carrying, Carrying::Push(_));
        let Some(placed) = router.backend(backend).filter(pushed) else { return false };
        placed.allot(concurrency);
        self.door().show_room(placed);
        self.door().look_again();
        true
    }

    /// Has a backend of workers go by other bounds from now on: leases that are there last as long as they were given.
    /// False where there is no such backend.
    pub fn employ(&self, backend: &str, pull: Pull) -> bool {
        let router = self.door().router();
        let Some(placed) = router.backend(backend) else { return false };
        let Some(desk) = placed.desk() else { return false };
        placed.allot(pull.concurrency);
        desk.employ(pull);
        self.door().show_room(placed);
        true
    }

    /// How it stands with every backend, in the order they were declared; then those that live operations name and
    /// that are not configured.
    pub fn standings(&self) -> Vec<Standing> {
        let door = self.door();
        let (router, reach) = (door.router(), door.reach());
        // Who follows shared jobs has no name, and no upstream.
        let named = router.backends().iter().enumerate();
        let named = named.filter(|(_, placed)| !placed.name.is_empty());
        let placed = named.map(|(index, placed)| {
            let breaker = match &placed.carrying {
                Carrying::Push(backend) => backend.gate().map_or(Stand::Closed, Gate::stand),
                Carrying::Pull(_) => Stand::Closed,
            };
            let desk = placed.desk().map(|desk| desk.counts());
            let (in_flight, queued, workers) = desk.map_or_else(
                || {
                    let (in_flight, queued) = placed.seen.counts();
                    (in_flight, queued, None)
                },
                |[queued, leases, asks]| (leases, queued, Some(asks)),
            );
            Standing {
                name: Arc::clone(&placed.name),
                configured: true,
                concurrency: placed.concurrency(),
                in_flight,
                queued,
                workers,
                queues: router.queues_of(BackendIndex(index)),
                breaker: match breaker {
                    Stand::Closed => Breaker::Closed,
                    Stand::Probing => Breaker::Probing,
                    Stand::Open(until) => {
                        Breaker::Open(until.saturating_duration_since(Instant::now()))
                    }
                },
                reachable: !placed.seen.is_down(),
                last_error: placed.seen.trouble().last(),
            }
        });
        let missed = reach.missed().into_iter().map(|(name, queued)| Standing {
            name,
            configured: false,
            concurrency: 0,
            in_flight: 0,
            queued,
            workers: None,
            queues: Vec::new(),
            breaker: Breaker::Closed,
            reachable: false,
            last_error: None,
        });
        placed.chain(missed).collect()
    }
}
