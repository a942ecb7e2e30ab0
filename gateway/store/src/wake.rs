//! Waking those who wait for one operation, and nobody else.
//!
//! A waiter registers, reads the operation again, and only then sleeps; the sequencer publishes,
//! and only then wakes. Whichever comes first, the waiter either reads the change or is woken.

use super::sync::{Arc, Notified, Notify, Slots};
use opgate_core::OperationId;

#[derive(Clone, Debug)]
struct List {
    waiters: u32,
    notify: Arc<Notify>,
}

/// Everybody who waits.
#[derive(Debug)]
pub(crate) struct Wakers(Slots<List>);

impl Wakers {
    pub(crate) fn new() -> Self {
        Self(Slots::new())
    }

    /// Registers for the changes of one operation. The count is changed inside the slot, so that a
    /// last waiter that leaves cannot take the list away from one that comes.
    pub(crate) fn register(self: &Arc<Self>, id: OperationId) -> Waiter {
        let fresh = Arc::new(Notify::new());
        let list = self.0.update(id, |list| {
            Some(match list {
                Some(list) => List { waiters: list.waiters + 1, notify: Arc::clone(&list.notify) },
                None => List { waiters: 1, notify: Arc::clone(&fresh) },
            })
        });
        let notify = list.map_or(fresh, |list| list.notify);
        Waiter { wakers: Arc::clone(self), id, notify }
    }

    /// Wakes those who wait for `id`.
    pub(crate) fn wake(&self, id: OperationId) {
        if let Some(list) = self.0.get(id) {
            list.notify.notify_waiters();
        }
    }

    /// How many operations somebody waits for.
    pub(crate) fn operations(&self) -> usize {
        self.0.len()
    }
}

/// A registration; dropping it ends it.
#[derive(Debug)]
pub struct Waiter {
    wakers: Arc<Wakers>,
    id: OperationId,
    notify: Arc<Notify>,
}

impl Waiter {
    /// Resolves at the first change published after this call. Call it, read the operation, and
    /// only then await it.
    pub fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.wakers.0.update(self.id, |list| {
            let list = list?;
            (list.waiters > 1)
                .then(|| List { waiters: list.waiters - 1, notify: Arc::clone(&list.notify) })
        });
    }
}
