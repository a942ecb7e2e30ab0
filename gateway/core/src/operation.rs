//! The canonical record: one operation as every protocol sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::dedupe::Dedupe;
use crate::failure::Failure;
use crate::id::OperationId;
use crate::loss::Losses;
use crate::name::{Kind, Parent, Tenant};
use crate::payload::Payload;
use crate::share::Share;
use crate::time::Timestamp;
use crate::trace::Trace;

/// A position in the journal: every accepted change takes the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Counts an operation's accepted changes, from 1: ETag, watch cursor and compare-and-set operand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// Counts an operation's leases, from 1; 0 is "never leased". Fences a stale holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// A backend's word for the state of an operation that its upstream does not know, or not any more.
pub const ORPHANED: &str = "ORPHANED";

/// Where an operation stands. The last three absorb: nothing leaves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Durable, not yet given to a backend.
    Accepted = 0,
    /// A backend has it.
    Running = 1,
    /// Ended with a result.
    Succeeded = 2,
    /// Ended with a failure.
    Failed = 3,
    /// Ended because somebody asked.
    Canceled = 4,
}

impl State {
    /// Every state, in number order. The numbers are stored: one that goes is never used again.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled];

    /// Whether nothing can follow.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    /// The upper-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a result; `None` is a result without content.
    Succeeded(Option<Payload>),
    /// With a failure.
    Failed(Failure),
    /// Because somebody asked; the failure says who or why in the backend's words.
    Canceled(Option<Failure>),
}

impl Outcome {
    /// The state this outcome ends in.
    pub const fn state(&self) -> State {
        match self {
            Self::Succeeded(_) => State::Succeeded,
            Self::Failed(_) => State::Failed,
            Self::Canceled(_) => State::Canceled,
        }
    }

    /// The failure, where there is one.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Succeeded(_) => None,
            Self::Failed(failure) => Some(failure),
            Self::Canceled(failure) => failure.as_ref(),
        }
    }
}

/// The protocol a request came in through, or a name was made for. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Face {
    /// opgate's own API, and opgate itself.
    Native = 0,
    /// google.longrunning over gRPC.
    Grpc = 1,
    /// google.longrunning over REST.
    Rest = 2,
    /// OCI work requests.
    Oci = 3,
    /// Nexus over HTTP.
    Nexus = 4,
    /// AMQP 1.0 management.
    Amqp = 5,
}

impl Face {
    /// Every face, in number order.
    pub const ALL: [Self; 6] =
        [Self::Native, Self::Grpc, Self::Rest, Self::Oci, Self::Nexus, Self::Amqp];

    /// The lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Grpc => "grpc",
            Self::Rest => "rest",
            Self::Oci => "oci",
            Self::Nexus => "nexus",
            Self::Amqp => "amqp",
        }
    }
}

/// Where a start came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Through which protocol.
    pub face: Face,
    /// Which endpoint of it: a gRPC method, a path, a node address.
    pub endpoint: Arc<str>,
    /// Who asked, as authenticated; `anonymous` where nobody was.
    pub principal: Arc<str>,
    /// The caller's own id for the request, where it sent one.
    pub request_id: Option<Box<str>>,
}

/// Who carries the operation out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The route's name in the configuration.
    pub route: Arc<str>,
    /// The backend's name in the configuration.
    pub backend: Arc<str>,
    /// The backend's own reference (token, OCID, name), opaque; empty until it gave one.
    pub native_ref: Bytes,
}

impl Routed {
    /// This backend's name, where another one is on record.
    pub fn moved_to(&self, backend: &Arc<str>) -> Option<Arc<str>> {
        (*self.backend != **backend).then(|| Arc::clone(backend))
    }
}

/// The types a typed face promised its caller, kept so that the promise holds after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expects {
    /// Full name of the message a success carries; none when the face declared none.
    pub response_type: Option<Arc<str>>,
    /// Full name of the message metadata is shown in; none when the face declared none.
    pub metadata_type: Option<Arc<str>>,
}

