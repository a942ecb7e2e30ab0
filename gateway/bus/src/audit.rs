//! Who asked for what, and what became of it: told to whoever keeps it.
//!
//! What a caller asks to be changed is told when it is decided: starts, cancels, deletions, ends by hand, redriven
//! callbacks. What backends, workers and upstreams tell of their own accord is not asked by anybody, and reads change
//! nothing. Neither contents nor texts of a caller's choice are told.

use std::net::SocketAddr;
use std::sync::Arc;

use opgate_core::{Error, ErrorKind, Face, OperationId, Timestamp};
use opgate_store::{Receipt, Snapshot};

use crate::bus::Bus;
use crate::start::{Caller, Start};

tokio::task_local! {
    static VIA: Via;
}

/// The way a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Via {
    /// Through which protocol.
    pub face: Option<Face>,
    /// From where, as the socket shows it.
    pub peer: Option<SocketAddr>,
}

impl Via {
    /// The way of the request that is being served.
    pub fn current() -> Self {
        VIA.try_with(|via| *via).unwrap_or_default()
    }

    /// Serves a request that came this way. What it spawns is not known to have.
    pub fn scope<F: Future>(self, request: F) -> impl Future<Output = F::Output> {
        VIA.scope(self, request)
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A start.
    Start,
    /// A cancellation.
    Cancel,
    /// That it is hidden for good.
    Delete,
    /// An end by hand.
    Complete,
    /// That callbacks are delivered once more.
    Redrive,
}

impl Action {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::Complete => "complete",
            Self::Redrive => "redrive",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was done, and is durable.
    Done,
    /// It had been done before: nothing has changed.
    Repeated,
    /// It was refused for this reason.
    Refused(ErrorKind),
    /// Whoever asked has gone before it was told: it may have been done.
    Unknown,
}

impl Decision {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Refused(_) => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// A request to change something, decided.
#[derive(Clone, Debug)]
pub struct Decided<'a> {
    /// When.
    pub at: Timestamp,
    /// What was asked for.
    pub action: Action,
    /// What became of it.
    pub decision: Decision,
    /// Who asked.
    pub caller: &'a Caller,
    /// The way it came.
    pub via: Via,
    /// The operation; none where a start was refused.
    pub operation: Option<OperationId>,
    /// The route of a start.
    pub route: Option<&'a str>,
    /// The operation as it is now, where it was not refused.
    pub snapshot: Option<&'a Snapshot>,
}

/// Whoever keeps that. Must not block.
pub trait Auditor: Send + Sync {
    /// Told of each decision.
    fn note(&self, decided: &Decided<'_>);
}

/// One request that is being decided. Dropped before it was, it is told as unknown.
pub(crate) struct Asked<'a> {
    bus: &'a Bus,
    auditor: &'a dyn Auditor,
    action: Action,
    caller: &'a Caller,
    via: Via,
    operation: Option<OperationId>,
    route: Option<Arc<str>>,
    told: bool,
}

impl<'a> Asked<'a> {
    /// A request about an operation; none where nobody keeps it.
    pub(crate) fn about(
        bus: &'a Bus,
        action: Action,
        caller: &'a Caller,
        operation: OperationId,
    ) -> Option<Self> {
        let (auditor, via) = (bus.auditor()?, Via::current());
        let operation = Some(operation);
        Some(Self { bus, auditor, action, caller, via, operation, route: None, told: false })
    }

    /// A start.
    pub(crate) fn start(bus: &'a Bus, caller: &'a Caller, start: &Start) -> Option<Self> {
        let (auditor, mut via) = (bus.auditor()?, Via::current());
        via.face = Some(start.face);
        let (action, route) = (Action::Start, Some(Arc::clone(&start.route)));
        Some(Self { bus, auditor, action, caller, via, operation: None, route, told: false })
    }

    /// It is decided.
    pub(crate) fn decided(mut self, result: &Result<Receipt, Error>) {
        let (decision, snapshot) = match result {
            Ok(receipt) if receipt.repeated => (Decision::Repeated, Some(&*receipt.snapshot)),
            Ok(receipt) => (Decision::Done, Some(&*receipt.snapshot)),
            Err(error) => (Decision::Refused(error.kind), None),
        };
        self.tell(decision, snapshot);
    }

    /// It is refused.
    fn refused(mut self, kind: ErrorKind) {
        self.tell(Decision::Refused(kind), None);
    }

    fn tell(&mut self, decision: Decision, snapshot: Option<&Snapshot>) {
        self.told = true;
        self.auditor.note(&Decided {
            at: self.bus.now(),
            action: self.action,
            decision,
            caller: self.caller,
            via: self.via,
            operation: snapshot.map(|snapshot| snapshot.id).or(self.operation),
            route: self.route.as_deref(),
            snapshot,
        });
    }
}

impl Bus {
    /// Tells of a change that a face refuses before it asks for it: it has looked at the operation, which is not there,
    /// is another's, or is not as it would have to be. What cannot be read as being about any operation is not told.
    pub fn refused(
        &self,
        action: Action,
        caller: &Caller,
        operation: OperationId,
        kind: ErrorKind,
    ) {
        if let Some(asked) = Asked::about(self, action, caller, operation) {
            asked.refused(kind);
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Decision::Unknown, None);
        }
    }
}
