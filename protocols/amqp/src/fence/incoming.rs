//! The peer's deliveries: which go to the crate, which past it, and which nowhere.

use super::Refusal;
use super::inbound::{Verdict, lengthened, missing, opened};
use super::ledger::{Ledger, SLACK};
use super::refusal::list_of;
use super::table::{Delivery, Incoming};
use super::walk::Walk;

/// Bytes of a delivery tag. Section 2.8.7.
const TAG: usize = 32;

impl Ledger {
    /// A Transfer frame, whose first `length` bytes behind the head are its performative.
    pub(super) fn transfer(
        &mut self,
        channel: u16,
        frame: &mut [u8],
        length: usize,
    ) -> Result<Verdict, Refusal> {
        let payload = frame.get(8 + length..).unwrap_or_default();
        let mut fields = opened(frame)?;
        let handle = fields.next().uint()?.ok_or_else(|| missing("handle"))?;
        let id = fields.next().uint()?;
        let tag = fields.next();
        fields.next().uint()?;
        let field = fields.next();
        let settled = field.boolean()?.unwrap_or(false);
        let settles = field.at..field.at + field.bytes.len();
        let more = fields.next().boolean()?.unwrap_or(false);
        // The crate refuses a mode that the link does not have, where the delivery is not settled: second.
        let mode = fields.next();
        let plain = mode.is_null() || mode.bytes == [0x50, 0];
        fields.skip(1);
        let resume = fields.next().boolean()?.unwrap_or(false);
        let aborted = fields.next().boolean()?.unwrap_or(false);
        let tag = if tag.is_null() { None } else { Some(tag.binary()?) };
        if tag.is_some_and(|tag| tag.len() > TAG) {
            return Err(Refusal::Performative("a delivery-tag has at most 32 bytes".to_owned()));
        }
        let (items, message) = (self.limits.items, self.limits.message);
        let limit = self.limits.unfinished.max(message);
        let session = self.table.by_theirs(channel).ok_or(Refusal::NoSession { channel })?;
        session.next_incoming = session.next_incoming.wrapping_add(1);
        let Some(&at) = session.inputs.get(handle) else {
            return Err(Refusal::Unattached { handle });
        };
        let link = session.links.get_mut(at).ok_or(Refusal::Unattached { handle })?;
        if !link.peer_sends {
            return Err(Refusal::Direction);
        }
        let taken = link.watch.takes_shorts();
        session.tells |= taken;
        let incoming = &mut link.incoming;
        if incoming.overrun {
            return Ok(Verdict::Hold);
        }
        let begins = incoming.delivery.is_none() && !incoming.skips;
        if resume || incoming.skips {
            // Nothing is ever resumed here. What says so is passed over, by section 2.6.13 of the specification.
            if !begins && !incoming.skips {
                return Err(Refusal::Interleaved);
            }
            incoming.skips = more && !aborted;
            return Ok(Verdict::Hold);
        }
        if begins && !aborted {
            let over = incoming.count.wrapping_sub(incoming.limit.unwrap_or(incoming.initial));
            if (SLACK..u32::MAX / 2).contains(&over) {
                return Err(Refusal::Credit);
            }
            incoming.count = incoming.count.wrapping_add(1);
            // Azure's client for Python does not wait for the first credit.
            if taken && over < SLACK && incoming.limit.is_some() {
                // The crate, which has not heard of all, would let it pass.
                incoming.skips = more;
                link.watch.exceed();
                return Ok(Verdict::Hold);
            }
        }
        let known = incoming.delivery.as_ref().and_then(|delivery| delivery.id);
        let before = incoming.delivery.as_ref().map_or(0, |delivery| delivery.bytes);
        let verdict = incoming.take(id, tag, payload, more, aborted, items, message)?;
        let after = incoming.delivery.as_ref().map_or(0, |delivery| delivery.bytes);
        self.unfinished = (self.unfinished + after).saturating_sub(before);
        if self.unfinished > limit {
            return Err(Refusal::Unfinished { limit });
        }
        self.delivered |= !more;
        if !taken {
            return Ok(verdict);
        }
        let short = begins && !more && !aborted && plain && tag.is_some() && !incoming.overrun;
        if let Some(id) = id.filter(|_| short)
            && link.watch.give(id, settled, payload)
        {
            return Ok(Verdict::Hold);
        }
        if begins && !aborted {
            link.watch.leave();
        } else if !begins && aborted {
            link.watch.left();
        }
        if let Some(id) = id.or(known).filter(|_| aborted || settled) {
            link.watch.has_settled(id, !aborted);
        }
        if plain && !settled && !aborted && verdict == Verdict::Pass {
            return settled_transfer(frame, settles, length);
        }
        Ok(verdict)
    }
}

