//! Taking operations up, and letting go of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{OperationId, State};
use opgate_store::Snapshot;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use super::Dispatcher;
use super::known::{Known, Phase};
use crate::router::{BackendIndex, QueueIndex, Route, Target};
use crate::work::books::Arrival;

impl Dispatcher {
    /// Takes up every live operation that is not known yet, lets go of what has ended unseen, and
    /// hears of cancel requests. What changes meanwhile is in the feed.
    pub(super) async fn scan(&mut self) {
        let live = self.carrier.store.live();
        let pulls = self.router.desks().next().is_some();
        if pulls || !self.known.is_empty() {
            let open: HashSet<OperationId> = live.iter().copied().collect();
            // A dispatcher before this one may have missed an end.
            self.router.desks().for_each(|desk| desk.keep(&open));
            let ended: Vec<OperationId> =
                self.known.keys().filter(|id| !open.contains(id)).copied().collect();
            for id in ended {
                self.forget(id);
            }
        }
        for id in live {
            // There may be a million of them, and what is in memory is read without a pause.
            consume_budget().await;
            if self.known.get(&id).is_none_or(Known::may_miss_a_cancel) {
                self.learn(id).await;
            }
        }
    }

    /// Takes an operation up as it is; of one that is known, only whether it is to be canceled.
    pub(super) async fn learn(&mut self, id: OperationId) {
        match self.carrier.store.get(id).await {
            Ok(Some(snapshot)) if snapshot.is_done() => {}
            Ok(Some(snapshot)) if !self.known.contains_key(&id) => self.take(&snapshot, true, None),
            Ok(Some(snapshot)) if snapshot.is_canceling() => self.hurry(id),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, operation = %id, "a live operation cannot be read");
            }
        }
    }

    /// `held`: whether a worker may have it that this process has not given it to. `by`: the route by which it was leased
    /// last.
    pub(super) fn take(&mut self, snapshot: &Arc<Snapshot>, held: bool, by: Option<Arc<Route>>) {
        let id = snapshot.id;
        let carrier = Arc::clone(&self.carrier);
        let router = Arc::clone(&self.router);
        let holder = router.holder(snapshot);
        let target = router.target(&snapshot.routed.route);
        let target = target.filter(|target| holder.is_none_or(|holder| holder == target.backend));
        let backend = target.map(|target| target.carrier(snapshot)).or(holder);
        let mut missing = None;
        let phase = match target {
            Some(Target { backend, queue: Some(queue), .. }) if snapshot.job().is_none() => {
                if let Some(desk) = router.desk(*backend) {
                    let lease = held.then(|| desk.pull().lease);
                    desk.arrive(arrival(snapshot, *queue, lease));
                    if !held && snapshot.is_canceling() {
                        desk.cancel(id);
                    }
                }
                Phase::Pulled
            }
            Some(target) => {
                let lane = &mut self.lanes[target.carrier(snapshot).0];
                Phase::Queued(lane.ready.push(&snapshot.tenant, id))
            }
            // Its upstream has it, and by which route is known.
            None if let Some(holder) = by.as_ref().and_then(|by| router.holds(holder, by)) => {
                let lane = &mut self.lanes[holder.0];
                Phase::Queued(lane.ready.push(&snapshot.tenant, id))
            }
            None => {
                // Somebody may bring the route back, or end the operation by hand.
                let route = &*snapshot.routed.route;
                let backend = &*snapshot.routed.backend;
                let trace_id = snapshot.trace_id();
                let text = match router.target(route) {
                    Some(_) => {
                        "an operation's route does not lead to the backend whose upstream has it"
                    }
                    None => "an operation's route is not configured",
                };
                tracing::warn!(operation = %id, route, backend, trace_id, "{text}");
                if !router.backend_names().any(|name| *name == *snapshot.routed.backend) {
                    carrier.reach.misses(&snapshot.routed.backend);
                    missing = Some(Arc::clone(&snapshot.routed.backend));
                }
                Phase::Withheld
            }
        };
        if let Some(deadline) = snapshot.deadline {
            self.deadlines.insert((deadline, id));
        }
        let known = Known {
            tenant: snapshot.tenant.clone(),
            came: self.known_so_far,
            route: Arc::clone(&snapshot.routed.route),
            by,
            backend,
            missing,
            deadline: snapshot.deadline,
            overdue: false,
            canceling: snapshot.is_canceling(),
            hurried: false,
            attempts: 0,
            phase,
        };
        self.known_so_far += 1;
        self.known.insert(id, known);
    }

    pub(super) fn forget(&mut self, id: OperationId) {
        self.carrier.again.take(id);
        let Some(known) = self.known.remove(&id) else { return };
        if let Some(deadline) = known.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(missing) = &known.missing {
            self.carrier.reach.misses_no_more(missing);
        }
        if let Some(desk) = self.desk(&known) {
            desk.forget(id);
        }
        self.leave(id, &known);
        // Of one that is leased the lease tells how it ended.
        if let (Phase::Queued(_) | Phase::Resting(_) | Phase::Withheld, Some(backend)) =
            (known.phase, known.backend)
        {
            self.abandon(id, backend, known.by);
        }
    }

    /// Has the backend hear, beside the loop, that an operation it was given has ended without it.
    pub(super) fn abandon(
        &mut self,
        id: OperationId,
        backend: BackendIndex,
        route: Option<Arc<Route>>,
    ) {
        let carrier = Arc::clone(&self.carrier);
        self.aside(id, async move { carrier.abandon(id, backend, route).await });
    }

    /// Takes an operation out of where its phase has it.
    pub(super) fn leave(&mut self, id: OperationId, known: &Known) {
        match (known.phase, known.backend) {
            (Phase::Queued(ticket), Some(backend)) => {
                self.lanes[backend.0].ready.leave(&known.tenant, ticket);
            }
            (Phase::Resting(until), _) => {
                self.resting.remove(&(until, id));
            }
            (Phase::Queued(_) | Phase::Leased | Phase::Pulled | Phase::Withheld, _) => {}
        }
    }
}

/// How an operation comes to its desk. One that was under a lease when the gateway stopped is
/// presumed to be: its worker may go on, for as long as `lease`.
fn arrival(snapshot: &Snapshot, queue: QueueIndex, lease: Option<Duration>) -> Arrival {
    let running = snapshot.state == State::Running;
    Arrival {
        id: snapshot.id,
        tenant: snapshot.tenant.clone(),
        queue,
        canceling: snapshot.is_canceling(),
        held: lease.filter(|_| running).map(|lease| (snapshot.epoch, Instant::now() + lease)),
    }
}
