//! The door itself.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opgate_core::{
    Accept, Command, Error, ErrorKind, Expects, Finish, OperationId, Origin, Outcome, Report,
    Routed, Share, Submission, Timestamp, Version,
};
use opgate_store::{Health, Peek, Receipt, Snapshot, Store};
use opgate_telemetry::{Metrics, Permit};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::abandon::AT_A_TIME;
use crate::again::Again;
use crate::audit::{Action, Asked, Auditor};
use crate::backend::{Admission, Offer};
use crate::backoff::Backoff;
use crate::carry::Carrier;
use crate::deliver::{Callbacks, Courier, deliver};
use crate::dispatch::dispatch;
use crate::handles::Handles;
use crate::notify::Notifier;
use crate::reach::Reach;
use crate::repeat::dedupe;
use crate::resources;
use crate::room::Room;
use crate::router::{BackendIndex, Carrying, Placed, Route, Router, RouterBuilder};
use crate::share;
use crate::start::{Caller, Start};
use crate::token::Sealer;
use crate::work::Work;

/// How long a removed operation leaves its tombstone; its dedupe key may keep it longer.
const TOMBSTONE: Duration = Duration::from_hours(1);

/// The bounds of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Waits at a time; one beyond is answered at once. One costs about a kilobyte.
    pub waits: usize,
    /// Watches at a time; one beyond is refused.
    pub watches: usize,
    /// Workers that wait for an operation at a time; one beyond is refused. One costs about a
    /// kilobyte.
    pub askers: usize,
    /// When to repeat what a backend could not do.
    pub backoff: Backoff,
    /// How long a drain waits for leases that are not to be cut short
    /// ([`Lease::hold`](crate::Lease::hold)).
    pub grace: Duration,
    /// How callbacks are delivered, and how many may be owed.
    pub callbacks: Callbacks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            waits: 100_000,
            watches: 1_000,
            askers: 100_000,
            backoff: Backoff::default(),
            grace: Duration::ZERO,
            callbacks: Callbacks::default(),
        }
    }
}

/// An operation, and the version it is to have where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The operation.
    pub id: OperationId,
    /// Refuse unless it has exactly this version.
    pub expect: Option<Version>,
}

impl From<OperationId> for Subject {
    fn from(id: OperationId) -> Self {
        Self { id, expect: None }
    }
}

impl From<(OperationId, Version)> for Subject {
    fn from((id, version): (OperationId, Version)) -> Self {
        Self { id, expect: Some(version) }
    }
}

/// The one door. Clones share it; it drains when [`Bus::drain`] is called or the last is dropped.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Door>);

pub(crate) struct Door {
    pub(crate) store: Store,
    pub(crate) sealer: Sealer,
    pub(crate) waits: Room,
    pub(crate) watches: Room,
    pub(crate) askers: Room,
    pub(crate) drain: CancellationToken,
    /// Callbacks owed at a time.
    owed: usize,
    carrier: Arc<Carrier>,
    /// None where nobody is told.
    courier: Option<Arc<Courier>>,
    pub(crate) metrics: Arc<Metrics>,
    dispatcher: TaskTracker,
    auditor: OnceLock<Arc<dyn Auditor>>,
    _drained_when_dropped: DropGuard,
}

impl Door {
    pub(crate) fn router(&self) -> Arc<Router> {
        self.carrier.router()
    }

    /// Tells how much a backend has room for.
    pub(crate) fn show_room(&self, placed: &Placed) {
        show_room(placed, &self.metrics);
    }

    /// Has the dispatcher look at once what there is room for.
    pub(crate) fn look_again(&self) {
        self.carrier.gates.notify_one();
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.carrier.reach
    }

    pub(crate) fn work(&self) -> &Work {
        &self.carrier.work
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("router", &self.router()).finish_non_exhaustive()
    }
}

