//! Asking a node for an operation.

use bytes::Bytes;
use opgate_bus::{Lease, Once, Pass, outcome_unknown};
use opgate_core::{Code, Error, ErrorKind, Failure, LogEntry, Outcome, Report, Retry, limits};
use std::convert::Infallible;
use std::time::Duration;

use super::line::{Answer, Exchanged, Ready};
use super::plan::Plan;
use super::reply::{self, Reply, Started};
use super::{Inner, request};

/// What became of a start.
pub(super) enum Begun {
    /// It is over already.
    Ended(Outcome),
    /// It goes on under this identity, which is durable.
    Running(String),
}

impl Inner {
    /// Starts an operation. An error has it started again under the next lease: it is one only where
    /// the request did not come to the node, or may come twice.
    pub(super) async fn start(&self, lease: &Lease, plan: &Plan<'_>) -> Result<Begun, Error> {
        let once = Once::new(lease, plan.idempotent);
        if let Some(spent) = once.spent() {
            return Ok(Begun::Ended(spent));
        }
        let Some(pass) = lease.pass(once.is_unsent()).await else {
            return once.never_sent().await.map(Begun::Ended);
        };
        let ready = tokio::select! {
            biased;
            () = lease.canceled(), if once.is_unsent() => {
                return once.never_sent().await.map(Begun::Ended);
            }
            ready = self.ready(pass) => ready?,
        };
        let _hold = once.begin().await?;
        let exchanged = self.request(lease, plan, ready).await;
        let unsent = |problem: &str| {
            let text = format!("the request was not sent: {problem}");
            Error::new(ErrorKind::Unavailable, text).with_retry(Retry::SameRequest)
        };
        let ended = match exchanged? {
            Exchanged::Answered(answer) => return self.answered(lease, plan, *answer).await,
            Exchanged::Unsent(problem) => {
                once.undo().await?;
                return Err(unsent(&problem));
            }
            Exchanged::Unknown(problem) if plan.idempotent => {
                let text = format!("nobody knows what became of the request: {problem}");
                let error = Error::new(ErrorKind::Unavailable, text);
                return Err(error.with_retry(Retry::Unknown));
            }
            Exchanged::Unknown(problem) => outcome_unknown(&problem),
            Exchanged::Rejected(error) => reply::rejected(error),
            Exchanged::Unsendable(problem) => unsendable(&problem),
        };
        Ok(Begun::Ended(Outcome::Failed(ended)))
    }

    /// Sends the request, and waits for its reply.
    async fn request(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        ready: (Option<Pass>, Ready<'_>),
    ) -> Result<Exchanged, Error> {
        let left = lease.remaining().unwrap_or(Duration::MAX);
        let timeout = plan.timeout.unwrap_or(self.settings().timeout).min(left);
        let (properties, content) = request::start(plan, lease)?;
        let exchange = self.exchange(ready, lease.operation(), properties, content, timeout);
        tokio::select! {
            exchanged = exchange => Ok(exchanged),
            never = self.too_late(lease, plan) => match never {},
        }
    }

    /// Tells whoever cancels an operation whose only reply is its end that it cannot be called back.
    async fn too_late(&self, lease: &Lease, plan: &Plan<'_>) -> Infallible {
        if plan.poll.is_some() {
            return std::future::pending().await;
        }
        let why = "the request is with the node, whose reply is the end";
        lease.refuse_cancel(self.settings().retry, why).await
    }

    /// Takes the reply to a start.
    async fn answered(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        answer: Answer,
    ) -> Result<Begun, Error> {
        let reply = match Reply::read(answer.message, answer.values) {
            Ok(reply) => reply,
            Err(problem) if plan.idempotent => return Err(unreadable(&problem)),
            Err(problem) => {
                let failure = outcome_unknown(&unreadable(&problem).message);
                return Ok(Begun::Ended(Outcome::Failed(failure)));
            }
        };
        let lost = reply.lost();
        let started = match reply::started(reply, plan.poll.as_ref(), plan.idempotent) {
            Ok(started) => started,
            Err(error) => {
                // The node said that nothing was done.
                Once::new(lease, plan.idempotent).undo().await?;
                return Err(error);
            }
        };
        match started {
            Started::Ended(outcome) => {
                lease.note_lost(lost);
                Ok(Begun::Ended(outcome))
            }
            Started::Unnamed(outcome) => {
                lease.note_lost(lost);
                tell_unnamed(lease).await;
                Ok(Begun::Ended(outcome))
            }
            Started::Running(identity, state) => {
                let native_ref = Some(Bytes::from(identity.clone()));
                let native_state =
                    Some(state.as_deref().map(limits::clip).unwrap_or_default().into());
                lease.report(Report { native_ref, native_state, ..Report::default() }).await?;
                Ok(Begun::Running(identity))
            }
        }
    }
}

/// Tells whoever looks why the operation is over although the node spoke of work to come. It has ended
/// without this line as well.
async fn tell_unnamed(lease: &Lease) {
    let text = "the node accepted the request and named nothing to look at: nothing is waited for";
    let log = vec![LogEntry { error: false, ..lease.line(text) }];
    if let Err(error) = lease.report(Report { log, ..Report::default() }).await {
        tracing::debug!(
            %error,
            operation = %lease.operation().id,
            trace_id = lease.operation().trace_id(),
            "a line was not recorded",
        );
    }
}

/// The failure of an operation whose request cannot be sent.
fn unsendable(problem: &str) -> Failure {
    let text = format!("the request cannot be sent: {problem}");
    let mut failure = Failure::new(Code::ResourceExhausted, text);
    failure.reason = Some("unsendable".to_owned());
    failure.retryable = Some(false);
    failure
}

/// A reply that is none.
pub(super) fn unreadable(problem: &str) -> Error {
    let text = format!("the node's reply cannot be read: {problem}");
    Error::new(ErrorKind::Internal, text).with_retry(Retry::Unknown)
}
