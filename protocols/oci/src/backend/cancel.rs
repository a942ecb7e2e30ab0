//! Telling the API that an operation is to be canceled: `DELETE` of its work request.

use std::convert::Infallible;

use opgate_bus::{CancelAttempt, Lease, Pass, Route, Snapshot};
use opgate_core::Error;
use tokio::sync::Notify;

use super::plan::Plan;
use super::request::{self, Addressed};
use super::{Inner, reply};

/// Largest answer to a cancel, in bytes.
const REPLY_BYTES: usize = 64 * 1024;

impl Inner {
    /// Once a cancel is asked for, tells the API so, where it cancels work requests at all.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        id: &str,
        hurry: &Notify,
    ) -> Infallible {
        let backoff = self.settings.retry;
        if !plan.cancels {
            return lease.refuse_cancel(backoff, "this API does not cancel work requests").await;
        }
        let addressed = request::addressed(&self.settings.endpoint, plan, lease);
        lease.pass_cancel_on(backoff, hurry, |pass| self.cancel(pass, &addressed, id)).await
    }

    /// Has a work request canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, route: &Route, operation: &Snapshot, id: &str) {
        let Ok(plan) = request::plan(route) else { return };
        if !plan.cancels {
            tracing::info!(
                operation = %operation.id,
                trace_id = operation.trace_id(),
                "it goes on upstream, where none is canceled",
            );
            return;
        }
        let addressed = Addressed { endpoint: &self.settings.endpoint, plan: &plan, operation };
        let pass = self.settings.gate.pass().await;
        self.cancel(pass, &addressed, id).await.log(operation);
    }

    /// Asks once.
    async fn cancel(&self, pass: Pass, addressed: &Addressed<'_>, id: &str) -> CancelAttempt {
        self.try_cancel(pass, addressed, id).await.unwrap_or_else(CancelAttempt::Retry)
    }

    async fn try_cancel(
        &self,
        pass: Pass,
        addressed: &Addressed<'_>,
        id: &str,
    ) -> Result<CancelAttempt, Error> {
        let request = addressed.cancel(id)?;
        let reply = self.send_now(pass, request, self.settings.timeout, REPLY_BYTES).await?;
        Ok(reply::canceled(&reply))
    }
}
