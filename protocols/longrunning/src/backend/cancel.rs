//! Telling the service that an operation is to be canceled.

use std::convert::Infallible;

use opgate_bus::{CancelAttempt, Lease, Pass, Route, Snapshot};
use opgate_core::Operation;
use prost::Message as _;
use tokio::sync::Notify;

use super::call::Called;
use super::plan::Plan;
use super::{Inner, reply, request};
use crate::proto::NameRequest;

const CANCEL: &str = "google.longrunning.Operations/CancelOperation";

impl Inner {
    /// Once a cancel is asked for, tells the service so, unless its route says that it cancels none.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        name: &str,
        hurry: &Notify,
    ) -> Infallible {
        let backoff = self.settings.retry;
        if !plan.cancels {
            return lease.refuse_cancel(backoff, "its route says so").await;
        }
        let operation = lease.operation();
        lease.pass_cancel_on(backoff, hurry, |pass| self.cancel(pass, operation, name)).await
    }

    /// Has an operation canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, route: &Route, operation: &Snapshot, name: &str) {
        let Ok(plan) = request::plan(&self.types(), route) else { return };
        if !plan.cancels {
            tracing::info!(
                operation = %operation.id,
                trace_id = operation.trace_id(),
                "it goes on upstream, where none is canceled",
            );
            return;
        }
        let pass = self.settings.gate.pass().await;
        self.cancel(pass, operation, name).await.log(operation);
    }

    /// Asks once.
    async fn cancel(&self, pass: Pass, operation: &Operation, name: &str) -> CancelAttempt {
        let message = NameRequest { name: name.to_owned() }.encode_to_vec();
        let called = Called {
            method: CANCEL,
            headers: request::about(name),
            message: &message,
            within: self.settings.timeout,
        };
        // The answer is empty, and what is in it all the same is not looked at.
        reply::canceled(self.call_now(pass, &self.line, operation, called).await.map(drop))
    }
}
