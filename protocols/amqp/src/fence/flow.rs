//! Flow frames of either side: what they say of sessions and links, and what either is shown of it.

use fe2o3_amqp_types::definitions::Handle;
use fe2o3_amqp_types::performatives::{Flow, Performative as Typed};
use tokio::time::Instant;

use super::Refusal;
use super::fields::{Fields, Wrong};
use super::inbound::{Verdict, framed, missing, opened, typed};
use super::ledger::{DRAINS, FLOWS, Ledger};
use super::outbound::Edit;
use super::table::Place;

impl Ledger {
    /// The peer's.
    pub(super) fn flow(&mut self, channel: u16, frame: &mut [u8]) -> Result<Verdict, Refusal> {
        let mut fields = opened(frame)?;
        let next_incoming_id = fields.next().uint()?;
        let mut uint = |field| fields.next().uint()?.ok_or_else(|| missing(field));
        let place = Place {
            next_incoming_id,
            incoming_window: uint("incoming-window")?,
            next_outgoing_id: uint("next-outgoing-id")?,
            outgoing_window: uint("outgoing-window")?,
        };
        let handle = fields.next().uint()?;
        let count = fields.next().uint()?;
        let credit = fields.next().uint()?;
        fields.next().uint()?;
        let field = fields.next();
        let drain = field.boolean()?.unwrap_or(false);
        let last = field.at..field.at + field.bytes.len();
        let field = fields.next();
        let echo = field.boolean()?.unwrap_or(false);
        let asks = field.at..field.at + field.bytes.len();
        let (kept, full) = (self.flows, self.drains.len() >= DRAINS);
        let (moment, served) = (self.limits.drain, self.limits.served_drain);
        let at = self.table.theirs.get(channel.into()).copied();
        let session = self.session(channel)?;
        session.place = Some(place);
        session.next_incoming = place.next_outgoing_id;
        let Some(handle) = handle else {
            // The crate echoes links only.
            if echo && let Some(at) = at {
                self.echoes(at, None);
            }
            return self.windowed(channel, frame, at);
        };
        let known = session.inputs.get(handle).copied();
        let link = session.by_input(handle).ok_or(Refusal::Unattached { handle })?;
        if link.peer_sends {
            // Ahead only: going back would be credit that nobody gave.
            let ahead = count.unwrap_or(link.incoming.count).wrapping_sub(link.incoming.count);
            if ahead < u32::MAX / 2 {
                link.incoming.count = link.incoming.count.wrapping_add(ahead);
            }
            if echo && link.answered && link.watch.takes_shorts() {
                // The crate does not know how it stands.
                let not: &[u8] = if asks.len() == 1 { &[0x42] } else { &[0x56, 0] };
                if let Some(field) = frame.get_mut(asks) {
                    field.copy_from_slice(not);
                }
                if let Some(at) = at {
                    self.echoes(at, known);
                }
            }
        } else {
            let limit = credit.map(|credit| count.unwrap_or(0).wrapping_add(credit));
            link.watch.flow(limit, drain);
            let waits = link.drain.take().is_some();
            if drain && (waits || !full) {
                let Typed::Flow(flow) = typed(frame)? else { return Err(missing("flow")) };
                link.drain = Some(flow);
                link.drains_after = None;
                let hold = if link.watch.serves_drains() { served } else { moment };
                let when = Instant::now() + hold;
                // Credit now; the crate hears of the rest when what is ready has been sent.
                let kept_back: &[u8] = if last.len() == 1 { &[0x42] } else { &[0x56, 0] };
                if let Some(field) = frame.get_mut(last) {
                    field.copy_from_slice(kept_back);
                }
                if let (false, Some(session), Some(link)) = (waits, at, known) {
                    let later = self.drains.iter().position(|(other, _, _)| *other > when);
                    let at = later.unwrap_or(self.drains.len());
                    self.drains.insert(at, (when, session, link));
                }
            }
        }
        if let Some(link) = self.session(channel)?.by_input(handle)
            && !link.answered
        {
            if kept >= FLOWS {
                return Err(Refusal::Flows { limit: FLOWS });
            }
            link.flows += 1;
            self.flows += 1;
        }
        self.windowed(channel, frame, at)
    }

