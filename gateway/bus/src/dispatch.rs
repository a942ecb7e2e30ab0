//! Gives accepted operations to their backends, and ends those whose time is up.
//!
//! One loop owns everything: what is queued, leased, resting between two attempts, and due. It
//! learns of new operations from the store's feed and, at start and whenever the feed ran ahead of
//! it, from the list of live operations. Its tables hold live operations only, so they are bounded
//! as those are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{OperationId, Outcome, State, Tenant, Timestamp};
use opgate_store::{Changed, Peek, Snapshot};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, Sleep, sleep};

use crate::carry::{Carrier, Verdict, abandoned, contained};
use crate::gate::{Gate, Leasing};
use crate::ready::{Ready, Ticket};
use crate::router::{BackendIndex, Carrying, Placed, QueueIndex, Target};
use crate::work::books::{Arrival, End};
use crate::work::desk::Desk;

/// The longest sleep towards a deadline: deadlines are times of day, and the clock may be set.
const STRIDE: Duration = Duration::from_secs(30);

/// Where a live operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for room.
    Queued(Ticket),
    /// With its backend.
    Leased,
    /// On the desk of its backend, where workers lease it.
    Pulled,
    /// Between two attempts.
    Resting(Instant),
    /// Being ended by its deadline, or without a route: not to be leased.
    Withheld,
}

#[derive(Debug)]
struct Known {
    tenant: Tenant,
    /// None where its route is not configured any more.
    backend: Option<BackendIndex>,
    /// Its backend's name, where that is not configured any more.
    missing: Option<Arc<str>>,
    /// None once it has passed.
    deadline: Option<Timestamp>,
    overdue: bool,
    /// Whether a cancel request was heard of.
    canceling: bool,
    /// Whether it was heard of under the present lease: then the next one follows without a rest.
    hurried: bool,
    attempts: u32,
    phase: Phase,
}

impl Known {
    /// Whether a cancel request that was not heard of would make a difference: what is queued has
    /// no rest to sit out.
    const fn may_miss_a_cancel(&self) -> bool {
        !self.canceling && matches!(self.phase, Phase::Leased | Phase::Pulled | Phase::Resting(_))
    }
}

/// The next deadline, the next end of a rest, when a desk has something due, and when an upstream that is left alone
/// may be tried.
type Due = (Option<Timestamp>, Option<Instant>, Option<Instant>, Option<Instant>);

/// One backend's queue and room.
#[derive(Debug)]
struct Lane {
    ready: Ready,
    room: usize,
    /// What its calls pass through.
    gate: Gate,
    /// The last time that one was leased to find out whether the upstream is back.
    tried: Option<u64>,
    /// How many the metrics say are queued.
    told: usize,
}

/// How a spawned future ended.
enum Ended {
    Lease(OperationId, BackendIndex, Verdict),
    /// Something beside the leases.
    Aside,
}

/// Dispatches until the drain. What a defect makes of one dispatcher ends with it: its leases are
/// given back, and the next one takes up every live operation anew.
pub(crate) async fn dispatch(carrier: Arc<Carrier>) {
    let mut panics = 0_u32;
    while contained(Dispatcher::new(Arc::clone(&carrier)).run()).await.is_err() {
        panics = panics.saturating_add(1);
        tracing::error!(panics, "the dispatcher panicked, another takes over");
        tokio::select! {
            () = sleep(carrier.backoff.after(panics)) => {}
            () = carrier.drain.cancelled() => return,
        }
    }
}

struct Dispatcher {
    carrier: Arc<Carrier>,
    lanes: Box<[Lane]>,
    known: HashMap<OperationId, Known>,
    deadlines: BTreeSet<(Timestamp, OperationId)>,
    resting: BTreeSet<(Instant, OperationId)>,
    spawned: JoinSet<Ended>,
    /// When a desk has something due.
    looks: Option<Instant>,
    /// When an upstream that is left alone, and for which something waits, may be tried.
    opens: Option<Instant>,
    /// Whether one may have something due already.
    nudged: bool,
    /// What the timer is set for; none when it has fired.
    armed: Option<Due>,
}