/// When things happened. All by opgate's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the start was accepted.
    pub accepted: Timestamp,
    /// When a backend first took it.
    pub started: Option<Timestamp>,
    /// When it last changed.
    pub updated: Timestamp,
    /// When it ended.
    pub closed: Option<Timestamp>,
    /// From when on it is forgotten; set when it ended.
    pub expires: Option<Timestamp>,
}

/// How far a cancel request got towards the backend. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CancelDelivery {
    /// Asked for; nothing was done about it yet, or had to be: nobody had the operation.
    Requested = 0,
    /// Waiting for its turn to be told to the backend.
    Queued = 1,
    /// Told, no answer yet.
    Sent = 2,
    /// The backend took it.
    Acked = 3,
    /// The backend does not cancel this.
    Refused = 4,
    /// Tried until the limit.
    GaveUp = 5,
}

impl CancelDelivery {
    /// Every value, in number order.
    pub const ALL: [Self; 6] =
        [Self::Requested, Self::Queued, Self::Sent, Self::Acked, Self::Refused, Self::GaveUp];

    /// The lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
        }
    }

    /// Whether nothing more is done about it.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Requested | Self::Queued | Self::Sent => false,
            Self::Acked | Self::Refused | Self::GaveUp => true,
        }
    }
}

/// A cancel request: a record beside the state, not a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// When it was first asked for.
    pub requested: Timestamp,
    /// By whom, first.
    pub by: Box<str>,
    /// Why, in the first caller's words.
    pub reason: Box<str>,
    /// How far it got.
    pub delivery: CancelDelivery,
    /// When it got there.
    pub changed: Timestamp,
    /// How often the backend was told.
    pub attempts: u32,
    /// Why it was refused or given up; empty where nobody said, and else.
    pub problem: Box<str>,
}

impl Cancel {
    /// A request that nothing was done about yet.
    pub fn new(requested: Timestamp, by: impl Into<Box<str>>, reason: impl Into<Box<str>>) -> Self {
        Self {
            requested,
            by: by.into(),
            reason: reason.into(),
            delivery: CancelDelivery::Requested,
            changed: requested,
            attempts: 0,
            problem: Box::default(),
        }
    }

    /// Who asked for it and why, in one line for people.
    pub fn asked(&self) -> String {
        joined(&format!("cancel requested by {}", self.by), &self.reason)
    }

    /// How far it got, in one line for people.
    pub fn stands(&self) -> String {
        match (self.delivery, self.attempts) {
            (CancelDelivery::Requested, _) => self.asked(),
            (CancelDelivery::Queued, 0) => "cancel waits to be sent".to_owned(),
            (CancelDelivery::Queued, attempts) => {
                format!("cancel waits to be sent again, attempts made: {attempts}")
            }
            (CancelDelivery::Sent, attempts) => format!("cancel sent, attempt {attempts}"),
            (CancelDelivery::Acked, _) => "cancel acknowledged".to_owned(),
            (CancelDelivery::Refused, _) => joined("cancel refused", &self.problem),
            (CancelDelivery::GaveUp, _) => joined("cancel given up", &self.problem),
        }
    }
}

fn joined(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

/// How far the work is. Stored as said; clamped only where it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// 0 to 100 as the backend said it; `None` when it did not say.
    pub percent: Option<f64>,
    /// Units done.
    pub done: Option<u64>,
    /// Units in all.
    pub total: Option<u64>,
    /// What is being done.
    pub message: Box<str>,
}

impl Progress {
    /// The percentage fit to show: within 0 to 100, not a NaN.
    pub fn percent_shown(&self) -> Option<f64> {
        self.percent.filter(|percent| !percent.is_nan()).map(|percent| percent.clamp(0.0, 100.0))
    }
}

/// One line of the operation's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Timestamp,
    /// Whether it reports an error.
    pub error: bool,
    /// The backend's code for it, where it has one; lines that opgate itself writes have none.
    pub code: Box<str>,
    /// The text.
    pub message: Box<str>,
}

