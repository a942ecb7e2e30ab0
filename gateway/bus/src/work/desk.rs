//! The books of one backend of workers, shared between those who ask, those who report, and the
//! dispatcher, who brings operations and looks after time.
//!
//! A lock is held for a few steps and never across an await. What it orders, the journal orders the
//! same way: a report or an outcome is handed to the sequencer while the lock is held, so no lease
//! that comes later can overtake it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opgate_core::{Command, Epoch, Error, LogEntry, OperationId, Report, Submission, Tenant};
use opgate_store::{Health, Posted, Store};
use opgate_telemetry::{BackendMetrics, Metrics};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::books::{Arrival, Books, End, Lapse, Moved, Over};
use crate::pull::Pull;
use crate::router::QueueIndex;
use crate::token::Grant;

/// The books, and what the dispatcher was told of them.
#[derive(Debug)]
struct Desked {
    books: Books<oneshot::Sender<Claims>>,
    pull: Pull,
    /// Starts under way, for each queue.
    starting: Vec<usize>,
    /// When the dispatcher will look next; none where nothing was due.
    looks: Option<Instant>,
}

/// One backend of workers.
#[derive(Debug)]
pub(crate) struct Desk {
    name: Arc<str>,
    store: Store,
    metrics: Arc<Metrics>,
    nudge: Arc<Notify>,
    health: watch::Receiver<Health>,
    desked: Mutex<Desked>,
}

/// A change of a lease, on its way.
#[derive(Debug)]
pub(crate) struct Renewed {
    /// The change, where there is one to be made durable.
    pub(crate) posted: Option<Posted>,
    /// Until when the lease lasts now.
    pub(crate) until: Instant,
    /// Until when it lasted before.
    pub(crate) before: Instant,
}

impl Desk {
    pub(crate) fn new(
        name: &Arc<str>,
        pull: Pull,
        store: &Store,
        metrics: &Arc<Metrics>,
        nudge: &Arc<Notify>,
    ) -> Self {
        let books = Books::new(pull.concurrency, pull.attempts, 0);
        Self {
            name: Arc::clone(name),
            store: store.clone(),
            metrics: Arc::clone(metrics),
            nudge: Arc::clone(nudge),
            health: store.health(),
            desked: Mutex::new(Desked { books, pull, starting: Vec::new(), looks: None }),
        }
    }

    /// Has so many queues, if they are more than before.
    pub(crate) fn widen(&self, queues: usize) {
        let mut desked = self.lock();
        desked.books.widen(queues);
        let queues = queues.max(desked.starting.len());
        desked.starting.resize(queues, 0);
    }

    /// The backend's name.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What is configured of it.
    pub(crate) fn pull(&self) -> Pull {
        self.lock().pull
    }

    /// Goes by other bounds from now on. Leases that are there last as long as they were given.
    pub(crate) fn employ(self: &Arc<Self>, pull: Pull) {
        let mut desked = self.lock();
        desked.pull = pull;
        desked.books.bound(pull.concurrency, pull.attempts);
        self.tell(&mut desked);
    }

    /// Has nobody wait any longer for a queue that no route leads to.
    pub(crate) fn dismiss(self: &Arc<Self>, queue: QueueIndex) {
        let mut desked = self.lock();
        desked.books.dismiss(queue);
        self.tell(&mut desked);
    }

    /// Whether nothing is in a queue, or will come back to it.
    pub(crate) fn is_vacant(&self, queue: QueueIndex) -> bool {
        let desked = self.lock();
        desked.books.is_vacant(queue) && desked.starting.get(queue.0).is_none_or(|many| *many == 0)
    }

    /// Whether an operation is here.
    pub(crate) fn has(&self, id: OperationId) -> bool {
        self.lock().books.has(id)
    }

