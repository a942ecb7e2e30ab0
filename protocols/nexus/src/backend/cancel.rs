//! Telling the handler that an operation is to be canceled.

use std::convert::Infallible;

use opgate_bus::core::Error;
use opgate_bus::{CancelAttempt, Lease, Pass, Route, Snapshot};
use tokio::sync::Notify;

use super::{Inner, reply};

impl Inner {
    /// Once a cancel is asked for, tells the handler so.
    pub(super) async fn pass_cancel_on(
        &self,
        lease: &Lease,
        token: &str,
        hurry: &Notify,
    ) -> Infallible {
        let attempt = |pass| self.cancel(pass, lease.route(), lease.operation(), token);
        lease.pass_cancel_on(self.settings.retry, hurry, attempt).await
    }

    /// Has an operation canceled that nobody waits for any more. Tried once.
    pub(super) async fn abandon(&self, route: &Route, operation: &Snapshot, token: &str) {
        let pass = self.settings.gate.pass().await;
        self.cancel(pass, route, operation, token).await.log(operation);
    }

    /// Asks once, in whichever form the handler has.
    async fn cancel(
        &self,
        pass: Pass,
        route: &Route,
        operation: &Snapshot,
        token: &str,
    ) -> CancelAttempt {
        self.try_cancel(pass, route, operation, token).await.unwrap_or_else(CancelAttempt::Retry)
    }

    async fn try_cancel(
        &self,
        pass: Pass,
        route: &Route,
        operation: &Snapshot,
        token: &str,
    ) -> Result<CancelAttempt, Error> {
        let timeout = self.settings.timeout;
        let addressed = self.addressed(route, operation);
        let (mut pass, mut absent) = (Some(pass), String::new());
        for form in self.known.order() {
            let request = addressed.cancel(form, token, timeout)?;
            let pass = match pass.take() {
                Some(pass) => pass,
                None => self.settings.gate.pass().await,
            };
            let sent = self.send_now(pass, request, timeout).await;
            let reply = sent.map_err(|problem| reply::lost(&problem))?;
            match reply::canceled(&reply) {
                CancelAttempt::Gone(problem) if absent.is_empty() => absent = problem,
                CancelAttempt::Gone(_) => {}
                retry @ CancelAttempt::Retry(_) => return Ok(retry),
                answer @ (CancelAttempt::Acknowledged | CancelAttempt::Refused(_)) => {
                    self.known.heard(form);
                    return Ok(answer);
                }
            }
        }
        Ok(CancelAttempt::Gone(absent))
    }
}
