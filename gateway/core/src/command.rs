//! What may be asked of an operation, and what then happened to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::dedupe::Dedupe;
use crate::id::OperationId;
use crate::loss::Losses;
use crate::name::{Kind, Parent, Tenant};
use crate::operation::{
    Callback, CancelDelivery, Epoch, Expects, Header, Link, LogEntry, Origin, Outcome, Progress,
    Resource, Routed, Seq, State, Version,
};
use crate::payload::Payload;
use crate::share::Share;
use crate::time::Timestamp;
use crate::trace::Trace;

/// A command and whom it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The caller's tenant. Another tenant's operation is not found.
    pub tenant: Tenant,
    /// The operation; for [`Command::Accept`] the id it is to get.
    pub target: OperationId,
    /// Refuse unless the operation has exactly this version. With a [`Command::Accept`]: serve a
    /// repeat only, for what is new has no version yet.
    pub expect: Option<Version>,
    /// What to do.
    pub command: Command,
}

/// An intent. It may be refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Take a new operation in.
    Accept(Box<Accept>),
    /// Give it to a backend under the next lease.
    Start {
        /// The epoch of the new lease: exactly one more than the last.
        epoch: Epoch,
        /// The backend's name, where another one had it before or was to have it.
        backend: Option<Arc<str>>,
    },
    /// Tell how it goes.
    Report(Box<Report>),
    /// Ask for its cancellation.
    Cancel {
        /// Who asks.
        by: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// End it.
    Finish(Box<Finish>),
    /// Record what became of an attempt to deliver one of its callbacks.
    Attempt(Box<Attempt>),
    /// Deliver its dead letters once more.
    Redrive,
    /// Have its backend take it up anew, now, as if nothing had gone wrong yet.
    Resume {
        /// Who asks.
        by: Box<str>,
    },
    /// Hide it for good. The work goes on.
    Remove {
        /// How long the tombstone stays.
        keep: Duration,
    },
}

/// A new operation.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of Operation and are documented there")]
pub struct Accept {
    pub parent: Parent,
    pub kind: Kind,
    pub origin: Origin,
    pub routed: Routed,
    pub expects: Expects,
    pub input: Payload,
    pub resources: Vec<Resource>,
    pub deadline: Option<Timestamp>,
    pub retention: Duration,
    pub links_in: Vec<Link>,
    pub callbacks: Vec<Callback>,
    pub headers: Vec<Header>,
    pub trace: Option<Box<Trace>>,
    pub dedupe: Option<Box<Dedupe>>,
    pub lost: Losses,
    /// With a [`share_key`](Accept::share_key), an interest in the job that is made where there is none to join.
    pub share: Option<Box<Share>>,
    /// By what a job is known that this one shares, as long as it runs. None where it is carried out for itself.
    pub share_key: Option<Box<Dedupe>>,
    /// Given when the backend was done at once: acceptance and end are then one change.
    pub outcome: Option<Outcome>,
}

/// How the work goes. What is `None` or empty stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The reporter's lease.
    pub epoch: Epoch,
    /// Replaces the progress.
    pub progress: Option<Progress>,
    /// Appended to the log.
    pub log: Vec<LogEntry>,
    /// Added; one with the same type and identifier is replaced.
    pub resources: Vec<Resource>,
    /// Added to the links given out; one that is there already is not repeated.
    pub links: Vec<Link>,
    /// The backend's reference.
    pub native_ref: Option<Bytes>,
    /// The backend's word for the state.
    pub native_state: Option<Box<str>>,
    /// Why it waits; an empty text ends the waiting.
    pub waiting: Option<Box<str>>,
    /// How far the cancel request got.
    pub cancel: Option<CancelStep>,
    /// What could not be carried to the backend, or from it. Added.
    pub lost: Losses,
    /// What was thought to be lost and was carried after all, as it reached somebody of the same protocol. Taken away.
    pub kept: Losses,
}

/// How far a cancel request got, and why no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelStep {
    /// How far.
    pub delivery: CancelDelivery,
    /// Why it was refused or given up; empty where nobody said, and else.
    pub problem: Box<str>,
}

impl From<CancelDelivery> for CancelStep {
    fn from(delivery: CancelDelivery) -> Self {
        Self { delivery, problem: Box::default() }
    }
}

/// An end.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The finisher's lease; `None` when it is ended without one: by hand, or by its deadline.
    pub epoch: Option<Epoch>,
    /// Who ended it by hand, for the operation's log; `None` for a lease and for a deadline.
    pub by: Option<Box<str>>,
    /// How it ends.
    pub outcome: Outcome,
    /// What became known with the end. Its epoch is not looked at: the finish has its own.
    pub report: Option<Box<Report>>,
}

impl Finish {
    /// An end without a lease, by nobody's hand.
    pub const fn new(outcome: Outcome) -> Self {
        Self { epoch: None, by: None, outcome, report: None }
    }
}

/// An attempt to deliver a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which of the operation's callbacks.
    pub callback: usize,
    /// Which attempt it was, from 1: one more than were recorded, so that none is recorded twice.
    /// With [`Attempted::Dead`] it may be as many as were recorded: given up without another.
    pub number: u32,
    /// What became of it.
    pub result: Attempted,
}

/// What became of an attempt to deliver a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The receiver took it.
    Delivered,
    /// Not now.
    Again {
        /// Not before then.
        next: Timestamp,
        /// What was wrong.
        problem: Box<str>,
    },
    /// Never: refused for good, or tried for too long.
    Dead {
        /// What was wrong.
        problem: Box<str>,
    },
}

/// A fact. Once journaled it is never refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new operation exists.
    Accepted {
        /// Its id.
        id: OperationId,
        /// Its tenant.
        tenant: Tenant,
        /// All else.
        accept: Box<Accept>,
    },
    /// A backend has it under this lease.
    Started {
        /// The lease.
        epoch: Epoch,
        /// The backend's name, where it is another one than before.
        backend: Option<Arc<str>>,
    },
    /// Something became known about the work.
    Reported(Box<Report>),
    /// Somebody asked for its cancellation.
    CancelRequested {
        /// Who.
        by: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// One more operation shares this job.
    Joined {
        /// Which.
        interest: OperationId,
    },
    /// One fewer does.
    Left {
        /// Which.
        interest: OperationId,
    },
    /// It ended.
    Finished {
        /// How.
        outcome: Box<Outcome>,
        /// Who ended it by hand.
        by: Option<Box<str>>,
    },
    /// Another end was claimed after it had ended.
    Contradicted {
        /// The claimed end.
        state: State,
        /// Its failure text.
        message: Box<str>,
    },
    /// A callback's delivery was attempted.
    Attempted(Box<Attempt>),
    /// Its dead letters are owed again.
    Redriven,
    /// Its backend was to take it up anew.
    Resumed {
        /// Who asked.
        by: Box<str>,
    },
    /// It was deleted.
    Removed {
        /// How long the tombstone stays.
        keep: Duration,
    },
}

/// The events of one accepted command: what the journal orders, and what takes one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The position in the journal.
    pub seq: Seq,
    /// When, by opgate's clock.
    pub at: Timestamp,
    /// What happened, in order.
    pub events: Vec<Event>,
}
