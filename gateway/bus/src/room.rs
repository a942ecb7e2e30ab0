//! How many of something may be under way, which may be another number at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for so many. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    taken: AtomicUsize,
    most: AtomicUsize,
}

/// One place, until this is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub(crate) struct Place(Arc<Counts>);

impl Room {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Counts { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) }))
    }

    /// A place; none when all are taken.
    pub(crate) fn take(&self) -> Option<Place> {
        let most = self.0.most.load(Ordering::Relaxed);
        let more = |taken| (taken < most).then_some(taken + 1);
        let taken = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(Arc::clone(&self.0)))
    }

    /// Has another number of places from now on. Where more are taken already, they stay so.
    pub(crate) fn resize(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_stays_so_when_there_is_less_room() {
        let room = Room::new(2);
        let (first, second) = (room.take().unwrap(), room.take().unwrap());
        assert!(room.take().is_none());
        room.resize(1);
        drop(first);
        assert!(room.take().is_none());
        drop(second);
        let only = room.take().unwrap();
        assert!(room.take().is_none());
        room.resize(2);
        assert!(room.take().is_some());
        drop(only);
    }
}
