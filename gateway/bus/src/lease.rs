//! The right to carry one operation out.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use opgate_core::{
    Command, Epoch, Error, LogEntry, Losses, OperationId, Report, Submission, Timestamp, limits,
};
use opgate_store::{Peek, Snapshot, Store};
use tokio::sync::watch;

use crate::gate::{Gate, Pass};
use crate::reach::Trouble;
use crate::router::Route;
use crate::token::Sealer;

/// The right to carry one operation out, for as long as the future it was given to lives.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    route: Arc<Route>,
    snapshot: Arc<Snapshot>,
    /// How many hold it.
    holds: watch::Sender<usize>,
    /// What the calls of its backend pass through.
    gate: Gate,
    lost: Lost,
    /// Where the trouble of its backend is noted.
    trouble: Arc<Trouble>,
}

/// What a lease could not carry, and what it could after all: it becomes durable with the next report, or with the
/// end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<[AtomicU32; 2]>);

impl Lost {
    /// A report of these, and of nothing else.
    pub(crate) fn so_far(&self) -> Report {
        let [lost, kept] =
            [0, 1].map(|at: usize| Losses::from_bits(self.0[at].load(Ordering::Relaxed)));
        Report { lost, kept, ..Report::default() }
    }
}

/// As long as it lives, a drain waits for the lease, within its bound.
#[derive(Debug)]
pub struct Hold<'a>(&'a watch::Sender<usize>);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|holds| *holds = holds.saturating_sub(1));
    }
}

impl Lease {
    /// `snapshot` is the operation right after its start under this lease. `holds`: where those who hold
    /// it are counted.
    pub(crate) fn new(
        store: Store,
        route: Arc<Route>,
        snapshot: Arc<Snapshot>,
        holds: watch::Sender<usize>,
        gate: Gate,
        lost: Lost,
    ) -> Self {
        let trouble = Arc::default();
        Self { store, route, snapshot, holds, gate, lost, trouble }
    }

    /// Has its backend's trouble noted there.
    pub(crate) fn telling(self, trouble: Arc<Trouble>) -> Self {
        Self { trouble, ..self }
    }

    /// Notes what could not be carried to the backend, or from it, of this operation. It is durable with
    /// the next report, or with the end.
    pub fn note_lost(&self, lost: Losses) {
        self.lost.0[0].fetch_or(lost.bits(), Ordering::Relaxed);
    }

    /// Notes what was thought to be lost, and reached the backend after all. As durable as [`Lease::note_lost`].
    pub fn note_kept(&self, kept: Losses) {
        self.lost.0[1].fetch_or(kept.bits(), Ordering::Relaxed);
    }

    /// Asks a drain not to cut the lease short while what is returned lives: for what would be lost, and
    /// could not be done or asked again by the next lease. It is over in any case after
    /// [`Options::grace`](crate::Options::grace).
    pub fn hold(&self) -> Hold<'_> {
        self.holds.send_modify(|holds| *holds = holds.saturating_add(1));
        Hold(&self.holds)
    }

    /// The operation as it was when the lease began.
    pub const fn operation(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The route that gave it to this backend.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The number of this lease.
    pub fn epoch(&self) -> Epoch {
        self.snapshot.epoch
    }

    /// Tells how it goes; the report's epoch is filled in. Returns the operation after it, so that
    /// a cancel request or a removal is seen. Each call is one durable change: how often to report
    /// is the backend's business.
    ///
    /// # Errors
    /// `Conflict` or `FailedPrecondition` when the lease is over, `InvalidArgument` when the report
    /// exceeds a limit, `Unavailable` when the journal takes no writes: nothing has changed then.
    pub async fn report(&self, mut report: Report) -> Result<Arc<Snapshot>, Error> {
        report.epoch = self.epoch();
        let noted = self.lost.so_far();
        report.lost |= noted.lost;
        report.kept |= noted.kept;
        let submission = Submission {
            tenant: self.snapshot.tenant.clone(),
            target: self.snapshot.id,
            expect: None,
            command: Command::Report(Box::new(report)),
        };
        self.store.submit(submission).await.map(|receipt| receipt.snapshot)
    }

    /// The text by which an upstream knows the operation, as [`Bus::handle`](crate::Bus::handle)
    /// makes it: the door opens it when the upstream comes with it.
    ///
    /// # Errors
    /// `Internal` when it cannot be made.
    pub fn handle(&self, purpose: &str, bound: &[&str]) -> Result<String, Error> {
        Sealer::new(self.store.secret()).seal_handle(purpose, bound, self.snapshot.id)
    }

    /// The present, by the clock that operations are dated by.
    pub fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// A line of the log about trouble with an upstream. It has no code: it is no error of the work.
    /// Whoever looks at the backend is told the same.
    pub fn line(&self, text: &str) -> LogEntry {
        self.trouble.note(self.now(), text);
        LogEntry {
            at: self.now(),
            error: true,
            code: Box::default(),
            message: limits::clip(text).into(),
        }
    }

    /// How long the operation may still take; `None` where it has no deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.snapshot.deadline.map(|deadline| deadline.since(self.now()))
    }

    /// Waits until the call that starts the operation may be made. `unsent`: no earlier lease can have made it; then
    /// there is none to be made once cancellation was asked for.
    pub async fn pass(&self, unsent: bool) -> Option<Pass> {
        tokio::select! {
            biased;
            () = self.canceled(), if unsent => None,
            pass = self.gate.pass() => Some(pass),
        }
    }

    /// Where operations are.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// What the calls of its backend pass through.
    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Resolves once cancellation was asked for; at once where it was before.
    pub async fn canceled(&self) {
        let id = self.snapshot.id;
        settled(&self.store, id, |snapshot| snapshot.cancel.is_some()).await;
    }
}

/// Resolves once `holds` is true of the operation, or there is none any more.
pub(crate) async fn settled(store: &Store, id: OperationId, holds: impl Fn(&Snapshot) -> bool) {
    let waiter = store.newer(id);
    loop {
        let changed = pin!(waiter.changed());
        let held = match store.peek(id) {
            Peek::Resident(snapshot) => holds(&snapshot),
            Peek::Absent => true,
            // Boxed, for it is rare and large. What cannot be read now is read at its next change.
            Peek::OnDisk => match Box::pin(store.get(id)).await {
                Ok(found) => found.is_none_or(|snapshot| holds(&snapshot)),
                Err(_) => false,
            },
        };
        if held {
            return;
        }
        changed.await;
    }
}
