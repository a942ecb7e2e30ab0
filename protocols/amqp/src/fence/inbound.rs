//! The peer's frames: which are let through, and how.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::performatives::{Attach, Begin, Detach, Open, Performative as Typed};
use serde::Serialize;

use super::fields::{Fields, Performative, Wrong};
use super::ledger::{ATTACH, ATTACH_ITEMS, Ledger, NAME, channel};
use super::outgoing::Dispositions;
use super::refusal::{list_of, sized};
use super::sending::Sending;
use super::shape;
use super::table::{Incoming, Link, Place, Session};
use super::walk::Walk;
use super::{Fault, Refusal};

/// The frame that the crate takes before the connection is open. Section 2.4.1 of the specification.
const SMALLEST: u32 = 512;

/// Bytes that the fence may add to a frame of the crate's.
const LONGER: u32 = 8;

/// The address that a link to a coordinator of transactions is given.
pub(crate) const COORDINATOR: &str = "amqp:coordinator";

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The crate gets it; a few of its bytes may have been changed.
    Pass,
    /// The crate gets this instead.
    Replace(Vec<u8>),
    /// The crate does not get it, or not now.
    Hold,
    /// Neither it nor what follows is for the crate before more has been written: it is judged again then.
    Wait,
}

impl From<Wrong> for Refusal {
    fn from(_: Wrong) -> Self {
        Self::Performative("a field is of another type than its own".to_owned())
    }
}

pub(super) fn missing(field: &str) -> Refusal {
    Refusal::Performative(format!("there is no {field}"))
}

impl Ledger {
    /// Judges a frame without extended header.
    pub(super) fn inbound(&mut self, frame: &mut [u8]) -> Result<Verdict, Refusal> {
        let Some(body) = frame.get(8..).filter(|body| !body.is_empty()) else {
            return Ok(Verdict::Pass);
        };
        let length = Walk::value(body, self.limits.fields).map_err(Refusal::Encoding)?;
        let (performative, fields) = Fields::open(frame, 8)
            .ok_or_else(|| Refusal::Performative("it is no performative".to_owned()))?;
        if performative != Performative::Transfer && length != body.len() {
            return Err(Refusal::Performative("it is followed by something".to_owned()));
        }
        if self.open_received == (performative == Performative::Open) {
            return Err(Refusal::Open);
        }
        if performative == Performative::Attach
            && let Some(mut plain) = without_coordinator(frame, &fields)
        {
            let verdict = self.inbound(&mut plain)?;
            return Ok(if verdict == Verdict::Pass { Verdict::Replace(plain) } else { verdict });
        }
        let Some(list) = shape::judge(performative, &fields)? else {
            return self.sound(performative, frame, length);
        };
        let head = frame.get(4..fields.list()).unwrap_or_default();
        let mut frame = lengthened(head, &list);
        let verdict = self.sound(performative, &mut frame, length)?;
        Ok(if verdict == Verdict::Pass { Verdict::Replace(frame) } else { verdict })
    }

    /// Judges a frame that is what its performative has, by what it asks for. Its first `length` bytes are the
    /// performative.
    fn sound(
        &mut self,
        performative: Performative,
        frame: &mut [u8],
        length: usize,
    ) -> Result<Verdict, Refusal> {
        let channel = channel(frame);
        match performative {
            Performative::Open => self.open(frame),
            Performative::Begin => self.begin(channel, frame),
            Performative::Attach => self.attach(channel, frame),
            Performative::Flow => self.flow(channel, frame),
            Performative::Transfer => self.transfer(channel, frame, length),
            Performative::Disposition => self.disposition(channel, frame),
            Performative::Detach => self.detach(channel, frame),
            Performative::End => self.end(channel, frame),
            Performative::Close => {
                typed(frame)?;
                self.close_received = true;
                Ok(Verdict::Pass)
            }
        }
    }

