//! Operations that wait for their backend to have room.

use std::collections::BTreeMap;
use std::ops::Bound;

use opgate_core::{OperationId, Tenant};

/// A place in the queue, by which it can be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// A queue that gives every tenant its turn, and each tenant's operations in order: one tenant's
/// thousands do not keep another's one waiting. Holds live operations only, so it is bounded as
/// they are.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    lanes: BTreeMap<Tenant, BTreeMap<Ticket, OperationId>>,
    last: Option<Tenant>,
    next: u64,
    len: usize,
}

impl Ready {
    pub(crate) fn push(&mut self, tenant: &Tenant, id: OperationId) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.put_back(tenant, ticket, id);
        ticket
    }

    /// Puts what was popped back in the place it had.
    pub(crate) fn put_back(&mut self, tenant: &Tenant, ticket: Ticket, id: OperationId) {
        match self.lanes.get_mut(tenant) {
            Some(lane) => lane.insert(ticket, id),
            None => self.lanes.entry(tenant.clone()).or_default().insert(ticket, id),
        };
        self.len += 1;
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn leave(&mut self, tenant: &Tenant, ticket: Ticket) {
        if let Some(lane) = self.lanes.get_mut(tenant) {
            self.len -= usize::from(lane.remove(&ticket).is_some());
            if lane.is_empty() {
                self.lanes.remove(tenant);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<(Ticket, OperationId)> {
        let after = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut next = self.lanes.range((after, Bound::Unbounded)).map(|(tenant, _)| tenant);
        let tenant = next.next().or_else(|| self.lanes.keys().next())?.clone();
        let lane = self.lanes.get_mut(&tenant)?;
        let first = lane.pop_first()?;
        self.len -= 1;
        if lane.is_empty() {
            self.lanes.remove(&tenant);
        }
        self.last = Some(tenant);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> OperationId {
        OperationId::from_bits(n)
    }

    #[test]
    fn tenants_take_turns_and_each_keeps_its_order() {
        let (a, b) = (Tenant::new("a").unwrap(), Tenant::new("b").unwrap());
        let mut ready = Ready::default();
        for n in 1..=3 {
            ready.push(&a, id(n));
        }
        let gone = ready.push(&b, id(10));
        ready.push(&b, id(11));
        ready.leave(&b, gone);
        let order: Vec<_> = std::iter::from_fn(|| ready.pop().map(|(_, id)| id)).collect();
        assert_eq!(order, [id(1), id(11), id(2), id(3)]);
        assert!(ready.lanes.is_empty());
        assert_eq!(ready.len(), 0);
    }

    #[test]
    fn what_is_put_back_has_its_old_place() {
        let tenant = Tenant::anonymous();
        let mut ready = Ready::default();
        ready.push(&tenant, id(1));
        ready.push(&tenant, id(2));
        let (ticket, first) = ready.pop().unwrap();
        ready.put_back(&tenant, ticket, first);
        assert_eq!(ready.len(), 2);
        assert_eq!(ready.pop(), Some((ticket, id(1))));
    }
}
