//! What the holder of a lease may do.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Command, Error, ErrorKind, Finish, LogEntry, Outcome, Report, Submission};
use opgate_store::{Receipt, Snapshot};

use super::books::{Ending, Over};
use super::desk::{Desk, Renewed, named};
use super::lease::within_a_lease;
use super::{Held, REST};
use crate::bus::Bus;
use crate::token::Grant;

impl Bus {
    /// Tells how a leased operation goes, and extends its lease: by `extend`, within
    /// [`LEASE`](crate::LEASE), or else by the lease's own length. The report's epoch is filled in. A
    /// report that says nothing extends the lease and is not written; any other is one durable
    /// change, and how often to report is the worker's business.
    ///
    /// # Errors
    /// `InvalidArgument` on the field `lease` for what is no token, on another where the report
    /// exceeds a limit: the lease is as long as before. `FailedPrecondition` or `Conflict` when the
    /// lease is over; the message says why. `Unavailable` or `TooManyRequests` when the journal
    /// takes no writes: the lease is extended all the same, for its worker is there.
    pub async fn report(
        &self,
        token: &str,
        report: Report,
        extend: Option<Duration>,
    ) -> Result<Held, Error> {
        let grant = self.door().sealer.open_lease(token)?;
        if let Some(length) = extend {
            within_a_lease("extend", length)?;
        }
        let length = extend.unwrap_or(grant.length);
        let (desk, current) = self.bearer(grant).await?;
        // The desk hears of it a moment later.
        if current.is_done() {
            return Err(ended(&current));
        }
        let report = Report { epoch: grant.epoch, ..report };
        let silent = report == Report { epoch: grant.epoch, ..Report::default() };
        let command = (!silent).then(|| Command::Report(Box::new(report)));
        let until = self.door().store.clock().now().plus(length);
        match desk.renew(grant, length, command) {
            Err(over) => Err(self.over(grant, over).await),
            Ok(Err(error)) => Err(error),
            Ok(Ok(renewed)) => match self.made_durable(&desk, grant, renewed).await? {
                Some(receipt) => Ok(Held { snapshot: receipt.snapshot, until }),
                None => Ok(Held { snapshot: current, until }),
            },
        }
    }

    /// Ends a leased operation. The same outcome sent again under the same lease is acknowledged, so
    /// a worker that lost the answer may repeat it.
    ///
    /// # Errors
    /// As [`Bus::report`]; also `InvalidArgument` and `PayloadTooLarge` when the outcome exceeds a
    /// limit. After any error that does not say that the lease is over, the worker still holds it.
    pub async fn complete(&self, token: &str, outcome: Outcome) -> Result<Receipt, Error> {
        let grant = self.door().sealer.open_lease(token)?;
        let (desk, current) = self.bearer(grant).await?;
        let finish = Finish { epoch: Some(grant.epoch), by: None, outcome, report: None };
        let command = Command::Finish(Box::new(finish));
        if current.is_done() && current.epoch == grant.epoch {
            // The lost answer of a lease that was completed; anything else is refused, and recorded.
            let (tenant, target) = (current.tenant.clone(), grant.id);
            let submission = Submission { tenant, target, expect: None, command };
            return match self.door().store.submit(submission).await {
                Err(error) if error.kind == ErrorKind::Conflict => Err(ended(&current)),
                result => result,
            };
        }
        match desk.renew(grant, grant.length, Some(command)) {
            Err(over) => Err(self.over(grant, over).await),
            Ok(Err(error)) => Err(error),
            Ok(Ok(renewed)) => match self.made_durable(&desk, grant, renewed).await? {
                Some(receipt) => {
                    desk.forget(grant.id);
                    Ok(receipt)
                }
                None => Err(Error::new(ErrorKind::Internal, "an outcome was not written")),
            },
        }
    }

    /// Gives a leased operation back: into its queue behind the others of its tenant, at once or
    /// after a rest of at most [`REST`]. That is no expired attempt, and the next lease has the next
    /// epoch. An operation whose cancellation was asked for ends as canceled instead. A note goes
    /// into its log, with the worker's name.
    ///
    /// # Errors
    /// As [`Bus::report`], on the field `after` for too long a rest.
    pub async fn release(
        &self,
        token: &str,
        after: Option<Duration>,
        note: Option<&str>,
    ) -> Result<(), Error> {
        let grant = self.door().sealer.open_lease(token)?;
        let rest = after.filter(|rest| !rest.is_zero());
        if let Some(rest) = rest.filter(|rest| *rest > REST) {
            let text = format!("is {} s, at most 3600 s are allowed", rest.as_secs_f64());
            return Err(Error::invalid("after", text));
        }
        let (desk, current) = self.bearer(grant).await?;
        if current.is_done() {
            return Err(ended(&current));
        }
        if let Some(note) = note {
            self.note(&desk, grant, note).await?;
        }
        match desk.release(grant, rest) {
            Ok(()) => Ok(()),
            // The lease ran out while the note was written: the operation is back all the same.
            Err(Over::Ended(Ending::Expired)) if note.is_some() => Ok(()),
            Err(over) => Err(self.over(grant, over).await),
        }
    }

