//! Dealing operations to those who wait for them.

use opgate_core::OperationId;

use super::{Books, Deal, Place, Waiting};
use crate::router::QueueIndex;

impl<T> Books<T> {
    /// Has an asker wait; the ticket is for [`Self::leave_ask`].
    pub(crate) fn ask(&mut self, queue: QueueIndex, max: usize, reply: T) -> u64 {
        let ticket = self.next_ask;
        self.next_ask += 1;
        self.asks += 1;
        self.queues[queue.0].asks.insert(ticket, Waiting { max, reply });
        ticket
    }

    /// Lets go of an asker, unless it was answered.
    pub(crate) fn leave_ask(&mut self, queue: QueueIndex, ticket: u64) {
        self.asks -= usize::from(self.queues[queue.0].asks.remove(&ticket).is_some());
    }

    /// Lets go of everybody who waits for a queue: they are not answered.
    pub(crate) fn dismiss(&mut self, queue: QueueIndex) {
        let asks = std::mem::take(&mut self.queues[queue.0].asks);
        self.asks -= asks.len();
    }

    /// Deals what is ready to those who wait, the longest first: each gets an equal share, rounded
    /// up, and no more than it asked for. Queues take turns.
    pub(crate) fn deal(&mut self) -> Option<Deal<T>> {
        let room = self.concurrency.saturating_sub(self.out);
        if room == 0 || !self.open || self.asks == 0 {
            return None;
        }
        let turns = (self.turn..self.queues.len()).chain(0..self.turn);
        let index = { turns }.find(|index| {
            let queue = &self.queues[*index];
            !queue.asks.is_empty() && queue.ready.len() > 0
        })?;
        self.turn = (index + 1) % self.queues.len();
        let queue = &mut self.queues[index];
        let share = queue.ready.len().min(room).div_ceil(queue.asks.len());
        let (_, Waiting { max, reply }) = queue.asks.pop_first()?;
        self.asks -= 1;
        let mut ids = Vec::with_capacity(share.min(max));
        while ids.len() < share.min(max) {
            let Some((ticket, id)) = queue.ready.pop() else { break };
            self.waiting -= 1;
            let Some(item) = self.items.get_mut(&id) else { continue };
            item.place = Place::Claimed(Some(ticket));
            self.out += 1;
            ids.push(id);
        }
        Some(Deal { reply, ids })
    }

    /// Takes an operation back from an asker that does not lease it after all: it keeps its place.
    pub(crate) fn give_back(&mut self, id: OperationId) {
        let Some(Place::Claimed(ticket)) = self.items.get(&id).map(|item| &item.place) else {
            return;
        };
        let ticket = *ticket;
        self.settle(id, |books, item| {
            let Some(ticket) = ticket else { return books.queue_up(id, item) };
            books.waiting += 1;
            books.queues[item.queue.0].ready.put_back(&item.tenant, ticket, id);
            Place::Queued(ticket)
        });
    }
}