impl Dispatcher {
    fn new(carrier: Arc<Carrier>) -> Self {
        let lanes = carrier.router.backends().iter();
        carrier.reach.forget_missing();
        carrier.work.desks().for_each(|desk| desk.retell());
        Self {
            lanes: lanes
                .map(|placed| Lane {
                    ready: Ready::default(),
                    room: placed.concurrency,
                    gate: gate(placed, &carrier.gates),
                    tried: None,
                    told: usize::MAX,
                })
                .collect(),
            carrier,
            known: HashMap::new(),
            deadlines: BTreeSet::new(),
            resting: BTreeSet::new(),
            spawned: JoinSet::new(),
            looks: None,
            opens: None,
            nudged: true,
            armed: None,
        }
    }

    /// Runs until the drain, then until every lease is given back.
    async fn run(mut self) {
        let carrier = Arc::clone(&self.carrier);
        // Followed before the first look, so that nothing falls between the two.
        let mut feed = carrier.store.feed();
        let mut health = carrier.store.health();
        self.scan().await;
        // Another dispatcher may have been here before.
        let _known = carrier.work.taken_up.set(());
        let mut timer = Box::pin(sleep(STRIDE));
        while !carrier.drain.is_cancelled() {
            // What is overdue is not to be leased any more.
            self.due();
            // Without the journal no lease can begin: none is tried until it is back.
            let (writable, changed) = {
                let now = health.borrow_and_update();
                (now.unwritable.is_none(), now.has_changed())
            };
            if changed {
                carrier.work.desks().for_each(Desk::reopen);
            }
            if writable {
                self.lease();
            }
            self.count();
            self.look();
            self.arm(timer.as_mut());
            tokio::select! {
                () = carrier.drain.cancelled() => break,
                Some(ended) = self.spawned.join_next() => match ended {
                    Ok(ended) => self.ended(ended),
                    // Everything spawned is contained; a second panic while the first unwound is not.
                    Err(error) => tracing::error!(%error, "a lease was lost to a defect"),
                },
                changed = feed.next() => match changed {
                    Some(Ok(changed)) => self.changed(changed).await,
                    Some(Err(_)) => self.scan().await,
                    None => break,
                },
                Ok(()) = health.changed() => carrier.work.desks().for_each(Desk::reopen),
                () = carrier.work.nudge.notified() => self.nudged = true,
                () = carrier.gates.notified() => {}
                () = timer.as_mut() => (self.armed, self.nudged) = (None, true),
            }
        }
        carrier.drain.cancel();
        while self.spawned.join_next().await.is_some() {}
    }

    /// Takes up every live operation that is not known yet, lets go of what has ended unseen, and
    /// hears of cancel requests. What changes meanwhile is in the feed.
    async fn scan(&mut self) {
        let live = self.carrier.store.live();
        let pulls = self.carrier.work.desks().next().is_some();
        if pulls || !self.known.is_empty() {
            let open: HashSet<OperationId> = live.iter().copied().collect();
            // A dispatcher before this one may have missed an end.
            self.carrier.work.keep(&open);
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

    async fn changed(&mut self, changed: Changed) {
        match changed.state {
            State::Accepted => {
                if !self.known.contains_key(&changed.id) {
                    self.learn(changed.id).await;
                }
            }
            State::Running if self.carrier.again.holds(changed.id) => self.again(changed),
            // A backend that is to cancel should not first sit out a rest.
            State::Running if changed.canceling => self.hurry(changed.id),
            State::Running => {}
            State::Succeeded | State::Failed | State::Canceled => {
                self.time(changed);
                self.forget(changed.id);
            }
        }
    }

    /// Notes how long a success took. What has ended just now is in memory; what is not any more is
    /// left out of the average. Later changes of it, to its callbacks, tell of no end.
    fn time(&self, changed: Changed) {
        if changed.state != State::Succeeded {
            return;
        }
        if let Peek::Resident(snapshot) = self.carrier.store.peek(changed.id)
            && let Some(closed) = snapshot.times.closed.filter(|at| *at == snapshot.times.updated)
            && let Some(target) = self.carrier.router.target(&snapshot.routed.route)
        {
            target.pace.heard(closed.since(snapshot.times.accepted));
        }
    }

    /// Takes an operation up as it is; of one that is known, only whether it is to be canceled.
    async fn learn(&mut self, id: OperationId) {
        match self.carrier.store.get(id).await {
            Ok(Some(snapshot)) if snapshot.is_done() => {}
            Ok(Some(snapshot)) if !self.known.contains_key(&id) => self.take(&snapshot),
            Ok(Some(snapshot)) if snapshot.is_canceling() => self.hurry(id),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, operation = %id, "a live operation cannot be read");
            }
        }
    }

