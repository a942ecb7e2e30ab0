//! Starting an operation upstream.

use bytes::Bytes;
use opgate_bus::{Lease, Once};
use opgate_core::{Error, LogEntry, Outcome, Report, limits};

use super::plan::Plan;
use super::reply::{self, Started};
use super::{Inner, request};

/// What became of a start.
pub(super) enum Begun {
    /// It is over already.
    Ended(Outcome),
    /// It goes on as this work request, which is durable.
    Running(String),
}

impl Inner {
    /// Starts an operation. An error has it started again under the next lease, by the same retry
    /// token: whether an earlier attempt reached the API need not be known.
    pub(super) async fn start(&self, lease: &Lease, plan: &Plan<'_>) -> Result<Begun, Error> {
        let once = Once::new(lease, true);
        let Some(pass) = lease.pass(once.is_unsent()).await else {
            return once.never_sent().await.map(Begun::Ended);
        };
        let addressed = request::addressed(&self.settings.endpoint, plan, lease);
        let left = lease.remaining().unwrap_or(self.settings.timeout);
        let timeout = left.min(self.settings.timeout);
        let request = addressed.start()?;
        lease.note_lost(addressed.lost());
        let reply = match self.send_now(pass, request, timeout, limits::PAYLOAD_BYTES).await {
            Ok(reply) => reply,
            Err(error) => return reply::unanswered(error).map(Begun::Ended),
        };
        let repeated = lease.epoch().0 > 1;
        let unnamed = reply::is_unnamed(&reply);
        match reply::started(plan.method(), repeated, reply)? {
            Started::Ended(outcome) => {
                if unnamed {
                    tell_unnamed(lease).await;
                }
                Ok(Begun::Ended(outcome))
            }
            Started::Running(id) => {
                let native_ref = Some(Bytes::from(id.clone()));
                lease.report(Report { native_ref, ..Report::default() }).await?;
                Ok(Begun::Running(id))
            }
        }
    }
}

/// Tells whoever looks why the operation is over although the API spoke of work to come. It has
/// ended without this line as well.
async fn tell_unnamed(lease: &Lease) {
    let entry = LogEntry {
        at: lease.now(),
        error: false,
        code: Box::default(),
        message: "the upstream accepted the call and named no work request: nothing is waited for"
            .into(),
    };
    let report = Report { log: vec![entry], ..Report::default() };
    if let Err(error) = lease.report(report).await {
        tracing::debug!(
            %error,
            operation = %lease.operation().id,
            trace_id = lease.operation().trace_id(),
            "a line was not recorded",
        );
    }
}