    fn open(&mut self, frame: &mut [u8]) -> Result<Verdict, Refusal> {
        let Typed::Open(open) = typed(frame)? else { return Err(Refusal::Open) };
        let mut fields = opened(frame)?;
        fields.skip(2);
        let size = fields.next();
        let size = size.at..size.at + size.bytes.len();
        fields.skip(1);
        let idle = fields.next();
        let (at, kept) = (idle.at, fields.at());
        let edited = self.shorten_idle(&open, idle.bytes.len());
        self.open_received = true;
        let size_of_frame = open.max_frame_size.0.max(SMALLEST);
        self.frame = usize::try_from(size_of_frame).unwrap_or(usize::MAX);
        // The crate fills frames to the last byte, in which a number may become longer.
        let shorter = open.max_frame_size.0.saturating_sub(LONGER).max(SMALLEST);
        self.watch.opened(open);
        if size.len() == 5
            && let Some(field) = frame.get_mut(size.start + 1..size.end)
        {
            field.copy_from_slice(&shorter.to_be_bytes());
        }
        if let Some(edited) = edited
            && let Some(field) = frame.get_mut(at + 1..at + 1 + edited.len())
        {
            field.copy_from_slice(&edited);
        }
        let fits = |frame: &[u8]| u32::try_from(frame.len()).is_ok_and(|size| size <= SMALLEST);
        if fits(frame) {
            return Ok(Verdict::Pass);
        }
        // What the crate would not read is seen by `Watch::peer`.
        let fields = opened(frame)?;
        let count = u32::try_from(fields.left()).unwrap_or(u32::MAX).min(5);
        let frame = rebuilt(frame, &fields, &[], fields.at()..kept, count);
        if !fits(&frame) {
            let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            return Err(Refusal::FrameTooLarge { size, limit: SMALLEST });
        }
        Ok(Verdict::Replace(frame))
    }

    /// The crate sends a heartbeat once in an idle time-out, at which peers lose patience: it is told the half of it.
    /// The number is written in the bytes that it had.
    fn shorten_idle(&self, open: &Open, width: usize) -> Option<Vec<u8>> {
        let idle = open.idle_time_out.filter(|idle| *idle > 0)?;
        let floor = u32::try_from(self.limits.idle.as_millis()).unwrap_or(u32::MAX);
        let shorter = (idle / 2).max(floor);
        match width {
            5 => Some(shorter.to_be_bytes().to_vec()),
            // Of one byte: the floor may not fit.
            2 => Some(vec![u8::try_from(shorter).unwrap_or(u8::MAX)]),
            _ => None,
        }
    }

    fn begin(&mut self, channel: u16, frame: &[u8]) -> Result<Verdict, Refusal> {
        let Typed::Begin(begin) = typed(frame)? else {
            return Err(Refusal::Begin { channel });
        };
        let Begin { remote_channel, next_outgoing_id, incoming_window, outgoing_window, .. } =
            begin;
        let limit = self.channel_max.unwrap_or(u16::MAX).min(self.limits.channel);
        if channel > limit {
            return Err(Refusal::Channel { channel, limit });
        }
        if self.table.theirs.get(channel.into()).is_some() {
            return Err(Refusal::Begin { channel });
        }
        let at = if let Some(ours) = remote_channel {
            let at = self.table.ours.get(ours.into()).copied();
            let session = at.and_then(|at| self.table.sessions.get_mut(at));
            let session = session.filter(|session| session.theirs.is_none() && !session.begun);
            let session = session.ok_or(Refusal::Begin { channel })?;
            session.theirs = Some(channel);
            session.begun = true;
            at
        } else {
            // Of those that the peer has ended the crate may not have answered all.
            let limit = self.limits.sessions;
            let live = self.table.theirs.iter().count();
            let known = self.table.sessions.iter().count();
            if live >= usize::from(limit) || known >= 2 * usize::from(limit) {
                return Err(Refusal::Sessions { limit });
            }
            let session = Session { theirs: Some(channel), ..Session::default() };
            Some(self.table.sessions.insert(session))
        };
        if let Some(at) = at {
            self.table.theirs.set(channel.into(), at);
            if let Some(session) = self.table.sessions.get_mut(at) {
                session.next_incoming = next_outgoing_id;
                session.place = Some(Place {
                    next_incoming_id: None,
                    incoming_window,
                    next_outgoing_id,
                    outgoing_window,
                });
            }
        }
        Ok(Verdict::Pass)
    }

    pub(super) fn session(&mut self, channel: u16) -> Result<&mut Session, Refusal> {
        self.table.by_theirs(channel).ok_or(Refusal::NoSession { channel })
    }

