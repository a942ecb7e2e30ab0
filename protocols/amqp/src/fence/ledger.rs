//! What is known of a connection from the frames of both sides.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::inbound::framed;
use super::table::Table;
use super::watch::Served;
use super::{Limits, Watch};

/// Deliveries that may come beyond the credit we gave before the connection ends for it.
///
/// The crate counts credit exactly, but only when a message is received from its link's queue; here it is the queue
/// that is bounded.
pub(super) const SLACK: u32 = 64;

/// Bytes of an Attach frame, without what is left out of it, and values in it: the crate keeps both termini, twice.
pub(super) const ATTACH: u32 = 4096;
pub(super) const ATTACH_ITEMS: u32 = 256;

/// Bytes of a link's name.
pub(super) const NAME: usize = 1024;

/// Flow frames of links that are not answered yet, which the crate keeps.
pub(super) const FLOWS: u32 = 1024;

/// Requests to drain that are kept back; further ones are not.
pub(super) const DRAINS: usize = 1024;

/// Deliveries in one disposition: the crate looks at each number without a pause.
pub(super) const SPAN: u64 = 65_536;

/// What is written together.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Deliveries of the peer that are disposed of.
    pub(super) disposed: usize,
    /// Deliveries to the peer, whole.
    pub(super) written: usize,
}

impl Gathered {
    /// Whether every request in it is answered in it: nothing else is about to come.
    pub(super) const fn is_whole(&self) -> bool {
        self.disposed > 0 && self.disposed == self.written
    }
}

/// What is known of one connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one frame has passed")]
pub(super) struct Ledger {
    pub(super) limits: Limits,
    pub(super) watch: Watch,
    pub(super) table: Table,
    /// Links of all sessions.
    pub(super) links: u32,
    /// Flow frames that the crate keeps until links are answered.
    pub(super) flows: u32,
    /// Bytes of deliveries that are not complete.
    pub(super) unfinished: u64,
    /// What our Open says.
    pub(super) channel_max: Option<u16>,
    pub(super) idle: Option<u32>,
    /// Whether the frame has been sent, or has come.
    pub(super) open_sent: bool,
    pub(super) open_received: bool,
    pub(super) close_sent: bool,
    pub(super) close_received: bool,
    /// Whether a delivery has come whole since something was last waited for: there will be something to say.
    pub(super) delivered: bool,
    /// What is to be written next.
    pub(super) gathered: Gathered,
    /// Links that are to be drained, by session and link, and when; the first is due first.
    pub(super) drains: VecDeque<(Instant, u32, u32)>,
    /// Frames of the peer that were held back and are due.
    pub(super) due: VecDeque<Vec<u8>>,
    /// Room for what links' servers do.
    pub(super) served: Served,
    /// Frames that settle deliveries, to be written.
    pub(super) settlements: VecDeque<Vec<u8>>,
    /// Sessions whose peer waits to hear of them, or of a link over which it sends, each once.
    pub(super) echoes: VecDeque<(u32, Option<u32>)>,
    /// Links that may have something to send, by session and link, each once.
    pub(super) ready: VecDeque<(u32, u32)>,
    /// Bytes of a frame that the peer takes.
    pub(super) frame: usize,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.watch.close();
    }
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            watch: Watch::default(),
            table: Table::default(),
            links: 0,
            flows: 0,
            unfinished: 0,
            channel_max: None,
            idle: None,
            open_sent: false,
            open_received: false,
            close_sent: false,
            close_received: false,
            delivered: false,
            drains: VecDeque::new(),
            due: VecDeque::new(),
            gathered: Gathered::default(),
            served: Served::default(),
            settlements: VecDeque::new(),
            echoes: VecDeque::new(),
            ready: VecDeque::new(),
            frame: usize::MAX,
        }
    }

    /// When the next link is to be drained.
    pub(super) fn next_drain(&self) -> Option<Instant> {
        self.drains.front().map(|(when, _, _)| *when)
    }

    /// Has the crate drain the links whose time has come.
    pub(super) fn drain(&mut self, now: Instant) {
        while let Some(&(when, session, link)) = self.drains.front()
            && when <= now
        {
            self.drain_link(session, link);
        }
    }

    /// Has the crate drain a link.
    pub(super) fn drain_link(&mut self, session: u32, link: u32) {
        self.drains.retain(|(_, of, at)| (*of, *at) != (session, link));
        let Some(session) = self.table.sessions.get_mut(session) else { return };
        let (channel, place) = (session.theirs, session.place);
        let for_crate = session.place_for_crate();
        let Some(link) = session.links.get_mut(link) else { return };
        link.drains_after = None;
        let flow = link.drain.take().filter(|_| link.input.is_some());
        if let (Some(channel), Some(place), Some(mut flow)) = (channel, place, flow) {
            flow.next_incoming_id = place.next_incoming_id;
            flow.incoming_window = place.incoming_window;
            if let Some((id, window)) = for_crate {
                (flow.next_incoming_id, flow.incoming_window) = (Some(id), window);
            }
            flow.next_outgoing_id = place.next_outgoing_id;
            flow.outgoing_window = place.outgoing_window;
            self.due.extend(framed(channel, &flow));
        }
    }

    /// A delivery of ours has begun.
    pub(super) fn has_begun(&mut self, session: u32, link: u32) {
        let of = self.table.sessions.get_mut(session);
        let Some(begun) = of.and_then(|session| session.links.get_mut(link)) else { return };
        begun.watch.count_delivery();
        begun.begun = begun.begun.wrapping_add(1);
        if begun.drains_after == Some(begun.begun) {
            self.drain_link(session, link);
        }
    }

    /// Forgets the session at `at`, if both have ended it.
    pub(super) fn sweep_session(&mut self, at: u32) {
        if !self.table.sessions.get(at).is_some_and(super::table::Session::is_over) {
            return;
        }
        let Some(session) = self.table.sessions.take(at) else { return };
        for (_, link) in session.links.iter() {
            self.links = self.links.saturating_sub(1);
            self.flows = self.flows.saturating_sub(link.flows);
            let bytes = link.incoming.delivery.as_ref().map_or(0, |delivery| delivery.bytes);
            self.unfinished = self.unfinished.saturating_sub(bytes);
        }
    }

    /// Forgets the link at `link` of a session, if both have detached it.
    pub(super) fn sweep_link(&mut self, session: u32, link: u32) {
        let Some(session) = self.table.sessions.get_mut(session) else { return };
        let over = session.links.get(link).is_some_and(|link| {
            link.input.is_none() && link.output.is_none() && link.attached && link.answered
        });
        if over && let Some(link) = session.links.take(link) {
            self.links = self.links.saturating_sub(1);
            let bytes = link.incoming.delivery.as_ref().map_or(0, |delivery| delivery.bytes);
            self.unfinished = self.unfinished.saturating_sub(bytes);
        }
    }
}

/// The channel of a frame.
pub(super) fn channel(frame: &[u8]) -> u16 {
    frame.get(6..8).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}
