//! The sessions and links of a connection, found by channel and handle as either side numbers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fe2o3_amqp_types::performatives::Flow;

use super::outgoing::Dispositions;
use super::sending::Sending;
use super::walk::Walk;
use super::watch::LinkWatch;

/// Things by number, the numbers being small.
#[derive(Debug)]
pub(super) struct Slots<T>(Vec<Option<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slots<T> {
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.0.get(usize::try_from(at).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.0.get_mut(usize::try_from(at).ok()?)?.as_mut()
    }

    /// The caller sees to it that `at` is small.
    pub(super) fn set(&mut self, at: u32, thing: T) {
        let Ok(at) = usize::try_from(at) else { return };
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(thing);
        }
    }

    /// Puts it where there is room.
    pub(super) fn insert(&mut self, thing: T) -> u32 {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        let at = u32::try_from(free).unwrap_or(u32::MAX);
        self.set(at, thing);
        at
    }

    pub(super) fn take(&mut self, at: u32) -> Option<T> {
        let taken = self.0.get_mut(usize::try_from(at).ok()?)?.take();
        while self.0.last().is_some_and(Option::is_none) {
            self.0.pop();
        }
        taken
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.0).filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.0).filter_map(|(at, slot)| Some((at, slot.as_mut()?)))
    }
}

/// One session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The channel that the peer sends on, until its End.
    pub(super) theirs: Option<u16>,
    /// The channel that we send on, until our End.
    pub(super) ours: Option<u16>,
    /// Whether our Begin has been sent.
    pub(super) begun: bool,
    /// What our Begin says, once it is sent.
    pub(super) handle_max: Option<u32>,
    /// What the peer's Begin and its last Flow said of the session.
    pub(super) place: Option<Place>,
    /// What ours would say. Its next-incoming-id is [`Session::next_incoming`].
    pub(super) own: Option<Place>,
    /// The peer's next-outgoing-id, by what has come.
    pub(super) next_incoming: u32,
    /// Our next-outgoing-id as we began.
    pub(super) first_outgoing: u32,
    /// Transfers that the fence has sent by itself: by so many the crate's numbers of what it has sent are too low;
    pub(super) hidden: u32,
    /// and deliveries, by which its ids are.
    pub(super) hidden_deliveries: u32,
    /// The id of our next delivery.
    pub(super) next_delivery: u32,
    /// Letters that wait, of all links.
    pub(super) letters: usize,
    /// Where both send: how many transfers of what the peer takes are the crate's, and how many the fence's.
    pub(super) crate_room: u32,
    pub(super) fence_room: u32,
    /// Whether the fence tells what becomes of the peer's deliveries.
    pub(super) tells: bool,
    /// Whether the crate may send over it, too.
    pub(super) crate_sends: bool,
    pub(super) links: Slots<Link>,
    /// Links by the peer's handles.
    pub(super) inputs: Slots<u32>,
    /// Links by our handles.
    pub(super) outputs: Slots<u32>,
    /// Deliveries of ours that neither has settled, by id. The crate bounds its own, the fence those it sends.
    pub(super) unsettled: BTreeMap<u32, Unsettled>,
    /// What is on its way to the fence about deliveries of the peer; none before it has attached a link.
    pub(super) dispositions: Option<Arc<Dispositions>>,
}

/// A delivery of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    pub(super) link: u32,
    /// Which of the link's, from 0 on.
    pub(super) number: u32,
    /// Whether the peer has told its outcome, and waits for us to settle it. The crate knows it no more.
    pub(super) told: bool,
    /// The crate's id of it; none where it knows nothing of it.
    pub(super) crates: Option<u32>,
}

/// One side of a session, in the words of its Flow frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) next_incoming_id: Option<u32>,
    pub(super) incoming_window: u32,
    pub(super) next_outgoing_id: u32,
    pub(super) outgoing_window: u32,
}

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    /// As the crate knows it: the peer's name for it, made unique where that is needed.
    pub(super) name: Box<str>,
    /// Bytes at the end of `name` which the peer does not know of.
    pub(super) suffix: usize,
    /// Which end the peer is.
    pub(super) peer_sends: bool,
    /// The peer's handle, until it detaches.
    pub(super) input: Option<u32>,
    /// Our handle, until we detach.
    pub(super) output: Option<u32>,
    /// Whether the peer has attached.
    pub(super) attached: bool,
    /// Whether we have attached.
    pub(super) answered: bool,
    /// Flow frames that came before we had attached: the crate keeps them.
    pub(super) flows: u32,
    /// A Flow that asks to drain, and is due.
    pub(super) drain: Option<Flow>,
    /// Deliveries that must have begun before it.
    pub(super) drains_after: Option<u32>,
    /// A Detach that came before we had attached.
    pub(super) detach: Option<Vec<u8>>,
    /// Deliveries that we have begun, wrapping.
    pub(super) begun: u32,
    pub(super) watch: LinkWatch,
    pub(super) incoming: Incoming,
    /// What the fence has to send over it.
    pub(super) sending: Sending,
    /// Bytes of a message that the peer takes.
    pub(super) largest: u64,
}

