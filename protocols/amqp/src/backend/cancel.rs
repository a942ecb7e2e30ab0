//! Telling the node that an operation upstream is to be canceled.

use std::convert::Infallible;

use opgate_bus::{CancelAttempt, Lease, Pass, Snapshot};
use opgate_core::Operation;
use tokio::sync::Notify;

use super::plan::Poll;
use super::{Inner, reply};

impl Inner {
    /// Once a cancel is asked for, tells the node so, where it cancels anything.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        poll: &Poll<'_>,
        identity: &str,
        hurry: &Notify,
    ) -> Infallible {
        let backoff = self.settings().retry;
        let Some(verb) = poll.cancel else {
            return lease.refuse_cancel(backoff, "its route names nothing to ask for").await;
        };
        let attempt = |pass| self.cancel(pass, poll, verb, identity, lease.operation());
        lease.pass_cancel_on(backoff, hurry, attempt).await
    }

    /// Has an operation canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, poll: &Poll<'_>, operation: &Snapshot, identity: &str) {
        let Some(verb) = poll.cancel else {
            tracing::info!(
                operation = %operation.id,
                trace_id = operation.trace_id(),
                "it goes on upstream, where none is canceled",
            );
            return;
        };
        let pass = self.settings().gate.pass().await;
        self.cancel(pass, poll, verb, identity, operation).await.log(operation);
    }

    /// Asks once.
    async fn cancel(
        &self,
        pass: Pass,
        poll: &Poll<'_>,
        verb: &str,
        identity: &str,
        operation: &Operation,
    ) -> CancelAttempt {
        match self.ask(pass, poll, verb, identity, operation).await {
            Ok(reply) => reply::canceled(&reply),
            Err(error) => CancelAttempt::Retry(error),
        }
    }
}
