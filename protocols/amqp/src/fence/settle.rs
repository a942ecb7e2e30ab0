//! Who settles a delivery, and when.
//!
//! A receiver may tell the outcome of a delivery and wait for us to settle it (`rcv-settle-mode` second). The crate
//! does not settle the last such delivery of a disposition, settles the others before anybody has heard of the outcome,
//! and remembers all of them for ever. So it is shown each outcome as settled, which ends the delivery for it, and the
//! peer is told that it is settled here: at once, or on links whose server says so itself ([`LinkWatch::hold`]) when
//! that has been done which the settlement stands for.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Modified, Rejected, Released};
use fe2o3_amqp_types::performatives::{Disposition, Performative as Typed};

use super::Refusal;
use super::fields::Outcome;
use super::inbound::{Verdict, framed, missing, opened, typed};
use super::ledger::{Ledger, SPAN};
use super::table::{Session, Unsettled};
use super::watch::{Disposed, Drained, Posted};

impl Ledger {
    /// What the peer says of deliveries, its own or ours.
    pub(super) fn disposition(
        &mut self,
        channel: u16,
        frame: &mut [u8],
    ) -> Result<Verdict, Refusal> {
        let mut fields = opened(frame)?;
        let is_receiver = fields.next().boolean()?.ok_or_else(|| missing("role"))?;
        let first = fields.next().uint()?.ok_or_else(|| missing("first"))?;
        let last = fields.next().uint()?.unwrap_or(first);
        let count = u64::from(last.wrapping_sub(first)) + 1;
        if count > SPAN {
            return Err(Refusal::Disposition { count, limit: SPAN });
        }
        let settled = fields.next();
        let is_settled = settled.boolean()?.unwrap_or(false);
        let place = settled.at..settled.at + settled.bytes.len();
        let outcome = fields.next().outcome();
        let at = self.table.theirs.get(channel.into()).copied();
        let Some(session) = self.table.by_theirs(channel).filter(|_| is_receiver) else {
            return Ok(Verdict::Pass);
        };
        let hides = session.hidden_deliveries > 0;
        let known = if hides { session.as_of_crate(first, last) } else { None };
        if is_settled {
            session.settled_by_peer(first, last);
        } else if let Some(outcome) = outcome {
            let at_once = session.told(first, last);
            let answer = |run: RangeInclusive<u32>| Disposition {
                role: Role::Sender,
                first: *run.start(),
                last: Some(*run.end()),
                settled: true,
                state: Some(state(outcome)),
                batchable: false,
            };
            if let Some(ours) = session.ours {
                let answers = runs(at_once).into_iter().map(answer);
                self.settlements.extend(answers.filter_map(|answer| framed(ours, &answer)));
            }
            let settles: &[u8] = if place.len() == 1 { &[0x41] } else { &[0x56, 1] };
            if let Some(field) = frame.get_mut(place) {
                field.copy_from_slice(settles);
            }
        }
        // A link may have waited for its deliveries to be settled.
        self.may_all_send(at);
        let Some(known) = known else {
            return Ok(if hides { Verdict::Hold } else { Verdict::Pass });
        };
        let Typed::Disposition(mut disposition) = typed(frame)? else {
            return Err(missing("disposition"));
        };
        (disposition.first, disposition.last) = (*known.start(), Some(*known.end()));
        Ok(framed(channel, &disposition).map_or(Verdict::Pass, Verdict::Replace))
    }

    /// Takes over what the servers of links have settled and drained. What their peers do not wait for is left out.
    pub(super) fn serve(&mut self) {
        let mut served = std::mem::take(&mut self.served);
        self.watch.served(&mut served);
        for Disposed { of, first, last, state } in served.disposed.drain(..) {
            let count = usize::try_from(last.wrapping_sub(first)).unwrap_or(usize::MAX);
            self.gathered.disposed = self.gathered.disposed.saturating_add(count).saturating_add(1);
            if let Some(channel) = of.channel() {
                self.settlements.extend(disposition(channel, first, last, state));
            }
            of.written(count.saturating_add(1));
        }
        for Posted { over, letter } in served.posted.drain(..) {
            self.post(&over, letter);
        }
        for settlement in served.settlements.drain(..) {
            let session = self.table.by_ours(settlement.channel);
            if let Some(session) = session
                && let Some(unsettled) = session.unsettled.get(&settlement.id)
                && let Some(link) = session.links.get(unsettled.link)
                && link.watch.is(&settlement.link)
                && link.output.is_some()
            {
                session.settled(settlement.id);
                self.settlements.push_back(settlement.frame);
            }
        }
        for Drained { link: of, begun, flows } in served.drained.drain(..) {
            if of.flows() != flows {
                continue;
            }
            let found = self.drains.iter().find_map(|&(_, session, at)| {
                let link = self.table.sessions.get(session)?.links.get(at)?;
                link.watch.is(&of).then_some((session, at))
            });
            let Some((session, at)) = found else { continue };
            let of = self.table.sessions.get_mut(session);
            let Some(link) = of.and_then(|session| session.links.get_mut(at)) else { continue };
            if begun.wrapping_sub(link.begun).wrapping_sub(1) < u32::MAX / 2 {
                // Some are still on their way here.
                link.drains_after = Some(begun);
            } else {
                self.drain_link(session, at);
            }
        }
        self.served = served;
    }

