//! Where lists have been read to. QUERY pages by offset, the bus by token and newest first, so that what
//! is started between two pages would move every row. A walk is one list as it was when its first page was
//! asked for: each row has its place in it for good.
//!
//! Kept are the ids of the last [`KEPT`] rows and where the list goes on, for [`WALKS`] walks in all and
//! [`OF_A_LINK`] of one link, the least lately used leaving first: at most 20 MiB.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opgate_bus::Caller;
use opgate_core::{OperationId, Parent};

/// Rows of a walk that can be read again.
pub(super) const KEPT: usize = 4096;
/// Walks in all.
const WALKS: usize = 256;
/// Walks of one link: of those who page through lists at the same time over it.
const OF_A_LINK: usize = 4;

/// What a walk goes through, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) caller: Caller,
    pub(super) link: u64,
    pub(super) scope: Parent,
    pub(super) filter: String,
}

/// A list as it was.
#[derive(Debug)]
pub(super) struct Walk {
    key: Key,
    /// The offset behind the rows of the page before: what is asked for next by who goes on.
    next: AtomicUsize,
    used: AtomicU64,
    pub(super) rows: tokio::sync::Mutex<Rows>,
}

/// The rows of a walk.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The offset of the first that is kept.
    pub(super) base: usize,
    pub(super) ids: VecDeque<OperationId>,
    pub(super) goes_on: GoesOn,
}

/// Where the list goes on behind the rows that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum GoesOn {
    /// At its beginning.
    #[default]
    First,
    /// With the page of this token.
    With(String),
    /// Nowhere.
    Ended,
}

impl Rows {
    /// The offset behind the last row that is known.
    pub(super) fn end(&self) -> usize {
        self.base + self.ids.len()
    }

    /// Forgets all but the last [`KEPT`] rows.
    pub(super) fn trim(&mut self) {
        let over = self.ids.len().saturating_sub(KEPT);
        self.ids.drain(..over);
        self.base += over;
    }
}

impl Walk {
    /// Notes that its rows were read as far as this.
    pub(super) fn read_to(&self, next: usize) {
        self.next.store(next, Ordering::Relaxed);
    }
}

/// Every walk that is known.
#[derive(Debug, Default)]
pub(super) struct Walks {
    walks: Mutex<Vec<Arc<Walk>>>,
    clock: AtomicU64,
}

impl Walks {
    /// The walk that a page at this offset is of: for the first page a new one; for a later one that which
    /// was read as far as this, the oldest of several, else the newest there is. Where none is known it is
    /// a new one too, whose rows are those of now.
    pub(super) fn of(&self, key: Key, offset: usize) -> Arc<Walk> {
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let found = if offset == 0 {
            None
        } else {
            let mut same = walks.iter().filter(|walk| walk.key == key);
            let is_next = |walk: &&Arc<Walk>| walk.next.load(Ordering::Relaxed) == offset;
            same.clone().find(is_next).or_else(|| same.next_back())
        };
        if let Some(walk) = found {
            walk.used.store(now, Ordering::Relaxed);
            return Arc::clone(walk);
        }
        let link = key.link;
        if walks.iter().filter(|walk| walk.key.link == link).count() >= OF_A_LINK {
            forget(&mut walks, |walk| walk.key.link == link);
        } else if walks.len() >= WALKS {
            forget(&mut walks, |_| true);
        }
        let walk = Arc::new(Walk {
            key,
            next: AtomicUsize::new(0),
            used: AtomicU64::new(now),
            rows: tokio::sync::Mutex::default(),
        });
        walks.push(Arc::clone(&walk));
        walk
    }
}

/// Forgets the least lately used of these.
fn forget(walks: &mut Vec<Arc<Walk>>, which: impl Fn(&Walk) -> bool) {
    let places = walks.iter().enumerate().filter(|(_, walk)| which(walk));
    let oldest = places.min_by_key(|(_, walk)| walk.used.load(Ordering::Relaxed));
    if let Some((place, _)) = oldest {
        walks.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(link: u64) -> Key {
        Key { caller: Caller::anonymous(), link, scope: Parent::root(), filter: String::new() }
    }

    #[test]
    fn whoever_goes_on_finds_the_walk_that_was_read_so_far() {
        let walks = Walks::default();
        let (first, second) = (walks.of(key(1), 0), walks.of(key(1), 0));
        first.read_to(10);
        second.read_to(20);
        assert!(Arc::ptr_eq(&walks.of(key(1), 10), &first));
        assert!(Arc::ptr_eq(&walks.of(key(1), 20), &second));
        assert!(Arc::ptr_eq(&walks.of(key(1), 30), &second), "the newest");
        assert!(!Arc::ptr_eq(&walks.of(key(2), 10), &first), "another link's");
        let other = Key { filter: "state = RUNNING".into(), ..key(1) };
        assert!(!Arc::ptr_eq(&walks.of(other, 10), &first), "another list's");
        assert!(!Arc::ptr_eq(&walks.of(key(1), 0), &second), "a new beginning");
    }

    #[test]
    fn there_are_no_more_walks_than_stated() {
        let walks = Walks::default();
        for link in 0..1000 {
            for _ in 0..2 * OF_A_LINK {
                drop(walks.of(key(link), 0));
            }
            let known = walks.walks.lock().unwrap();
            assert!(known.iter().filter(|walk| walk.key.link == link).count() <= OF_A_LINK);
            assert!(known.len() <= WALKS);
        }
    }
}
