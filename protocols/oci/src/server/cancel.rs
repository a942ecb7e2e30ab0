//! Cancels: a work request is asked to end. It is shown as `CANCELING` until its backend says how it
//! ended.

use http::header::IF_MATCH;
use http::{HeaderMap, StatusCode};
use opgate_bus::{Action, Caller, Subject};
use opgate_core::{Error, ErrorKind, State, Version};

use super::{Answered, Inner, reply};
use crate::wire::dialect::Dialect;
use crate::wire::error::{Code, Refusal};

impl Inner {
    pub(super) async fn cancel(
        &self,
        caller: &Caller,
        dialect: Dialect,
        ocid: &str,
        headers: &HeaderMap,
    ) -> Answered {
        let id = Self::id(ocid)?;
        let refused = |kind| self.bus.refused(Action::Cancel, caller, id, kind);
        let found = self.bus.get(caller, id).await.inspect_err(|error| refused(error.kind))?;
        let expect =
            if_match(headers, found.version).inspect_err(|_| refused(ErrorKind::Conflict))?;
        // A conflict that stays: clients repeat the other kind for minutes.
        let ended = || Refusal::new(Code::Conflict, "The work request has ended already.");
        if found.is_done() {
            refused(ErrorKind::FailedPrecondition);
            return Err(ended().into());
        }
        let subject = Subject { id, expect };
        let canceled = match self.bus.cancel(caller, subject, "").await {
            Err(Error { kind: ErrorKind::Conflict, .. }) => return Err(stale().into()),
            canceled => canceled?,
        };
        // It may have ended on its own in between.
        match canceled.snapshot.state {
            State::Succeeded | State::Failed => Err(ended().into()),
            State::Accepted | State::Running | State::Canceled => {
                Ok(reply::empty(if dialect == Dialect::Modern {
                    StatusCode::ACCEPTED
                } else {
                    StatusCode::NO_CONTENT
                }))
            }
        }
    }
}

/// The version that the caller says it is about: an etag of ours, or `*` for any.
fn if_match(headers: &HeaderMap, current: Version) -> Result<Option<Version>, Refusal> {
    let Some(etag) = headers.get(IF_MATCH) else { return Ok(None) };
    let etag = etag.to_str().unwrap_or_default().trim().trim_matches('"');
    if etag == "*" {
        return Ok(None);
    }
    let version = etag.parse().ok().map(Version).filter(|version| *version == current);
    version.map(Some).ok_or_else(stale)
}

fn stale() -> Refusal {
    Refusal::new(Code::NoEtagMatch, "if-match: the work request has changed since that etag.")
}
