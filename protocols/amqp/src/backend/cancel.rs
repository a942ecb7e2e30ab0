//! Telling the node that an operation upstream is to be canceled.

use std::convert::Infallible;

use opgate_bus::{Lease, Snapshot};
use opgate_core::{CancelDelivery, Error, Operation, Report, Retry};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Inner;
use super::plan::Poll;
use super::reply::{self, Told};
use super::start::line;

impl Inner {
    /// Once a cancel is asked for, tells the node so, a bounded number of times, where it cancels
    /// anything. How the operation then ends is the node's to say.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        poll: &Poll<'_>,
        identity: &str,
        hurry: &Notify,
    ) -> Infallible {
        let before = lease.operation().cancel.as_ref().map(|cancel| cancel.delivery);
        match before {
            // An earlier lease came to the end of it.
            Some(CancelDelivery::Acked | CancelDelivery::Refused | CancelDelivery::GaveUp) => {}
            Some(CancelDelivery::Queued | CancelDelivery::Sent) | None => {
                lease.canceled().await;
                self.deliver(lease, poll, identity, hurry).await;
            }
        }
        std::future::pending().await
    }

    async fn deliver(&self, lease: &Lease, poll: &Poll<'_>, identity: &str, hurry: &Notify) {
        let Some(verb) = poll.cancel else {
            let text = "it cannot be canceled there: its route names nothing to ask for";
            return self.tell(lease, CancelDelivery::Refused, Some(text)).await;
        };
        let backoff = self.settings().retry;
        let mut problem = String::new();
        for attempt in 1..=backoff.attempts.max(1) {
            if attempt > 1 {
                sleep(backoff.after(attempt - 1)).await;
            }
            self.tell(lease, CancelDelivery::Sent, None).await;
            match self.cancel(poll, verb, identity, lease.operation()).await {
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

    /// Has an operation canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, poll: &Poll<'_>, operation: &Snapshot, identity: &str) {
        let Some(verb) = poll.cancel else {
            tracing::info!(operation = %operation.id, "it goes on upstream, where none is canceled");
            return;
        };
        match self.cancel(poll, verb, identity, operation).await {
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
    async fn cancel(
        &self,
        poll: &Poll<'_>,
        verb: &str,
        identity: &str,
        operation: &Operation,
    ) -> Result<Told, Error> {
        reply::told(&self.ask(poll, verb, identity, operation).await?)
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
            sleep(self.settings().retry.after(tries)).await;
        }
    }
}
