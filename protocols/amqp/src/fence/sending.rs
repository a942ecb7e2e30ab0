//! Deliveries that the fence sends by itself, past the crate.
//!
//! What the crate is given to send goes through two of its tasks, is encoded there and read again here. So replies are
//! left to the fence, on links whose server says so ([`LinkWatch::send_past_crate`](super::LinkWatch::send_past_crate)):
//! they wait for credit and for the session's window in its ledger. The numbers of what the crate itself sends over the
//! same session are set right.

use std::collections::VecDeque;
use std::fmt;

use super::ledger::Ledger;
use super::table::Unsettled;
use super::writing::Writing;

/// Bytes of a message that one frame has at most, however long the peer's may be: others get their turn.
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
}

impl Sending {
    pub(super) fn push(&mut self, letter: Box<dyn Letter>) {
        self.letters.push_back(letter);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// None of it will be sent.
    pub(super) fn clear(&mut self) {
        *self = Self { is_ready: self.is_ready, unsettled: self.unsettled, ..Self::default() };
    }
}

/// Why no more is sent for now.
enum Waits {
    /// For the peer to give credit, or for something to send.
    Peer,
    /// For room in what is written.
    Room,
}

impl Ledger {
    /// A link may have something that it can send.
    pub(super) fn may_send(&mut self, session: u32, link: u32) {
        let of = self.table.sessions.get_mut(session);
        if let Some(found) = of.and_then(|session| session.links.get_mut(link))
            && !found.sending.is_empty()
            && !found.sending.is_ready
        {
            found.sending.is_ready = true;
            self.ready.push_back((session, link));
        }
    }

    /// All links of a session may have: its window is wider.
    pub(super) fn may_all_send(&mut self, session: Option<u32>) {
        let Some(session) = session else { return };
        let Some(of) = self.table.sessions.get_mut(session) else { return };
        for (link, found) in of.links.iter_mut() {
            if !found.sending.is_empty() && !found.sending.is_ready {
                found.sending.is_ready = true;
                self.ready.push_back((session, link));
            }
        }
    }

    /// Puts what can be sent.
    pub(super) fn send(&mut self, writing: &mut Writing) {
        while let Some(&(session, link)) = self.ready.front() {
            match self.send_over(session, link, writing) {
                Waits::Room => return,
                Waits::Peer => {
                    self.ready.pop_front();
                    let of = self.table.sessions.get_mut(session);
                    if let Some(link) = of.and_then(|session| session.links.get_mut(link)) {
                        link.sending.is_ready = false;
                    }
                }
            }
        }
    }

    fn send_over(&mut self, at: u32, number: u32, writing: &mut Writing) -> Waits {
        loop {
            let Some(session) = self.table.sessions.get_mut(at) else { return Waits::Peer };
            let window = session.window();
            let (Some(channel), Some(own)) = (session.ours, &mut session.own) else {
                return Waits::Peer;
            };
            let Some(link) = session.links.get_mut(number) else { return Waits::Peer };
            let (Some(handle), Some(letter)) = (link.output, link.sending.letters.front_mut())
            else {
                return Waits::Peer;
            };
            let settled = letter.is_settled();
            let begins = !link.sending.has_begun;
            let may_begin = link.watch.credit() > 0 && link.sending.unsettled < UNSETTLED;
            if begins && !may_begin {
                return Waits::Peer;
            }
            if window == 0 {
                let credit = usize::try_from(link.watch.credit()).unwrap_or(usize::MAX);
                let covered = credit.saturating_add(usize::from(!begins));
                link.sending.letters.iter_mut().take(covered).for_each(|one| one.has_credit());
                return Waits::Peer;
            }
            let room = writing.room();
            if room < HEAD {
                return Waits::Room;
            }
            if link.sending.bytes.is_none() {
                link.sending.bytes = letter.write(link.largest);
                if link.sending.bytes.is_none() {
                    link.sending.letters.pop_front();
                    continue;
                }
            }
            let bytes = link.sending.bytes.as_deref().unwrap_or_default();
            let rest = bytes.get(link.sending.put..).unwrap_or_default();
            let part = rest.len().min(self.frame.saturating_sub(HEAD)).min(CHUNK);
            if room < HEAD + part {
                return Waits::Room;
            }
            let more = part < rest.len();
            if begins {
                (link.sending.id, link.sending.tag) = (session.next_delivery, link.begun);
            }
            let Sending { id, tag, .. } = link.sending;
            let head = transfer(channel, handle, id, tag, settled, more, part);
            if !writing.put_both_between(&head, rest.get(..part).unwrap_or_default()) {
                return Waits::Room;
            }
            link.sending.put += part;
            link.sending.has_begun = true;
            own.next_outgoing_id = own.next_outgoing_id.wrapping_add(1);
            session.hidden = session.hidden.wrapping_add(1);
            if begins {
                session.next_delivery = id.wrapping_add(1);
                session.hidden_deliveries = session.hidden_deliveries.wrapping_add(1);
                if !settled {
                    link.sending.unsettled += 1;
                    let unsettled =
                        Unsettled { link: number, number: tag, told: false, crates: None };
                    session.unsettled.insert(id, unsettled);
                }
                self.has_begun(at, number);
            }
            if !more {
                self.gathered.written = self.gathered.written.saturating_add(1);
                let session = self.table.sessions.get_mut(at);
                let link = session.and_then(|session| session.links.get_mut(number));
                let letter = link.and_then(|link| {
                    link.sending.bytes = None;
                    link.sending.put = 0;
                    link.sending.has_begun = false;
                    link.sending.letters.pop_front()
                });
                letter.into_iter().for_each(Letter::sent);
            }
        }
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