    /// Has an operation wait in that queue from now on, or nowhere here: then whether it is gone at once. While somebody
    /// holds it, it goes when nobody does ([`End::Moved`]).
    pub(crate) fn reroute(self: &Arc<Self>, id: OperationId, queue: Option<QueueIndex>) -> bool {
        let mut desked = self.lock();
        match desked.books.reroute(id, queue) {
            Moved::No => false,
            moved @ (Moved::Within | Moved::Gone) => {
                self.tell(&mut desked);
                moved == Moved::Gone
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Desked> {
        self.desked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self) -> Option<&BackendMetrics> {
        self.metrics.dispatch.backend(&self.name)
    }

    /// Ends a change: deals what there is to deal, and tells whom it concerns.
    fn tell(self: &Arc<Self>, desked: &mut Desked) {
        // Without the journal no lease could begin: nothing is dealt until it is back.
        desked.books.open = self.health.borrow().unwritable.is_none();
        while let Some(deal) = desked.books.deal() {
            let claims = Claims { desk: Arc::clone(self), ids: deal.ids };
            if let Err(mut refused) = deal.reply.send(claims) {
                // The asker has gone. Taken out here, for dropping them would lock again.
                for id in std::mem::take(&mut refused.ids) {
                    desked.books.give_back(id);
                }
            }
        }
        let next = desked.books.next();
        let sooner = next.is_some_and(|next| desked.looks.is_none_or(|looks| next < looks));
        if sooner || desked.books.has_ends() {
            desked.looks = next;
            self.nudge.notify_one();
        }
        if let Some(metrics) = self.metrics() {
            let [queued, leases, asks] = desked.books.counts().map(|count| count as u64);
            metrics.queued.set(queued);
            metrics.leases.set(leases);
            metrics.asks.set(asks);
        }
    }

    /// How many operations wait for a worker, how many workers have one, and how many wait for one.
    pub(crate) fn counts(&self) -> [usize; 3] {
        self.lock().books.counts()
    }

    /// Takes an operation in; one that is there already stays where it is.
    pub(crate) fn arrive(self: &Arc<Self>, arrival: Arrival) {
        let mut desked = self.lock();
        desked.books.arrive(arrival);
        self.tell(&mut desked);
    }

    /// Lets go of an operation that has ended.
    pub(crate) fn forget(self: &Arc<Self>, id: OperationId) {
        let mut desked = self.lock();
        if desked.books.forget(id)
            && let Some(metrics) = self.metrics()
        {
            metrics.leases_lost.increment(1);
        }
        self.tell(&mut desked);
    }

    /// Lets go of everything that is not live.
    pub(crate) fn keep(self: &Arc<Self>, live: &HashSet<OperationId>) {
        let mut desked = self.lock();
        desked.books.keep(live);
        self.tell(&mut desked);
    }

    /// Hears that an operation's deadline has passed.
    pub(crate) fn overdue(self: &Arc<Self>, id: OperationId) {
        let mut desked = self.lock();
        desked.books.overdue(id);
        self.tell(&mut desked);
    }

    /// Hears that an operation's cancellation was asked for.
    pub(crate) fn cancel(self: &Arc<Self>, id: OperationId) {
        let mut desked = self.lock();
        desked.books.cancel(id);
        self.tell(&mut desked);
    }

    /// Hears that the journal takes writes again.
    pub(crate) fn reopen(self: &Arc<Self>) {
        let mut desked = self.lock();
        self.tell(&mut desked);
    }

    /// Hears that a new dispatcher has taken over.
    pub(crate) fn retell(&self) {
        let mut desked = self.lock();
        desked.books.retell();
        desked.looks = None;
    }

    /// Does what is due. Returns what is to be ended, and when to look again.
    pub(crate) fn look(
        self: &Arc<Self>,
        now: Instant,
    ) -> (Vec<(OperationId, End)>, Option<Instant>) {
        let mut desked = self.lock();
        let attempts = desked.pull.attempts;
        for lapse in desked.books.due(now) {
            self.lapsed(lapse, attempts);
        }
        let ends = desked.books.ends();
        desked.looks = desked.books.next();
        let looks = desked.looks;
        self.tell(&mut desked);
        (ends, looks)
    }

    /// Puts a lease that ran out on record: that is when one wants to know who held it.
    fn lapsed(&self, lapse: Lapse, attempts: u32) {
        if let Some(metrics) = self.metrics() {
            metrics.leases_expired.increment(1);
        }
        let who = named(&lapse.worker);
        let why = format!("the lease of {who} ran out before it was heard of again");
        self.attempted(lapse, attempts, &why);
    }

    /// Puts an attempt that came to nothing on record.
    fn attempted(&self, lapse: Lapse, attempts: u32, why: &str) {
        let Lapse { id, tenant, epoch, worker: _, expired } = lapse;
        let text = format!("attempt {expired} of {attempts}: {why}");
        let entry = LogEntry {
            at: self.store.clock().now(),
            error: true,
            code: Box::default(),
            message: text.into(),
        };
        let report = Report { epoch, log: vec![entry], ..Report::default() };
        let command = Command::Report(Box::new(report));
        let submission = Submission { tenant, target: id, expect: None, command };
        // The line is for whoever looks; the operation goes on without it.
        if let Err(error) = self.store.post(submission) {
            tracing::debug!(%error, operation = %id, "the end of a lease was not recorded");
        }
    }

    /// Has an asker wait, or be answered at once.
    pub(crate) fn ask(self: &Arc<Self>, queue: QueueIndex, max: usize) -> Asking {
        let (reply, claims) = oneshot::channel();
        let mut desked = self.lock();
        let ticket = desked.books.ask(queue, max, reply);
        self.tell(&mut desked);
        drop(desked);
        Asking { desk: Arc::clone(self), queue, ticket, claims, answered: false }
    }

    /// Begins leases that are durable, and has the rest of the claims go back. Returns for each how
    /// many attempts failed before it; none where it did not begin, for its operation has ended.
    pub(crate) fn hold(
        self: &Arc<Self>,
        mut claims: Claims,
        begun: impl Iterator<Item = (OperationId, Epoch)>,
        until: Instant,
        worker: &str,
    ) -> Vec<Option<u32>> {
        let mut desked = self.lock();
        let held = begun.map(|(id, epoch)| desked.books.hold(id, epoch, until, worker)).collect();
        for id in std::mem::take(&mut claims.ids) {
            desked.books.give_back(id);
        }
        self.tell(&mut desked);
        held
    }

    /// Extends a lease that holds, and hands a change made under it to the journal.
    ///
    /// # Errors
    /// Outside, why the lease does not hold; inside, why the change was not handed over. The lease
    /// is extended all the same then: its worker is there.
    pub(crate) fn renew(
        self: &Arc<Self>,
        grant: Grant,
        length: Duration,
        command: Option<Command>,
    ) -> Result<Result<Renewed, Error>, Over> {
        let mut desked = self.lock();
        let now = Instant::now();
        let (tenant, _) = desked.books.held(grant.id, grant.epoch, now)?;
        let tenant = tenant.clone();
        let finishing = matches!(command, Some(Command::Finish(_)));
        let until = now + length;
        let posted = command.map(|command| self.post(tenant, grant.id, command)).transpose();
        let renewed =
            desked.books.last_until(grant.id, grant.epoch, until, finishing && posted.is_ok());
        self.tell(&mut desked);
        Ok(posted.map(|posted| Renewed { posted, until, before: renewed.unwrap_or(until) }))
    }

    /// Takes an extension back, unless the lease was extended again or is over.
    pub(crate) fn revert(self: &Arc<Self>, grant: Grant, until: Instant, before: Instant) {
        let mut desked = self.lock();
        let books = &mut desked.books;
        if books.lasts_until(grant.id, grant.epoch) == Some(until) {
            books.last_until(grant.id, grant.epoch, before, false);
        }
        self.tell(&mut desked);
    }

    /// The worker of a lease that holds, and its tenant.
    pub(crate) fn holder(&self, grant: Grant) -> Result<(Tenant, Box<str>), Over> {
        let desked = self.lock();
        let (tenant, worker) = desked.books.held(grant.id, grant.epoch, Instant::now())?;
        Ok((tenant.clone(), worker.into()))
    }

    /// Takes an operation back from its worker.
    pub(crate) fn release(
        self: &Arc<Self>,
        grant: Grant,
        rest: Option<Duration>,
    ) -> Result<(), Over> {
        let mut desked = self.lock();
        let now = Instant::now();
        desked.books.held(grant.id, grant.epoch, now)?;
        desked.books.release(grant.id, grant.epoch, rest.map(|rest| now + rest));
        self.tell(&mut desked);
        Ok(())
    }

    /// Takes an operation back from a worker that failed at it.
    pub(crate) fn fail(self: &Arc<Self>, grant: Grant, why: &str) -> Result<(), Over> {
        let mut desked = self.lock();
        let (_, worker) = desked.books.held(grant.id, grant.epoch, Instant::now())?;
        let why = format!("{} {why}", named(worker));
        if let Some(lapse) = desked.books.fail(grant.id, grant.epoch) {
            self.attempted(lapse, desked.pull.attempts, &why);
        }
        self.tell(&mut desked);
        Ok(())
    }

    /// A place for one more start in a queue; none when it is full.
    pub(crate) fn place(self: &Arc<Self>, queue: QueueIndex) -> Option<Starting> {
        let mut desked = self.lock();
        let ahead = desked.books.depth(queue) + desked.starting[queue.0];
        if ahead >= desked.pull.backlog {
            return None;
        }
        desked.starting[queue.0] += 1;
        drop(desked);
        Some(Starting { desk: Arc::clone(self), queue })
    }

    fn post(&self, tenant: Tenant, target: OperationId, command: Command) -> Result<Posted, Error> {
        self.store.post(Submission { tenant, target, expect: None, command })
    }
}

/// Whoever holds a lease, for a log.
pub(super) fn named(worker: &str) -> &str {
    if worker.is_empty() { "its worker" } else { worker }
}

/// A start under way; the place in its queue is taken by it until this is dropped.
#[derive(Debug)]
pub(crate) struct Starting {
    desk: Arc<Desk>,
    queue: QueueIndex,
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.desk.lock().starting[self.queue.0] -= 1;
    }
}

/// Operations dealt to an asker. What is still in here when it is dropped goes back to its queue.
#[derive(Debug)]
pub(crate) struct Claims {
    desk: Arc<Desk>,
    pub(crate) ids: Vec<OperationId>,
}

impl Drop for Claims {
    fn drop(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let mut desked = self.desk.lock();
        for id in std::mem::take(&mut self.ids) {
            desked.books.give_back(id);
        }
        self.desk.tell(&mut desked);
    }
}

/// A worker that waits for operations; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Asking {
    desk: Arc<Desk>,
    queue: QueueIndex,
    ticket: u64,
    claims: oneshot::Receiver<Claims>,
    answered: bool,
}

impl Asking {
    /// What it was dealt already.
    pub(crate) fn dealt(&mut self) -> Option<Claims> {
        let claims = self.claims.try_recv().ok()?;
        self.answered = true;
        Some(claims)
    }

