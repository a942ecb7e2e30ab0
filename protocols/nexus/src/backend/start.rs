//! Starting an operation upstream.

use opgate_bus::core::{Error, Outcome, Report};
use opgate_bus::{Lease, Once};

use super::Inner;
use super::form::Form;
use super::reply::{self, Started};
use super::request::Addressed;
use crate::wire::names;

/// What became of a start.
pub(super) enum Begun {
    /// It is over already.
    Ended(Outcome),
    /// It goes on under this token, which is durable.
    Running(String),
}

impl Inner {
    /// Starts an operation. An error has it started again under the next lease, by the same request
    /// id: whether an earlier attempt reached the handler need not be known.
    pub(super) async fn start(&self, lease: &Lease) -> Result<Begun, Error> {
        let once = Once::new(lease, true);
        let Some(pass) = lease.pass(once.is_unsent()).await else {
            return once.never_sent().await.map(Begun::Ended);
        };
        let (operation, remaining) = (lease.operation(), lease.remaining());
        let timeout =
            remaining.map_or(self.settings.timeout, |left| left.min(self.settings.timeout));
        let callback = self.callback(lease)?;
        let addressed = self.addressed(lease.route(), operation);
        let request = addressed.start(callback.as_ref(), timeout, remaining)?;
        lease.note_lost(Addressed::lost(&request, &operation.input));
        let reply = match self.send_now(pass, request, timeout).await {
            Ok(reply) => reply,
            Err(problem) => return reply::unanswered(&problem).map(Begun::Ended),
        };
        lease.note_lost(reply::unkept(&reply));
        match reply::started(&reply)? {
            Started::Ended(outcome, links) => {
                if !links.is_empty() {
                    let native_state = Some(names::state(outcome.state()).into());
                    lease.report(Report { links, native_state, ..Report::default() }).await?;
                }
                Ok(Begun::Ended(outcome))
            }
            Started::Running { token, by_id, links } => {
                if by_id {
                    self.known.heard(Form::Path);
                }
                let report = Report {
                    native_ref: Some(token.clone().into()),
                    native_state: Some(names::RUNNING.into()),
                    links,
                    ..Report::default()
                };
                lease.report(report).await?;
                Ok(Begun::Running(token))
            }
        }
    }
}
