//! Our frames, as the crate writes them: what they tell, and the names that are given back.

use fe2o3_amqp_types::performatives::Performative as Typed;

use super::fields::{Fields, Performative, Wrong};
use super::inbound::{framed, typed};
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
            Performative::Disposition => {}
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
        session.crate_sends |= !peer_sends && !link.watch.sends_past_crate();
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
        self.may_send(of, at);
        (suffix > 0).then(|| Cut {
            list,
            name: field.at,
            end: field.at + field.bytes.len(),
            suffix,
        })
    }

    /// Nothing of it is sent where it is about a link that we refuse, or gives more than we do: the crate gives credit to
    /// any, and its own before ours. What the crate does not know is set right.
    fn flowed(
        &mut self,
        channel: u16,
        frame: &[u8],
        mut fields: Fields<'_>,
    ) -> Result<Option<Edit>, Wrong> {
        fields.skip(4);
        let handle = fields.next().uint()?;
        let mut count = fields.next().uint()?;
        let mut credit = fields.next().uint()?;
        fields.skip(1);
        let drain = fields.next().boolean()?.unwrap_or(false);
        let Some(session) = self.table.by_ours(channel) else { return Ok(None) };
        let mut edits = session.past_crate;
        let numbers = session.own.map(|own| (session.next_incoming, own.next_outgoing_id));
        if let Some(handle) = handle
            && let Some(link) = session.by_output(handle)
        {
            if !link.peer_sends {
                // Ahead of what was sent: credit that was given back.
                if let Some(count) = count {
                    link.watch.advance(count);
                }
                if !drain && link.watch.sends_past_crate() {
                    edits = true;
                    (count, credit) = (Some(link.watch.sent()), Some(link.watch.credit()));
                }
            } else if link.incoming.overrun || !link.watch.gives(credit.unwrap_or(0)) {
                return Ok(Some(Edit::All));
            } else {
                if link.watch.takes_shorts() {
                    // As of what its server has got: what waits for it has used credit.
                    edits = true;
                    count = Some(link.incoming.count.wrapping_sub(link.watch.unread()));
                }
                // Credit that is taken back may be in use already.
                let limit = count.unwrap_or(0).wrapping_add(credit.unwrap_or(0));
                let known = link.incoming.limit.unwrap_or(limit);
                let raised = limit.wrapping_sub(known) < u32::MAX / 2;
                link.incoming.limit = Some(if raised { limit } else { known });
            }
        }
        let (true, Some((incoming, outgoing))) = (edits, numbers) else { return Ok(None) };
        let Ok(Typed::Flow(mut flow)) = typed(frame) else { return Ok(None) };
        flow.next_incoming_id = Some(incoming);
        flow.next_outgoing_id = outgoing;
        flow.delivery_count = count;
        flow.link_credit = credit;
        Ok(framed(channel, &flow).map(Edit::Frame))
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
                link.sending.clear();
                link.watch.detach();
            }
            self.sweep_link(at, link);
        }
        Ok(())
    }

    fn ended(&mut self, channel: u16) {
        let Some(at) = self.table.ours.take(channel.into()) else { return };
        if let Some(session) = self.table.sessions.get_mut(at) {
            session.ours = None;
            session.links.iter_mut().for_each(|(_, link)| {
                link.sending.clear();
                link.watch.detach();
            });
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
