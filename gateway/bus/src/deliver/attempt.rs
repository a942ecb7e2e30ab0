//! One attempt: read what is owed, tell the receiver, make durable what became of it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use opgate_core::{
    Attempt, Attempted, Callback, Command, Delivery, DeliveryState, Error, ErrorKind, Retry,
    Submission, Timestamp,
};
use opgate_store::{Snapshot, Store};
use opgate_telemetry::{CallbackResult, Metrics};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Callbacks;
use super::table::{Job, Key, Term, Went};
use crate::backoff::Backoff;
use crate::carry::contained;
use crate::handles::Handles;
use crate::notify::{Notice, Notifier, Told};

/// The longest a notifier may take: its own bounds are far below, and this one is against a defect.
const DEFECT: Duration = Duration::from_mins(10);
/// How long an attempt under way may go on when the gateway drains.
const GRACE: Duration = Duration::from_secs(1);

/// What every attempt shares.
pub(crate) struct Courier {
    pub(crate) store: Store,
    /// Who tells, which may be somebody else for the next attempt.
    pub(crate) notifier: RwLock<Arc<dyn Notifier>>,
    pub(crate) handles: Handles,
    pub(crate) callbacks: Callbacks,
    /// For what the journal did not take.
    pub(crate) backoff: Backoff,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: CancellationToken,
}

/// What became of a job: how its destination did, and the callback's term where it is still owed.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) went: Went,
    pub(super) again: Option<Term>,
}

/// Whether a dead letter is for somebody to look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Due,
    Undue,
}

