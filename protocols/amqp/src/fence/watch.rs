//! What a connection has shown of its peer, for those who serve it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::{Disposition, Open};
use tokio::sync::Notify;

use super::Refusal;
use super::inbound::framed;
use super::outgoing::{Dispositions, Outgoing};
use super::sending::Letter;
use super::short::{Short, Shorts};

/// What a fence has seen. Cheap to clone; outlives the connection.
#[derive(Clone, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    peer: OnceLock<Arc<Open>>,
    ended: OnceLock<Refusal>,
    links: Mutex<HashMap<(u16, u32), LinkWatch>>,
    settling: Arc<Settling>,
    outgoing: Outgoing,
}

/// What the servers of a connection's links have settled and posted, and which of these are drained.
#[derive(Debug, Default)]
struct Settling {
    /// Whether there are any.
    any: AtomicBool,
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    served: Served,
    /// Who writes them.
    writer: Option<Waker>,
    /// Nobody does any more.
    closed: bool,
}

/// What the servers of links have done since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) settlements: Vec<Settlement>,
    pub(super) drained: Vec<Drained>,
    pub(super) disposed: Vec<Disposed>,
    pub(super) posted: Vec<Posted>,
}

/// Something to be sent over a link.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) over: LinkWatch,
    pub(super) letter: Box<dyn Letter>,
}

/// A delivery whose peer waits for it to be settled, which it is.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) link: LinkWatch,
    /// Ours.
    pub(super) channel: u16,
    pub(super) id: u32,
    pub(super) frame: Vec<u8>,
}

/// A link of which all that is ready has been handed to the crate: so many deliveries since it was attached, when so
/// many flow frames had come.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) link: LinkWatch,
    pub(super) begun: u32,
    pub(super) flows: u64,
}

/// Deliveries of the peer that follow each other, and what became of them.
#[derive(Debug)]
pub(super) struct Disposed {
    pub(super) of: Arc<Dispositions>,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) state: DeliveryState,
}

impl Served {
    fn is_empty(&self) -> bool {
        self.settlements.is_empty()
            && self.drained.is_empty()
            && self.disposed.is_empty()
            && self.posted.is_empty()
    }

    /// Puts a delivery to those that came right before it, if the same became of them.
    fn dispose(&mut self, of: &Arc<Dispositions>, id: u32, state: DeliveryState) {
        const ACCEPTED: DeliveryState = DeliveryState::Accepted(Accepted {});
        if state == ACCEPTED
            && let Some(known) = self.disposed.last_mut()
            && known.state == ACCEPTED
            && known.last.wrapping_add(1) == id
            && Arc::ptr_eq(&known.of, of)
        {
            known.last = id;
        } else {
            self.disposed.push(Disposed { of: Arc::clone(of), first: id, last: id, state });
        }
    }
}

impl Settling {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False where nobody writes any more.
    fn add(&self, add: impl FnOnce(&mut Due)) -> bool {
        let mut due = self.due();
        if due.closed {
            return false;
        }
        add(&mut due);
        self.any.store(true, Release);
        if let Some(writer) = due.writer.take() {
            writer.wake();
        }
        true
    }
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

    /// What has been made for the peer and is not written yet.
    pub fn outgoing(&self) -> &Outgoing {
        &self.0.outgoing
    }

    /// Why the fence ended the connection; None if it did not.
    pub fn ended(&self) -> Option<&Refusal> {
        self.0.ended.get()
    }

    pub(super) fn opened(&self, open: Open) {
        drop(self.0.peer.set(Arc::new(open)));
    }

