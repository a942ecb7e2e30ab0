//! Another table of routes, and where it leads what is live.

use std::sync::Arc;

use opgate_core::OperationId;
use tokio::task::coop::consume_budget;

use super::Dispatcher;
use super::known::{Lane, Phase};
use crate::router::{BackendIndex, Target};

impl Dispatcher {
    /// The backend whose upstream has an operation.
    pub(super) async fn holder(&self, id: OperationId) -> Option<BackendIndex> {
        self.router.holder(&*self.carrier.store.get(id).await.ok()??)
    }

    pub(super) async fn follow_routes(&mut self) {
        if self.routers.has_changed().is_ok_and(|changed| changed) {
            self.reroute().await;
        }
    }

    /// Goes by the routes of now: what waits and whose route leads elsewhere goes there, but for what an
    /// upstream has. Leases go on.
    pub(super) async fn reroute(&mut self) {
        let router = Arc::clone(&self.routers.borrow_and_update());
        let before = std::mem::replace(&mut self.router, Arc::clone(&router));
        for placed in router.backends().iter().skip(self.lanes.len()) {
            self.lanes.push(Lane::new(placed, &self.carrier.gates));
        }
        let (mut moved, mut on_desks) = (Vec::new(), Vec::new());
        for (id, known) in &self.known {
            let (was, is) = (before.target(&known.route), router.target(&known.route));
            if was.map(Target::leads) == is.map(Target::leads) {
                continue;
            }
            match known.phase {
                Phase::Leased => {}
                Phase::Pulled => {
                    let same = is.filter(|target| known.backend == Some(target.backend));
                    on_desks.push((known.came, *id, same.and_then(|target| target.queue)));
                }
                Phase::Queued(_) | Phase::Resting(_) | Phase::Withheld if known.overdue => {}
                Phase::Queued(_) | Phase::Resting(_) | Phase::Withheld => {
                    moved.push((known.came, *id));
                }
            }
        }
        // They queue as they came.
        on_desks.sort_unstable_by_key(|(came, ..)| *came);
        for (came, id, queue) in on_desks {
            let desk = self.known.get(&id).and_then(|known| self.desk(known));
            if desk.is_some_and(|desk| desk.reroute(id, queue)) {
                moved.push((came, id));
            }
        }
        moved.sort_unstable();
        for (_, id) in moved {
            // There may be a million of them.
            consume_budget().await;
            self.retake(id).await;
        }
    }

    /// Takes an operation up anew that is under no lease and whose route leads elsewhere.
    pub(super) async fn retake(&mut self, id: OperationId) {
        let Some(known) = self.known.remove(&id) else { return };
        if let Some(deadline) = known.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(missing) = &known.missing {
            self.carrier.reach.misses_no_more(missing);
        }
        self.leave(id, &known);
        self.carrier.again.take(id);
        match self.carrier.store.get(id).await {
            Ok(Some(snapshot)) if !snapshot.is_done() => {
                self.take(&snapshot, false, known.by);
                if let Some(again) = self.known.get_mut(&id) {
                    again.came = known.came;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, operation = %id, "a live operation cannot be read");
            }
        }
    }
}