impl Bus {
    /// Opens the door over a store, and takes up every operation that has not ended. Call it within
    /// a tokio runtime: the dispatcher runs there until the drain.
    pub fn open(store: Store, router: Router, options: Options, metrics: Arc<Metrics>) -> Self {
        let drain = CancellationToken::new();
        let carrier = Arc::new(Carrier {
            work: Work::default(),
            reach: Reach::default(),
            store: store.clone(),
            routers: watch::Sender::new(Arc::new(router)),
            backoff: options.backoff,
            grace: RwLock::new(options.grace),
            metrics: Arc::clone(&metrics),
            drain: drain.clone(),
            gates: Arc::default(),
            abandoning: Semaphore::new(AT_A_TIME),
            again: Again::default(),
        });
        show(&options, &metrics);
        metrics.callbacks.owed_max.set(options.callbacks.owed as u64);
        let router = carrier.router();
        carrier.work.furnish(&router, &store, &metrics);
        router.backends().iter().for_each(|placed| show_room(placed, &metrics));
        let dispatcher = TaskTracker::new();
        dispatcher.spawn(dispatch(Arc::clone(&carrier)));
        let courier = router.notifier().map(|notifier| {
            Arc::new(Courier {
                store: store.clone(),
                notifier: RwLock::new(Arc::clone(notifier)),
                handles: Handles::new(store.secret()),
                callbacks: options.callbacks,
                backoff: options.backoff,
                metrics: Arc::clone(&metrics),
                drain: drain.clone(),
            })
        });
        if let Some(courier) = &courier {
            dispatcher.spawn(deliver(Arc::clone(courier)));
        }
        dispatcher.close();
        Self(Arc::new(Door {
            sealer: Sealer::new(store.secret()),
            store,
            waits: Room::new(options.waits),
            watches: Room::new(options.watches),
            askers: Room::new(options.askers),
            _drained_when_dropped: drain.clone().drop_guard(),
            drain,
            owed: options.callbacks.owed,
            carrier,
            courier,
            metrics,
            dispatcher,
            auditor: OnceLock::new(),
        }))
    }

    /// Has every decision told to somebody from now on. Only the first one asked for counts.
    pub fn audited(&self, auditor: Arc<dyn Auditor>) {
        self.0.auditor.get_or_init(|| auditor);
    }

    /// Has somebody else tell of completions from the next attempt on, where somebody does.
    pub fn notify_by(&self, notifier: Arc<dyn Notifier>) {
        if let Some(courier) = &self.0.courier {
            courier.notify_by(notifier);
        }
    }

    /// Goes by other bounds from now on: how much may wait, watch and ask, and how long a drain waits for leases. What
    /// is beyond them already stays. The other options are not looked at.
    pub fn bound(&self, options: &Options) {
        let door = &self.0;
        door.waits.resize(options.waits);
        door.watches.resize(options.watches);
        door.askers.resize(options.askers);
        *door.carrier.grace.write().unwrap_or_else(PoisonError::into_inner) = options.grace;
        show(options, &door.metrics);
    }

    pub(crate) fn auditor(&self) -> Option<&dyn Auditor> {
        self.0.auditor.get().map(|auditor| &**auditor)
    }

