//! What a connection has shown of its peer, for those who serve it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fe2o3_amqp_types::performatives::Open;
use tokio::sync::Notify;

use super::Refusal;

/// What a fence has seen. Cheap to clone; outlives the connection.
#[derive(Clone, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    peer: OnceLock<Arc<Open>>,
    ended: OnceLock<Refusal>,
    received: AtomicU64,
    sent: AtomicU64,
    edited: AtomicU64,
    links: Mutex<HashMap<(u16, u32), LinkWatch>>,
}

impl Watch {
    /// The peer's Open frame as it sent it: container-id, hostname, idle-time-out, properties. None before it came.
    pub fn peer(&self) -> Option<Arc<Open>> {
        self.0.peer.get().map(Arc::clone)
    }

    /// The link that the peer attached on its `channel` (`IncomingSession::channel`) under its `handle`
    /// (`Attach::handle`), until it is detached by both.
    pub fn link(&self, channel: u16, handle: u32) -> Option<LinkWatch> {
        self.links().get(&(channel, handle)).cloned()
    }

    /// Whether the peer has attached links that nobody has entered yet ([`LinkWatch::enter`]).
    pub fn has_new_links(&self) -> bool {
        self.links().values().any(|link| !link.0.entered.load(Acquire))
    }

    /// Why the fence ended the connection; None if it did not.
    pub fn ended(&self) -> Option<&Refusal> {
        self.0.ended.get()
    }

    /// Frames let through from the peer.
    pub fn received(&self) -> u64 {
        self.0.received.load(Relaxed)
    }

    /// Frames of ours that were given to the stream.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    /// Frames of either side that were not let through as they were written.
    pub fn edited(&self) -> u64 {
        self.0.edited.load(Relaxed)
    }

    pub(super) fn opened(&self, open: Open) {
        drop(self.0.peer.set(Arc::new(open)));
    }

    /// Only the first reason counts.
    pub(super) fn end(&self, refusal: Refusal) {
        drop(self.0.ended.set(refusal));
    }

    pub(super) fn count_received(&self) {
        self.0.received.fetch_add(1, Relaxed);
    }

    pub(super) fn count_sent(&self) {
        self.0.sent.fetch_add(1, Relaxed);
    }

    pub(super) fn count_edited(&self) {
        self.0.edited.fetch_add(1, Relaxed);
    }

    pub(super) fn attach(&self, channel: u16, handle: u32, link: &LinkWatch) {
        self.links().insert((channel, handle), link.clone());
    }

    /// Forgets `link`, unless another has taken its handle.
    pub(super) fn detach(&self, channel: u16, handle: u32, link: &LinkWatch) {
        let mut links = self.links();
        if links.get(&(channel, handle)).is_some_and(|known| Arc::ptr_eq(&known.0, &link.0)) {
            links.remove(&(channel, handle));
        }
    }

    pub(super) fn end_session(&self, channel: u16) {
        self.links().retain(|(known, _), _| *known != channel);
    }

    fn links(&self) -> MutexGuard<'_, HashMap<(u16, u32), LinkWatch>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.0.peer.get().map(|open| &open.container_id);
        formatter
            .debug_struct("Watch")
            .field("peer", &peer)
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}

/// One link, as its frames show it. Cheap to clone; outlives the link.
#[derive(Clone, Debug)]
pub struct LinkWatch(Arc<LinkShared>);

#[derive(Debug)]
struct LinkShared {
    name: Box<str>,
    second: bool,
    entered: AtomicBool,
    limit: AtomicU32,
    sent: AtomicU32,
    drain: AtomicBool,
    flows: AtomicU64,
    changed: Notify,
}

impl LinkWatch {
    pub(super) fn new(name: &str, second: bool) -> Self {
        Self(Arc::new(LinkShared {
            name: name.into(),
            second,
            entered: AtomicBool::new(false),
            limit: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            drain: AtomicBool::new(false),
            flows: AtomicU64::new(0),
            changed: Notify::new(),
        }))
    }

    /// A flow frame of a peer that is the receiver.
    pub(super) fn flow(&self, limit: Option<u32>, drain: bool) {
        if let Some(limit) = limit {
            self.0.limit.store(limit, Relaxed);
        }
        self.0.drain.store(drain, Relaxed);
        self.0.flows.fetch_add(1, Relaxed);
        self.0.changed.notify_waiters();
    }

    /// The delivery-count that our Attach begins with.
    pub(super) fn begin(&self, count: u32) {
        self.0.sent.store(count, Relaxed);
    }

    /// Our delivery-count, as a flow frame of ours says.
    pub(super) fn advance(&self, count: u32) {
        if count.wrapping_sub(self.sent()) < u32::MAX / 2 {
            self.0.sent.store(count, Relaxed);
        }
    }

    pub(super) fn count_delivery(&self) {
        self.0.sent.fetch_add(1, Relaxed);
    }

    /// The name that the peer gave the link. The one in the crate's Attach may have been made unique.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the peer had a link of this name and direction attached to the session when it attached this one, which
    /// section 2.6.1 of the specification does not allow.
    pub fn is_second(&self) -> bool {
        self.0.second
    }

    /// Notes that whoever serves the connection knows of the link.
    pub fn enter(&self) {
        self.0.entered.store(true, Release);
    }

    /// Deliveries that may be sent to the peer in all, wrapping: its delivery-count and link-credit added up.
    pub fn limit(&self) -> u32 {
        self.0.limit.load(Relaxed)
    }

    /// Our delivery-count, wrapping: deliveries that were begun on the link, and credit that was given back.
    pub fn sent(&self) -> u32 {
        self.0.sent.load(Relaxed)
    }

    /// How many deliveries the peer would take now. Those on their way to the fence are not yet counted.
    pub fn credit(&self) -> u32 {
        let credit = self.limit().wrapping_sub(self.sent());
        // Credit that was taken back while deliveries were on their way.
        if credit > u32::MAX / 2 { 0 } else { credit }
    }

    /// Whether the peer's last flow frame asked that its credit be used up or given back.
    ///
    /// The crate gives it back at once: whoever counts deliveries by itself has none left up to [`Self::limit`], and
    /// counts on from there.
    pub fn drain(&self) -> bool {
        self.0.drain.load(Relaxed)
    }

    /// Flow frames that came for the link: a number to see whether anything has changed.
    pub fn flows(&self) -> u64 {
        self.0.flows.load(Relaxed)
    }

    /// Resolves at the next flow frame for the link that comes after the call.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + '_ {
        self.0.changed.notified()
    }
}