    /// Only the first reason counts.
    pub(super) fn end(&self, refusal: Refusal) {
        drop(self.0.ended.set(refusal));
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

    /// A link of no session.
    #[cfg(test)]
    pub(crate) fn lone_link(&self, name: &str) -> LinkWatch {
        self.new_link(name, false, None)
    }

    pub(super) fn new_link(
        &self,
        name: &str,
        second: bool,
        dispositions: Option<Arc<Dispositions>>,
    ) -> LinkWatch {
        LinkWatch::new(name, second, dispositions, Arc::clone(&self.0.settling))
    }

    /// Nothing is written any more.
    pub(super) fn close(&self) {
        for link in self.links().values() {
            link.detach();
        }
        *self.0.settling.due() = Due { closed: true, ..Due::default() };
    }

    /// What was settled, drained and disposed of since the last call. `into` holds nothing, and what room it has is
    /// used for what comes next.
    pub(super) fn served(&self, into: &mut Served) {
        if self.0.settling.any.load(Acquire) {
            let mut due = self.0.settling.due();
            self.0.settling.any.store(false, Relaxed);
            std::mem::swap(&mut due.served, into);
        }
    }

    /// Has `waker` be woken when a server has done something; false when one has.
    pub(super) fn wait_for_server(&self, waker: &Waker) -> bool {
        let mut due = self.0.settling.due();
        if due.served.is_empty() && due.writer.as_ref().is_none_or(|it| !it.will_wake(waker)) {
            due.writer = Some(waker.clone());
        }
        due.served.is_empty()
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
    /// Most credit that the peer is given.
    most: AtomicU32,
    limit: AtomicU32,
    sent: AtomicU32,
    drain: AtomicBool,
    flows: AtomicU64,
    changed: Notify,
    /// Whether deliveries are settled by whoever serves the link.
    holds: AtomicBool,
    /// Whether whoever serves the link says when it is drained.
    drains: AtomicBool,
    /// Deliveries whose peer waits for that: by their number, our channel and their id.
    told: Mutex<HashMap<u32, (u16, u32)>>,
    dispositions: Option<Arc<Dispositions>>,
    /// Deliveries of the peer that it has settled, by id.
    settled: Mutex<BTreeSet<u32>>,
    /// Whether its server takes messages that come past the crate.
    takes: AtomicBool,
    shorts: Shorts,
    /// Whether the fence sends what is sent over it.
    sends: AtomicBool,
    /// Which session of the ledger's it belongs to, and which link of that it is.
    place: OnceLock<(u32, u32)>,
    detached: AtomicBool,
    settling: Arc<Settling>,
}

impl LinkWatch {
    fn new(
        name: &str,
        second: bool,
        dispositions: Option<Arc<Dispositions>>,
        settling: Arc<Settling>,
    ) -> Self {
        Self(Arc::new(LinkShared {
            name: name.into(),
            second,
            entered: AtomicBool::new(false),
            most: AtomicU32::new(u32::MAX),
            limit: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            drain: AtomicBool::new(false),
            flows: AtomicU64::new(0),
            changed: Notify::new(),
            holds: AtomicBool::new(false),
            drains: AtomicBool::new(false),
            told: Mutex::default(),
            dispositions,
            settled: Mutex::default(),
            takes: AtomicBool::new(false),
            shorts: Shorts::default(),
            sends: AtomicBool::new(false),
            place: OnceLock::new(),
            detached: AtomicBool::new(false),
            settling,
        }))
    }

    /// Whether it is that link.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Credit that is more than this is not given to a peer that sends: the crate gives its own before it can be told
    /// of another.
    pub fn give_at_most(&self, credit: u32) {
        self.0.most.store(credit, Relaxed);
    }

    pub(super) fn gives(&self, credit: u32) -> bool {
        credit <= self.0.most.load(Relaxed)
    }

    pub(super) fn holds(&self) -> bool {
        self.0.holds.load(Relaxed)
    }

    /// The peer has told the outcome of a delivery and not settled it.
    pub(super) fn told(&self, number: u32, channel: u16, id: u32) {
        self.waiting().insert(number, (channel, id));
    }

    pub(super) fn settled_by_peer(&self, number: u32) {
        self.waiting().remove(&number);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, (u16, u32)>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on deliveries that are sent over the link are settled by [`Self::settle`]. Otherwise one is as soon
    /// as the peer has told its outcome without settling it.
    pub fn hold(&self) {
        self.0.holds.store(true, Relaxed);
    }

    /// Whether whoever serves the link answers each request to drain it by [`Self::drained`], from now on. Otherwise
    /// a moment passes in which what is ready may be sent.
    pub fn serve_drains(&self, does: bool) {
        self.0.drains.store(does, Relaxed);
    }

    pub(super) fn serves_drains(&self) -> bool {
        self.0.drains.load(Relaxed)
    }

    /// All that was ready when the peer asked to drain the link has been given to the crate: of the link's deliveries
    /// so many, wrapping. Once those are on their way the peer's credit is given back, unless there is news of it:
    /// `flows` is what [`Self::flows`] was when the request was seen.
    pub fn drained(&self, begun: u32, flows: u64) {
        let drained = Drained { link: self.clone(), begun, flows };
        self.0.settling.add(|due| due.served.drained.push(drained));
    }

    /// Settles a delivery whose outcome is known, and with which all is done: a peer that has told it and not settled
    /// it hears `state`. `number` says which: those of the link are counted from 0 on as they are sent, wrapping.
    pub fn settle(&self, number: u32, state: DeliveryState) {
        let Some((channel, id)) = self.waiting().remove(&number) else { return };
        let settled = Disposition {
            role: Role::Sender,
            first: id,
            last: None,
            settled: true,
            state: Some(state),
            batchable: false,
        };
        if let Some(frame) = framed(channel, &settled) {
            let settlement = Settlement { link: self.clone(), channel, id, frame };
            self.0.settling.add(|due| due.served.settlements.push(settlement));
        }
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

    /// From now on a message of the peer that has come in one frame is for [`Self::poll_short`], as long as none before it
    /// has been left to the crate; each of those is to be told of by [`Self::came_by_crate`].
    pub fn take_shorts(&self) {
        self.0.takes.store(true, Relaxed);
    }

    pub(super) fn takes_shorts(&self) -> bool {
        self.0.takes.load(Relaxed)
    }

    /// The next message that has come past the crate. Once the crate has brought one, and until that is told of, all that
    /// are there came before it.
    pub fn poll_short(&self, cx: &mut Context<'_>) -> Poll<Short> {
        self.0.shorts.poll(cx)
    }

    /// The server has got a delivery from the crate.
    pub fn came_by_crate(&self) {
        self.0.shorts.left();
    }

    pub(super) fn give(&self, id: u32, settled: bool, payload: &[u8]) -> bool {
        self.0.shorts.give(id, settled, payload)
    }

    pub(super) fn exceed(&self) {
        self.0.shorts.exceed();
    }

    /// A delivery of the peer begins, and is left to the crate.
    pub(super) fn leave(&self) {
        self.0.shorts.leave();
    }

    /// The peer has taken that back.
    pub(super) fn left(&self) {
        self.0.shorts.left();
    }

    /// Deliveries that its server has not got yet.
    pub(super) fn unread(&self) -> u32 {
        self.0.shorts.unread()
    }

    /// From now on what is sent over the link is what is posted, and the crate sends nothing over it.
    pub fn send_past_crate(&self) {
        self.0.sends.store(true, Relaxed);
    }

    pub(super) fn sends_past_crate(&self) -> bool {
        self.0.sends.load(Relaxed)
    }

    /// Has something sent, as soon as there is credit for it.
    pub fn post(&self, letter: Box<dyn Letter>) {
        let posted = Posted { over: self.clone(), letter };
        self.0.settling.add(|due| due.served.posted.push(posted));
    }

    pub(super) fn put_at(&self, session: u32, link: u32) {
        self.0.place.get_or_init(|| (session, link));
    }

    pub(super) fn place(&self) -> Option<(u32, u32)> {
        self.0.place.get().copied()
    }

    /// Either side has detached it: nothing more is sent over it.
    pub(super) fn detach(&self) {
        self.0.detached.store(true, Release);
    }

    /// Whether nothing more is sent over it.
    pub fn is_detached(&self) -> bool {
        self.0.detached.load(Acquire)
    }

    /// Tells what becomes of a delivery of the peer over a link that takes shorts; false where nobody can be told any
    /// more. What the crate has brought it takes for settled: it is to be told all the same, as it counts credit by it.
    pub fn dispose(&self, id: u32, state: DeliveryState) -> bool {
        let Some(dispositions) = &self.0.dispositions else { return false };
        let by_peer = self.settled().remove(&id);
        by_peer
            || dispositions.add()
                && self.0.settling.add(|due| due.served.dispose(dispositions, id, state))
    }

    /// Whether the peer has settled a delivery of its own which the crate brings, or has taken it back.
    pub(super) fn has_settled(&self, id: u32, is: bool) {
        if is {
            self.settled().insert(id);
        } else {
            self.settled().remove(&id);
        }
    }

    /// Deliveries that have come, or begun to, and that the peer has settled.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.settled().len()
    }

    fn settled(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.settled.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) fn credit(&self) -> u32 {
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