    /// Resolves once it is dealt something.
    pub(crate) async fn claims(&mut self) -> Option<Claims> {
        let claims = (&mut self.claims).await.ok()?;
        self.answered = true;
        Some(claims)
    }

    /// Stops waiting; what it was dealt meanwhile is its all the same.
    pub(crate) fn leave(mut self) -> Option<Claims> {
        self.withdraw();
        self.dealt()
    }

    fn withdraw(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            let mut desked = self.desk.lock();
            desked.books.leave_ask(self.queue, self.ticket);
            self.desk.tell(&mut desked);
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Dealt or not: what is left in the channel goes back by itself.
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::Timestamp;
    use opgate_store::{Clock, ManualClock, Options};

    use super::*;

    #[tokio::test]
    async fn starts_under_way_take_their_places_in_the_queue() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::register(&[]);
        let clock = Clock::Manual(ManualClock::at(Timestamp::from_nanos(0)));
        let store = Store::open(&Options::new(dir.path().join("data")), clock, &metrics);
        let pull = Pull { backlog: 3, ..Pull::default() };
        let (name, nudge) = ("desk".into(), Arc::default());
        let desk = Arc::new(Desk::new(&name, pull, &store.unwrap().0, &metrics, &nudge));
        desk.widen(2);
        let queue = QueueIndex(0);
        let arrive = |n| {
            let (id, tenant) = (OperationId::from_bits(n), Tenant::anonymous());
            desk.arrive(Arrival { id, tenant, queue, canceling: false, held: None });
        };
        arrive(1);
        let first = desk.place(queue).expect("a place");
        let _second = desk.place(queue).expect("the last place");
        assert!(desk.place(queue).is_none());
        assert!(desk.place(QueueIndex(1)).is_some());
        drop(first);
        assert!(desk.place(queue).is_some());
        arrive(2);
        assert!(desk.place(queue).is_none());
    }
}