    fn attach(&mut self, channel: u16, frame: &[u8]) -> Result<Verdict, Refusal> {
        let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        if size > ATTACH {
            return Err(Refusal::Attach { size, limit: ATTACH });
        }
        let body = frame.get(8..).unwrap_or_default();
        Walk::value(body, ATTACH_ITEMS).map_err(Refusal::Encoding)?;
        let Typed::Attach(attach) = typed(frame)? else {
            return Err(missing("attach"));
        };
        let Attach { name, handle, role, initial_delivery_count, max_message_size, .. } = attach;
        let largest = max_message_size.filter(|size| *size > 0).unwrap_or(u64::MAX);
        let handle = handle.0;
        let peer_sends = role == Role::Sender;
        let (most, limit) = (self.limits.links, self.limits.handle);
        let links = self.links;
        let watch = self.watch.clone();
        let of = self.table.theirs.get(channel.into()).copied();
        let session = self.session(channel)?;
        let limit = session.handle_max.unwrap_or(u32::MAX).min(limit);
        if handle > limit {
            return Err(Refusal::Handle { handle, limit });
        }
        if session.inputs.get(handle).is_some() {
            return Err(Refusal::HandleInUse { handle });
        }
        if name.len() > NAME {
            return Err(Refusal::LinkName { length: name.len(), limit: NAME });
        }
        let answer = session.links.iter().find(|(_, link)| {
            !link.attached && link.peer_sends == peer_sends && *link.name == *name
        });
        let answer = answer.map(|(at, _)| at);
        if let Some(at) = answer {
            session.inputs.set(handle, at);
            if let Some(link) = session.links.get_mut(at) {
                link.input = Some(handle);
                link.attached = true;
                link.incoming.initial = initial_delivery_count.unwrap_or(0);
                link.incoming.count = link.incoming.initial;
                link.largest = largest;
                watch.attach(channel, handle, &link.watch);
            }
            return Ok(Verdict::Pass);
        }
        if links >= most {
            return Err(Refusal::Links { limit: most });
        }
        let second = session.links.iter().any(|(_, link)| link.is_twin(&name, peer_sends));
        let unique = unique(session, &name, peer_sends);
        let dispositions = session
            .dispositions
            .get_or_insert_with(|| Arc::new(Dispositions::new(watch.outgoing().clone())));
        session.ours.iter().for_each(|channel| dispositions.begun(*channel));
        let told = Some(Arc::clone(dispositions));
        let link_watch = watch.new_link(&name, second, told);
        let initial = initial_delivery_count.unwrap_or(0);
        let suffix = unique.len() - name.len();
        let at = session.links.insert(Link {
            name: unique.as_str().into(),
            suffix,
            peer_sends,
            input: Some(handle),
            output: None,
            attached: true,
            answered: false,
            flows: 0,
            drain: None,
            drains_after: None,
            detach: None,
            begun: 0,
            watch: link_watch.clone(),
            incoming: Incoming { initial, count: initial, ..Incoming::default() },
            sending: Sending::default(),
            largest,
        });
        if let Some(of) = of {
            link_watch.put_at(of, at);
        }
        session.inputs.set(handle, at);
        self.links += 1;
        watch.attach(channel, handle, &link_watch);
        if suffix == 0 {
            return Ok(Verdict::Pass);
        }
        let mut fields = opened(frame)?;
        let count = u32::try_from(fields.left()).unwrap_or(u32::MAX);
        fields.next();
        let name = sized(0xa1, 0xb1, unique.as_bytes());
        Ok(Verdict::Replace(rebuilt(frame, &fields, &name, fields.at()..frame.len(), count)))
    }

    fn detach(&mut self, channel: u16, frame: &[u8]) -> Result<Verdict, Refusal> {
        let Typed::Detach(detach) = typed(frame)? else { return Err(missing("detach")) };
        let handle = detach.handle.0;
        let watch = self.watch.clone();
        let session = self.session(channel)?;
        let Some(&at) = session.inputs.get(handle) else {
            return Err(Refusal::Unattached { handle });
        };
        let Some(link) = session.links.get_mut(at) else {
            return Err(Refusal::Unattached { handle });
        };
        if !link.answered {
            // The crate does not know the link yet, and would forget that it was detached.
            if link.detach.is_some() {
                return Err(Refusal::Unattached { handle });
            }
            // Why it is detached is nobody's concern: the link was never served.
            let bare = Detach { error: None, ..detach };
            link.detach = framed(channel, &bare);
            return Ok(Verdict::Hold);
        }
        link.input = None;
        watch.detach(channel, handle, &link.watch);
        session.drop_letters(at);
        session.inputs.take(handle);
        let session = self.table.theirs.get(channel.into()).copied();
        if let Some(session) = session {
            self.forget(session, at);
            self.sweep_link(session, at);
        }
        Ok(Verdict::Pass)
    }

