//! Telling the handler that an operation is to be canceled.

use std::convert::Infallible;

use opgate_bus::core::{CancelDelivery, Error, Report, Retry};
use opgate_bus::{Lease, Route, Snapshot};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Inner;
use super::reply::{self, Told};
use super::watch::line;

impl Inner {
    /// Once a cancel is asked for, tells the handler so, a bounded number of times. How the operation
    /// then ends is the handler's to say.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        token: &str,
        hurry: &Notify,
    ) -> Infallible {
        let before = lease.operation().cancel.as_ref().map(|cancel| cancel.delivery);
        match before {
            // An earlier lease came to the end of it.
            Some(CancelDelivery::Acked | CancelDelivery::Refused | CancelDelivery::GaveUp) => {}
            Some(CancelDelivery::Queued | CancelDelivery::Sent) | None => {
                lease.canceled().await;
                self.deliver(lease, token, hurry).await;
            }
        }
        std::future::pending().await
    }

    async fn deliver(&self, lease: &Lease, token: &str, hurry: &Notify) {
        let backoff = self.settings.retry;
        let mut problem = String::new();
        for attempt in 1..=backoff.attempts.max(1) {
            if attempt > 1 {
                sleep(backoff.after(attempt - 1)).await;
            }
            self.tell(lease, CancelDelivery::Sent, None).await;
            match self.cancel(lease.route(), lease.operation(), token).await {
                Ok(Told::Taken) => {
                    self.tell(lease, CancelDelivery::Acked, None).await;
                    hurry.notify_one();
                    return;
                }
                Ok(Told::Absent(why) | Told::Refused(why)) => {
                    let text = format!("the handler does not cancel it: {why}");
                    return self.tell(lease, CancelDelivery::Refused, Some(&text)).await;
                }
                Err(error) => problem = error.message.into_owned(),
            }
        }
        let attempts = backoff.attempts;
        let text =
            format!("the handler was not told of the cancel, {attempts} attempts: {problem}");
        self.tell(lease, CancelDelivery::GaveUp, Some(&text)).await;
    }

    /// Has an operation canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, route: &Route, operation: &Snapshot, token: &str) {
        match self.cancel(route, operation, token).await {
            Ok(Told::Taken) => {}
            Ok(Told::Absent(problem) | Told::Refused(problem)) => {
                tracing::info!(operation = %operation.id, problem, "not canceled upstream");
            }
            Err(error) => {
                tracing::warn!(operation = %operation.id, %error, "not canceled upstream");
            }
        }
    }

    /// Asks once, in whichever form the handler has.
    async fn cancel(
        &self,
        route: &Route,
        operation: &Snapshot,
        token: &str,
    ) -> Result<Told, Error> {
        let timeout = self.settings.timeout;
        let addressed = self.addressed(route, operation);
        let mut absent = String::new();
        for form in self.known.order() {
            let request = addressed.cancel(form, token, timeout)?;
            let reply =
                self.send(request, timeout).await.map_err(|problem| reply::lost(&problem))?;
            match reply::told(&reply)? {
                Told::Absent(problem) if absent.is_empty() => absent = problem,
                Told::Absent(_) => {}
                answer @ (Told::Taken | Told::Refused(_)) => {
                    self.known.heard(form);
                    return Ok(answer);
                }
            }
        }
        Ok(Told::Absent(absent))
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
