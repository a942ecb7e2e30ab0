//! Which operation of a backend of workers is where. Pure: time comes in, nothing is awaited.

mod deal;
mod hold;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use opgate_core::{Epoch, OperationId, Tenant};
use tokio::time::Instant;

use crate::ready::{Ready, Ticket};
use crate::router::QueueIndex;

/// Where an operation is.
#[derive(Debug)]
enum Place {
    /// Waits in its queue.
    Queued(Ticket),
    /// Given to an asker; the start of its lease may be on its way to the journal. With the place it had, where it has
    /// the same queue still.
    Claimed(Option<Ticket>),
    /// With a worker.
    Held(Hold),
    /// Released, and not to be leased before this.
    Resting(Instant),
    /// Being ended by the gateway: not to be leased any more.
    Shut,
}

/// A lease that a worker holds.
#[derive(Debug)]
struct Hold {
    epoch: Epoch,
    until: Instant,
    worker: Box<str>,
    /// Whether its worker has sent the outcome.
    finishing: bool,
}

/// How a lease ended while the operation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its time ran out.
    Expired,
    /// Its worker gave the operation back.
    Released,
}

/// Why a lease does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// It ended so, and nobody has leased the operation since.
    Ended(Ending),
    /// The operation has ended, is under another lease, or is being ended.
    Otherwise,
}

/// What the gateway ends an operation with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its cancellation was asked for, and nobody holds it.
    Canceled,
    /// So many of its leases ran out or failed.
    Expired(u32),
    /// It does not end: its route leads elsewhere, and nobody holds it any more.
    Moved,
}

/// What became of an operation that was to wait elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Nothing, so far.
    No,
    /// It is in another queue.
    Within,
    /// It is here no more.
    Gone,
}

#[derive(Debug)]
struct Item {
    tenant: Tenant,
    queue: QueueIndex,
    place: Place,
    canceling: bool,
    /// Its route leads elsewhere: once nobody holds it, it goes.
    leaving: bool,
    /// Its deadline has passed: once nobody holds it, it is shut.
    overdue: bool,
    /// Leases that ran out or failed.
    expired: u32,
    /// The last lease, and how it ended.
    last: Option<(Epoch, Ending)>,
    /// What it is being ended with.
    end: Option<End>,
}

/// A worker that waits for operations.
#[derive(Debug)]
struct Waiting<T> {
    max: usize,
    reply: T,
}

#[derive(Debug)]
struct Queue<T> {
    ready: Ready,
    resting: usize,
    asks: BTreeMap<u64, Waiting<T>>,
}

/// What an operation comes in as.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) id: OperationId,
    pub(crate) tenant: Tenant,
    pub(crate) queue: QueueIndex,
    pub(crate) canceling: bool,
    /// The lease it is presumed to be held under, and until when.
    pub(crate) held: Option<(Epoch, Instant)>,
}

/// A lease that ran out or failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lapse {
    pub(crate) id: OperationId,
    pub(crate) tenant: Tenant,
    pub(crate) epoch: Epoch,
    pub(crate) worker: Box<str>,
    /// How many leases of this operation have run out or failed.
    pub(crate) expired: u32,
}

/// Operations dealt to one asker.
#[derive(Debug)]
pub(crate) struct Deal<T> {
    pub(crate) reply: T,
    pub(crate) ids: Vec<OperationId>,
}

/// The books of one backend; `T` is how an asker is answered. Every operation in them is live, so
/// they are bounded as those are; asks are bounded by the door.
#[derive(Debug)]
pub(crate) struct Books<T> {
    concurrency: usize,
    attempts: u32,
    items: HashMap<OperationId, Item>,
    queues: Vec<Queue<T>>,
    /// Ends of leases and of rests.
    timers: BTreeSet<(Instant, OperationId)>,
    /// Claimed and held operations.
    out: usize,
    /// The queue whose turn is next.
    turn: usize,
    next_ask: u64,
    asks: usize,
    waiting: usize,
    /// What is to be ended, and was not told of yet.
    ends: Vec<(OperationId, End)>,
    /// Whether leases may begin: not without the journal.
    pub(crate) open: bool,
}