    fn end(&mut self, channel: u16, frame: &[u8]) -> Result<Verdict, Refusal> {
        typed(frame)?;
        let closing = self.close_sent;
        let session = self.session(channel)?;
        if !session.begun && !closing {
            // The crate could forget the session before it has answered it, and closes the connection over that.
            return Ok(Verdict::Wait);
        }
        session.theirs = None;
        session.drop_all_letters();
        self.watch.end_session(channel);
        if let Some(at) = self.table.theirs.take(channel.into()) {
            self.sweep_session(at);
        }
        Ok(Verdict::Pass)
    }
}

/// What the crate will make of it, where that is worth its price.
pub(super) fn typed(frame: &[u8]) -> Result<Typed, Refusal> {
    let mut rest = frame.get(8..).unwrap_or_default();
    let typed = serde_amqp::from_reader(&mut rest)
        .map_err(|error| Refusal::Performative(error.to_string()))?;
    if rest.is_empty() { Ok(typed) } else { Err(Wrong.into()) }
}

pub(super) fn opened(frame: &[u8]) -> Result<Fields<'_>, Refusal> {
    let opened = Fields::open(frame, 8).map(|(_, fields)| fields);
    opened.ok_or(Refusal::Encoding(Fault::Truncated))
}

/// An Attach frame whose target is an address in place of a coordinator of transactions, which the crate cannot read;
/// none if it is no coordinator. Section 4.5.1 of the specification.
fn without_coordinator(frame: &[u8], fields: &Fields<'_>) -> Option<Vec<u8>> {
    let mut behind = fields.clone();
    behind.skip(6);
    let target = behind.next();
    if !target.is_described(0x30, b"amqp:coordinator:list") {
        return None;
    }
    let address = list_of(1, &sized(0xa1, 0xb1, COORDINATOR.as_bytes()));
    let before = frame.get(fields.at()..target.at)?;
    let before = [before, &[0x00, 0x53, 0x29], &address].concat();
    let count = u32::try_from(fields.left()).ok()?;
    Some(rebuilt(frame, fields, &before, behind.at()..frame.len(), count))
}

/// A frame like `frame`, whose list has `count` fields: `before`, and what is at `rest`.
fn rebuilt(
    frame: &[u8],
    fields: &Fields<'_>,
    before: &[u8],
    rest: std::ops::Range<usize>,
    count: u32,
) -> Vec<u8> {
    let rest = frame.get(rest).unwrap_or_default();
    let head = frame.get(4..fields.list()).unwrap_or_default();
    lengthened(head, &list_of(count, &[before, rest].concat()))
}

/// A frame of all but its length.
pub(super) fn lengthened(head: &[u8], list: &[u8]) -> Vec<u8> {
    let size = u32::try_from(4 + head.len() + list.len()).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], head, list].concat()
}

/// A frame of `performative`; none if it cannot be written, which would be strange.
pub(super) fn framed(channel: u16, performative: &impl Serialize) -> Option<Vec<u8>> {
    let body = serde_amqp::to_vec(performative).ok()?;
    let size = u32::try_from(body.len() + 8).ok()?;
    Some([&size.to_be_bytes()[..], &[2, 0], &channel.to_be_bytes(), &body].concat())
}

/// A name that no other link has.
///
/// The crate finds links by their names alone, so that the second of a pair would never be answered.
fn unique(session: &Session, name: &str, peer_sends: bool) -> String {
    let taken = |name: &str| session.links.iter().any(|(_, link)| *link.name == *name);
    let mut unique = name.to_owned();
    let mut suffix = if peer_sends { "#in" } else { "#out" }.to_owned();
    while taken(&unique) {
        unique = format!("{name}{suffix}");
        // Nobody can tell which, and have taken that.
        suffix = format!("#{:016x}", RandomState::new().hash_one(name));
    }
    unique
}
