//! Deliveries that the fence sends by itself, past the crate.
//!
//! What the crate is given to send goes through two of its tasks, is encoded there and read again here. So replies are
//! left to the fence, on links whose server says so ([`LinkWatch::send_past_crate`](super::LinkWatch::send_past_crate)):
//! they wait for credit and for the session's window in its ledger. The numbers of what the crate itself sends over the
//! same session are set right.

use std::collections::VecDeque;
use std::fmt;

use fe2o3_amqp_types::performatives::Flow;

use super::LinkWatch;
use super::inbound::framed;
use super::ledger::Ledger;
use super::table::{Session, Unsettled};
use super::writing::Writing;

/// Bytes of a message that one frame has at most, however long the peer's may be: then other links get their turn.
const CHUNK: usize = 32 * 1024;

/// Bytes of a frame beside that: its head, and a Transfer with each field as long as it gets.
const HEAD: usize = 8 + 32;

/// Deliveries that the peer may leave unsettled before the next one waits.
const UNSETTLED: u32 = 1000;

/// Something to be sent. Dropped before [`Letter::sent`] it is lost.
pub trait Letter: fmt::Debug + Send {
    /// Its sections, as they are written. `limit` is how many bytes the link takes; none sends nothing.
    fn write(&mut self, limit: u64) -> Option<Vec<u8>>;
    /// Whether it is sent settled.
    fn is_settled(&self) -> bool;
    /// There is credit for it: what it waits for is the session's window.
    fn has_credit(&mut self);
    /// All of it is on its way.
    fn sent(self: Box<Self>);
}

/// What a link has to send.
#[derive(Debug, Default)]
pub(super) struct Sending {
    letters: VecDeque<Box<dyn Letter>>,
    /// The first as it is written, and how much of it has been put.
    bytes: Option<Vec<u8>>,
    put: usize,
    /// Whether a frame of it has been put.
    has_begun: bool,
    /// Its id, and its number on the link.
    id: u32,
    tag: u32,
    /// Whether the link is among those that may have something to send.
    pub(super) is_ready: bool,
    /// How many of what was sent is not settled.
    pub(super) unsettled: u32,
    /// How many of the letters know that there is credit for them.
    credited: usize,
}

impl Sending {
    /// None of it will be sent. How many letters that are.
    fn clear(&mut self) -> usize {
        let cleared = self.letters.len();
        *self = Self { is_ready: self.is_ready, unsettled: self.unsettled, ..Self::default() };
        cleared
    }

    /// The first letter has been dealt with.
    fn pop(&mut self) -> Option<Box<dyn Letter>> {
        (self.bytes, self.put, self.has_begun) = (None, 0, false);
        self.credited = self.credited.saturating_sub(1);
        self.letters.pop_front()
    }

    /// There is credit for so many.
    fn credit(&mut self, covered: usize) {
        let told = self.letters.iter_mut().take(covered).skip(self.credited);
        self.credited += told.map(|letter| letter.has_credit()).count();
    }
}

/// What is next after a look at a link.
enum Then {
    /// It has sent a frame: another link's turn.
    Turn,
    /// It waits for the peer to give credit, or for something to send.
    Peer,
    /// It waits for room in what is written.
    Room,
}

impl Session {
    /// Nothing that waits for a link will be sent.
    pub(super) fn drop_letters(&mut self, link: u32) {
        if let Some(link) = self.links.get_mut(link) {
            self.letters = self.letters.saturating_sub(link.sending.clear());
            link.watch.detach();
        }
    }

    /// The same, of all links.
    pub(super) fn drop_all_letters(&mut self) {
        for (_, link) in self.links.iter_mut() {
            link.sending.clear();
            link.watch.detach();
        }
        self.letters = 0;
    }
}

impl Ledger {
    /// Something is to be sent over a link.
    pub(super) fn post(&mut self, over: &LinkWatch, letter: Box<dyn Letter>) {
        let Some((session, at)) = over.place() else { return };
        let Some(of) = self.table.sessions.get_mut(session) else { return };
        let link = of.links.get_mut(at).filter(|link| link.watch.is(over) && !over.is_detached());
        if let Some(link) = link {
            link.sending.letters.push_back(letter);
            of.letters += 1;
            self.may_send(session, at);
        }
    }

    /// A link may have something that it can send.
    pub(super) fn may_send(&mut self, session: u32, link: u32) {
        let of = self.table.sessions.get_mut(session);
        if let Some(found) = of.and_then(|session| session.links.get_mut(link))
            && !found.sending.letters.is_empty()
            && !found.sending.is_ready
        {
            found.sending.is_ready = true;
            self.ready.push_back((session, link));
        }
    }

    /// All links of a session may have: its window is wider.
    pub(super) fn may_all_send(&mut self, session: Option<u32>) {
        let Some(session) = session else { return };
        let Some(of) = self.table.sessions.get_mut(session).filter(|of| of.letters > 0) else {
            return;
        };
        for (link, found) in of.links.iter_mut() {
            if !found.sending.letters.is_empty() && !found.sending.is_ready {
                found.sending.is_ready = true;
                self.ready.push_back((session, link));
            }
        }
    }

    /// Puts what can be sent, a frame of each link in turn.
    pub(super) fn send(&mut self, writing: &mut Writing) {
        while let Some(&(session, link)) = self.ready.front() {
            match self.send_over(session, link, writing) {
                Then::Room => return,
                Then::Turn => self.ready.rotate_left(1),
                Then::Peer => {
                    self.ready.pop_front();
                    let of = self.table.sessions.get_mut(session);
                    if let Some(link) = of.and_then(|session| session.links.get_mut(link)) {
                        link.sending.is_ready = false;
                    }
                }
            }
        }
    }