impl Courier {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::clone(&self.notifier.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has somebody else tell from the next attempt on.
    pub(crate) fn notify_by(&self, notifier: Arc<dyn Notifier>) {
        *self.notifier.write().unwrap_or_else(PoisonError::into_inner) = notifier;
    }

    /// Does a job to its end, or until the gateway drains.
    pub(super) async fn work(&self, job: Job) -> Done {
        let unmade = |again| Done { went: Went::Unmade, again };
        let key = job.key();
        let snapshot = match self.store.get(key.id).await {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return unmade(None),
            Err(error) => {
                tracing::error!(%error, operation = %key.id, "what is owed cannot be read");
                // What is damaged stays so.
                let readable = error.kind != ErrorKind::DataLoss;
                return unmade(readable.then(|| self.later(job)));
            }
        };
        let Some(owed) = owed(&snapshot, key) else { return unmade(None) };
        let delivery = &owed.delivery;
        let term = self.term(&snapshot, owed);
        match job {
            // What was learned of it may be older than the last attempt.
            Job::Attempt(_, attempts) if attempts != delivery.attempts => {
                return unmade(Some(term));
            }
            Job::Attempt(..) => {}
            Job::GiveUp(_) => {
                let problem = match &*delivery.problem {
                    "" => "its destination did not answer others",
                    last => last,
                };
                let result = Attempted::Dead { problem: self.given_up(problem).into() };
                let number = delivery.attempts;
                return unmade(self.record(&snapshot, key, number, result, Alarm::Due).await);
            }
        }
        let number = delivery.attempts.saturating_add(1);
        let notice = Notice {
            operation: Arc::clone(&snapshot),
            callback: key.callback,
            attempt: number,
            handles: self.handles.clone(),
        };
        let Some(told) = self.tell(notice).await else { return unmade(Some(term)) };
        let (went, alarm) = match told {
            Told::Taken | Told::Refused { .. } => (Went::Answered, Alarm::Due),
            Told::Gone { .. } => (Went::Answered, Alarm::Undue),
            Told::Later { .. } => (Went::Failed, Alarm::Due),
        };
        let since = snapshot.owed_since(owed).unwrap_or(snapshot.times.updated);
        if matches!(told, Told::Taken) {
            self.metrics.callbacks.lag.record(self.store.clock().now().since(since));
        }
        let result = self.judge(told, number, since);
        Done { went, again: self.record(&snapshot, key, number, result, alarm).await }
    }

    /// What the receiver says; nothing where the gateway drains before that.
    async fn tell(&self, notice: Notice) -> Option<Told> {
        let began = Instant::now();
        let operation = Arc::clone(&notice.operation);
        let told = contained(timeout(DEFECT, async { self.notifier().notify(notice).await }));
        let told = tokio::select! {
            biased;
            told = told => told,
            () = self.drained() => return None,
        };
        let later = |problem: &str| Told::Later { problem: problem.to_owned(), after: None };
        let told = match told {
            Ok(Ok(told)) => told,
            Ok(Err(_)) => later("the attempt came to no end"),
            Err(_) => {
                let (id, trace_id) = (operation.id, operation.trace_id());
                tracing::error!(operation = %id, trace_id, "the notifier panicked");
                later("the attempt failed unexpectedly")
            }
        };
        let result = match told {
            Told::Taken => CallbackResult::Delivered,
            Told::Later { .. } => CallbackResult::Later,
            Told::Gone { .. } | Told::Refused { .. } => CallbackResult::Refused,
        };
        self.metrics.callbacks.attempts.of(result).increment(1);
        self.metrics.callbacks.attempt_duration.record(began.elapsed());
        Some(told)
    }

    async fn drained(&self) {
        self.drain.cancelled().await;
        sleep(GRACE).await;
    }

    fn judge(&self, told: Told, number: u32, since: Timestamp) -> Attempted {
        match told {
            Told::Taken => Attempted::Delivered,
            Told::Gone { problem } | Told::Refused { problem } => {
                Attempted::Dead { problem: problem.into() }
            }
            Told::Later { problem, after } => {
                let now = self.store.clock().now();
                if now.since(since) >= self.callbacks.give_up {
                    return Attempted::Dead { problem: self.given_up(&problem).into() };
                }
                let next = now.plus(self.callbacks.after(number, after));
                Attempted::Again { next, problem: problem.into() }
            }
        }
    }

    fn given_up(&self, problem: &str) -> String {
        format!("given up after {} s: {problem}", self.callbacks.give_up.as_secs())
    }

    /// Makes an attempt's result durable, and tries that until it is or the gateway drains: what
    /// was told and not recorded is told once more. Returns the term where it is still owed.
    async fn record(
        &self,
        snapshot: &Arc<Snapshot>,
        key: Key,
        number: u32,
        result: Attempted,
        alarm: Alarm,
    ) -> Option<Term> {
        let attempt = Box::new(Attempt { callback: key.callback, number, result });
        let mut tries = 0;
        loop {
            let (tenant, target) = (snapshot.tenant.clone(), snapshot.id);
            let command = Command::Attempt(attempt.clone());
            let submission = Submission { tenant, target, expect: None, command };
            match self.store.submit(submission).await {
                Ok(receipt) => {
                    self.mourn(&receipt.snapshot, key, alarm);
                    let owed = owed(&receipt.snapshot, key)?;
                    return Some(self.term(&receipt.snapshot, owed));
                }
                // Something else was recorded: go by that.
                Err(Error { retry: Retry::Never, .. }) => {
                    let now = self.store.get(key.id).await.ok().flatten()?;
                    let owed = owed(&now, key)?;
                    return Some(self.term(&now, owed));
                }
                Err(_) => tries += 1,
            }
            tokio::select! {
                () = sleep(self.backoff.after(tries)) => {}
                // Nothing is begun any more: the next process makes it of what is durable.
                () = self.drain.cancelled() => return None,
            }
        }
    }

    /// Tells the log of a dead letter.
    fn mourn(&self, snapshot: &Snapshot, key: Key, alarm: Alarm) {
        let Some(callback) = snapshot.callbacks.get(key.callback) else { return };
        let Delivery { state: DeliveryState::Dead, attempts, problem, .. } = &callback.delivery
        else {
            return;
        };
        self.metrics.callbacks.dead.increment(1);
        let (operation, trace_id) = (snapshot.id, snapshot.trace_id());
        let destination = self.destination(callback);
        let (destination, problem) = (&*destination, &**problem);
        let text = "a callback is a dead letter now";
        match alarm {
            Alarm::Due => {
                tracing::warn!(%operation, trace_id, destination, attempts, problem, "{text}");
            }
            Alarm::Undue => {
                tracing::info!(%operation, trace_id, destination, attempts, problem, "{text}");
            }
        }
    }

    /// Where a callback goes. A defect of the notifier must not end the deliveries to others.
    pub(super) fn destination(&self, callback: &Callback) -> Arc<str> {
        let asked = std::panic::AssertUnwindSafe(|| self.notifier().destination(callback));
        std::panic::catch_unwind(asked).unwrap_or_else(|_| {
            tracing::error!("the notifier panicked over a destination");
            Arc::from("")
        })
    }

    fn term(&self, snapshot: &Snapshot, callback: &Callback) -> Term {
        let since = snapshot.owed_since(callback).unwrap_or(snapshot.times.updated);
        self.term_of(callback, since)
    }

    /// When a callback is due, by a clock that nobody sets: what the other one says counts within
    /// what can be.
    pub(super) fn term_of(&self, callback: &Callback, since: Timestamp) -> Term {
        let (now, clock) = (Instant::now(), self.store.clock().now());
        let rest = callback.delivery.next.map_or(Duration::ZERO, |next| next.since(clock));
        let give_up = since.plus(self.callbacks.give_up).since(clock);
        Term {
            attempts: callback.delivery.attempts,
            since,
            due: now + rest.min(self.callbacks.at_most()),
            until: now + give_up.min(self.callbacks.give_up),
        }
    }

    /// The term of what could not be looked at.
    pub(super) fn later(&self, job: Job) -> Term {
        let now = Instant::now();
        let attempts = match job {
            Job::Attempt(_, attempts) => attempts,
            Job::GiveUp(_) => 0,
        };
        let (since, due) = (self.store.clock().now(), now + self.callbacks.after(1, None));
        Term { attempts, since, due, until: now + self.callbacks.give_up }
    }
}

fn owed(snapshot: &Snapshot, key: Key) -> Option<&Callback> {
    snapshot.owed().find(|(at, _)| *at == key.callback).map(|(_, callback)| callback)
}
