//! Our frames, as the crate writes them: what they tell, and the names that are given back.

use super::fields::{Fields, Performative, Wrong};
use super::ledger::{Ledger, channel};
use super::sending::Sending;
use super::table::{Incoming, Link, Place, Session, Unsettled};

impl Ledger {
    /// Takes note of a frame, or of the beginning of one that is long, and says what of it is not sent as it is.
    ///
    /// What the crate writes is not judged: where it cannot be read, nothing is noted.
    pub(super) fn outbound(&mut self, frame: &[u8]) -> Option<Edit> {
        if frame.len() <= 8 {
            return None;
        }
        let (performative, fields) = Fields::open(frame, 8)?;
        let channel = channel(frame);
        match performative {
            Performative::Attach => return self.attached(channel, fields).map(Edit::Name),
            Performative::Open => return self.opened(fields).unwrap_or(None),
            Performative::Begin => drop(self.begun(channel, fields)),
            Performative::Flow => return self.flowed(channel, frame, fields).unwrap_or(None),
            Performative::Transfer => {
                return self.transferred(channel, fields).unwrap_or(None);
            }
            Performative::Detach => drop(self.detached(channel, fields)),
            Performative::End => self.ended(channel),
            Performative::Close => self.close_sent = true,
            Performative::Disposition => return self.disposed(channel, fields),
        }
        None
    }

    fn opened(&mut self, mut fields: Fields<'_>) -> Result<Option<Edit>, Wrong> {
        self.open_sent = true;
        fields.skip(3);
        self.channel_max = fields.next().ushort()?;
        let field = fields.next();
        self.idle = field.uint()?.filter(|idle| *idle > 0);
        let halved = self.idle.filter(|_| self.limits.announces_half).map(|idle| idle / 2);
        // In the bytes that it had: one that fits a single one is no time-out anybody keeps.
        let wide = field.bytes.len() == 5;
        Ok(halved.filter(|_| wide).map(|idle| Edit::Idle(field.at + 1, idle.to_be_bytes())))
    }

    fn begun(&mut self, channel: u16, mut fields: Fields<'_>) -> Result<(), Wrong> {
        let theirs = fields.next().ushort()?;
        let mut uint = || Ok(fields.next().uint()?.unwrap_or(0));
        let (next_outgoing_id, incoming_window, outgoing_window) = (uint()?, uint()?, uint()?);
        let own =
            Place { next_incoming_id: None, incoming_window, next_outgoing_id, outgoing_window };
        let handle_max = fields.next().uint()?;
        let at = if let Some(theirs) = theirs {
            // The peer may have ended it, and another be on its channel: the one that waits for an answer is meant.
            let waits = |session: &Session| !session.begun && session.ours.is_none();
            let known = self.table.theirs.get(theirs.into()).copied();
            let known = known.filter(|at| self.table.sessions.get(*at).is_some_and(waits));
            let known = known.or_else(|| {
                let gone = |session: &Session| waits(session) && session.theirs.is_none();
                self.table.sessions.iter().find(|(_, session)| gone(session)).map(|(at, _)| at)
            });
            let Some(at) = known else { return Ok(()) };
            at
        } else {
            self.table.sessions.insert(Session::default())
        };
        if let Some(session) = self.table.sessions.get_mut(at) {
            session.ours = Some(channel);
            session.begun = theirs.is_some();
            session.first_outgoing = next_outgoing_id;
            session.handle_max = handle_max;
            session.own = Some(own);
            session.dispositions.iter().for_each(|dispositions| dispositions.begun(channel));
        }
        self.table.ours.set(channel.into(), at);
        Ok(())
    }