    fn take(&mut self, snapshot: &Arc<Snapshot>) {
        let id = snapshot.id;
        let carrier = Arc::clone(&self.carrier);
        let target = carrier.router.target(&snapshot.routed.route);
        let backend = target.map(|target| carrier.router.carrier(snapshot, target));
        let mut missing = None;
        let phase = match target {
            Some(Target { backend, queue: Some(queue), .. }) if snapshot.job().is_none() => {
                if let Some(desk) = carrier.work.desk(*backend) {
                    desk.arrive(arrival(snapshot, *queue, desk.pull.lease));
                }
                Phase::Pulled
            }
            Some(target) => {
                let lane = &mut self.lanes[carrier.router.carrier(snapshot, target).0];
                Phase::Queued(lane.ready.push(&snapshot.tenant, id))
            }
            None => {
                // Somebody may bring the route back, or end the operation by hand.
                let route = &*snapshot.routed.route;
                let trace_id = snapshot.trace_id();
                tracing::warn!(operation = %id, route, trace_id, "an operation's route is not configured");
                if !carrier.router.backend_names().any(|name| *name == *snapshot.routed.backend) {
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
            backend,
            missing,
            deadline: snapshot.deadline,
            overdue: false,
            canceling: snapshot.is_canceling(),
            hurried: false,
            attempts: 0,
            phase,
        };
        self.known.insert(id, known);
    }

    fn forget(&mut self, id: OperationId) {
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
            self.abandon(id, backend);
        }
    }

    /// Has the backend hear, beside the loop, that an operation it was given has ended without it.
    fn abandon(&mut self, id: OperationId, backend: BackendIndex) {
        let carrier = Arc::clone(&self.carrier);
        self.aside(id, async move { carrier.abandon(id, backend).await });
    }

    /// The desk an operation is on.
    fn desk(&self, known: &Known) -> Option<&Arc<Desk>> {
        self.carrier.work.desk(known.backend.filter(|_| known.phase == Phase::Pulled)?)
    }

    /// Takes an operation out of where its phase has it.
    fn leave(&mut self, id: OperationId, known: &Known) {
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

    /// Hears of a cancel request; of each only once, for every later change tells of it too.
    fn hurry(&mut self, id: OperationId) {
        let Some(known) = self.known.get_mut(&id) else { return };
        if !known.canceling {
            known.canceling = true;
            known.hurried = known.phase == Phase::Leased;
            let on_desk = known.backend.filter(|_| known.phase == Phase::Pulled);
            if let Some(desk) = on_desk.and_then(|backend| self.carrier.work.desk(backend)) {
                desk.cancel(id);
            }
            self.rouse(id);
        }
    }

    /// Somebody has put an operation back to work: of one that is leased the lease hears of it.
    fn again(&mut self, changed: Changed) {
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
    fn rouse(&mut self, id: OperationId) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let (Phase::Resting(until), Some(backend)) = (known.phase, known.backend) else { return };
        self.resting.remove(&(until, id));
        known.phase = Phase::Queued(self.lanes[backend.0].ready.push(&known.tenant, id));
    }

    /// Leases out what there is room for.
    fn lease(&mut self) {
        let now = Instant::now();
        self.opens = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            while lane.room > 0 && lane.ready.len() > 0 {
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
                lane.room -= 1;
                let (carrier, attempts) = (Arc::clone(&self.carrier), known.attempts);
                self.spawned.spawn(async move {
                    let verdict =
                        contained(carrier.carry(id, attempts)).await.unwrap_or_else(|_| {
                            tracing::error!(operation = %id, "a lease panicked");
                            let attempts = attempts.saturating_add(1);
                            Verdict::Again { after: carrier.backoff.after(attempts), attempts }
                        });
                    Ended::Lease(id, BackendIndex(index), verdict)
                });
            }
        }
    }

    /// Tells how many operations wait for each backend to have room.
    fn count(&mut self) {
        let carrier = &self.carrier;
        for (index, (lane, placed)) in
            self.lanes.iter_mut().zip(carrier.router.backends()).enumerate()
        {
            let queued = lane.ready.len();
            carrier.reach.counted(index, placed.concurrency.saturating_sub(lane.room), queued);
            if std::mem::replace(&mut lane.told, queued) != queued
                && let Some(metrics) = carrier.metrics.dispatch.backend(&placed.name)
            {
                metrics.queued.set(queued as u64);
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended::Lease(id, backend, verdict) = ended else { return };
        let lane = &mut self.lanes[backend.0];
        // Perhaps it ended before it had found out.
        (lane.room, lane.tried) = (lane.room + 1, None);
        match verdict {
            Verdict::Over => self.forget(id),
            Verdict::Lost => {
                self.forget(id);
                self.abandon(id, backend);
            }
            Verdict::Again { after, attempts } => {
                // It has ended since the lease did.
                let Some(known) = self.known.get_mut(&id) else { return self.abandon(id, backend) };
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
        }
    }

    /// Does what is due on the desks.
    fn look(&mut self) {
        if !std::mem::take(&mut self.nudged) {
            return;
        }
        let (carrier, now) = (Arc::clone(&self.carrier), Instant::now());
        self.looks = None;
        for desk in carrier.work.desks() {
            let (ends, looks) = desk.look(now);
            self.looks = [self.looks, looks].into_iter().flatten().min();
            for (id, end) in ends {
                let outcome = match end {
                    End::Canceled => Outcome::Canceled(None),
                    End::Expired(leases) => Outcome::Failed(abandoned(leases)),
                };
                let carrier = Arc::clone(&carrier);
                self.aside(id, async move { carrier.conclude(id, outcome).await });
            }
        }
    }

    /// Has an operation ended, or its backend told of that, beside the loop.
    fn aside(&mut self, id: OperationId, end: impl Future<Output = ()> + Send + 'static) {
        self.spawned.spawn(async move {
            // Its own defect must not take the loop along; the next start tries again.
            if contained(end).await.is_err() {
                tracing::error!(operation = %id, "ending an operation panicked");
            }
            Ended::Aside
        });
    }

    /// Sets the timer for what is due next.
    fn arm(&mut self, timer: Pin<&mut Sleep>) {
        let next = (
            self.deadlines.first().map(|(deadline, _)| *deadline),
            self.resting.first().map(|(until, _)| *until),
            self.looks,
            self.opens,
        );
        if self.armed == Some(next) {
            return;
        }
        self.armed = Some(next);
        let now = Instant::now();
        let deadline = next
            .0
            .map(|deadline| now + deadline.since(self.carrier.store.clock().now()).min(STRIDE));
        let at = [deadline, next.1, next.2, next.3].into_iter().flatten().min();
        timer.reset(at.unwrap_or(now + STRIDE));
    }

    /// Does what is due.
    fn due(&mut self) {
        let now = Instant::now();
        while let Some((_, id)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.rouse(id);
        }
        let now = self.carrier.store.clock().now();
        while let Some((deadline, id)) =
            self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now)
        {
            self.deadlines.remove(&(deadline, id));
            let Some(mut known) = self.known.remove(&id) else { continue };
            (known.deadline, known.overdue) = (None, true);
            match known.phase {
                Phase::Leased => {}
                Phase::Pulled => {
                    if let Some(desk) = self.desk(&known) {
                        desk.overdue(id);
                    }
                }
                Phase::Queued(_) | Phase::Resting(_) | Phase::Withheld => {
                    self.leave(id, &known);
                    known.phase = Phase::Withheld;
                }
            }
            self.known.insert(id, known);
            let carrier = Arc::clone(&self.carrier);
            self.aside(id, async move { carrier.expire(id).await });
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

/// How an operation comes to its desk. One that was under a lease when the gateway stopped is
/// presumed to be: its worker may go on, for as long as a lease usually lasts.
fn arrival(snapshot: &Snapshot, queue: QueueIndex, lease: Duration) -> Arrival {
    let running = snapshot.state == State::Running;
    Arrival {
        id: snapshot.id,
        tenant: snapshot.tenant.clone(),
        queue,
        canceling: snapshot.is_canceling(),
        held: running.then(|| (snapshot.epoch, Instant::now() + lease)),
    }
}
