//! Operations that somebody has put back to work, until whoever has them has heard of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use opgate_core::OperationId;

/// Which ones. Bounded as live operations are.
#[derive(Debug, Default)]
pub(crate) struct Again {
    ids: Mutex<HashSet<OperationId>>,
    /// How many there are, so that the usual look takes no lock.
    count: AtomicUsize,
}

impl Again {
    pub(crate) fn put(&self, id: OperationId) {
        self.change(|ids| ids.insert(id));
    }

    pub(crate) fn holds(&self, id: OperationId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.change(|ids| ids.contains(&id))
    }

    /// Takes one out; whether it was there.
    pub(crate) fn take(&self, id: OperationId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.change(|ids| ids.remove(&id))
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashSet<OperationId>) -> T) -> T {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut ids);
        self.count.store(ids.len(), Ordering::Release);
        changed
    }
}