    pub(crate) fn door(&self) -> &Door {
        &self.0
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<Arc<Route>> {
        self.0.router().route(name).cloned()
    }

    /// Whether a route leads to a queue of this name.
    pub fn has_queue(&self, name: &str) -> bool {
        self.0.router().queue(name).is_some()
    }

    /// The time by the clock that operations go by.
    pub fn now(&self) -> Timestamp {
        self.0.store.clock().now()
    }

    /// The routes of one kind, by name.
    pub fn routes_of(&self, service: &str, operation: &str) -> Vec<Arc<Route>> {
        self.0.router().routes_of(service, operation)
    }

    /// Begins another table of routes, with the backends there are and none of the routes.
    pub fn rerouting(&self) -> RouterBuilder {
        self.0.router().next()
    }

    /// Goes by another table of routes from now on, whose making began with [`Bus::rerouting`]. Leases keep the route they were begun by
    /// to their end; every later one goes by the table of then: an operation whose route leads to another backend goes there,
    /// and one whose route is gone waits until there is one of that name. What an upstream has already goes on with its
    /// backend by the route of its last lease, or after a restart waits until its route leads there. Of routes that are
    /// gone requests that were on their way can still be started, and what was is carried on, for as long as `grace`.
    pub fn reroute(&self, next: Router, grace: Duration) {
        let carrier = &self.0.carrier;
        let router = Arc::new(next);
        carrier.work.furnish(&router, &self.0.store, &self.0.metrics);
        router.backends().iter().for_each(|placed| self.0.show_room(placed));
        carrier.routers.send_replace(Arc::clone(&router));
        for (index, placed) in router.backends().iter().enumerate() {
            if let Some(desk) = placed.desk() {
                router.left_queues(BackendIndex(index)).for_each(|queue| desk.dismiss(queue));
            }
        }
        if !router.is_settled() {
            let carrier = Arc::clone(carrier);
            self.0.dispatcher.spawn(async move {
                tokio::select! {
                    () = sleep(grace) => {}
                    () = carrier.drain.cancelled() => return,
                }
                carrier.routers.send_if_modified(|now| {
                    let is_now = Arc::ptr_eq(now, &router);
                    if is_now {
                        *now = Arc::new(router.settled());
                    }
                    is_now
                });
            });
        }
    }

    /// How long operations of this route have lately taken from their acceptance to their success;
    /// `None` until one has succeeded since the start of the process.
    pub fn typical(&self, route: &str) -> Option<Duration> {
        self.0.router().target(route)?.pace.typical()
    }

    /// Whether changes can be made durable, and every change of that.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.store.health()
    }

    /// The backends that cannot be asked now: those that live operations name and that are not
    /// configured any more, and those whose last attempt found nobody (`Unavailable`,
    /// `DeadlineExceeded`). A backend of workers is never among the latter.
    pub fn unreachable(&self) -> Vec<Arc<str>> {
        self.0.carrier.reach.unreachable(&self.0.router())
    }

    /// Starts an operation, or finds the one that the same dedupe key has started. On return it is
    /// durable, and it is even if the future is dropped after it was first polled.
    ///
    /// # Errors
    /// What the backend refuses the start with; `Unsupported` without such a route;
    /// `AlreadyExists` when the dedupe key was used for another request; `InvalidArgument`,
    /// `PayloadTooLarge` when a part exceeds its limit; `TooManyRequests` when too many operations
    /// are live or commands queued, when the queue for workers is full, or when it brings callbacks
    /// and too many are owed (what a known dedupe key has started is found all the same); `Unavailable` when the journal takes no writes.
    pub async fn start(&self, caller: &Caller, start: Start) -> Result<Receipt, Error> {
        let asked = Asked::start(self, caller, &start);
        let result = self.accept(caller, start).await;
        if let Some(asked) = asked {
            asked.decided(&result);
        }
        result
    }

