//! Starting an operation upstream.

use std::sync::Arc;

use bytes::Bytes;
use opgate_bus::{Lease, Lines, Once, Snapshot};
use opgate_core::{Error, Outcome, Report};
use prost::Message as _;

use super::call::{Called, Unanswered};
use super::plan::Plan;
use super::reply::{self, Started, Unstarted};
use super::{Inner, RUNNING, request, said};
use crate::proto::Operation;

/// What became of a start.
pub(super) enum Begun {
    /// It is over already.
    Ended(Outcome),
    /// It goes on under this name, which is durable; the operation since then.
    Running(String, Arc<Snapshot>),
}

impl Inner {
    /// Starts an operation. An error has it started again under the next lease: it is one only where
    /// the call was not looked at, or may come twice.
    pub(super) async fn start(&self, lease: &Lease, plan: &Plan<'_>) -> Result<Begun, Error> {
        let once = Once::new(lease, plan.idempotent);
        if let Some(spent) = once.spent() {
            return Ok(Begun::Ended(spent));
        }
        let Some(pass) = lease.pass(once.is_unsent()).await else {
            return once.never_sent().await.map(Begun::Ended);
        };
        let (message, headers) = request::start(plan, lease)?;
        let within = plan.timeout.unwrap_or(self.settings.timeout);
        let within = lease.remaining().map_or(within, |left| left.min(within));
        let _hold = once.begin().await?;
        let called = Called { method: plan.method, headers, message: &message, within };
        let answer = self.call_now(pass, &self.line, lease.operation(), called).await;
        let read = answer.and_then(|message| {
            Operation::decode(message).map_err(|error| {
                Unanswered::Broken(format!("it is no google.longrunning.Operation: {error}"))
            })
        });
        let started = match read {
            Ok(operation) => reply::started(operation, plan.idempotent),
            Err(unanswered) => reply::unstarted(&unanswered, plan.idempotent).map(Started::Ended),
        };
        let (now, mut lines) = (lease.operation(), Lines::of(lease.operation()));
        match started {
            Ok(Started::Ended(outcome)) => Ok(Begun::Ended(outcome)),
            Ok(Started::Done(operation)) => {
                // How it went is told with the end.
                let told = said::read(&self.types(), operation.metadata.as_ref());
                if let Some(report) = told.report(now, super::DONE, &mut lines, lease.now()) {
                    lease.report(report).await?;
                }
                let (outcome, lost) = reply::outcome(&self.types(), plan, operation);
                lease.note_lost(lost);
                Ok(Begun::Ended(outcome))
            }
            Ok(Started::Running(operation)) => {
                let told = said::read(&self.types(), operation.metadata.as_ref());
                let report = told.report(now, RUNNING, &mut lines, lease.now()).unwrap_or_default();
                let native_ref = Some(Bytes::from(operation.name.clone()));
                // It replaces that the request may be on its way.
                let native_state = report.native_state.or_else(|| Some(RUNNING.into()));
                let report = Report { native_ref, native_state, ..report };
                let now = lease.report(report).await?;
                Ok(Begun::Running(operation.name, now))
            }
            Err(Unstarted { error, undone }) => {
                if undone {
                    once.undo().await?;
                }
                Err(error)
            }
        }
    }
}
