//! Leases, from their beginning to the end their worker makes.

use opgate_core::{Epoch, OperationId, Tenant};
use tokio::time::Instant;

use super::{Books, End, Ending, Hold, Lapse, Over, Place};

impl<T> Books<T> {
    /// Begins a lease that is durable, and tells how many attempts failed before it; none when the
    /// operation has ended meanwhile.
    pub(crate) fn hold(
        &mut self,
        id: OperationId,
        epoch: Epoch,
        until: Instant,
        worker: &str,
    ) -> Option<u32> {
        let item = self.items.get_mut(&id)?;
        if !matches!(item.place, Place::Claimed(_)) {
            return None;
        }
        let hold = Hold { epoch, until, worker: worker.into(), finishing: false };
        item.place = Place::Held(hold);
        self.timers.insert((until, id));
        Some(item.expired)
    }

    /// The tenant and the worker of a lease, if it holds.
    pub(crate) fn held(
        &self,
        id: OperationId,
        epoch: Epoch,
        now: Instant,
    ) -> Result<(&Tenant, &str), Over> {
        let item = self.items.get(&id).ok_or(Over::Otherwise)?;
        match &item.place {
            // The timer may not have come to it yet.
            Place::Held(hold) if hold.epoch == epoch && hold.until <= now => {
                Err(Over::Ended(Ending::Expired))
            }
            Place::Held(hold) if hold.epoch == epoch => Ok((&item.tenant, &hold.worker)),
            Place::Queued(_)
            | Place::Claimed(_)
            | Place::Held(_)
            | Place::Resting(_)
            | Place::Shut => match item.last {
                Some((last, ending)) if last == epoch => Err(Over::Ended(ending)),
                Some(_) | None => Err(Over::Otherwise),
            },
        }
    }

    /// Has a lease last until another instant, and returns the one before; `finishing` says that
    /// its outcome is on its way.
    pub(crate) fn last_until(
        &mut self,
        id: OperationId,
        epoch: Epoch,
        until: Instant,
        finishing: bool,
    ) -> Option<Instant> {
        let Place::Held(hold) = &mut self.items.get_mut(&id)?.place else { return None };
        if hold.epoch != epoch {
            return None;
        }
        let before = std::mem::replace(&mut hold.until, until);
        hold.finishing = finishing;
        self.timers.remove(&(before, id));
        self.timers.insert((until, id));
        Some(before)
    }

    /// Until when a lease lasts.
    pub(crate) fn lasts_until(&self, id: OperationId, epoch: Epoch) -> Option<Instant> {
        match &self.items.get(&id)?.place {
            Place::Held(hold) if hold.epoch == epoch => Some(hold.until),
            Place::Queued(_)
            | Place::Claimed(_)
            | Place::Held(_)
            | Place::Resting(_)
            | Place::Shut => None,
        }
    }

    /// Takes an operation back from its worker, not to be leased before the end of the rest.
    pub(crate) fn release(&mut self, id: OperationId, epoch: Epoch, rest: Option<Instant>) {
        self.settle(id, |books, item| {
            item.last = Some((epoch, Ending::Released));
            match rest {
                Some(until) => books.rest(id, item, until),
                None => books.queue_up(id, item),
            }
        });
    }

    /// Takes an operation back whose worker failed at it: an attempt, as if the lease had run out.
    /// None where nobody holds it by this lease.
    pub(crate) fn fail(&mut self, id: OperationId, epoch: Epoch) -> Option<Lapse> {
        let item = self.items.get_mut(&id)?;
        let Place::Held(hold) = &item.place else { return None };
        if hold.epoch != epoch {
            return None;
        }
        item.expired = item.expired.saturating_add(1);
        item.last = Some((epoch, Ending::Released));
        let (tenant, worker) = (item.tenant.clone(), hold.worker.clone());
        let lapse = Lapse { id, tenant, epoch, worker, expired: item.expired };
        let exhausted = lapse.expired >= self.attempts;
        self.settle(id, |books, item| {
            if exhausted {
                books.shut(id, item, End::Expired(lapse.expired))
            } else {
                books.queue_up(id, item)
            }
        });
        Some(lapse)
    }
}
