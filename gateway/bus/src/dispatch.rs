//! Gives accepted operations to their backends, and ends those whose time is up.
//!
//! One loop owns everything: what is queued, leased, resting between two attempts, and due. It
//! learns of new operations from the store's feed and, at start and whenever the feed ran ahead of
//! it, from the list of live operations. Its tables hold live operations only, so they are bounded
//! as those are.

mod intake;
mod known;
mod leases;
mod routes;

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{OperationId, State, Timestamp};
use opgate_store::{Changed, Feed, Lagged, Peek};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, Sleep, sleep};

use self::known::{Known, Lane, Phase};
use crate::carry::{Carried, Carrier, contained};
use crate::router::{BackendIndex, Router};
use crate::work::desk::Desk;

/// The longest sleep towards a deadline: deadlines are times of day, and the clock may be set.
const STRIDE: Duration = Duration::from_secs(30);

/// The next deadline, the next end of a rest, when a desk has something due, and when an upstream that is left alone
/// may be tried.
type Due = (Option<Timestamp>, Option<Instant>, Option<Instant>, Option<Instant>);

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

    /// The desk an operation is on.
    fn desk(&self, known: &Known) -> Option<&Arc<Desk>> {
        self.router.desk(known.backend.filter(|_| known.phase == Phase::Pulled)?)
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
