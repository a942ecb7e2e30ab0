//! Passing a cancel on to whoever carries an operation out elsewhere.
//!
//! ```text
//!   asked for -> [ (Queued -> the gate ->) Sent -> one attempt ]* -> Acked | Refused | GaveUp
//! ```
//!
//! Each step is durable before the next one, and what is settled is never sent again, whichever lease
//! settled it. An attempt that has to wait, for the rate or for an upstream that is left alone, is queued until the
//! gate lets it through: nothing has left before. How the operation then ends is the upstream's to say.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use opgate_core::{CancelDelivery, CancelStep, Error, Operation, Report, Retry};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::backoff::{Backoff, LONGEST};
use crate::gate::Pass;
use crate::lease::Lease;

/// What became of asking an upstream once to cancel an operation.
#[derive(Debug)]
pub enum CancelAttempt {
    /// It took the cancel.
    Acknowledged,
    /// It does not cancel the operation: in its own words.
    Refused(String),
    /// It does not know the operation, or not any more, or no cancels at all: in its own words.
    Gone(String),
    /// It was not reached, or not understood, or asks for patience.
    Retry(Error),
}

impl CancelAttempt {
    /// Tells the operator of an attempt that nothing follows from, as nobody waits for the operation
    /// any more.
    pub fn log(&self, operation: &Operation) {
        match self {
            Self::Acknowledged => {}
            Self::Refused(problem) | Self::Gone(problem) => {
                tracing::info!(
                    operation = %operation.id,
                    trace_id = operation.trace_id(),
                    problem,
                    "not canceled upstream",
                );
            }
            Self::Retry(error) => {
                tracing::warn!(
                    operation = %operation.id,
                    trace_id = operation.trace_id(),
                    %error,
                    "not canceled upstream",
                );
            }
        }
    }
}

impl Lease {
    /// Once a cancel is asked for, has `attempt` tell the upstream when its turn has come, at most as often in this
    /// lease as `backoff` says and with its waits in between, or the longer ones that the upstream asks for.
    /// `hurry` is notified once the upstream has taken it: the end may be near.
    ///
    /// Never resolves: it is for as long as something else does, which ends it.
    pub async fn pass_cancel_on<F>(
        &self,
        backoff: Backoff,
        hurry: &Notify,
        attempt: impl Fn(Pass) -> F,
    ) -> Infallible
    where
        F: Future<Output = CancelAttempt>,
    {
        if !self.cancel_is_settled() {
            self.canceled().await;
            self.deliver(backoff, hurry, attempt).await;
        }
        std::future::pending().await
    }

    /// Once a cancel is asked for, records that it cannot be passed on, and `why`: no attempt is made.
    ///
    /// Never resolves, as [`Lease::pass_cancel_on`].
    pub async fn refuse_cancel(&self, backoff: Backoff, why: &str) -> Infallible {
        if !self.cancel_is_settled() {
            self.canceled().await;
            let text = format!("it cannot be canceled there: {why}");
            self.delivered(backoff, CancelDelivery::Refused, Some(&text)).await;
        }
        std::future::pending().await
    }

    /// Whether an earlier lease came to the end of it.
    fn cancel_is_settled(&self) -> bool {
        self.operation().cancel.as_ref().is_some_and(|cancel| cancel.delivery.is_settled())
    }

    async fn deliver<F>(&self, backoff: Backoff, hurry: &Notify, attempt: impl Fn(Pass) -> F)
    where
        F: Future<Output = CancelAttempt>,
    {
        let attempts = backoff.attempts.max(1);
        let mut tried = 0;
        loop {
            tried += 1;
            let pass = self.turn(backoff).await;
            self.delivered(backoff, CancelDelivery::Sent, None).await;
            let (end, text) = match attempt(pass).await {
                CancelAttempt::Acknowledged => (CancelDelivery::Acked, None),
                CancelAttempt::Refused(why) => (
                    CancelDelivery::Refused,
                    Some(format!("the upstream does not cancel it: {why}")),
                ),
                CancelAttempt::Gone(why) => {
                    let text = format!("the upstream does not know what to cancel: {why}");
                    (CancelDelivery::Refused, Some(text))
                }
                // Nobody is there who could take it: that is no attempt.
                CancelAttempt::Retry(_) if !self.gate().is_closed() => {
                    tried -= 1;
                    self.delivered(backoff, CancelDelivery::Queued, None).await;
                    sleep(backoff.after(attempts)).await;
                    continue;
                }
                CancelAttempt::Retry(error) if tried < attempts => {
                    let asked = match error.retry {
                        Retry::After(wait) => wait.min(LONGEST),
                        Retry::Never | Retry::SameRequest | Retry::Unknown => Duration::ZERO,
                    };
                    sleep(backoff.after(tried).max(asked)).await;
                    continue;
                }
                CancelAttempt::Retry(error) => {
                    let text = format!(
                        "the upstream was not told of the cancel, {attempts} attempts: {}",
                        error.message
                    );
                    (CancelDelivery::GaveUp, Some(text))
                }
            };
            self.delivered(backoff, end, text.as_deref()).await;
            if end == CancelDelivery::Acked {
                hurry.notify_one();
            }
            return;
        }
    }

    /// Waits until an attempt may be made. Where that is not at once, the cancel is queued meanwhile.
    async fn turn(&self, backoff: Backoff) -> Pass {
        let mut pass = pin!(self.gate().pass());
        tokio::select! {
            biased;
            pass = &mut pass => return pass,
            () = self.delivered(backoff, CancelDelivery::Queued, None) => {}
        }
        pass.await
    }

    /// Records how far the cancel is. Goes on trying while the journal takes no writes: the lease
    /// ends this where it ends.
    async fn delivered(&self, backoff: Backoff, delivery: CancelDelivery, trouble: Option<&str>) {
        let log = trouble.map(|text| self.line(text)).into_iter().collect();
        let cancel = Some(CancelStep { delivery, problem: trouble.unwrap_or_default().into() });
        let report = Report { cancel, log, ..Report::default() };
        let mut tries = 0_u32;
        while let Err(error) = self.report(report.clone()).await {
            if error.retry == Retry::Never {
                return;
            }
            tries = tries.saturating_add(1);
            sleep(backoff.after(tries)).await;
        }
    }
}
