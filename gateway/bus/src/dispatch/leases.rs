//! Leases: beginning them where there is room, what becomes of them, and what is due on the desks.

use std::sync::Arc;
use std::time::Duration;

use opgate_core::{OperationId, Outcome};
use opgate_store::{Changed, Snapshot};
use tokio::time::Instant;

use super::known::Phase;
use super::{Dispatcher, Ended};
use crate::carry::{Verdict, abandoned, contained};
use crate::gate::Leasing;
use crate::router::BackendIndex;
use crate::work::books::End;

impl Dispatcher {
    /// Leases out what there is room for.
    pub(super) fn lease(&mut self) {
        let now = Instant::now();
        self.opens = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            while lane.leased < lane.placed.concurrency() && lane.ready.len() > 0 {
                match lane.gate.leasing(now, lane.tried) {
                    Leasing::Free => lane.tried = None,
                    Leasing::One(occasion) => lane.tried = Some(occasion),
                    Leasing::Not(until) => {
                        self.opens = [self.opens, until].into_iter().flatten().min();
                        break;
                    }
                }
                let Some((_, id)) = lane.ready.pop() else { break };
                let Some(known) = self.known.get_mut(&id) else { continue };
                known.phase = Phase::Leased;
                lane.leased += 1;
                let (carrier, attempts) = (Arc::clone(&self.carrier), known.attempts);
                let by = known.by.clone();
                let backend = BackendIndex(index);
                self.spawned.spawn(async move {
                    let carried = contained(carrier.carry(id, backend, by, attempts)).await;
                    let carried = carried.unwrap_or_else(|_| {
                        tracing::error!(operation = %id, "a lease panicked");
                        let attempts = attempts.saturating_add(1);
                        let after = carrier.backoff.after(attempts);
                        (None, Verdict::Again { after, attempts })
                    });
                    Ended::Lease(id, backend, carried)
                });
            }
        }
    }

    pub(super) async fn ended(&mut self, ended: Ended) {
        let Ended::Lease(id, backend, (route, verdict)) = ended else { return };
        let lane = &mut self.lanes[backend.0];
        // Perhaps it ended before it had found out.
        (lane.leased, lane.tried) = (lane.leased.saturating_sub(1), None);
        match verdict {
            Verdict::Over => self.forget(id),
            Verdict::Lost => {
                let by = self.known.get_mut(&id).and_then(|known| known.by.take());
                self.forget(id);
                self.abandon(id, backend, route.or(by));
            }
            Verdict::Again { after, attempts } => {
                // It has ended since the lease did.
                let Some(known) = self.known.get_mut(&id) else {
                    return self.abandon(id, backend, route);
                };
                known.by = route.or(known.by.take());
                let target = self.router.target(&known.route);
                let stays = match known.backend {
                    Some(BackendIndex::FOLLOWER) => target.is_some(),
                    backend => target.map(|target| target.backend) == backend,
                };
                if !stays && !known.overdue && self.holder(id).await != Some(backend) {
                    return self.retake(id).await;
                }
                let Some(known) = self.known.get_mut(&id) else { return };
                // Its lease may have ended before it heard of it.
                let put_back = self.carrier.again.take(id);
                known.attempts = if put_back { 0 } else { attempts };
                known.phase = if known.overdue {
                    Phase::Withheld
                } else {
                    let hurried = std::mem::take(&mut known.hurried) || put_back;
                    let until = Instant::now() + if hurried { Duration::ZERO } else { after };
                    self.resting.insert((until, id));
                    Phase::Resting(until)
                };
            }
            Verdict::Released => {}
            Verdict::Elsewhere => match self.known.get_mut(&id) {
                Some(known) if known.overdue => known.phase = Phase::Withheld,
                Some(_) | None => self.retake(id).await,
            },
        }
    }

    /// Does what is due on the desks.
    pub(super) async fn look(&mut self) {
        if !std::mem::take(&mut self.nudged) {
            return;
        }
        let (carrier, router) = (Arc::clone(&self.carrier), Arc::clone(&self.router));
        let now = Instant::now();
        self.looks = None;
        for desk in router.desks() {
            let (ends, looks) = desk.look(now);
            self.looks = [self.looks, looks].into_iter().flatten().min();
            for (id, end) in ends {
                let leases = match end {
                    End::Moved => {
                        desk.forget(id);
                        self.retake(id).await;
                        continue;
                    }
                    End::Expired(leases) => Some(leases),
                    End::Canceled => None,
                };
                let outcome = move |current: &Snapshot| match leases {
                    // The desk may not have heard of a cancel request yet that is on record.
                    Some(leases) if !current.is_canceling() => Outcome::Failed(abandoned(leases)),
                    Some(_) | None => Outcome::Canceled(None),
                };
                let carrier = Arc::clone(&carrier);
                self.aside(id, async move { carrier.conclude(id, outcome).await });
            }
        }
    }

    /// Hears of a cancel request; of each only once, for every later change tells of it too.
    pub(super) fn hurry(&mut self, id: OperationId) {
        let Some(known) = self.known.get_mut(&id) else { return };
        if !known.canceling {
            known.canceling = true;
            known.hurried = known.phase == Phase::Leased;
            let on_desk = known.backend.filter(|_| known.phase == Phase::Pulled);
            if let Some(desk) = on_desk.and_then(|backend| self.router.desk(backend)) {
                desk.cancel(id);
            }
            self.rouse(id);
        }
    }

    /// Somebody has put an operation back to work: of one that is leased the lease hears of it.
    pub(super) fn again(&mut self, changed: Changed) {
        if let Some(known) = self.known.get_mut(&changed.id)
            && !matches!(known.phase, Phase::Leased)
        {
            self.carrier.again.take(changed.id);
            known.attempts = 0;
            self.rouse(changed.id);
        }
        if changed.canceling {
            self.hurry(changed.id);
        }
    }

    /// Ends the rest of one operation.
    pub(super) fn rouse(&mut self, id: OperationId) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let (Phase::Resting(until), Some(backend)) = (known.phase, known.backend) else { return };
        self.resting.remove(&(until, id));
        known.phase = Phase::Queued(self.lanes[backend.0].ready.push(&known.tenant, id));
    }
}