    fn attached(&mut self, channel: u16, mut fields: Fields<'_>) -> Option<Cut> {
        let list = fields.list();
        let field = fields.next();
        let name = std::str::from_utf8(field.text()?).ok()?;
        let handle = fields.next().uint().ok()??;
        // True is a receiver.
        let peer_sends = fields.next().boolean().ok()??;
        fields.skip(3);
        let target = fields.next();
        fields.skip(2);
        let count = fields.next().uint().ok()?;
        let message = fields.next().ulong().ok()?.filter(|size| *size > 0);
        let watch = self.watch.new_link(name, false, None);
        let &of = self.table.ours.get(channel.into())?;
        let session = self.table.sessions.get_mut(of)?;
        let known = session.links.iter().find(|(_, link)| {
            !link.answered && link.peer_sends == peer_sends && *link.name == *name
        });
        let at = if let Some((at, _)) = known {
            at
        } else {
            self.links += 1;
            session.links.insert(Link {
                name: name.into(),
                suffix: 0,
                peer_sends,
                input: None,
                output: None,
                attached: false,
                answered: false,
                flows: 0,
                drain: None,
                drains_after: None,
                detach: None,
                begun: 0,
                watch,
                incoming: Incoming::default(),
                sending: Sending::default(),
                largest: u64::MAX,
            })
        };
        session.outputs.set(handle, at);
        let link = session.links.get_mut(at)?;
        link.output = Some(handle);
        link.answered = true;
        // Section 2.6.3 of the specification: a null terminus says that a Detach follows, and that nothing is taken.
        link.incoming.overrun = link.attached && peer_sends && target.bytes == [0x40];
        link.incoming.message = message;
        link.watch.begin(count.unwrap_or(0));
        let sends = !peer_sends && !link.watch.sends_past_crate();
        let joins = sends && !session.crate_sends;
        session.crate_sends |= sends;
        self.flows = self.flows.saturating_sub(std::mem::take(&mut link.flows));
        let suffix = link.suffix;
        if let Some(detach) = link.detach.take() {
            let handle = link.input.take();
            let watch = link.watch.clone();
            if let (Some(handle), Some(theirs)) = (handle, session.theirs) {
                session.inputs.take(handle);
                self.watch.detach(theirs, handle, &watch);
            }
            self.due.push_back(detach);
        }
        if joins && session.shares() {
            // What it was told of the window is as if it were alone.
            self.split(of, true);
        }
        self.may_send(of, at);
        (suffix > 0).then(|| Cut {
            list,
            name: field.at,
            end: field.at + field.bytes.len(),
            suffix,
        })
    }

    fn transferred(&mut self, channel: u16, mut fields: Fields<'_>) -> Result<Option<Edit>, Wrong> {
        let list = fields.list();
        let handle = fields.next().uint()?;
        let field = fields.next();
        let id = field.uint()?;
        fields.skip(2);
        let settled = fields.next().boolean()?.unwrap_or(false);
        let of = self.table.ours.get(channel.into()).copied();
        let session = of.and_then(|of| self.table.sessions.get_mut(of));
        let (Some(of), Some(session), Some(handle)) = (of, session, handle) else {
            return Ok(None);
        };
        if let Some(own) = &mut session.own {
            own.next_outgoing_id = own.next_outgoing_id.wrapping_add(1);
        }
        if session.shares() {
            session.crate_room = session.crate_room.saturating_sub(1);
            if session.crate_room == 0 && session.window() > 0 {
                self.split(of, true);
            }
        }
        let Some(session) = self.table.sessions.get_mut(of) else { return Ok(None) };
        let Some(&at) = session.outputs.get(handle) else { return Ok(None) };
        let Some(link) = session.links.get(at) else { return Ok(None) };
        // Only the first transfer of a delivery has its id.
        let Some(crates) = id else { return Ok(None) };
        let id = crates.wrapping_add(session.hidden_deliveries);
        session.next_delivery = id.wrapping_add(1);
        if !settled {
            let (number, crates) = (link.begun, Some(crates));
            session.unsettled.insert(id, Unsettled { link: at, number, told: false, crates });
        }
        self.has_begun(of, at);
        let place = Number { list, at: field.at, end: field.at + field.bytes.len(), is: id };
        Ok((id != crates).then_some(Edit::Id(place)))
    }