impl<T> Books<T> {
    pub(crate) fn new(concurrency: usize, attempts: u32, queues: usize) -> Self {
        let mut books = Self {
            concurrency,
            attempts,
            items: HashMap::new(),
            queues: Vec::new(),
            timers: BTreeSet::new(),
            out: 0,
            turn: 0,
            next_ask: 0,
            asks: 0,
            waiting: 0,
            ends: Vec::new(),
            open: true,
        };
        books.widen(queues);
        books
    }

    /// Has so many queues, if they are more than before.
    pub(crate) fn widen(&mut self, queues: usize) {
        while self.queues.len() < queues {
            let (ready, asks) = (Ready::default(), BTreeMap::new());
            self.queues.push(Queue { ready, resting: 0, asks });
        }
    }

    /// Goes by other bounds from now on. What is out beyond them stays so.
    pub(crate) const fn bound(&mut self, concurrency: usize, attempts: u32) {
        (self.concurrency, self.attempts) = (concurrency, attempts);
    }

    /// Whether nobody waits for a queue, and no operation is of it.
    pub(crate) fn is_vacant(&self, queue: QueueIndex) -> bool {
        self.queues.get(queue.0).is_none_or(|queue| queue.asks.is_empty())
            && self.items.values().all(|item| item.queue != queue)
    }

    /// Whether an operation is in them.
    pub(crate) fn has(&self, id: OperationId) -> bool {
        self.items.contains_key(&id)
    }

    /// Has an operation wait in that queue from now on, or leave, if it is there. What somebody holds goes once nobody
    /// does.
    pub(crate) fn reroute(&mut self, id: OperationId, queue: Option<QueueIndex>) -> Moved {
        let Some(mut item) = self.items.remove(&id) else { return Moved::No };
        let waits = matches!(item.place, Place::Queued(_) | Place::Resting(_));
        let moved = match queue {
            None if waits => {
                self.leave(id, &item);
                return Moved::Gone;
            }
            None => {
                item.leaving = true;
                Moved::No
            }
            Some(queue) if queue == item.queue => {
                item.leaving = false;
                Moved::No
            }
            Some(queue) => {
                item.leaving = false;
                if waits {
                    self.leave(id, &item);
                }
                item.queue = queue;
                match item.place {
                    Place::Queued(_) => item.place = self.queue_up(id, &item),
                    Place::Resting(until) => item.place = self.rest(id, &item, until),
                    Place::Claimed(_) => item.place = Place::Claimed(None),
                    Place::Held(_) | Place::Shut => {}
                }
                Moved::Within
            }
        };
        self.items.insert(id, item);
        moved
    }

