//! One operation through one lease: start, run, end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use opgate_core::{
    Code, Command, Epoch, Error, ErrorKind, Failure, Finish, LogEntry, OperationId, Outcome,
    Report, Retry, Submission, Version, limits,
};
use opgate_store::{Snapshot, Store};
use opgate_telemetry::{self as telemetry, Metrics};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::again::Again;
use crate::backend::Backend;
use crate::backoff::{Backoff, LONGEST};
use crate::blame;
use crate::gate::Gate;
use crate::lease::{Lease, Lost, settled};
use crate::reach::Reach;
use crate::router::{BackendIndex, Carrying, Placed, Route, Router};
use crate::work::Work;

/// What became of a lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is left to do: the operation has ended, or is another lease's.
    Over,
    /// It has ended without the backend that had it, which is to hear of it.
    Lost,
    /// To be leased again, not before this long.
    Again {
        /// How long.
        after: Duration,
        /// How often it has been tried.
        attempts: u32,
    },
    /// Given back because the gateway drains.
    Released,
    /// Its route leads elsewhere now, or nowhere: it has not begun.
    Elsewhere,
}

/// What became of a lease, and the route it was begun by; none where it was not begun.
pub(crate) type Carried = (Option<Arc<Route>>, Verdict);

/// What every lease shares.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) store: Store,
    /// The routes of now, which go by as a whole.
    pub(crate) routers: watch::Sender<Arc<Router>>,
    pub(crate) work: Work,
    pub(crate) reach: Reach,
    pub(crate) backoff: Backoff,
    /// How long a drain waits for leases that are held.
    pub(crate) grace: RwLock<Duration>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: CancellationToken,
    /// Told when an upstream is left alone, or called again.
    pub(crate) gates: Arc<Notify>,
    /// Room for telling backends of ends.
    pub(crate) abandoning: Semaphore,
    /// What somebody has put back to work.
    pub(crate) again: Again,
}

impl Carrier {
    /// The routes of now. Whoever does several things by them does all by the same.
    pub(crate) fn router(&self) -> Arc<Router> {
        Arc::clone(&self.routers.borrow())
    }

    /// Leases an operation to a backend, has that carry it out, and makes the end durable. All of a lease goes by the
    /// route as it was when the lease began; where its route leads elsewhere by now and the backend's upstream has it, by
    /// the one of the last lease (`by`).
    pub(crate) async fn carry(
        &self,
        id: OperationId,
        of: BackendIndex,
        by: Option<Arc<Route>>,
        attempts: u32,
    ) -> Carried {
        let again =
            |attempts: u32| Verdict::Again { after: self.backoff.after(attempts.max(1)), attempts };
        if self.drain.is_cancelled() {
            return (None, Verdict::Released);
        }
        let current = match self.store.get(id).await {
            Ok(Some(snapshot)) if !snapshot.is_done() => snapshot,
            // Its backend had it before, and it has ended since.
            Ok(_) => return (None, Verdict::Lost),
            Err(_) => return (None, again(attempts)),
        };
        // No backend is to begin what could only end too late.
        if current.deadline.is_some_and(|deadline| deadline <= self.store.clock().now()) {
            self.expire(id).await;
            return (None, Verdict::Lost);
        }
        let router = self.router();
        let holder = router.holder(&current);
        let target = router.target(&current.routed.route);
        let target = target.filter(|target| {
            target.carrier(&current) == of && holder.is_none_or(|holder| holder == of)
        });
        let route = target.map(|target| Arc::clone(&target.route));
        let route = route.or_else(|| by.filter(|by| router.holds(holder, by) == Some(of)));
        let Some(route) = route else { return (None, Verdict::Elsewhere) };
        let placed = router.placed(of);
        let Carrying::Push(backend) = &placed.carrying else { return (None, Verdict::Elsewhere) };
        let epoch = Epoch(current.epoch.0.saturating_add(1));
        // What follows a job is its route's backend's all the same.
        let moved = target.map(|target| &router.placed(target.backend).name);
        let moved = moved.and_then(|name| current.routed.moved_to(name));
        let start = Command::Start { epoch, backend: moved };
        let snapshot = match self.submit(&current, None, start).await {
            Ok(snapshot) => snapshot,
            // It was canceled, finished or has passed its deadline in the queue.
            Err(error) if error.kind == ErrorKind::FailedPrecondition => {
                return (None, Verdict::Lost);
            }
            // The backend has not seen it: this is no attempt of its.
            Err(_) => return (None, again(attempts)),
        };
        let verdict = self.under_lease((placed, backend), &route, snapshot, attempts).await;
        (Some(route), verdict)
    }

