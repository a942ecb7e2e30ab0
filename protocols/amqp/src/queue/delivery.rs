//! One open delivery: a lease, from when it is sent to its end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fe2o3_amqp::link::SendError;
use fe2o3_amqp_types::messaging::{DeliveryState, Outcome as Settled, Rejected, Released};
use opgate_bus::{Bus, Leased};
use opgate_core::{Code, Error, ErrorKind, Failure, Loss, Losses, OperationId, Outcome, Report};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::message::pace;
use super::open::{Entry, Told};
use super::ordered::Inbound;
use super::outcome::Verdict;
use super::report::refusal;
use crate::wire::content;

/// Pauses between attempts to end a lease while the journal takes no writes.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How long an operation rests whose result there was no room for.
const REST: Duration = Duration::from_secs(2);
/// Operations that a link remembers not to want.
const UNWANTED: usize = 1000;

/// What a link's worker has said is not to come to it again.
#[derive(Debug, Default)]
pub(super) struct Unwanted(Mutex<HashSet<OperationId>>);

impl Unwanted {
    pub(super) fn add(&self, id: OperationId) {
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

/// A worker may have sent a result that was not read.
struct Unread;

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
    ///
    /// What comes of it is what the worker is to hear, if it waits to: its own outcome once that is on disk; or why
    /// it was not taken.
    pub(super) async fn carry(
        mut self,
        settled: impl Future<Output = Result<Settled, SendError>>,
    ) -> DeliveryState {
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
                    if !holds {
                        // Who sends a result now hears that it is too late.
                        self.entry.close();
                    }
                }
            }
        };
        let told = settled.as_ref().ok().cloned();
        let verdict = Verdict::of(settled);
        let taken = if holds { self.end(verdict).await } else { self.is_late(&verdict) };
        match (taken, told) {
            (Ok(()), Some(told)) => told.into(),
            // Nobody is there to hear it.
            (Ok(()), None) => DeliveryState::Released(Released {}),
            (Err(error), _) => DeliveryState::Rejected(Rejected { error: Some(refusal(&error)) }),
        }
    }

    /// Extends the lease; false when it is over.
    async fn extend(&self) -> bool {
        match self.bus.report(&self.leased.token, Report::default(), None).await {
            Ok(_) => true,
            Err(error) if is_over(&error) => {
                debug!(
                    operation = %self.leased.snapshot.id,
                    trace_id = self.leased.snapshot.trace_id(),
                    %error,
                    "a worker lost its lease",
                );
                false
            }
            Err(error) => {
                debug!(
                    operation = %self.leased.snapshot.id,
                    trace_id = self.leased.snapshot.trace_id(),
                    %error,
                    "a lease was not extended",
                );
                true
            }
        }
    }

    /// The lease was over before. What the worker gives back is back already.
    fn is_late(&self, verdict: &Verdict) -> Result<(), Error> {
        debug!(
            operation = %self.leased.snapshot.id,
            trace_id = self.leased.snapshot.trace_id(),
            ?verdict,
            "too late",
        );
        match verdict {
            Verdict::Succeeded | Verdict::Ended(_) => {
                Err(Error::new(ErrorKind::FailedPrecondition, "the lease is over"))
            }
            Verdict::Released { .. } | Verdict::Failed { .. } => Ok(()),
        }
    }

    /// Ends the lease. The error is why the worker's outcome is not the operation's.
    async fn end(&self, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Succeeded => self.succeed().await,
            Verdict::Ended(outcome) => {
                self.tell(Losses::NONE).await;
                self.complete(outcome).await
            }
            Verdict::Released { elsewhere } => {
                self.unwant(elsewhere);
                let released = self.bus.release(&self.leased.token, None, None).await;
                self.note(released);
                Ok(())
            }
            Verdict::Failed { elsewhere, why } => {
                self.unwant(elsewhere);
                let failed = self.bus.fail(&self.leased.token, why).await;
                self.note(failed);
                Ok(())
            }
        }
    }

    /// Ends the operation with what the worker had sent before it accepted.
    async fn succeed(&self) -> Result<(), Error> {
        let token = &self.leased.token;
        match self.told().await {
            Ok(Told::Nothing) => {
                self.tell(Losses::NONE).await;
                self.complete(Outcome::Succeeded(None)).await
            }
            Ok(Told::Result(result, lost)) => {
                self.tell(lost).await;
                self.complete(Outcome::Succeeded(Some(result))).await
            }
            Ok(Told::Refused(error)) if error.kind == ErrorKind::TooManyRequests => {
                // Results of others take the room: no fault of this operation or its worker.
                self.note(self.bus.release(token, Some(REST), Some(&error.message)).await);
                Err(error)
            }
            Ok(Told::Refused(error)) => {
                let outcome = Outcome::Failed(refused(&error));
                self.complete(outcome).await.and(Err(error))
            }
            Err(Unread) => {
                let why = "accepted it, and what it had sent before was lost";
                self.note(self.bus.fail(token, why).await);
                Err(Error::new(ErrorKind::Unavailable, "what was sent before was lost"))
            }
        }
    }

    /// Tells what the worker's result does not say, and what the worker was told of the input after all.
    async fn tell(&self, lost: Losses) {
        let snapshot = &self.leased.snapshot;
        let is_doubted = snapshot.lost.has(Loss::InputValues);
        let exact = is_doubted && content::is_exact(&snapshot.input);
        let kept = Losses::NONE.with(Loss::InputValues, exact);
        if !lost.is_empty() || exact {
            let report = Report { lost, kept, ..Report::default() };
            // The outcome is worth more than what is said of it.
            drop(self.bus.report(&self.leased.token, report, None).await);
        }
    }

    /// What the worker has sent before it settled.
    async fn told(&self) -> Result<Told, Unread> {
        if let told @ (Told::Result(..) | Told::Refused(_)) = self.entry.told() {
            return Ok(told);
        }
        let all = self.inbound.read().await;
        match self.entry.told() {
            Told::Nothing if !all => Err(Unread),
            told @ (Told::Nothing | Told::Result(..) | Told::Refused(_)) => Ok(told),
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
            debug!(
                operation = %self.leased.snapshot.id,
                trace_id = self.leased.snapshot.trace_id(),
                %error,
                "a lease was not given back",
            );
        }
    }

    /// Ends the operation. The worker has nothing more to say, so what cannot be written now is tried
    /// again for as long as the lease holds; an attempt extends it.
    async fn complete(&self, mut outcome: Outcome) -> Result<(), Error> {
        let [mut pause, longest] = PAUSES;
        let mut refusal = None;
        loop {
            let Err(error) = self.bus.complete(&self.leased.token, outcome.clone()).await else {
                return refusal.map_or(Ok(()), Err);
            };
            if is_over(&error) {
                debug!(
                    operation = %self.leased.snapshot.id,
                    trace_id = self.leased.snapshot.trace_id(),
                    %error,
                    "an outcome was late",
                );
                return Err(late(error));
            }
            if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TooManyRequests) {
                sleep(pause).await;
                pause = longest.min(2 * pause);
            } else if refusal.is_some() {
                tracing::error!(
                    operation = %self.leased.snapshot.id,
                    trace_id = self.leased.snapshot.trace_id(),
                    %error,
                    "an outcome is lost",
                );
                return Err(error);
            } else {
                outcome = Outcome::Failed(refused(&error));
                refusal = Some(error);
            }
        }
    }
}

/// Whether an error says that the lease is over.
pub(super) fn is_over(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::FailedPrecondition | ErrorKind::Conflict | ErrorKind::NotFound)
}

/// The same error, but that whatever says that the lease is over says it in one way.
pub(super) fn late(error: Error) -> Error {
    if is_over(&error) { Error::new(ErrorKind::FailedPrecondition, error.message) } else { error }
}

/// The failure of an operation whose result no record can hold.
fn refused(error: &Error) -> Failure {
    let text = format!("its worker's result was refused: {}", error.message);
    let mut failure = Failure::new(Code::Internal, text);
    failure.reason = Some("outcome_refused".to_owned());
    failure.retryable = Some(false);
    failure
}