    /// Gives a leased operation back as one that its worker failed at: that is an attempt, as if the
    /// lease had run out, and after as many as allowed
    /// ([`Pull::attempts`](crate::Pull::attempts)) the operation fails. `why` goes on after the
    /// worker's name in the operation's log, as "was cut off" does. An operation whose cancellation
    /// was asked for ends as canceled instead.
    ///
    /// # Errors
    /// As [`Bus::report`].
    pub async fn fail(&self, token: &str, why: &str) -> Result<(), Error> {
        let grant = self.door().sealer.open_lease(token)?;
        let (desk, current) = self.bearer(grant).await?;
        if current.is_done() {
            return Err(ended(&current));
        }
        match desk.fail(grant, why) {
            Ok(()) => Ok(()),
            Err(over) => Err(self.over(grant, over).await),
        }
    }

    /// Writes the line of a worker that gives an operation back.
    async fn note(&self, desk: &Arc<Desk>, grant: Grant, note: &str) -> Result<(), Error> {
        let (_, worker) = match desk.holder(grant) {
            Ok(holder) => holder,
            Err(over) => return Err(self.over(grant, over).await),
        };
        let worker = named(&worker);
        let entry = LogEntry {
            at: self.door().store.clock().now(),
            error: false,
            code: Box::default(),
            message: format!("given back by {worker}: {note}").into(),
        };
        let report = Report { epoch: grant.epoch, log: vec![entry], ..Report::default() };
        match desk.renew(grant, grant.length, Some(Command::Report(Box::new(report)))) {
            Err(over) => Err(self.over(grant, over).await),
            Ok(Err(error)) => Err(error),
            Ok(Ok(renewed)) => self.made_durable(desk, grant, renewed).await.map(drop),
        }
    }

    /// Waits until what was done under a lease is durable. What is refused for its content extends
    /// no lease.
    async fn made_durable(
        &self,
        desk: &Arc<Desk>,
        grant: Grant,
        renewed: Renewed,
    ) -> Result<Option<Receipt>, Error> {
        let Renewed { posted, until, before } = renewed;
        let Some(posted) = posted else { return Ok(None) };
        match posted.durable().await {
            Ok(receipt) => Ok(Some(receipt)),
            Err(error) => match error.kind {
                ErrorKind::Unavailable | ErrorKind::TooManyRequests => Err(error),
                ErrorKind::Conflict | ErrorKind::FailedPrecondition => {
                    Err(self.over(grant, Over::Otherwise).await)
                }
                ErrorKind::InvalidArgument
                | ErrorKind::OutOfRange
                | ErrorKind::Unauthenticated
                | ErrorKind::PermissionDenied
                | ErrorKind::NotFound
                | ErrorKind::AlreadyExists
                | ErrorKind::QuotaExceeded
                | ErrorKind::PayloadTooLarge
                | ErrorKind::DeadlineExceeded
                | ErrorKind::Unsupported
                | ErrorKind::Internal
                | ErrorKind::DataLoss => {
                    desk.revert(grant, until, before);
                    Err(error)
                }
            },
        }
    }

    /// The desk of a lease, and its operation.
    async fn bearer(&self, grant: Grant) -> Result<(Arc<Desk>, Arc<Snapshot>), Error> {
        let door = self.door();
        tokio::select! {
            // Right after a start, what is held is not known yet.
            biased;
            () = door.work().taken_up.wait() => {}
            () = door.drain.cancelled() => {
                return Err(Error::new(ErrorKind::Unavailable, "opgate is shutting down"));
            }
        }
        let Some(current) = door.store.get(grant.id).await? else {
            return Err(refused(
                ErrorKind::FailedPrecondition,
                "the operation is not kept any more",
            ));
        };
        let router = door.router();
        let target = router.target(&current.routed.route);
        let own = target.and_then(|target| router.desk(target.backend));
        let has = |desk: &&Arc<Desk>| desk.has(grant.id);
        // Its route may lead elsewhere since it was leased.
        let desk = own.filter(has).or_else(|| router.desks().find(has)).or(own);
        match desk {
            Some(desk) => Ok((Arc::clone(desk), current)),
            None if current.is_done() => Err(ended(&current)),
            None => Err(refused(
                ErrorKind::FailedPrecondition,
                "the operation is not for workers any more",
            )),
        }
    }

    /// The refusal of a lease that does not hold.
    async fn over(&self, grant: Grant, over: Over) -> Error {
        let current = match self.door().store.get(grant.id).await {
            Ok(Some(current)) => current,
            Ok(None) => {
                let why = "the operation is not kept any more";
                return refused(ErrorKind::FailedPrecondition, why);
            }
            Err(error) => return error,
        };
        if current.is_done() {
            return ended(&current);
        }
        if current.epoch > grant.epoch {
            let why = format!("the operation was leased again, as number {}", current.epoch.0);
            return refused(ErrorKind::Conflict, why);
        }
        let why = match over {
            Over::Ended(Ending::Expired) => "its time ran out",
            Over::Ended(Ending::Released) => "the operation was given back",
            Over::Otherwise => "the operation is being ended",
        };
        refused(ErrorKind::FailedPrecondition, why)
    }
}

fn ended(operation: &Snapshot) -> Error {
    let why = format!("the operation has ended: {}", operation.state.name());
    refused(ErrorKind::FailedPrecondition, why)
}

fn refused(kind: ErrorKind, why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(kind, format!("the lease is over: {}", why.into()))
}
