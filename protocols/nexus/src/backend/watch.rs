//! Learning of the end of an operation that runs upstream.

use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{Error, ErrorKind, Outcome, Report};
use opgate_bus::{Backoff, Lease, Sight, is_orphaned, record_lost};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::reply::{self, Looked};
use super::{Completion, Inner};
use crate::wire::names;

/// What cannot be done when there is trouble.
const UNSEEN: &str = "the result cannot be looked for";

impl Inner {
    /// Waits for the end, and tells the handler of a cancel. A completion that comes by callback ends
    /// the operation, and with it this lease.
    pub(super) async fn wait(&self, lease: &Lease, token: &str) -> Result<Outcome, Error> {
        let hurry = Notify::new();
        tokio::select! {
            outcome = self.watch(lease, token, &hurry) => outcome,
            never = self.pass_cancel_on(lease, token, &hurry) => match never {},
        }
    }

    /// Looks for the result until it is there. The waits between two looks grow; `hurry` begins anew
    /// with short ones.
    async fn watch(&self, lease: &Lease, token: &str, hurry: &Notify) -> Result<Outcome, Error> {
        let called_back = self.callback(lease)?.is_some();
        if called_back && self.settings.completion == Completion::Callback {
            return std::future::pending().await;
        }
        // Who is called back only makes sure; who is not has the handler hold the request.
        let wait = (!called_back).then_some(self.settings.poll_longest);
        let (first, longest) = (self.settings.poll_first, self.settings.poll_longest);
        let backoff = Backoff { first, longest, attempts: u32::MAX };
        let mut looks = u32::from(called_back);
        let mut now = Arc::clone(lease.operation());
        let mut sight = Sight::of(&now, UNSEEN, self.settings.grace);
        // Whether the handler has ever known of it.
        let mut seen = is_orphaned(&now);
        loop {
            if looks > 0 {
                tokio::select! {
                    () = sleep(backoff.after(looks)) => {}
                    () = hurry.notified() => looks = 0,
                }
            }
            looks = looks.saturating_add(1);
            let began = Instant::now();
            // Whether an upstream is back is found out by what is answered at once.
            let wait = wait.filter(|_| self.settings.gate.is_closed());
            match self.look(lease, token, wait).await {
                Ok(Looked::Ended(outcome)) => {
                    let native_state = Some(names::state(outcome.state()).into());
                    lease.report(Report { native_state, ..Report::default() }).await?;
                    return Ok(outcome);
                }
                Ok(Looked::Running) => {
                    seen = true;
                    sight.regained();
                    if is_orphaned(&now) {
                        let native_state = Some(names::RUNNING.into());
                        now = lease.report(Report { native_state, ..Report::default() }).await?;
                    }
                    // The handler did wait: that was pause enough.
                    if wait.is_some_and(|wait| began.elapsed() >= wait / 2) {
                        looks = 0;
                    }
                }
                Ok(Looked::Absent(_)) if called_back && !seen => {
                    return std::future::pending().await;
                }
                // Something in between may be at fault that is mended soon, and the callback lost.
                Ok(Looked::Absent(problem)) if seen => {
                    let text = format!("the operation is not found upstream: {problem}");
                    if let Some(end) = sight.lost(lease, &mut now, record_lost(&text)).await? {
                        return Ok(end);
                    }
                }
                Ok(Looked::Absent(problem)) => {
                    // It could go on for nobody.
                    self.abandon(lease.route(), lease.operation(), token).await;
                    return Ok(Outcome::Failed(reply::out_of_sight(&problem)));
                }
                // It has ended, with what will be too large the next time as well.
                Err(error) if error.kind == ErrorKind::PayloadTooLarge => {
                    return Ok(Outcome::Failed(reply::hopeless(&error)));
                }
                // The operation goes on, whatever keeps us from looking.
                Err(error) => {
                    sight.trouble(lease, &mut now, &error.message).await?;
                }
            }
        }
    }

    /// Looks once, in whichever form the handler has.
    async fn look(
        &self,
        lease: &Lease,
        token: &str,
        wait: Option<Duration>,
    ) -> Result<Looked, Error> {
        let total = self.settings.timeout.saturating_add(wait.unwrap_or_default());
        let addressed = self.addressed(lease.route(), lease.operation());
        let mut absent = String::new();
        for form in self.known.order() {
            let request = addressed.result(form, token, total, wait)?;
            let reply = self.send(request, total).await.map_err(|problem| reply::lost(&problem))?;
            lease.note_lost(reply::unkept(&reply));
            match reply::looked(&reply)? {
                Looked::Absent(problem) if absent.is_empty() => absent = problem,
                Looked::Absent(_) => {}
                found @ (Looked::Ended(_) | Looked::Running) => {
                    self.known.heard(form);
                    return Ok(found);
                }
            }
        }
        Ok(Looked::Absent(absent))
    }
}
