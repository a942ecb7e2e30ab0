//! Learning how an operation does that runs upstream.

use std::sync::Arc;

use opgate_bus::{Backoff, Lease, Lines, Sight, Snapshot, changed_resources};
use opgate_core::{Error, LogEntry, Operation, Outcome, Progress, Report};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Inner;
use super::plan::Poll;
use super::reply::{self, Looked, Seen};

/// What cannot be done when there is trouble.
const UNSEEN: &str = "the operation upstream cannot be looked at";

/// What one lease knows of its operation upstream.
struct Watch<'a> {
    inner: &'a Inner,
    lease: &'a Lease,
    poll: &'a Poll<'a>,
    identity: &'a str,
    /// The operation as it was last told.
    now: Arc<Snapshot>,
    /// The lines of its log that were told.
    lines: Lines,
    sight: Sight,
}

impl Inner {
    /// Looks at an operation upstream until it has ended. The waits between two looks grow; `hurry`
    /// begins anew with short ones.
    pub(super) async fn watch(
        &self,
        lease: &Lease,
        poll: &Poll<'_>,
        identity: &str,
        hurry: &Notify,
    ) -> Result<Outcome, Error> {
        let now = Arc::clone(lease.operation());
        let lines = Lines::of(&now);
        let sight = Sight::of(&now, UNSEEN, self.settings().grace);
        let mut watch = Watch { inner: self, lease, poll, identity, now, lines, sight };
        let (first, longest) = (self.settings().poll_first, self.settings().poll_longest);
        let backoff = Backoff { first, longest, attempts: u32::MAX };
        let mut looks = 0_u32;
        loop {
            if let Some(outcome) = watch.step().await? {
                return Ok(outcome);
            }
            looks = looks.saturating_add(1);
            tokio::select! {
                () = sleep(backoff.after(looks)) => {}
                () = hurry.notified() => looks = 0,
            }
        }
    }
}

impl Watch<'_> {
    /// Looks once and tells what is new. Returns the end, where it has come.
    async fn step(&mut self) -> Result<Option<Outcome>, Error> {
        let (inner, operation) = (self.inner, self.lease.operation());
        let pass = inner.settings().gate.pass().await;
        let asked = inner.ask(pass, self.poll, self.poll.operation, self.identity, operation).await;
        match asked.and_then(|reply| reply::looked(reply, self.poll)) {
            Ok(Looked::Seen(seen)) => self.seen(&seen).await,
            Ok(Looked::Blind(failure)) => {
                self.sight.lost(self.lease, &mut self.now, *failure).await
            }
            // The operation goes on, whatever keeps us from looking.
            Err(error) => {
                self.sight.trouble(self.lease, &mut self.now, &error.message).await?;
                Ok(None)
            }
        }
    }

    async fn seen(&mut self, seen: &Seen) -> Result<Option<Outcome>, Error> {
        self.sight.regained();
        let log = self.lines.fresh(&seen.lines, true, self.lease.now());
        if let Some(report) = report(&self.now, seen, log) {
            self.now = self.lease.report(report).await?;
        }
        let outcome = seen.outcome(self.poll);
        match &outcome {
            Some(Outcome::Succeeded(Some(_))) => self.lease.note_lost(seen.lost),
            Some(Outcome::Succeeded(None) | Outcome::Failed(_) | Outcome::Canceled(_)) | None => {}
        }
        Ok(outcome)
    }
}

/// What a look changes of an operation; nothing where it changes nothing. What is not said stays as it
/// was.
fn report(now: &Operation, seen: &Seen, log: Vec<LogEntry>) -> Option<Report> {
    let before = now.progress.as_deref().cloned().unwrap_or_default();
    let message = seen.message.as_deref().map_or_else(|| before.message.clone(), Into::into);
    let percent = seen.percent.or(before.percent);
    let progress = Progress { percent, message, ..before.clone() };
    let report = Report {
        progress: (progress != before).then_some(progress),
        native_state: (*now.native_state != *seen.state).then(|| seen.state.as_str().into()),
        log,
        resources: changed_resources(now, &seen.resources),
        ..Report::default()
    };
    (report != Report::default()).then_some(report)
}
