//! The one request that starts an operation upstream, where that must not come twice.
//!
//! That it may be on its way is durable before it is; whoever finds it recorded, after a lost connection
//! or in the next process, does not send it again. Where it certainly did not arrive that is taken back.

use opgate_core::{CancelDelivery, Code, Error, Failure, Outcome, Report};

use crate::lease::{Hold, Lease};

/// The state of an operation whose request may be on its way.
const REQUESTED: &str = "REQUESTED";
/// The reason of a failure when nobody knows what became of a request.
const UNKNOWN: &str = "outcome_unknown";

/// The request of one lease.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    lease: &'a Lease,
    repeatable: bool,
}

impl<'a> Once<'a> {
    /// `repeatable`: it may come twice. Then nothing is recorded.
    pub const fn new(lease: &'a Lease, repeatable: bool) -> Self {
        Self { lease, repeatable }
    }

    /// Whether it may come twice.
    pub const fn is_repeatable(self) -> bool {
        self.repeatable
    }

    /// The end of an operation whose request may have been sent by an earlier lease; none where it may be
    /// sent now.
    pub fn spent(self) -> Option<Outcome> {
        let spent = !self.repeatable && &*self.lease.operation().native_state == REQUESTED;
        let problem = "opgate was stopped between the request and its reply";
        spent.then(|| Outcome::Failed(outcome_unknown(problem)))
    }

    /// Whether no earlier lease can have sent it, where none is recorded.
    pub fn is_unsent(self) -> bool {
        !self.repeatable || self.lease.epoch().0 == 1
    }

    /// Records that it may be on its way: before it is. Whether it was is not to be a matter of luck
    /// after a crash. As long as what is returned lives an orderly stop waits, as long as it can: nobody
    /// could ask for the reply again.
    ///
    /// # Errors
    /// As [`Lease::report`].
    pub async fn begin(self) -> Result<Option<Hold<'a>>, Error> {
        let hold = (!self.repeatable).then(|| self.lease.hold());
        self.note(REQUESTED).await?;
        Ok(hold)
    }

    /// Takes that back, as it certainly did not arrive, or did nothing.
    ///
    /// # Errors
    /// As [`Lease::report`].
    pub async fn undo(self) -> Result<(), Error> {
        self.note("").await
    }

    /// Ends an operation that was canceled before anything of it was sent.
    ///
    /// # Errors
    /// As [`Lease::report`].
    pub async fn never_sent(self) -> Result<Outcome, Error> {
        let report = Report { cancel: Some(CancelDelivery::Acked.into()), ..Report::default() };
        self.lease.report(report).await?;
        Ok(Outcome::Canceled(None))
    }

    async fn note(self, state: &str) -> Result<(), Error> {
        if self.repeatable {
            return Ok(());
        }
        let native_state = Some(state.into());
        self.lease.report(Report { native_state, ..Report::default() }).await.map(drop)
    }
}

/// The failure of an operation whose request may or may not have been carried out.
pub fn outcome_unknown(problem: &str) -> Failure {
    let text = format!(
        "the outcome is unknown: {problem}. The request may have been carried out; it was not sent \
         again, for its route does not say that it may be (idempotent)"
    );
    let mut failure = Failure::new(Code::Unknown, text);
    failure.reason = Some(UNKNOWN.to_owned());
    failure.retryable = Some(false);
    failure
}