    fn send_over(&mut self, at: u32, number: u32, writing: &mut Writing) -> Then {
        let Some(session) = self.table.sessions.get_mut(at) else { return Then::Peer };
        if session.letters > 0 && session.shares() && session.fence_room == 0 {
            self.split(at, false);
        }
        let Some(session) = self.table.sessions.get_mut(at) else { return Then::Peer };
        let window = session.window();
        let window = if session.shares() { window.min(session.fence_room) } else { window };
        let (Some(channel), Some(own)) = (session.ours, &mut session.own) else {
            return Then::Peer;
        };
        let Some(link) = session.links.get_mut(number) else { return Then::Peer };
        let (Some(handle), Some(letter)) = (link.output, link.sending.letters.front_mut()) else {
            return Then::Peer;
        };
        let settled = letter.is_settled();
        let begins = !link.sending.has_begun;
        let credit = link.watch.credit();
        if begins && (credit == 0 || link.sending.unsettled >= UNSETTLED) {
            return Then::Peer;
        }
        if window == 0 {
            let credit = usize::try_from(credit).unwrap_or(usize::MAX);
            link.sending.credit(credit.saturating_add(usize::from(!begins)));
            return Then::Peer;
        }
        let room = writing.room();
        if room < HEAD {
            return Then::Room;
        }
        if link.sending.bytes.is_none() {
            link.sending.bytes = letter.write(link.largest);
            if link.sending.bytes.is_none() {
                link.sending.pop();
                session.letters = session.letters.saturating_sub(1);
                return Then::Turn;
            }
        }
        let bytes = link.sending.bytes.as_deref().unwrap_or_default();
        let rest = bytes.get(link.sending.put..).unwrap_or_default();
        let part = rest.len().min(self.frame.saturating_sub(HEAD)).min(CHUNK);
        if room < HEAD + part {
            return Then::Room;
        }
        let more = part < rest.len();
        if begins {
            (link.sending.id, link.sending.tag) = (session.next_delivery, link.begun);
        }
        let Sending { id, tag, .. } = link.sending;
        let head = transfer(channel, handle, id, tag, settled, more, part);
        if !writing.put_both_between(&head, rest.get(..part).unwrap_or_default()) {
            return Then::Room;
        }
        link.sending.put += part;
        link.sending.has_begun = true;
        let sent = if more { None } else { link.sending.pop() };
        own.next_outgoing_id = own.next_outgoing_id.wrapping_add(1);
        session.hidden = session.hidden.wrapping_add(1);
        session.fence_room = session.fence_room.saturating_sub(1);
        if begins {
            session.next_delivery = id.wrapping_add(1);
            session.hidden_deliveries = session.hidden_deliveries.wrapping_add(1);
            if !settled {
                link.sending.unsettled += 1;
                let unsettled = Unsettled { link: number, number: tag, told: false, crates: None };
                session.unsettled.insert(id, unsettled);
            }
        }
        if let Some(letter) = sent {
            session.letters = session.letters.saturating_sub(1);
            self.gathered.written = self.gathered.written.saturating_add(1);
            letter.sent();
        }
        if begins {
            self.has_begun(at, number);
        }
        Then::Turn
    }

    /// Shares what is left of the window of a session anew, and tells the crate, which counts only what it sends itself.
    /// What it has on its way by what it was told before may come on top: peers do not end a session for that.
    pub(super) fn split(&mut self, session: u32, for_crate: bool) {
        let Some(of) = self.table.sessions.get_mut(session) else { return };
        of.divide(for_crate);
        let (Some(channel), Some(place), Some((next_incoming_id, incoming_window))) =
            (of.theirs, of.place, of.place_for_crate())
        else {
            return;
        };
        let flow = Flow {
            next_incoming_id: Some(next_incoming_id),
            incoming_window,
            next_outgoing_id: of.next_incoming,
            outgoing_window: place.outgoing_window,
            handle: None,
            delivery_count: None,
            link_credit: None,
            available: None,
            drain: false,
            echo: false,
            properties: None,
        };
        self.due.extend(framed(channel, &flow));
    }
}

/// The head of a frame, and the Transfer in it, before `part` bytes of a message. `id` is the delivery's, `tag` its number
/// on its link. Section 2.7.5 of the specification.
fn transfer(
    channel: u16,
    handle: u32,
    id: u32,
    tag: u32,
    settled: bool,
    more: bool,
    part: usize,
) -> Vec<u8> {
    let boolean = |is| if is { 0x41 } else { 0x42 };
    let mut frame = Vec::with_capacity(HEAD);
    // Data offset and type behind the length.
    frame.extend([0, 0, 0, 0, 2, 0]);
    frame.extend(channel.to_be_bytes());
    frame.extend([0x00, 0x53, 0x14, 0xc0, 0, 11, 0x70]);
    frame.extend(handle.to_be_bytes());
    frame.push(0x70);
    frame.extend(id.to_be_bytes());
    frame.extend([0xa0, 4]);
    frame.extend(tag.to_be_bytes());
    // The format of messages is 0. No mode, no state; not resumed, aborted or batchable: Azure's clients read all fields
    // by number.
    frame.extend([0x43, boolean(settled), boolean(more), 0x40, 0x40, 0x42, 0x42, 0x42]);
    let list = u8::try_from(frame.len() - 13).unwrap_or(u8::MAX);
    frame[12] = list;
    let size = u32::try_from(frame.len() + part).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}
