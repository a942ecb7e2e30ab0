//! The side that carries operations out.

use std::pin::Pin;
use std::sync::Arc;

use opgate_core::{Error, Outcome};
use opgate_store::Snapshot;

use crate::backoff::Backoff;
use crate::gate::Gate;
use crate::lease::Lease;
use crate::router::Route;
use crate::start::{Caller, Start};

/// A start before it is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The route that takes it.
    pub route: &'a Route,
    /// What is asked.
    pub start: &'a Start,
}

/// What a backend says to an offer.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// It will be carried out under a lease.
    Accept,
    /// It is done already. Acceptance and end become one change; there is no lease.
    Done(Outcome),
}

/// Carries operations out.
pub trait Backend: Send + Sync + 'static {
    /// Looks at a start before it is accepted: refuses it, is done at once, or takes it. Without
    /// side effects and without blocking: it may be asked again for a repeat of the same start.
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error>;

    /// Carries one operation out under a lease, from the first time or, after a restart or an
    /// error, again: what must not happen twice upstream carries a key derived from the operation's
    /// id.
    ///
    /// An error means that it could not be carried out now. Unless its retry advice is
    /// [`Never`](opgate_core::Retry::Never) the operation is leased again after a while, a bounded
    /// number of times; then it ends as failed with that error. A panic counts as an error worth a
    /// repeat.
    ///
    /// The future is dropped, at any await, when the lease ends otherwise: the gateway drains and the
    /// lease is not held ([`Lease::hold`]), the operation's deadline has passed, or it was ended by hand.
    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>>;

    /// What all its calls pass through, where they leave this process. As long as the upstream behind it is left
    /// alone nothing is leased but what finds out whether it is back, and failing at that uses up no attempt.
    fn gate(&self) -> Option<&Gate> {
        None
    }

    /// When and how often what it could not do is repeated, where that is not as for all others.
    fn backoff(&self) -> Option<Backoff> {
        None
    }

    /// Hears that an operation it was given by this route has ended without it: by its deadline or by
    /// hand. What goes on upstream is to be canceled there. The future is given a bounded time and
    /// tried once; none where there is nobody to tell.
    fn abandon(
        &self,
        _route: &Route,
        _operation: Arc<Snapshot>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}