    /// The lease itself.
    async fn under_lease(
        &self,
        (placed, backend): (&Placed, &Arc<dyn Backend>),
        route: &Arc<Route>,
        snapshot: Arc<Snapshot>,
        attempts: u32,
    ) -> Verdict {
        let (id, epoch) = (snapshot.id, snapshot.epoch);
        let metrics = self.metrics.dispatch.backend(&placed.name);
        let _held = metrics.map(|metrics| metrics.leases.hold());
        let began = Instant::now();
        let holds = watch::Sender::new(0);
        let drained = self.drained(holds.subscribe());
        let over = self.over(id, epoch, holds.subscribe());
        let (route, gate) = (Arc::clone(route), backend.gate().cloned().unwrap_or_default());
        let (store, lost) = (self.store.clone(), Lost::default());
        let trouble = Arc::clone(placed.seen.trouble());
        let lease = Lease::new(store, route, Arc::clone(&snapshot), holds, gate, lost.clone());
        let lease = lease.telling(trouble);
        let result = tokio::select! {
            biased;
            result = contained(async { backend.run(lease).await }) => result,
            over = over => {
                if over == Verdict::Lost {
                    self.lost(placed);
                }
                return over;
            }
            () = drained => return Verdict::Released,
        };
        let result = result.unwrap_or_else(|Panicked| {
            let trace_id = snapshot.trace_id();
            tracing::error!(backend = &*placed.name, operation = %id, trace_id, "a backend panicked");
            let error = Error::new(ErrorKind::Internal, "the backend failed unexpectedly");
            Err(error.with_retry(Retry::SameRequest))
        });
        if let Some(metrics) = metrics {
            let code = result.as_ref().map_or_else(blame::label, |_| telemetry::Code::Ok);
            metrics.requests.of(code).increment(1);
            metrics.request_duration.record(began.elapsed());
        }
        self.reach.heard(&placed.seen, &result, self.store.clock().now());
        match result {
            Ok(outcome) => self.end(placed, &snapshot, outcome, lost.so_far()).await,
            Err(error) => self.failed((placed, &**backend), &snapshot, attempts, &error).await,
        }
    }

    /// Resolves once a lease is to be cut short: its operation has ended or is another's, or somebody has put it back to
    /// work and nobody holds it.
    async fn over(
        &self,
        id: OperationId,
        epoch: Epoch,
        mut holds: watch::Receiver<usize>,
    ) -> Verdict {
        let lost = |now: &Snapshot| now.is_done() || now.epoch != epoch;
        settled(&self.store, id, |now| lost(now) || self.again.holds(id)).await;
        if !self.again.holds(id) {
            return Verdict::Lost;
        }
        tokio::select! {
            biased;
            () = settled(&self.store, id, lost) => Verdict::Lost,
            // An error is the end of the lease, which nobody holds then.
            _ = holds.wait_for(|holds| *holds == 0) => {
                self.again.take(id);
                Verdict::Again { after: Duration::ZERO, attempts: 0 }
            }
        }
    }

    /// Resolves once the gateway drains and the lease is held no more, or for too long.
    async fn drained(&self, mut holds: watch::Receiver<usize>) {
        self.drain.cancelled().await;
        // An error is the end of the lease, which nobody holds then.
        let grace = *self.grace.read().unwrap_or_else(PoisonError::into_inner);
        timeout(grace, holds.wait_for(|holds| *holds == 0)).await.ok();
    }