impl Incoming {
    /// One transfer of a delivery.
    #[expect(clippy::too_many_arguments, reason = "the fields of one frame")]
    fn take(
        &mut self,
        id: Option<u32>,
        tag: Option<&[u8]>,
        payload: &[u8],
        more: bool,
        aborted: bool,
        items: u32,
        message: u64,
    ) -> Result<Verdict, Refusal> {
        let size = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let limit = self.message.unwrap_or(message);
        let Some(delivery) = &mut self.delivery else {
            if size > limit {
                return self.exceeded(limit);
            }
            if aborted {
                return Ok(Verdict::Pass);
            }
            if !more {
                Walk::values(payload, items).map_err(Refusal::Message)?;
                return Ok(Verdict::Pass);
            }
            // What reaches beyond the end of the message is seen when it ends.
            let mut walk = Walk::new(u64::MAX, items);
            walk.feed(payload, false).map_err(Refusal::Message)?;
            let tag = tag.unwrap_or_default().to_vec();
            self.delivery = Some(Box::new(Delivery { id, tag, bytes: size, frames: 1, walk }));
            return Ok(Verdict::Pass);
        };
        if id.is_some_and(|id| delivery.id != Some(id))
            || tag.is_some_and(|tag| delivery.tag != tag)
        {
            return Err(Refusal::Interleaved);
        }
        if aborted {
            self.delivery = None;
            return Ok(Verdict::Pass);
        }
        delivery.bytes = delivery.bytes.saturating_add(size);
        delivery.frames += 1;
        // The crate keeps each frame's payload by itself, an empty one too.
        if delivery.frames > 16 + limit / 128 {
            return Err(Refusal::MessageTooLarge { limit });
        }
        if delivery.bytes > limit {
            return self.exceeded(limit);
        }
        delivery.walk.feed(payload, false).map_err(Refusal::Message)?;
        if !more {
            delivery.walk.finish().map_err(Refusal::Message)?;
            self.delivery = None;
        }
        Ok(Verdict::Pass)
    }

    /// A message is larger than allowed. The crate sees that by itself if our Attach says so, before it reads any of
    /// it, and detaches the link in the protocol's way: it gets this frame, and no more.
    fn exceeded(&mut self, limit: u64) -> Result<Verdict, Refusal> {
        if self.message.is_none() {
            return Err(Refusal::MessageTooLarge { limit });
        }
        self.delivery = None;
        self.overrun = true;
        Ok(Verdict::Pass)
    }

    /// The credit that is left of what we gave.
    pub(super) fn credit(&self) -> u32 {
        let left = self.limit.unwrap_or(self.initial).wrapping_sub(self.count);
        if left > u32::MAX / 2 { 0 } else { left }
    }
}

/// Has the crate take a delivery for one that is settled: the fence tells what becomes of it, with the replies that it
/// sends, none of which may overtake that. The field is at `settles`, or left out.
fn settled_transfer(
    frame: &mut [u8],
    settles: std::ops::Range<usize>,
    length: usize,
) -> Result<Verdict, Refusal> {
    let settled: &[u8] = if settles.len() == 2 { &[0x56, 1] } else { &[0x41] };
    if let Some(field) = frame.get_mut(settles.clone()).filter(|field| !field.is_empty()) {
        field.copy_from_slice(settled);
        return Ok(Verdict::Pass);
    }
    let fields = opened(frame)?;
    let known = usize::try_from(fields.left()).unwrap_or(4).min(4);
    let known_bytes = frame.get(fields.at()..8 + length).unwrap_or_default();
    let list = list_of(5, &[known_bytes, &[0x40; 4][known..], settled].concat());
    let payload = frame.get(8 + length..).unwrap_or_default();
    let head = frame.get(4..fields.list()).unwrap_or_default();
    Ok(Verdict::Replace(lengthened(head, &[&list, payload].concat())))
}