/// The action of what an operation was to work on, and ended without success.
pub const FAILED: &str = "FAILED";

/// Something the operation works on or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What kind of thing.
    pub entity_type: Box<str>,
    /// What is done to it, for example `CREATED`.
    pub action: Box<str>,
    /// What will have been done to it once the operation has succeeded, where that was said
    /// beforehand; empty otherwise. At success it becomes the action; at another end the action
    /// becomes [`FAILED`] and this stays, to tell what was attempted.
    pub becomes: Box<str>,
    /// Which one.
    pub identifier: Box<str>,
    /// Where it can be read; empty when nowhere.
    pub uri: Box<str>,
}

/// A typed link to something elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The URL.
    pub url: Box<str>,
    /// Its type.
    pub kind: Box<str>,
}

/// A header kept with the operation, name in its original case. Names may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: Box<str>,
    /// The value, verbatim.
    pub value: Bytes,
}

/// Where to tell of the completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The URL.
    pub url: Box<str>,
    /// Headers to send along, verbatim.
    pub headers: Vec<Header>,
    /// How far the telling is.
    pub delivery: Delivery,
}

impl Callback {
    /// A callback nobody has been told through.
    pub fn new(url: impl Into<Box<str>>, headers: Vec<Header>) -> Self {
        Self { url: url.into(), headers, delivery: Delivery::default() }
    }
}

/// Whether the receiver of a callback has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DeliveryState {
    /// Not yet: owed from the operation's end on.
    #[default]
    Pending = 0,
    /// The receiver took it.
    Delivered = 1,
    /// Given up, or refused for good: a dead letter until somebody has it redriven.
    Dead = 2,
}

impl DeliveryState {
    /// Every value, in number order.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The upper-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Dead => "DEAD",
        }
    }
}

/// How far the delivery of one callback is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Whether it is done.
    pub state: DeliveryState,
    /// Attempts made since it was first owed, or last redriven.
    pub attempts: u32,
    /// When it was last redriven; none is never: it is owed since the operation's end.
    pub redriven: Option<Timestamp>,
    /// When the last attempt ended.
    pub last: Option<Timestamp>,
    /// Not to be attempted again before; none is at once.
    pub next: Option<Timestamp>,
    /// What was wrong with the last attempt; empty where nothing was.
    pub problem: Box<str>,
}

/// An outcome that came after the operation had ended otherwise: refused, and kept for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// When it came.
    pub at: Timestamp,
    /// What it claimed.
    pub state: State,
    /// Its failure text; empty for a claimed success.
    pub message: Box<str>,
}

/// A deletion: hidden from every face, kept a while so that dedupe keys stay honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// When.
    pub at: Timestamp,
    /// How long the tombstone stays after the operation has ended and been removed.
    pub keep: Duration,
}

/// One operation. A snapshot: every change makes a new one with the next [`Version`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields whose type says it all carry no comment")]
pub struct Operation {
    pub id: OperationId,
    /// The journal position of its acceptance: the order of lists.
    pub seq: Seq,
    /// The journal position of its last change.
    pub changed: Seq,
    pub version: Version,
    pub tenant: Tenant,
    pub parent: Parent,
    pub kind: Kind,
    pub origin: Origin,
    pub routed: Routed,
    pub expects: Expects,
    pub state: State,
    /// The backend's own word for the state, verbatim; empty when it has said none.
    pub native_state: Box<str>,
    /// Why a running operation is waiting for somebody; empty when it is not.
    pub waiting: Box<str>,
    pub cancel: Option<Box<Cancel>>,
    pub times: Times,
    /// When it must have ended, absolute; a retry never moves it.
    pub deadline: Option<Timestamp>,
    /// How long it stays readable after its end.
    pub retention: Duration,
    /// The lease it was last given out under.
    pub epoch: Epoch,
    pub progress: Option<Box<Progress>>,
    pub log: Vec<LogEntry>,
    /// Log lines that left because of [`crate::limits::LOG_ENTRIES`].
    pub log_dropped: u32,
    pub resources: Vec<Resource>,
    pub input: Payload,
    pub outcome: Option<Outcome>,
    pub links_in: Vec<Link>,
    pub links_out: Vec<Link>,
    pub callbacks: Vec<Callback>,
    pub headers: Vec<Header>,
    pub trace: Option<Box<Trace>>,
    pub dedupe: Option<Box<Dedupe>>,
    pub conflicts: Vec<Conflict>,
    pub removed: Option<Removed>,
    /// Its part in work that several share; none where it is carried out for itself.
    pub share: Option<Box<Share>>,
    /// What the hops before this record could not carry into it, or on to the backend.
    pub lost: Losses,
}

