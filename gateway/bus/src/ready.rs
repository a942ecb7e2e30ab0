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
}

impl Ready {
    pub(crate) fn push(&mut self, tenant: &Tenant, id: OperationId) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        match self.lanes.get_mut(tenant) {
            Some(lane) => lane.insert(ticket, id),
            None => self.lanes.entry(tenant.clone()).or_default().insert(ticket, id),
        };
        ticket
    }

    pub(crate) fn leave(&mut self, tenant: &Tenant, ticket: Ticket) {
        if let Some(lane) = self.lanes.get_mut(tenant) {
            lane.remove(&ticket);
            if lane.is_empty() {
                self.lanes.remove(tenant);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<OperationId> {
        let after = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut next = self.lanes.range((after, Bound::Unbounded)).map(|(tenant, _)| tenant);
        let tenant = next.next().or_else(|| self.lanes.keys().next())?.clone();
        let lane = self.lanes.get_mut(&tenant)?;
        let (_, id) = lane.pop_first()?;
        if lane.is_empty() {
            self.lanes.remove(&tenant);
        }
        self.last = Some(tenant);
        Some(id)
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
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(order, [id(1), id(11), id(2), id(3)]);
        assert!(ready.lanes.is_empty());
    }
}
