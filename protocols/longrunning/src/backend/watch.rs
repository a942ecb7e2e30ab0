//! Learning how an operation does that runs upstream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opgate_bus::{Backoff, Lease, Lines, Sight, Snapshot};
use opgate_core::{Code, Error, Outcome};
use opgate_rpc::status;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::call::{Called, Unanswered};
use super::plan::Plan;
use super::reply::{self, Looked};
use super::{DONE, Inner, RUNNING, request, said};
use crate::proto::{NameRequest, Operation, WaitRequest};

const GET: &str = "google.longrunning.Operations/GetOperation";
const WAIT: &str = "google.longrunning.Operations/WaitOperation";
/// What cannot be done when there is trouble.
const UNSEEN: &str = "the operation upstream cannot be looked at";
/// The longest time that a service is left alone because it asks for that.
const ALONE: Duration = Duration::from_hours(1);

/// What one lease knows of its operation upstream.
struct Watch<'a> {
    inner: &'a Inner,
    lease: &'a Lease,
    plan: &'a Plan<'a>,
    name: &'a str,
    /// The operation as it was last told.
    now: Arc<Snapshot>,
    /// The lines of its log that were told.
    lines: Lines,
    sight: Sight,
    /// Whether it may be waited for, as far as is known.
    waits: bool,
    /// Not to be looked at again before.
    rest: Instant,
}

impl Inner {
    /// Follows an operation upstream until it is done. The times between two looks grow, and are spent
    /// waiting there where the service has `WaitOperation`; `hurry` begins anew with short ones.
    pub(super) async fn watch(
        &self,
        lease: &Lease,
        plan: &Plan<'_>,
        name: &str,
        started: Option<Arc<Snapshot>>,
        hurry: &Notify,
    ) -> Result<Outcome, Error> {
        // What was just started was just seen.
        let mut looks = u32::from(started.is_some());
        let now = started.unwrap_or_else(|| Arc::clone(lease.operation()));
        let (rest, lines) = (Instant::now(), Lines::of(&now));
        let sight = Sight::of(&now, UNSEEN, self.settings.grace);
        let mut watch =
            Watch { inner: self, lease, plan, name, now, lines, sight, waits: true, rest };
        let (first, longest) = (self.settings.poll_first, self.settings.poll_longest);
        let backoff = Backoff { first, longest, attempts: u32::MAX };
        loop {
            let wait = if looks == 0 { Duration::ZERO } else { backoff.after(looks) };
            let answer = tokio::select! {
                answer = watch.look(wait) => answer,
                () = hurry.notified() => {
                    (looks, watch.rest) = (0, Instant::now());
                    continue;
                }
            };
            if let Some(outcome) = watch.learn(answer).await? {
                return Ok(outcome);
            }
            looks = looks.saturating_add(1);
        }
    }
}

impl Watch<'_> {
    /// Looks once, after so long or, where the service lets itself be waited for, as soon as the
    /// operation is done.
    async fn look(&mut self, wait: Duration) -> Result<Operation, Unanswered> {
        sleep_until(self.rest).await;
        let began = Instant::now();
        // Whether a service is back is found out by what is answered at once.
        let able = self.waits
            && !wait.is_zero()
            && !self.inner.waitless.load(Ordering::Relaxed)
            && self.inner.settings.gate.is_closed();
        // Whoever finds no room looks as if there were no waits.
        let room = if able { self.inner.waits.try_acquire().ok() } else { None };
        if let Some(_room) = room {
            match self.wait(wait).await {
                Ok(operation) => {
                    // It may answer before, and is not to be asked again at once.
                    self.rest = began + wait;
                    return Ok(operation);
                }
                Err(Unanswered::Refused(refused)) => match Code::from_number(refused.code) {
                    Some(Code::NotFound) => {
                        self.rest = began + wait;
                        return Err(Unanswered::Refused(refused));
                    }
                    Some(Code::Unimplemented) => self.inner.waitless.store(true, Ordering::Relaxed),
                    Some(Code::DeadlineExceeded | Code::Unavailable | Code::Cancelled) => {}
                    _ => self.waits = false,
                },
                Err(_) => {}
            }
        }
        sleep_until(began + wait).await;
        self.get().await
    }

    async fn get(&self) -> Result<Operation, Unanswered> {
        let message = NameRequest { name: self.name.to_owned() }.encode_to_vec();
        let within = self.inner.settings.timeout;
        let headers = request::about(self.name);
        let called = Called { method: GET, headers, message: &message, within };
        self.inner.ask(&self.inner.line, self.lease.operation(), called).await
    }

    async fn wait(&self, wait: Duration) -> Result<Operation, Unanswered> {
        let request = WaitRequest { name: self.name.to_owned(), timeout: Some(wait.into()) };
        let message = request.encode_to_vec();
        let within = wait + self.inner.settings.timeout;
        let headers = request::about(self.name);
        let called = Called { method: WAIT, headers, message: &message, within };
        self.inner.ask(&self.inner.waiting, self.lease.operation(), called).await
    }

    /// Tells what is new. Returns the end, where it has come.
    async fn learn(
        &mut self,
        answer: Result<Operation, Unanswered>,
    ) -> Result<Option<Outcome>, Error> {
        if let Err(Unanswered::Refused(refused)) = &answer
            && let Some(asked) = status::retry_after(refused)
        {
            self.rest = Instant::now() + asked.min(ALONE);
        }
        match reply::looked(answer) {
            Ok(Looked::Seen(operation)) => self.seen(operation).await,
            Ok(Looked::Blind(failure)) => {
                self.sight.lost(self.lease, &mut self.now, *failure).await
            }
            // The operation goes on, whatever keeps us from looking.
            Err(unanswered) => {
                self.sight.trouble(self.lease, &mut self.now, &unanswered.text()).await?;
                Ok(None)
            }
        }
    }

    async fn seen(&mut self, operation: Operation) -> Result<Option<Outcome>, Error> {
        self.sight.regained();
        let told = said::read(&self.inner.types(), operation.metadata.as_ref());
        let state = if operation.done { DONE } else { RUNNING };
        if let Some(report) = told.report(&self.now, state, &mut self.lines, self.lease.now()) {
            self.now = self.lease.report(report).await?;
        }
        let done = operation.done;
        if !done {
            return Ok(None);
        }
        let (outcome, lost) = reply::outcome(&self.inner.types(), self.plan, operation);
        self.lease.note_lost(lost);
        Ok(Some(outcome))
    }
}