    /// A link of a session is detached. The crate would remember its deliveries that are not settled for as long as
    /// the session lasts: it is told that they are.
    pub(super) fn forget(&mut self, session: u32, link: u32) {
        let Some(session) = self.table.sessions.get_mut(session) else { return };
        let of_link = |unsettled: &Unsettled| unsettled.link == link;
        let known = session.unsettled.iter().filter(|(_, unsettled)| of_link(unsettled));
        let known = known.filter(|(_, unsettled)| !unsettled.told);
        let open = known.filter_map(|(_, unsettled)| unsettled.crates).collect();
        session.unsettled.retain(|_, unsettled| !of_link(unsettled));
        let Some(channel) = session.theirs else { return };
        let settled = |run: RangeInclusive<u32>| Disposition {
            role: Role::Receiver,
            first: *run.start(),
            last: Some(*run.end()),
            settled: true,
            state: None,
            batchable: false,
        };
        let frames = runs(open).into_iter().map(settled);
        self.due.extend(frames.filter_map(|settled| framed(channel, &settled)));
    }
}

impl Session {
    /// The crate's ids of those of the deliveries from `first` to `last` that it knows of.
    fn as_of_crate(&self, first: u32, last: u32) -> Option<RangeInclusive<u32>> {
        let ids = between(&self.unsettled, first, last).into_iter();
        let mut ids = ids.filter_map(|id| self.unsettled.get(&id)?.crates);
        let first = ids.next()?;
        Some(first..=ids.next_back().unwrap_or(first))
    }

    /// A delivery is settled.
    fn settled(&mut self, id: u32) -> Option<Unsettled> {
        let unsettled = self.unsettled.remove(&id)?;
        if let (None, Some(link)) = (unsettled.crates, self.links.get_mut(unsettled.link)) {
            link.sending.unsettled = link.sending.unsettled.saturating_sub(1);
        }
        Some(unsettled)
    }

    /// The peer has settled deliveries.
    fn settled_by_peer(&mut self, first: u32, last: u32) {
        for id in between(&self.unsettled, first, last) {
            if let Some(unsettled) = self.settled(id)
                && let Some(link) = self.links.get(unsettled.link)
            {
                link.watch.settled_by_peer(unsettled.number);
            }
        }
    }

    /// The peer has told the outcome of deliveries, and waits for us to settle them. Those that are to be settled at
    /// once, in order.
    fn told(&mut self, first: u32, last: u32) -> Vec<u32> {
        let mut at_once = Vec::new();
        for id in between(&self.unsettled, first, last) {
            let Some(unsettled) = self.unsettled.get_mut(&id) else { continue };
            let held = self.links.get(unsettled.link).filter(|link| link.watch.holds());
            if let (Some(link), Some(ours)) = (held, self.ours) {
                if !unsettled.told {
                    unsettled.told = true;
                    link.watch.told(unsettled.number, ours, id);
                }
            } else {
                self.settled(id);
                at_once.push(id);
            }
        }
        at_once
    }
}

/// The deliveries from `first` to `last`, which wrap.
fn between(unsettled: &BTreeMap<u32, Unsettled>, first: u32, last: u32) -> Vec<u32> {
    let ids = |range: RangeInclusive<u32>| unsettled.range(range).map(|(id, _)| *id);
    if first <= last {
        ids(first..=last).collect()
    } else {
        ids(first..=u32::MAX).chain(ids(0..=last)).collect()
    }
}

/// A frame that settles deliveries of the peer.
fn disposition(channel: u16, first: u32, last: u32, state: DeliveryState) -> Option<Vec<u8>> {
    if state == DeliveryState::Accepted(Accepted {}) {
        return Some(accepted(channel, first, last));
    }
    let disposition = Disposition {
        role: Role::Receiver,
        first,
        last: (last != first).then_some(last),
        settled: true,
        state: Some(state),
        batchable: false,
    };
    framed(channel, &disposition)
}

/// Such a frame where they are accepted, which nearly all are, written at once: part 2.7.6 of the specification.
fn accepted(channel: u16, first: u32, last: u32) -> Vec<u8> {
    /// Bytes of the frame and of its list, where there are more than one.
    const SIZE: (u8, u8) = (30, 17);
    /// What the last takes more than null does.
    const LAST: u8 = 4;
    let less = if first == last { LAST } else { 0 };
    let mut frame = Vec::with_capacity(SIZE.0.into());
    frame.extend([0, 0, 0, SIZE.0 - less, 2, 0]);
    frame.extend(channel.to_be_bytes());
    // A described list of five: the receiver's, first, last, settled, state.
    frame.extend([0x00, 0x53, 0x15, 0xc0, SIZE.1 - less, 5, 0x41, 0x70]);
    frame.extend(first.to_be_bytes());
    if first == last {
        frame.push(0x40);
    } else {
        frame.push(0x70);
        frame.extend(last.to_be_bytes());
    }
    frame.extend([0x41, 0x00, 0x53, 0x24, 0x45]);
    frame
}

/// Numbers that follow each other, put together.
fn runs(ids: Vec<u32>) -> Vec<RangeInclusive<u32>> {
    let mut runs: Vec<RangeInclusive<u32>> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some(run) if run.end().checked_add(1) == Some(id) => *run = *run.start()..=id,
            Some(_) | None => runs.push(id..=id),
        }
    }
    runs
}

/// An outcome without what its peer has said of it, which may be long.
fn state(outcome: Outcome) -> DeliveryState {
    match outcome {
        Outcome::Accepted => DeliveryState::Accepted(Accepted {}),
        Outcome::Rejected => DeliveryState::Rejected(Rejected { error: None }),
        Outcome::Released => DeliveryState::Released(Released {}),
        Outcome::Modified => DeliveryState::Modified(Modified {
            delivery_failed: None,
            undeliverable_here: None,
            message_annotations: None,
        }),
    }
}
