//! Our frames, as the crate writes them: what they tell, and the names that are given back.

use super::fields::{Fields, Performative, Wrong};
use super::ledger::{Ledger, channel};
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
            Performative::Flow => {
                let refused = self.flowed(channel, fields).unwrap_or(false);
                return refused.then_some(Edit::All);
            }
            Performative::Transfer => drop(self.transferred(channel, fields)),
            Performative::Detach => drop(self.detached(channel, fields)),
            Performative::End => self.ended(channel),
            Performative::Close => self.close_sent = true,
            Performative::Disposition => drop(self.disposed(channel, fields)),
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
        let watch = self.watch.new_link(name, false, None, false);
        let session = self.table.by_ours(channel)?;
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
        (suffix > 0).then(|| Cut {
            list,
            name: field.at,
            end: field.at + field.bytes.len(),
            suffix,
        })
    }

    /// Whether the frame is about a link that we refuse, or gives more than we do: the crate gives credit to any, and its
    /// own before ours.
    fn flowed(&mut self, channel: u16, mut fields: Fields<'_>) -> Result<bool, Wrong> {
        fields.skip(4);
        let handle = fields.next().uint()?;
        let count = fields.next().uint()?;
        let credit = fields.next().uint()?.unwrap_or(0);
        let session = self.table.by_ours(channel);
        if let (Some(session), Some(handle)) = (session, handle)
            && let Some(link) = session.by_output(handle)
        {
            if !link.peer_sends {
                // Ahead of what was sent: credit that was given back.
                if let Some(count) = count {
                    link.watch.advance(count);
                }
                return Ok(false);
            }
            if link.incoming.overrun || !link.watch.gives(credit) {
                return Ok(true);
            }
            // Credit that is taken back may be in use already.
            let limit = count.unwrap_or(0).wrapping_add(credit);
            let known = link.incoming.limit.unwrap_or(limit);
            let raised = limit.wrapping_sub(known) < u32::MAX / 2;
            link.incoming.limit = Some(if raised { limit } else { known });
        }
        Ok(false)
    }

    fn transferred(&mut self, channel: u16, mut fields: Fields<'_>) -> Result<(), Wrong> {
        let handle = fields.next().uint()?;
        let id = fields.next().uint()?;
        fields.skip(2);
        let settled = fields.next().boolean()?.unwrap_or(false);
        let more = fields.next().boolean()?.unwrap_or(false);
        let session = self.table.by_ours(channel);
        let (Some(session), Some(handle)) = (session, handle) else { return Ok(()) };
        if let Some(own) = &mut session.own {
            own.next_outgoing_id = own.next_outgoing_id.wrapping_add(1);
        }
        let Some(&at) = session.outputs.get(handle) else { return Ok(()) };
        let Some(link) = session.links.get_mut(at) else { return Ok(()) };
        if !more {
            link.watch.written();
            self.gathered.written = self.gathered.written.saturating_add(1);
        }
        // Only the first transfer of a delivery has its id.
        if let Some(id) = id {
            link.watch.count_delivery();
            let number = link.begun;
            link.begun = number.wrapping_add(1);
            let drains = link.drains_after == Some(link.begun);
            if !settled {
                session.unsettled.insert(id, Unsettled { link: at, number, told: false });
            }
            if drains && let Some(&session) = self.table.ours.get(channel.into()) {
                self.drain_link(session, at);
            }
        }
        Ok(())
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
                link.watch.forget_unwritten();
            }
            self.sweep_link(at, link);
        }
        Ok(())
    }

    fn disposed(&mut self, channel: u16, mut fields: Fields<'_>) -> Result<(), Wrong> {
        let is_receiver = fields.next().boolean()?.unwrap_or(false);
        let first = fields.next().uint()?.unwrap_or(0);
        let last = fields.next().uint()?.unwrap_or(first);
        let count = usize::try_from(last.wrapping_sub(first)).unwrap_or(usize::MAX);
        if is_receiver
            && let Some(session) = self.table.by_ours(channel)
            && let Some(dispositions) = &session.dispositions
        {
            dispositions.written(count.saturating_add(1));
        }
        Ok(())
    }

    fn ended(&mut self, channel: u16) {
        let Some(at) = self.table.ours.take(channel.into()) else { return };
        if let Some(session) = self.table.sessions.get_mut(at) {
            session.ours = None;
            session.links.iter().for_each(|(_, link)| link.watch.forget_unwritten());
            session.dispositions.take().inspect(|dispositions| dispositions.forget());
        }
        self.sweep_session(at);
    }
}

/// What is sent otherwise than the crate wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    /// Nothing of it is.
    All,
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

/// Lowers the number in `width` bytes.
fn shrink(buffer: &mut [u8], at: usize, width: usize, by: usize) {
    let Some(bytes) = buffer.get_mut(at..at + width) else { return };
    let lower = super::walk::number(bytes).saturating_sub(u64::try_from(by).unwrap_or(u64::MAX));
    let lower = lower.to_be_bytes();
    bytes.copy_from_slice(&lower[8 - width..]);
}
