//! Whether an operation upstream is in sight: what keeps it from being looked at is told, and what its upstream has
//! forgotten is looked for a while (semantics S6).
//!
//! ```text
//!   seen --- not found ---> ORPHANED --- for as long as the grace ---> failed, "record_lost"
//!     ^                        |
//!     +------ seen again ------+
//! ```
//!
//! That it is orphaned is durable, and so is since when: a restart does not begin the grace anew.

use std::sync::Arc;
use std::time::Duration;

use opgate_core::{Code, Error, Failure, Operation, Outcome, Report, Timestamp, limits};
use opgate_store::Snapshot;

use crate::lease::Lease;

pub use opgate_core::ORPHANED;
/// The reason of its failure.
const RECORD_LOST: &str = "record_lost";

/// The failure of an operation that its upstream does not know any more: whether it goes on there, or how it ended,
/// nobody can tell.
pub fn record_lost(text: &str) -> Failure {
    let mut failure = Failure::new(Code::Unavailable, limits::clip(text));
    failure.reason = Some(RECORD_LOST.to_owned());
    failure
}

/// What one lease knows of how its operation is seen.
#[derive(Debug)]
pub struct Sight {
    /// What cannot be done, in words.
    what: &'static str,
    grace: Duration,
    /// Since when nothing is seen.
    since: Option<Timestamp>,
    /// Whether the trouble that there is was told.
    told: bool,
}

impl Sight {
    /// What is known at the beginning of a lease. `what` cannot be done is told when it comes to that; `grace` is how
    /// long it is borne that nothing is seen.
    pub fn of(operation: &Operation, what: &'static str, grace: Duration) -> Self {
        let mut known = Self { what, grace, since: None, told: false };
        if is_orphaned(operation) {
            let mut lines = operation.log.iter().rev();
            // That it was not found was told when it was first so.
            known.since = lines.find(|line| line.error && line.code.is_empty()).map(|line| line.at);
            known.told = known.since.is_some();
        }
        known
    }

    /// It is seen.
    pub const fn regained(&mut self) {
        (self.since, self.told) = (None, false);
    }

    /// Nothing is learnt for now, which ends nothing: it is told, once for as long as it lasts.
    ///
    /// # Errors
    /// As [`Lease::report`].
    pub async fn trouble(
        &mut self,
        lease: &Lease,
        now: &mut Arc<Snapshot>,
        problem: &str,
    ) -> Result<(), Error> {
        self.tell(lease, now, problem, None).await
    }

    /// It is not there, or is not to be understood, and this is how it ends if that stays so. Returns the end once it
    /// was for too long.
    ///
    /// # Errors
    /// As [`Lease::report`].
    pub async fn lost(
        &mut self,
        lease: &Lease,
        now: &mut Arc<Snapshot>,
        failure: Failure,
    ) -> Result<Option<Outcome>, Error> {
        let present = lease.now();
        let since = *self.since.get_or_insert(present);
        if present.since(since) >= self.grace {
            return Ok(Some(Outcome::Failed(failure)));
        }
        let orphaned = failure.reason.as_deref() == Some(RECORD_LOST) && !is_orphaned(now);
        self.tell(lease, now, &failure.message, orphaned.then_some(ORPHANED)).await?;
        Ok(None)
    }

    async fn tell(
        &mut self,
        lease: &Lease,
        now: &mut Arc<Snapshot>,
        problem: &str,
        state: Option<&str>,
    ) -> Result<(), Error> {
        if self.told && state.is_none() {
            return Ok(());
        }
        // Since when it is orphaned is the time of the newest line.
        let log = vec![lease.line(&format!("{}: {problem}", self.what))];
        let native_state = state.map(Into::into);
        *now = lease.report(Report { log, native_state, ..Report::default() }).await?;
        self.told = true;
        Ok(())
    }
}

/// Whether its upstream does not know it.
pub fn is_orphaned(operation: &Operation) -> bool {
    *operation.native_state == *ORPHANED
}