impl Operation {
    /// Whether nothing can follow.
    pub const fn is_done(&self) -> bool {
        self.state.is_terminal()
    }

    /// Whether a cancel was asked for and the operation has not ended.
    pub const fn is_canceling(&self) -> bool {
        self.cancel.is_some() && !self.is_done()
    }

    /// Whether it is work that others share, which no face shows.
    pub fn is_job(&self) -> bool {
        matches!(self.share.as_deref(), Some(Share::Job(_)))
    }

    /// The job that it has an interest in.
    pub fn job(&self) -> Option<OperationId> {
        match self.share.as_deref()? {
            Share::Interest(job) => Some(*job),
            Share::Job(_) => None,
        }
    }

    /// The operations that share it.
    pub fn interests(&self) -> &[OperationId] {
        match self.share.as_deref() {
            Some(Share::Job(interests)) => interests,
            Some(Share::Interest(_)) | None => &[],
        }
    }

    pub(crate) fn interests_mut(&mut self) -> Option<&mut Vec<OperationId>> {
        match self.share.as_deref_mut()? {
            Share::Job(interests) => Some(interests),
            Share::Interest(_) => None,
        }
    }

    /// The id of its caller's trace, by which lines of a log are found: 32 hex digits.
    pub fn trace_id(&self) -> Option<&str> {
        let id = self.trace.as_ref()?.parent.split('-').nth(1)?;
        (id.len() == 32).then_some(id)
    }

    /// The callbacks that have still to be delivered, by their places: none before the end.
    pub fn owed(&self) -> impl Iterator<Item = (usize, &Callback)> {
        let callbacks = self.callbacks.iter().enumerate();
        let pending = |delivery: &Delivery| delivery.state == DeliveryState::Pending;
        callbacks.filter(move |(_, callback)| self.is_done() && pending(&callback.delivery))
    }

    /// Whether it has ended and a callback has still to be delivered.
    pub fn owes_callbacks(&self) -> bool {
        self.owed().next().is_some()
    }

    /// Since when a callback of it is owed: its end, or when the callback was last redriven.
    pub fn owed_since(&self, callback: &Callback) -> Option<Timestamp> {
        callback.delivery.redriven.or(self.times.closed)
    }

    /// Whether faces may show it at `now`: not deleted, not past its retention.
    pub fn is_visible(&self, now: Timestamp) -> bool {
        self.removed.is_none() && self.times.expires.is_none_or(|expires| now < expires)
    }

    /// When its record may leave the journal: past its retention or tombstone, and past the time
    /// its dedupe key is honoured. `None` while it has not ended, or owes a callback.
    pub fn purge_at(&self) -> Option<Timestamp> {
        let closed = self.times.closed?;
        // Whoever shares it has not taken its end yet.
        if self.owes_callbacks() || !self.interests().is_empty() {
            return None;
        }
        let forgotten = match self.removed {
            Some(removed) => closed.max(removed.at).plus(removed.keep),
            None => self.times.expires?,
        };
        Some(self.dedupe.as_ref().map_or(forgotten, |dedupe| forgotten.max(dedupe.until)))
    }
}