    async fn accept(&self, caller: &Caller, start: Start) -> Result<Receipt, Error> {
        let router = self.0.router();
        let target = router
            .target(&start.route)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "no such route"))?;
        let route = &target.route;
        let outcome = match &router.placed(target.backend).carrying {
            Carrying::Pull(_) => None,
            Carrying::Push(backend) => {
                match backend.admit(&Offer { caller, route, start: &start })? {
                    Admission::Accept => None,
                    Admission::Done(outcome) => Some(outcome),
                }
            }
        };
        let place = target.queue.and_then(|queue| Some(router.desk(target.backend)?.place(queue)));
        let owing = usize::try_from(self.0.store.owed()).unwrap_or(usize::MAX);
        let crowded = !start.callbacks.is_empty() && owing >= self.0.owed;
        // For a full queue there are only repeats, and where too much is owed.
        let full = crowded || place.as_ref().is_some_and(Option::is_none);
        let why = if crowded {
            "as many callbacks as allowed are waiting to be delivered"
        } else {
            "the queue is full"
        };
        let refused = || Error::new(ErrorKind::TooManyRequests, why);
        if full && start.dedupe.is_none() {
            return Err(refused());
        }
        let now = self.0.store.clock().now();
        let limit = [start.deadline, route.timeout].into_iter().flatten().min();
        let dedupe = match &start.dedupe {
            Some(key) => Some(Box::new(dedupe(caller, target, &start, key, now)?)),
            None => None,
        };
        let id = fresh_id(now)?;
        // What was done at once is nobody else's work.
        let key =
            if outcome.is_none() { share::key(caller, target, &start.input, now) } else { None };
        let job = key.as_ref().map(|_| fresh_id(now)).transpose()?;
        let told = start.tells_end && outcome.is_some();
        let expects = match start.expects {
            none if none == Expects::default() => route.expects.clone(),
            declared => declared,
        };
        let accept = Accept {
            parent: if start.parent.as_str().is_empty() {
                router.parent(route, &start.input)
            } else {
                start.parent
            },
            kind: route.kind.clone(),
            origin: Origin {
                face: start.face,
                endpoint: start.endpoint,
                principal: Arc::clone(&caller.principal),
                request_id: start.request_id,
            },
            routed: Routed {
                route: Arc::clone(&route.name),
                backend: Arc::clone(&route.backend),
                native_ref: Bytes::new(),
            },
            expects,
            resources: resources::named(route, id, &start.input),
            input: start.input,
            deadline: limit.map(|limit| now.plus(limit)),
            retention: route.retention,
            links_in: start.links,
            callbacks: if told { Vec::new() } else { start.callbacks },
            headers: start.headers,
            trace: start.trace,
            dedupe,
            lost: start.lost,
            share: job.map(|job| Box::new(Share::Interest(job))),
            share_key: key.map(Box::new),
            outcome,
        };
        let expect = full.then_some(Version(0));
        let command = Command::Accept(Box::new(accept));
        let subject = Subject { id, expect };
        match self.submit(caller, subject, command).await {
            Err(error) if full && error.kind == ErrorKind::Conflict => Err(refused()),
            result => result,
        }
    }

    /// Asks for the cancellation of an operation. One that no backend has taken up is canceled by
    /// it; one that has ended or was asked before stays as it is, and that is no error.
    ///
    /// # Errors
    /// `NotFound`, `TooManyRequests` and `Unavailable` as for [`Bus::start`]; `Conflict`, with the
    /// version it has, when the operation has not the version that was expected.
    pub async fn cancel(
        &self,
        caller: &Caller,
        subject: impl Into<Subject>,
        reason: &str,
    ) -> Result<Receipt, Error> {
        let command = Command::Cancel { by: (*caller.principal).into(), reason: reason.into() };
        self.change(caller, Action::Cancel, subject.into(), command).await
    }

    /// Hides an operation for good. Its work goes on.
    ///
    /// # Errors
    /// As [`Bus::cancel`].
    pub async fn remove(
        &self,
        caller: &Caller,
        subject: impl Into<Subject>,
    ) -> Result<Receipt, Error> {
        let command = Command::Remove { keep: TOMBSTONE };
        self.change(caller, Action::Delete, subject.into(), command).await
    }

    /// Ends an operation by hand, whoever carries it out: that lease is over with it. The operation's
    /// log tells who did it. The same end once more is acknowledged.
    ///
    /// # Errors
    /// As [`Bus::cancel`]; `Conflict` when it has ended otherwise.
    pub async fn finish(
        &self,
        caller: &Caller,
        subject: impl Into<Subject>,
        outcome: Outcome,
    ) -> Result<Receipt, Error> {
        let by = Some((*caller.principal).into());
        let finish = Finish { epoch: None, by, outcome, report: None };
        let command = Command::Finish(Box::new(finish));
        self.change(caller, Action::Complete, subject.into(), command).await
    }

    /// Ends an operation with what its upstream said of its own accord, and keeps what became known
    /// with the end. Nobody asked, so nobody's tenant limits it: the caller has made sure of who
    /// says it. The same end once more is acknowledged.
    ///
    /// # Errors
    /// `NotFound` when there is no such operation, it has expired, or another backend has it;
    /// `Conflict` when it has ended otherwise; `InvalidArgument`, `PayloadTooLarge` when a part exceeds its limit;
    /// `TooManyRequests` and `Unavailable` as for [`Bus::start`].
    pub async fn conclude(
        &self,
        id: OperationId,
        backend: &str,
        report: Report,
        outcome: Outcome,
    ) -> Result<Receipt, Error> {
        let found = self.0.store.get(id).await?;
        let now = self.0.store.clock().now();
        // What was removed goes on, and may end; what has expired is nobody's business any more.
        let current = found.filter(|snapshot| {
            *snapshot.routed.backend == *backend
                && snapshot.times.expires.is_none_or(|expires| now < expires)
        });
        let tenant = current.ok_or_else(Error::not_found)?.tenant.clone();
        let finish = Finish { report: Some(Box::new(report)), ..Finish::new(outcome) };
        let command = Command::Finish(Box::new(finish));
        let submission = Submission { tenant, target: id, expect: None, command };
        self.0.store.submit(submission).await
    }

    /// Has the dead letters of an operation that has ended delivered once more. One that its backend has is taken up by it
    /// anew, now: a rest between two attempts is over, attempts count from the first, and what its upstream does not
    /// know is looked for as long again. What a backend must not be cut short in is let come to its end before.
    ///
    /// # Errors
    /// As [`Bus::cancel`]; `FailedPrecondition` when no callback of it is a dead letter, when no backend has it yet, and
    /// when workers come for it.
    pub async fn redrive(
        &self,
        caller: &Caller,
        subject: impl Into<Subject>,
    ) -> Result<Receipt, Error> {
        let subject = subject.into();
        let live = match self.get(caller, subject.id).await {
            Ok(found) if !found.is_done() => found,
            // Whoever asks is told by the door, as for any change.
            Ok(_) | Err(_) => {
                return self.change(caller, Action::Redrive, subject, Command::Redrive).await;
            }
        };
        let carrier = &self.0.carrier;
        let asked = Asked::about(self, Action::Redrive, caller, subject.id);
        let router = carrier.router();
        // What an upstream has goes on with its backend, wherever its route leads.
        let leads = || router.target(&live.routed.route).map(|target| target.backend);
        let backend = router.holder(&live).or_else(leads).filter(|_| live.job().is_none());
        let pushed = backend
            .is_some_and(|backend| matches!(router.placed(backend).carrying, Carrying::Push(_)));
        let result = if pushed {
            // Before it is on record, for who has it looks for this when that changes.
            carrier.again.put(subject.id);
            let by = (*caller.principal).into();
            let result = self.submit(caller, subject, Command::Resume { by }).await;
            if result.is_err() {
                carrier.again.take(subject.id);
            }
            result
        } else {
            let text = "no backend is given it: workers come for it, it shares its work with \
                        others, or its route is not configured";
            Err(Error::new(ErrorKind::FailedPrecondition, text))
        };
        if let Some(asked) = asked {
            asked.decided(&result);
        }
        result
    }

    /// The text by which a face or an upstream knows an operation: not to be guessed, the same each
    /// time, and good for `purpose` and `bound` only. 76 characters, safe in a URL and a header.
    ///
    /// # Errors
    /// `Internal` when it cannot be made.
    pub fn handle(&self, purpose: &str, bound: &[&str], id: OperationId) -> Result<String, Error> {
        self.0.sealer.seal_handle(purpose, bound, id)
    }

    /// The operation that a handle was made for.
    ///
    /// # Errors
    /// `NotFound` when it was not made here, for this purpose and bound.
    pub fn open_handle(
        &self,
        purpose: &str,
        bound: &[&str],
        handle: &str,
    ) -> Result<OperationId, Error> {
        self.0.sealer.open_handle(purpose, bound, handle)
    }

    /// Reads an operation where no disk is needed for it; `None` where it is: then [`Bus::get`].
    /// Takes no lock and copies nothing.
    pub fn peek(&self, caller: &Caller, id: OperationId) -> Option<Result<Arc<Snapshot>, Error>> {
        match self.0.store.peek(id) {
            Peek::Resident(snapshot) => Some(self.show(caller, snapshot)),
            Peek::OnDisk => None,
            Peek::Absent => Some(Err(Error::not_found())),
        }
    }

    /// Reads an operation.
    ///
    /// # Errors
    /// `NotFound` whether it is absent, removed, expired or another tenant's; `Unavailable` or
    /// `DataLoss` when the disk does not give it.
    pub async fn get(&self, caller: &Caller, id: OperationId) -> Result<Arc<Snapshot>, Error> {
        match self.0.store.get(id).await? {
            Some(snapshot) => self.show(caller, snapshot),
            None => Err(Error::not_found()),
        }
    }

    /// Answers every wait and watch, now and from now on, and gives all leases back, those that are
    /// held within [`Options::grace`]. Commands are still taken: a request that was let in is served to
    /// its end.
    pub async fn quiesce(&self) {
        self.0.drain.cancel();
        self.0.dispatcher.wait().await;
    }

    /// Quiesces, and closes the journal. What is not finished goes on in the next process.
    pub async fn drain(&self) {
        self.quiesce().await;
        self.0.store.close().await;
    }

    async fn change(
        &self,
        caller: &Caller,
        action: Action,
        subject: Subject,
        command: Command,
    ) -> Result<Receipt, Error> {
        let asked = Asked::about(self, action, caller, subject.id);
        // The journal knows tenants and removals; what has expired is hidden here.
        let result = match self.get(caller, subject.id).await {
            Ok(_) => self.submit(caller, subject, command).await,
            Err(error) => Err(error),
        };
        if let Some(asked) = asked {
            asked.decided(&result);
        }
        result
    }

    async fn submit(
        &self,
        caller: &Caller,
        Subject { id: target, expect }: Subject,
        command: Command,
    ) -> Result<Receipt, Error> {
        let began = Instant::now();
        let tenant = caller.tenant.clone();
        let submission = Submission { tenant, target, expect, command };
        let receipt = self.0.store.submit(submission).await;
        self.0.metrics.bus.submit_duration.record(began.elapsed());
        receipt
    }

    fn show(&self, caller: &Caller, snapshot: Arc<Snapshot>) -> Result<Arc<Snapshot>, Error> {
        let same_tenant = snapshot.tenant == caller.tenant;
        // Only what has ended can expire: what has not needs no look at the clock.
        let visible = match snapshot.times.expires {
            Some(_) => snapshot.is_visible(self.0.store.clock().now()),
            None => snapshot.removed.is_none(),
        };
        if same_tenant && visible { Ok(snapshot) } else { Err(Error::not_found()) }
    }
}

/// Tells how much may wait, watch and ask.
fn show(options: &Options, metrics: &Metrics) {
    for (what, most) in [
        (Permit::Wait, options.waits),
        (Permit::Watch, options.watches),
        (Permit::Ask, options.askers),
    ] {
        metrics.bus.permits_max.of(what).set(most as u64);
    }
}

/// Tells how much a backend has room for.
fn show_room(placed: &Placed, metrics: &Metrics) {
    if let Some(of) = metrics.dispatch.backend(&placed.name) {
        of.leases_max.set(placed.concurrency() as u64);
    }
}

fn fresh_id(now: Timestamp) -> Result<OperationId, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "no randomness for an id").with_source(error)
    })?;
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    Ok(OperationId::new(millis, u128::from_ne_bytes(random)))
}