    /// Takes an operation in; one that is there already stays where it is, but for a cancel request
    /// that whoever brought it before may have kept to itself.
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let Arrival { id, tenant, queue, canceling, held } = arrival;
        if self.items.contains_key(&id) {
            if canceling {
                self.cancel(id);
            }
            return;
        }
        let place = if let Some((epoch, until)) = held {
            self.out += 1;
            self.timers.insert((until, id));
            Place::Held(Hold { epoch, until, worker: Box::default(), finishing: false })
        } else {
            self.waiting += 1;
            Place::Queued(self.queues[queue.0].ready.push(&tenant, id))
        };
        let item = Item {
            tenant,
            queue,
            place,
            canceling,
            leaving: false,
            overdue: false,
            expired: 0,
            last: None,
            end: None,
        };
        self.items.insert(id, item);
    }

    /// Lets go of an operation that has ended; true if that cost a worker its lease.
    pub(crate) fn forget(&mut self, id: OperationId) -> bool {
        let Some(item) = self.items.remove(&id) else { return false };
        self.leave(id, &item);
        matches!(item.place, Place::Held(Hold { finishing: false, .. }))
    }

    /// Lets go of everything that is not live.
    pub(crate) fn keep(&mut self, live: &HashSet<OperationId>) {
        let ended: Vec<OperationId> =
            self.items.keys().filter(|id| !live.contains(id)).copied().collect();
        for id in ended {
            self.forget(id);
        }
    }

    /// Takes an operation out of where its place has it.
    fn leave(&mut self, id: OperationId, item: &Item) {
        let queue = &mut self.queues[item.queue.0];
        match &item.place {
            Place::Queued(ticket) => {
                self.waiting -= 1;
                queue.ready.leave(&item.tenant, *ticket);
            }
            Place::Resting(until) => {
                self.waiting -= 1;
                queue.resting -= 1;
                self.timers.remove(&(*until, id));
            }
            Place::Claimed(_) => self.out -= 1,
            Place::Held(hold) => {
                self.out -= 1;
                self.timers.remove(&(hold.until, id));
            }
            Place::Shut => {}
        }
    }

    /// Changes where an operation is, by what `next` says of it.
    fn settle(&mut self, id: OperationId, next: impl FnOnce(&mut Self, &mut Item) -> Place) {
        let Some(mut item) = self.items.remove(&id) else { return };
        self.leave(id, &item);
        item.place = if item.overdue {
            Place::Shut
        } else if item.canceling {
            self.shut(id, &mut item, End::Canceled)
        } else if item.leaving {
            self.shut(id, &mut item, End::Moved)
        } else {
            next(self, &mut item)
        };
        self.items.insert(id, item);
    }

    fn shut(&mut self, id: OperationId, item: &mut Item, end: End) -> Place {
        item.end = Some(end);
        self.ends.push((id, end));
        Place::Shut
    }

    fn queue_up(&mut self, id: OperationId, item: &Item) -> Place {
        self.waiting += 1;
        Place::Queued(self.queues[item.queue.0].ready.push(&item.tenant, id))
    }

    fn rest(&mut self, id: OperationId, item: &Item, until: Instant) -> Place {
        self.waiting += 1;
        self.queues[item.queue.0].resting += 1;
        self.timers.insert((until, id));
        Place::Resting(until)
    }

    /// Hears that a deadline has passed: what nobody holds is not to be leased any more.
    pub(crate) fn overdue(&mut self, id: OperationId) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.overdue = true;
        if matches!(item.place, Place::Queued(_) | Place::Resting(_)) {
            self.settle(id, |_, _| Place::Shut);
        }
    }

    /// Hears of a cancel request: what nobody holds ends by it.
    pub(crate) fn cancel(&mut self, id: OperationId) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.canceling = true;
        if matches!(item.place, Place::Queued(_) | Place::Resting(_)) {
            self.settle(id, |_, _| Place::Shut);
        }
    }

    /// Ends the leases and rests that are due at `now`. Tells of the leases that ran out, before
    /// their operations are dealt again.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Lapse> {
        let mut lapses = Vec::new();
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            let Some(item) = self.items.get_mut(&id) else { continue };
            let mut exhausted = None;
            if let Place::Held(hold) = &item.place {
                item.expired = item.expired.saturating_add(1);
                item.last = Some((hold.epoch, Ending::Expired));
                exhausted = Some(item.expired).filter(|expired| *expired >= self.attempts);
                lapses.push(Lapse {
                    id,
                    tenant: item.tenant.clone(),
                    epoch: hold.epoch,
                    worker: hold.worker.clone(),
                    expired: item.expired,
                });
            }
            self.settle(id, |books, item| match exhausted {
                Some(expired) => books.shut(id, item, End::Expired(expired)),
                None => books.queue_up(id, item),
            });
        }
        lapses
    }

    /// What the gateway is to end, told of once.
    pub(crate) fn ends(&mut self) -> Vec<(OperationId, End)> {
        std::mem::take(&mut self.ends)
    }

    /// Has everything that is being ended told of again: whoever was to end it is no more.
    pub(crate) fn retell(&mut self) {
        self.ends = self.items.iter().filter_map(|(id, item)| Some((*id, item.end?))).collect();
    }

    /// Whether something is to be ended.
    pub(crate) fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Operations that wait in one queue, rests included.
    pub(crate) fn depth(&self, queue: QueueIndex) -> usize {
        let queue = &self.queues[queue.0];
        queue.ready.len() + queue.resting
    }

    /// Operations that wait in all queues, those that are out, and askers.
    pub(crate) const fn counts(&self) -> [usize; 3] {
        [self.waiting, self.out, self.asks]
    }
}
