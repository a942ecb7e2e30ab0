//! Telling the API that an operation is to be canceled: `DELETE` of its work request.

use std::convert::Infallible;

use opgate_bus::{Lease, Route, Snapshot};
use opgate_core::{CancelDelivery, Error, Report, Retry};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Inner;
use super::plan::Plan;
use super::reply::{self, Told};
use super::request::{self, Addressed};
use super::watch::line;

/// Largest answer to a cancel, in bytes.
const REPLY_BYTES: usize = 64 * 1024;

impl Inner {
    /// Once a cancel is asked for, tells the API so, a bounded number of times, where it cancels work
    /// requests at all. How the operation then ends is the API's to say.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        id: &str,
        hurry: &Notify,
    ) -> Infallible {
        let before = lease.operation().cancel.as_ref().map(|cancel| cancel.delivery);
        match before {
            // An earlier lease came to the end of it.
            Some(CancelDelivery::Acked | CancelDelivery::Refused | CancelDelivery::GaveUp) => {}
            Some(CancelDelivery::Queued | CancelDelivery::Sent) | None => {
                lease.canceled().await;
                self.deliver(lease, plan, id, hurry).await;
            }
        }
        std::future::pending().await
    }

    async fn deliver(&self, lease: &Lease, plan: &Plan<'_>, id: &str, hurry: &Notify) {
        if !plan.cancels {
            let text = "it cannot be canceled there: this API does not cancel work requests";
            return self.tell(lease, CancelDelivery::Refused, Some(text)).await;
        }
        let addressed = request::addressed(&self.settings.endpoint, plan, lease);
        let backoff = self.settings.retry;
        let mut problem = String::new();
        for attempt in 1..=backoff.attempts.max(1) {
            if attempt > 1 {
                sleep(backoff.after(attempt - 1)).await;
            }
            self.tell(lease, CancelDelivery::Sent, None).await;
            match self.cancel(&addressed, id).await {
                Ok(Told::Taken) => {
                    self.tell(lease, CancelDelivery::Acked, None).await;
                    hurry.notify_one();
                    return;
                }
                Ok(Told::Refused(why)) => {
                    let text = format!("the upstream does not cancel it: {why}");
                    return self.tell(lease, CancelDelivery::Refused, Some(&text)).await;
                }
                Err(error) => problem = error.message.into_owned(),
            }
        }
        let attempts = backoff.attempts;
        let text =
            format!("the upstream was not told of the cancel, {attempts} attempts: {problem}");
        self.tell(lease, CancelDelivery::GaveUp, Some(&text)).await;
    }

    /// Has a work request canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, route: &Route, operation: &Snapshot, id: &str) {
        let Ok(plan) = request::plan(route) else { return };
        if !plan.cancels {
            tracing::info!(operation = %operation.id, "it goes on upstream, where none is canceled");
            return;
        }
        let addressed = Addressed { endpoint: &self.settings.endpoint, plan: &plan, operation };
        match self.cancel(&addressed, id).await {
            Ok(Told::Taken) => {}
            Ok(Told::Refused(problem)) => {
                tracing::info!(operation = %operation.id, problem, "not canceled upstream");
            }
            Err(error) => {
                tracing::warn!(operation = %operation.id, %error, "not canceled upstream");
            }
        }
    }

    /// Asks once.
    async fn cancel(&self, addressed: &Addressed<'_>, id: &str) -> Result<Told, Error> {
        let request = addressed.cancel(id)?;
        reply::told(&self.send(request, self.settings.timeout, REPLY_BYTES).await?)
    }

    /// Records how far the cancel is. Goes on trying while the journal takes no writes: the lease
    /// ends this where it ends.
    async fn tell(&self, lease: &Lease, delivery: CancelDelivery, trouble: Option<&str>) {
        let log = trouble.map(|text| line(lease, text)).into_iter().collect();
        let report = Report { cancel: Some(delivery), log, ..Report::default() };
        let mut tries = 0_u32;
        while let Err(error) = lease.report(report.clone()).await {
            if error.retry == Retry::Never {
                return;
            }
            tries = tries.saturating_add(1);
            sleep(self.settings.retry.after(tries)).await;
        }
    }
}