    /// The backend could not carry it out: again after a while, or the end.
    async fn failed(
        &self,
        (placed, backend): (&Placed, &dyn Backend),
        leased: &Arc<Snapshot>,
        attempts: u32,
        error: &Error,
    ) -> Verdict {
        let mut told = false;
        if let Ok(Some(now)) = self.store.get(leased.id).await {
            if now.is_done() || now.epoch != leased.epoch {
                self.lost(placed);
                return Verdict::Lost;
            }
            told = now.log.iter().any(|line| line.error && line.code.is_empty());
        }
        let backoff = backend.backoff().unwrap_or(self.backoff);
        // What the journal did not take is not the backend's failure, and what is down for all is not this operation's:
        // neither uses up attempts.
        let writable = self.store.health().borrow().unwritable.is_none();
        let counts = writable && backend.gate().is_none_or(Gate::is_closed);
        let attempts = attempts.saturating_add(u32::from(counts));
        if error.retry == Retry::Never || (counts && attempts >= backoff.attempts.max(1)) {
            let outcome = Outcome::Failed(blame::failure(error));
            return self.end(placed, leased, outcome, Report::default()).await;
        }
        let asked = match error.retry {
            Retry::After(delay) => delay.min(LONGEST),
            Retry::Never | Retry::SameRequest | Retry::Unknown => Duration::ZERO,
        };
        let after = backoff.after(attempts.max(1)).max(asked);
        let again = Verdict::Again { after, attempts };
        // An upstream may be down for days: it is told once.
        if told && !counts {
            return again;
        }
        let count = if counts {
            format!("attempt {attempts} of {}", backoff.attempts)
        } else {
            "not counted as an attempt".to_owned()
        };
        let entry = LogEntry {
            at: self.store.clock().now(),
            error: true,
            // Its trouble is not the work's: the lines that opgate itself writes have no code.
            code: Box::default(),
            message: format!("{count}: {}; next in {:.1} s", error.message, after.as_secs_f64())
                .into(),
        };
        let report = Report { epoch: leased.epoch, log: vec![entry], ..Report::default() };
        // The line is for whoever looks; the operation goes on without it.
        if let Err(error) = self.submit(leased, None, Command::Report(Box::new(report))).await {
            tracing::debug!(
                %error,
                operation = %leased.id,
                trace_id = leased.trace_id(),
                "an attempt's error was not recorded",
            );
        }
        again
    }

    /// Makes the outcome durable. Goes on trying while the lease lives: an outcome that is known is
    /// not lost to a full disk.
    async fn end(
        &self,
        placed: &Placed,
        leased: &Arc<Snapshot>,
        mut outcome: Outcome,
        noted: Report,
    ) -> Verdict {
        let epoch = leased.epoch;
        let told = (leased.lost.without(noted.kept) | noted.lost) != leased.lost;
        let report = || told.then(|| Box::new(noted.clone()));
        let (mut tries, mut replaced) = (0, false);
        loop {
            let outcome_now = outcome.clone();
            let finish =
                Finish { epoch: Some(epoch), by: None, outcome: outcome_now, report: report() };
            let Err(error) = self.submit(leased, None, Command::Finish(Box::new(finish))).await
            else {
                return Verdict::Over;
            };
            let refused =
                matches!(error.kind, ErrorKind::InvalidArgument | ErrorKind::PayloadTooLarge);
            if refused && !replaced {
                // An outcome that can never be stored must not leave the operation open.
                outcome = Outcome::Failed(refusal(&error));
                replaced = true;
                continue;
            }
            if error.retry == Retry::Never {
                let trace_id = leased.trace_id();
                tracing::warn!(%error, operation = %leased.id, trace_id, "an outcome was refused");
                self.lost(placed);
                // The backend is done with it: there is nothing to leave off.
                return Verdict::Over;
            }
            tries += 1;
            if let Some(verdict) = self.pause(leased, tries).await {
                return verdict;
            }
        }
    }

    /// Waits before the end is tried once more; a verdict when it is not to be.
    async fn pause(&self, leased: &Arc<Snapshot>, tries: u32) -> Option<Verdict> {
        let over = |now: &Snapshot| now.is_done() || now.epoch != leased.epoch;
        tokio::select! {
            () = sleep(self.backoff.after(tries)) => None,
            () = settled(&self.store, leased.id, over) => Some(Verdict::Over),
            () = self.drain.cancelled() => Some(Verdict::Released),
        }
    }

    /// Ends an operation whose deadline has passed, whoever has it.
    pub(crate) async fn expire(&self, id: OperationId) {
        self.conclude(id, |current| Outcome::Failed(overdue(current))).await;
    }

    /// Ends an operation without a lease. Goes on trying until it has ended or the gateway drains. `outcome` is asked
    /// of the operation as it is when it ends.
    pub(crate) async fn conclude(
        &self,
        id: OperationId,
        outcome: impl Fn(&Snapshot) -> Outcome + Send,
    ) {
        let mut tries = 0;
        loop {
            match self.store.get(id).await {
                Ok(Some(current)) if !current.is_done() => {
                    let finish =
                        Finish { epoch: None, by: None, outcome: outcome(&current), report: None };
                    let command = Command::Finish(Box::new(finish));
                    // Bound to the version that was seen to be open: an end that comes first stands
                    // without a contradiction on record.
                    match self.submit(&current, Some(current.version), command).await {
                        Ok(_) => return,
                        Err(error) if error.kind == ErrorKind::Conflict => continue,
                        Err(_) => {}
                    }
                }
                Ok(_) => return,
                Err(_) => {}
            }
            tries += 1;
            tokio::select! {
                () = sleep(self.backoff.after(tries)) => {}
                () = self.drain.cancelled() => return,
            }
        }
    }