/// What a peer that is a sender has sent.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// What our Attach says of messages; none as long as it says nothing.
    pub(super) message: Option<u64>,
    /// The peer's delivery-count, as its Attach began with it.
    pub(super) initial: u32,
    /// The peer's delivery-count.
    pub(super) count: u32,
    /// The delivery-count up to which we gave credit; none before we gave any.
    pub(super) limit: Option<u32>,
    /// The delivery that is not complete.
    pub(super) delivery: Option<Box<Delivery>>,
    /// What comes until the end of the delivery is not for the crate.
    pub(super) skips: bool,
    /// What comes until the end of the link is not for the crate, which is about to detach.
    pub(super) overrun: bool,
}

/// A delivery of which not all frames have come.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) id: Option<u32>,
    pub(super) tag: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) frames: u64,
    pub(super) walk: Walk,
}

impl Link {
    /// Whether the peer has a link of that name and direction with this one. What either has detached is no more.
    pub(super) fn is_twin(&self, name: &str, peer_sends: bool) -> bool {
        let detached = self.input.is_none() || self.detach.is_some();
        let refused = self.answered && self.output.is_none();
        !detached && !refused && self.peer_sends == peer_sends && self.watch.name() == name
    }
}

impl Session {
    /// Transfers that the peer takes.
    pub(super) fn window(&self) -> u32 {
        let (Some(place), Some(own)) = (self.place, self.own) else { return 0 };
        let known = place.next_incoming_id.unwrap_or(self.first_outgoing);
        let under_way = own.next_outgoing_id.wrapping_sub(known);
        place.incoming_window.saturating_sub(under_way)
    }

    /// Shares what the peer takes between the crate and the fence. Who is to send now gets the larger half.
    pub(super) fn divide(&mut self, for_crate: bool) {
        let window = self.window();
        let (less, rest) = (window / 2, window - window / 2);
        (self.crate_room, self.fence_room) = if for_crate { (rest, less) } else { (less, rest) };
    }

    /// Whether both the crate and the fence send over it.
    pub(super) fn shares(&self) -> bool {
        self.crate_sends && (self.hidden > 0 || self.letters > 0)
    }

    /// The peer's next-incoming-id and incoming-window as the crate is to see them, where that differs.
    pub(super) fn place_for_crate(&self) -> Option<(u32, u32)> {
        let own = self.own.filter(|_| self.shares())?;
        Some((own.next_outgoing_id.wrapping_sub(self.hidden), self.crate_room))
    }

    /// Whether both have ended it.
    pub(super) fn is_over(&self) -> bool {
        self.begun && self.theirs.is_none() && self.ours.is_none()
    }

    pub(super) fn by_input(&mut self, handle: u32) -> Option<&mut Link> {
        let link = *self.inputs.get(handle)?;
        self.links.get_mut(link)
    }

    pub(super) fn by_output(&mut self, handle: u32) -> Option<&mut Link> {
        let link = *self.outputs.get(handle)?;
        self.links.get_mut(link)
    }
}

/// All of a connection's.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) sessions: Slots<Session>,
    /// Sessions by the peer's channels.
    pub(super) theirs: Slots<u32>,
    /// Sessions by our channels.
    pub(super) ours: Slots<u32>,
}

impl Table {
    pub(super) fn by_theirs(&mut self, channel: u16) -> Option<&mut Session> {
        let session = *self.theirs.get(channel.into())?;
        self.sessions.get_mut(session)
    }

    pub(super) fn by_ours(&mut self, channel: u16) -> Option<&mut Session> {
        let session = *self.ours.get(channel.into())?;
        self.sessions.get_mut(session)
    }
}