    /// A Flow has told of the window of a session: where it is shared, the crate is told its part of it.
    fn windowed(
        &mut self,
        channel: u16,
        frame: &[u8],
        session: Option<u32>,
    ) -> Result<Verdict, Refusal> {
        self.may_all_send(session);
        let of = session.and_then(|at| self.table.sessions.get_mut(at));
        let Some(of) = of else { return Ok(Verdict::Pass) };
        of.divide(of.letters == 0);
        let Some((id, window)) = of.place_for_crate() else {
            // The crate is told of all of it: the fence has none before it asks for its part.
            of.fence_room = 0;
            return Ok(Verdict::Pass);
        };
        let Typed::Flow(mut flow) = typed(frame)? else { return Err(missing("flow")) };
        (flow.next_incoming_id, flow.incoming_window) = (Some(id), window);
        Ok(framed(channel, &flow).map_or(Verdict::Pass, Verdict::Replace))
    }

    /// Ours. Nothing of it is sent where it is about a link that we refuse, or gives more than we do: the crate gives
    /// credit to any, and its own before ours. What the crate does not know is set right.
    pub(super) fn flowed(
        &mut self,
        channel: u16,
        frame: &[u8],
        mut fields: Fields<'_>,
    ) -> Result<Option<Edit>, Wrong> {
        let next_incoming = fields.next().uint()?;
        fields.skip(1);
        let next_outgoing = fields.next().uint()?;
        fields.skip(1);
        let handle = fields.next().uint()?;
        let mut count = fields.next().uint()?;
        let mut credit = fields.next().uint()?;
        let Some(session) = self.table.by_ours(channel) else { return Ok(None) };
        let Some(own) = session.own else { return Ok(None) };
        let numbers = (session.next_incoming, own.next_outgoing_id);
        // Elsewhere the crate's numbers hold: they are of what it has read so far.
        let hides = session.tells || session.hidden > 0;
        let mut edits =
            hides && (next_incoming, next_outgoing) != (Some(numbers.0), Some(numbers.1));
        if let Some(handle) = handle
            && let Some(link) = session.by_output(handle)
        {
            if !link.peer_sends {
                // Ahead of what was sent: credit that was given back.
                if let Some(count) = count {
                    link.watch.advance(count);
                }
                if link.watch.sends_past_crate() {
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
        if !edits {
            return Ok(None);
        }
        let Ok(Typed::Flow(mut flow)) = typed(frame) else { return Ok(None) };
        (flow.next_incoming_id, flow.next_outgoing_id) = (Some(numbers.0), numbers.1);
        flow.delivery_count = count;
        flow.link_credit = credit;
        Ok(framed(channel, &flow).map(Edit::Frame))
    }

    /// The Flow that says how a session or a link is as of what has been written, for the first of those whose peer
    /// waits for it.
    pub(super) fn echo(&mut self) -> Option<Vec<u8>> {
        while let Some(&(at, link)) = self.echoes.front() {
            let flow = self.table.sessions.get(at).and_then(|session| {
                let own = session.own?;
                let link = match link {
                    Some(link) => Some(session.links.get(link)?),
                    None => None,
                };
                let flow = Flow {
                    next_incoming_id: Some(session.next_incoming),
                    incoming_window: own.incoming_window,
                    next_outgoing_id: own.next_outgoing_id,
                    outgoing_window: own.outgoing_window,
                    handle: match link {
                        Some(link) => Some(Handle(link.output?)),
                        None => None,
                    },
                    delivery_count: link.map(|link| link.incoming.count),
                    link_credit: link.map(|link| link.incoming.credit()),
                    available: None,
                    drain: false,
                    echo: false,
                    properties: None,
                };
                framed(session.ours?, &flow)
            });
            if flow.is_some() {
                return flow;
            }
            self.echoes.pop_front();
        }
        None
    }

    /// Has the peer told how a session is, or a link over which it sends.
    pub(super) fn echoes(&mut self, session: u32, link: Option<u32>) {
        if !self.echoes.contains(&(session, link)) {
            self.echoes.push_back((session, link));
        }
    }
}