    fn detached(&mut self, channel: u16, mut fields: Fields<'_>) -> Result<(), Wrong> {
        let handle = fields.next().uint()?;
        let at = self.table.ours.get(channel.into()).copied();
        let session = at.and_then(|at| self.table.sessions.get_mut(at));
        if let (Some(session), Some(at), Some(handle)) = (session, at, handle)
            && let Some(link) = session.outputs.take(handle)
        {
            if let Some(link) = session.links.get_mut(link) {
                link.output = None;
            }
            session.drop_letters(link);
            self.sweep_link(at, link);
        }
        Ok(())
    }

    /// What becomes of the peer's deliveries is told once: the crate has some of those of several frames for unsettled,
    /// whatever they say.
    fn disposed(&mut self, channel: u16, mut fields: Fields<'_>) -> Option<Edit> {
        let is_receiver = fields.next().boolean().ok()??;
        let session = self.table.by_ours(channel)?;
        (is_receiver && session.tells).then_some(Edit::All)
    }

    fn ended(&mut self, channel: u16) {
        let Some(at) = self.table.ours.take(channel.into()) else { return };
        if let Some(session) = self.table.sessions.get_mut(at) {
            session.ours = None;
            session.drop_all_letters();
            session.dispositions.take().inspect(|dispositions| dispositions.forget());
        }
        self.sweep_session(at);
    }
}

/// What is sent otherwise than the crate wrote it.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Nothing of it is.
    All,
    /// It is this instead.
    Frame(Vec<u8>),
    /// The id of a delivery is another one.
    Id(Number),
    /// What the fence has put to the name of a link is left out.
    Name(Cut),
    /// The idle time-out of an Open, which is there, becomes this.
    Idle(usize, [u8; 4]),
}

/// What is to be cut out of an Attach frame: the end of the link's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    list: usize,
    name: usize,
    end: usize,
    suffix: usize,
}

impl Cut {
    /// Cuts it out of the frame that begins at `at`.
    pub(super) fn apply(self, buffer: &mut Vec<u8>, at: usize) {
        drop(buffer.drain(at + self.end - self.suffix..at + self.end));
        shrink(buffer, at, 4, self.suffix);
        for place in [at + self.list, at + self.name] {
            let width = match buffer.get(place) {
                Some(0xa1 | 0xc0) => 1,
                _ => 4,
            };
            shrink(buffer, place + 1, width, self.suffix);
        }
    }
}

/// A number of a performative, and what it is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    list: usize,
    at: usize,
    end: usize,
    is: u32,
}

impl Number {
    /// Writes it into the frame that begins at `at`. The lists of performatives that have such numbers are short: one
    /// with a length of one byte keeps that.
    pub(super) fn apply(self, buffer: &mut Vec<u8>, at: usize) {
        let wide = self.is.to_be_bytes();
        let grown = (1 + wide.len()).saturating_sub(self.end - self.at);
        drop(buffer.splice(at + self.at..at + self.end, [0x70].into_iter().chain(wide)));
        grow(buffer, at, 4, grown);
        let place = at + self.list;
        let width = if buffer.get(place) == Some(&0xc0) { 1 } else { 4 };
        grow(buffer, place + 1, width, grown);
    }
}

/// Raises the number in `width` bytes.
fn grow(buffer: &mut [u8], at: usize, width: usize, by: usize) {
    change(buffer, at, width, |number| number + u64::try_from(by).unwrap_or(0));
}

/// Lowers the number in `width` bytes.
fn shrink(buffer: &mut [u8], at: usize, width: usize, by: usize) {
    change(buffer, at, width, |number| {
        number.saturating_sub(u64::try_from(by).unwrap_or(u64::MAX))
    });
}

fn change(buffer: &mut [u8], at: usize, width: usize, to: impl FnOnce(u64) -> u64) {
    let Some(bytes) = buffer.get_mut(at..at + width) else { return };
    let number = to(super::walk::number(bytes)).to_be_bytes();
    bytes.copy_from_slice(&number[8 - width..]);
}