    async fn submit(
        &self,
        operation: &Arc<Snapshot>,
        expect: Option<Version>,
        command: Command,
    ) -> Result<Arc<Snapshot>, Error> {
        let (tenant, target) = (operation.tenant.clone(), operation.id);
        let submission = Submission { tenant, target, expect, command };
        self.store.submit(submission).await.map(|receipt| receipt.snapshot)
    }

    fn lost(&self, placed: &Placed) {
        if let Some(metrics) = self.metrics.dispatch.backend(&placed.name) {
            metrics.leases_lost.increment(1);
        }
    }
}

/// The failure of an operation whose deadline has passed. Not every face shows the log: what it says went wrong last is told
/// here, too.
fn overdue(current: &Snapshot) -> Failure {
    const TEXT: &str = "the operation's deadline has passed";
    let last = current.log.iter().rev().find(|line| line.error && !line.message.is_empty());
    let text = last.map_or_else(
        || TEXT.to_owned(),
        |line| {
            // No attempt follows any more.
            let problem = line.message.split("; next in ").next().unwrap_or_default();
            limits::clip(&format!("{TEXT}; the last problem on record: {problem}")).to_owned()
        },
    );
    let mut failure = Failure::new(Code::DeadlineExceeded, text);
    failure.reason = Some("deadline".to_owned());
    failure
}

/// The failure of an operation whose workers were not heard of again.
pub(crate) fn abandoned(leases: u32) -> Failure {
    let text = format!("{leases} attempts failed, or ran out before their workers were heard of");
    let mut failure = Failure::new(Code::DeadlineExceeded, text);
    failure.reason = Some("lease_expired".to_owned());
    failure.retryable = Some(true);
    failure
}

fn refusal(error: &Error) -> Failure {
    let text = format!("the backend's outcome could not be kept: {}", error.message);
    let mut failure = Failure::new(Code::Internal, text);
    failure.reason = Some("outcome_refused".to_owned());
    failure.retryable = Some(false);
    failure
}

/// The future panicked.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs a future to its end or its panic. After a panic it is never polled again.
pub(crate) async fn contained<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use opgate_core::{
        Accept, Expects, Face, Kind, Losses, Origin, Parent, Payload, Routed, State, Tenant,
        Timestamp,
    };
    use opgate_store::{Clock, Durability, ManualClock, Options};

    use super::*;

    fn accept(deadline: Timestamp) -> Accept {
        Accept {
            parent: Parent::root(),
            kind: Kind::new("test", "test").unwrap(),
            origin: Origin {
                face: Face::Native,
                endpoint: "test".into(),
                principal: "test".into(),
                request_id: None,
            },
            routed: Routed {
                route: "route".into(),
                backend: "backend".into(),
                native_ref: Bytes::new(),
            },
            expects: Expects::default(),
            input: Payload::json("{}"),
            resources: Vec::new(),
            deadline: Some(deadline),
            retention: Duration::from_hours(1),
            links_in: Vec::new(),
            callbacks: Vec::new(),
            headers: Vec::new(),
            trace: None,
            dedupe: None,
            lost: Losses::NONE,
            share: None,
            share_key: None,
            outcome: None,
        }
    }

    #[tokio::test]
    async fn what_became_overdue_on_the_way_to_its_backend_ends_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("data"));
        options.durability = Durability::Memory;
        let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let metrics = Metrics::register(&[]);
        let clock = Clock::Manual(ManualClock::at(now));
        let (store, _) = Store::open(&options, clock, &metrics).unwrap();
        let router = Router::builder().build().unwrap();
        let carrier = Carrier {
            store: store.clone(),
            work: Work::default(),
            reach: Reach::default(),
            routers: watch::Sender::new(Arc::new(router)),
            backoff: Backoff::default(),
            grace: RwLock::default(),
            metrics,
            drain: CancellationToken::new(),
            gates: Arc::default(),
            abandoning: Semaphore::new(1),
            again: Again::default(),
        };
        let target = OperationId::from_bits(1);
        let command = Command::Accept(Box::new(accept(now)));
        let submission = Submission { tenant: Tenant::anonymous(), target, expect: None, command };
        store.submit(submission).await.unwrap();
        assert_eq!(carrier.carry(target, BackendIndex(1), None, 0).await, (None, Verdict::Lost));
        let ended = store.get(target).await.unwrap().unwrap();
        assert_eq!((ended.state, ended.epoch), (State::Failed, Epoch(0)));
    }
}
