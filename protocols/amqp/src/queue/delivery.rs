//! One open delivery: a lease, from when it is sent to its end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fe2o3_amqp::link::SendError;
use fe2o3_amqp_types::messaging::Outcome as Settled;
use opgate_bus::{Bus, Leased};
use opgate_core::{Code, Error, ErrorKind, Failure, OperationId, Outcome, Report};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::message::pace;
use super::open::{Entry, Told};
use super::ordered::Inbound;
use super::outcome::Verdict;

/// Pauses between attempts to end a lease while the journal takes no writes.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// Operations that a link remembers not to want.
const UNWANTED: usize = 1000;

/// What a link's worker has said is not to come to it again.
#[derive(Debug, Default)]
pub(super) struct Unwanted(Mutex<HashSet<OperationId>>);

impl Unwanted {
    fn add(&self, id: OperationId) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= UNWANTED {
            ids.clear();
        }
        ids.insert(id);
    }

    pub(super) fn has(&self, id: OperationId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// A lease that is with a worker.
pub(super) struct Delivery {
    pub(super) bus: Bus,
    pub(super) leased: Leased,
    /// When the lease was last extended.
    pub(super) since: Instant,
    /// Until when it is extended; none is as long as it takes.
    pub(super) until: Option<Instant>,
    pub(super) entry: Entry,
    pub(super) inbound: Inbound,
    pub(super) unwanted: Arc<Unwanted>,
}

impl Delivery {
    /// Extends the lease until the delivery is settled, then ends it so. A lease that is over otherwise
    /// (by hand, by its deadline, because it ran out) stays over: its worker keeps its place on the link
    /// until it settles, for until then it is busy.
    pub(super) async fn carry(mut self, settled: impl Future<Output = Result<Settled, SendError>>) {
        let mut settled = std::pin::pin!(settled);
        let mut holds = true;
        let pace = pace(self.leased.length);
        let settled = loop {
            let next = self.since + pace;
            let due = holds && self.until.is_none_or(|until| next <= until);
            tokio::select! {
                settled = &mut settled => break settled,
                () = sleep_until(next), if due => {
                    holds = self.extend().await;
                    self.since = Instant::now();
                }
            }
        };
        let verdict = Verdict::of(settled);
        if holds {
            self.end(verdict).await;
        } else {
            debug!(operation = %self.leased.snapshot.id, ?verdict, "too late");
        }
    }

    /// Extends the lease; false when it is over.
    async fn extend(&self) -> bool {
        match self.bus.report(&self.leased.token, Report::default(), None).await {
            Ok(_) => true,
            Err(error) if is_over(&error) => {
                debug!(operation = %self.leased.snapshot.id, %error, "a worker lost its lease");
                false
            }
            Err(error) => {
                debug!(operation = %self.leased.snapshot.id, %error, "a lease was not extended");
                true
            }
        }
    }

    async fn end(self, verdict: Verdict) {
        match verdict {
            Verdict::Succeeded => {
                let outcome = match self.told().await {
                    Told::Nothing => Outcome::Succeeded(None),
                    Told::Result(result) => Outcome::Succeeded(Some(result)),
                    Told::Refused(error) => Outcome::Failed(refused(&error)),
                };
                self.complete(outcome).await;
            }
            Verdict::Ended(outcome) => self.complete(outcome).await,
            Verdict::Released { elsewhere } => {
                self.unwant(elsewhere);
                let released = self.bus.release(&self.leased.token, None, None).await;
                self.note(released);
            }
            Verdict::Failed { elsewhere, why } => {
                self.unwant(elsewhere);
                let failed = self.bus.fail(&self.leased.token, why).await;
                self.note(failed);
            }
        }
    }

    /// What the worker has sent before it settled.
    async fn told(&self) -> Told {
        match self.entry.told() {
            Told::Nothing => {
                self.inbound.read().await;
                self.entry.told()
            }
            told @ (Told::Result(_) | Told::Refused(_)) => told,
        }
    }

    fn unwant(&self, elsewhere: bool) {
        if elsewhere {
            self.unwanted.add(self.leased.snapshot.id);
        }
    }

    /// What is not taken back now is when the lease runs out.
    fn note(&self, given_back: Result<(), Error>) {
        if let Err(error) = given_back {
            debug!(operation = %self.leased.snapshot.id, %error, "a lease was not given back");
        }
    }

    /// Ends the operation. The worker has nothing more to say, so what cannot be written now is tried
    /// again for as long as the lease holds; an attempt extends it.
    async fn complete(&self, mut outcome: Outcome) {
        let [mut pause, longest] = PAUSES;
        let mut is_refusal = false;
        loop {
            let Err(error) = self.bus.complete(&self.leased.token, outcome.clone()).await else {
                return;
            };
            if is_over(&error) {
                return debug!(operation = %self.leased.snapshot.id, %error, "an outcome was late");
            }
            if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TooManyRequests) {
                sleep(pause).await;
                pause = longest.min(2 * pause);
            } else if is_refusal {
                return tracing::error!(operation = %self.leased.snapshot.id, %error, "an outcome is lost");
            } else {
                outcome = Outcome::Failed(refused(&error));
                is_refusal = true;
            }
        }
    }
}

/// Whether an error says that the lease is over.
pub(super) fn is_over(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::FailedPrecondition | ErrorKind::Conflict | ErrorKind::NotFound)
}

/// The failure of an operation whose result no record can hold.
fn refused(error: &Error) -> Failure {
    let text = format!("its worker's result was refused: {}", error.message);
    let mut failure = Failure::new(Code::Internal, text);
    failure.reason = Some("outcome_refused".to_owned());
    failure.retryable = Some(false);
    failure
}
