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
use opgate_store::{Changed, Feed, Lagged, Peek, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, Sleep, sleep};

use crate::carry::{Carried, Carrier, Verdict, abandoned, contained};
use crate::gate::{Gate, Leasing};
use crate::ready::{Ready, Ticket};
use crate::router::{BackendIndex, Carrying, Placed, QueueIndex, Route, Router, Target};
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
    /// Which one of all it was when it came.
    came: u64,
    /// The name of its route.
    route: Arc<str>,
    /// By which it was leased last, in this process.
    by: Option<Arc<Route>>,
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
    placed: Arc<Placed>,
    ready: Ready,
    /// How many operations the backend has.
    leased: usize,
    /// What its calls pass through.
    gate: Gate,
    /// The last time that one was leased to find out whether the upstream is back.
    tried: Option<u64>,
    /// How many the metrics say are queued.
    told: usize,
}

impl Lane {
    /// `follower` is told when the upstream is left alone, or called again.
    fn new(placed: &Arc<Placed>, follower: &Arc<Notify>) -> Self {
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

/// How a spawned future ended.
enum Ended {
    Lease(OperationId, BackendIndex, Carried),
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
    /// The routes of now, as far as it has heard.
    router: Arc<Router>,
    routers: watch::Receiver<Arc<Router>>,
    /// One for each backend.
    lanes: Vec<Lane>,
    known: HashMap<OperationId, Known>,
    known_so_far: u64,
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
        let mut routers = carrier.routers.subscribe();
        let router = Arc::clone(&routers.borrow_and_update());
        carrier.reach.forget_missing();
        router.desks().for_each(|desk| desk.retell());
        let lanes = router.backends().iter().map(|placed| Lane::new(placed, &carrier.gates));
        Self {
            lanes: lanes.collect(),
            carrier,
            router,
            routers,
            known: HashMap::new(),
            known_so_far: 0,
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
        let asked = carrier.work.hearing.asked();
        self.scan().await;
        // Another dispatcher may have been here before, and owe somebody an answer.
        carrier.work.hearing.answer(asked);
        let _known = carrier.work.taken_up.set(());
        let mut timer = Box::pin(sleep(STRIDE));
        while !carrier.drain.is_cancelled() {
            self.follow_routes().await;
            // What is overdue is not to be leased any more.
            self.due();
            // Without the journal no lease can begin: none is tried until it is back.
            let (writable, changed) = {
                let now = health.borrow_and_update();
                (now.unwritable.is_none(), now.has_changed())
            };
            if changed {
                self.router.desks().for_each(Desk::reopen);
            }
            if writable {
                self.lease();
            }
            self.count();
            self.look().await;
            self.arm(timer.as_mut());
            tokio::select! {
                () = carrier.drain.cancelled() => break,
                Some(ended) = self.spawned.join_next() => match ended {
                    Ok(ended) => self.ended(ended).await,
                    // Everything spawned is contained; a second panic while the first unwound is not.
                    Err(error) => tracing::error!(%error, "a lease was lost to a defect"),
                },
                changed = feed.next() => match changed {
                    Some(changed) => self.heard(changed).await,
                    None => break,
                },
                () = carrier.work.hearing.wanted() => self.catch_up(&mut feed).await,
                Ok(()) = health.changed() => self.router.desks().for_each(Desk::reopen),
                Ok(()) = self.routers.changed() => self.reroute().await,
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

    /// Hears of a change, or that it has missed some.
    async fn heard(&mut self, changed: Result<Changed, Lagged>) {
        match changed {
            Ok(changed) => self.changed(changed).await,
            Err(_) => self.scan().await,
        }
    }

    /// Hears of everything that is published by now, and tells those who asked for that.
    async fn catch_up(&mut self, feed: &mut Feed) {
        let asked = self.carrier.work.hearing.asked();
        for _ in 0..feed.behind() {
            let Some(changed) = feed.ready() else { break };
            consume_budget().await;
            self.heard(changed).await;
        }
        self.carrier.work.hearing.answer(asked);
    }

    async fn changed(&mut self, changed: Changed) {
        // What was started by a new route comes after it.
        self.follow_routes().await;
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
            && let Some(target) = self.router.target(&snapshot.routed.route)
        {
            target.pace.heard(closed.since(snapshot.times.accepted));
        }
    }

    /// Takes an operation up as it is; of one that is known, only whether it is to be canceled.
    async fn learn(&mut self, id: OperationId) {
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

    /// The backend whose upstream has an operation.
    async fn holder(&self, id: OperationId) -> Option<BackendIndex> {
        self.router.holder(&*self.carrier.store.get(id).await.ok()??)
    }

    async fn follow_routes(&mut self) {
        if self.routers.has_changed().is_ok_and(|changed| changed) {
            self.reroute().await;
        }
    }

    /// Goes by the routes of now: what waits and whose route leads elsewhere goes there. Leases go on.
    async fn reroute(&mut self) {
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

    /// Takes an operation up anew that nobody has and whose route leads elsewhere.
    async fn retake(&mut self, id: OperationId) {
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

    /// `held`: whether a worker may have it that this process has not given it to. `by`: the route by which it was leased
    /// last.
    fn take(&mut self, snapshot: &Arc<Snapshot>, held: bool, by: Option<Arc<Route>>) {
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
            None if let (Some(holder), Some(_)) = (holder, &by) => {
                let lane = &mut self.lanes[holder.0];
                Phase::Queued(lane.ready.push(&snapshot.tenant, id))
            }
            None => {
                // Somebody may bring the route back, or end the operation by hand.
                let route = &*snapshot.routed.route;
                let backend = &*snapshot.routed.backend;
                let trace_id = snapshot.trace_id();
                let text = match holder {
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
            self.abandon(id, backend, known.by);
        }
    }

    /// Has the backend hear, beside the loop, that an operation it was given has ended without it.
    fn abandon(&mut self, id: OperationId, backend: BackendIndex, route: Option<Arc<Route>>) {
        let carrier = Arc::clone(&self.carrier);
        self.aside(id, async move { carrier.abandon(id, backend, route).await });
    }

    /// The desk an operation is on.
    fn desk(&self, known: &Known) -> Option<&Arc<Desk>> {
        self.router.desk(known.backend.filter(|_| known.phase == Phase::Pulled)?)
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
            if let Some(desk) = on_desk.and_then(|backend| self.router.desk(backend)) {
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

    /// Tells how many operations wait for each backend to have room.
    fn count(&mut self) {
        let carrier = &self.carrier;
        for lane in &mut self.lanes {
            let queued = lane.ready.len();
            lane.placed.seen.counted(lane.leased, queued);
            if std::mem::replace(&mut lane.told, queued) != queued
                && let Some(metrics) = carrier.metrics.dispatch.backend(&lane.placed.name)
            {
                metrics.queued.set(queued as u64);
            }
        }
    }

    async fn ended(&mut self, ended: Ended) {
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
    async fn look(&mut self) {
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
