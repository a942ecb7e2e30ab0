//! Where lists have been read to. QUERY pages by offset, the bus by token and newest first, so that what
//! is started between two pages would move every row. A walk is one list as it was when its first page was
//! asked for: each row has its place in it for good.
//!
//! Kept are the ids of the last [`KEPT`] rows and where the list goes on, for [`WALKS`] walks in all,
//! [`OF_A_CONNECTION`] of one connection and [`OF_A_LINK`] of one link, the least lately used leaving first: at
//! most 20 MiB. A list that its first page shows whole is not kept. Whoever goes on with a walk that had to leave
//! is told to begin again, as far back as [`LOST`] of them are remembered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opgate_bus::Caller;
use opgate_core::{Error, ErrorKind, OperationId, Parent};

use crate::node::ConnectionId;

/// Rows of a walk that can be read again.
pub(super) const KEPT: usize = 4096;
/// Walks in all.
const WALKS: usize = 256;
/// Walks of one connection: nobody pushes out those of more than a few others.
const OF_A_CONNECTION: usize = 16;
/// Walks of one link: of those who page through lists at the same time over it.
const OF_A_LINK: usize = 4;
/// Walks that are remembered to have left.
const LOST: usize = 4096;

/// What a walk goes through, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) caller: Caller,
    pub(super) connection: ConnectionId,
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
    known: Mutex<Known>,
    clock: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    walks: Vec<Arc<Walk>>,
    /// Links whose walks had to leave, each with how far its walk was read; the last at the end.
    lost: VecDeque<(u64, usize)>,
}

impl Walks {
    /// The walk that a page at this offset is of: for the first page a new one; for a later one that which
    /// was read as far as this, the oldest of several, else the newest there is. Where none was ever known it
    /// is a new one too, whose rows are those of now.
    ///
    /// # Errors
    /// `FailedPrecondition`: there was one, and it had to leave.
    pub(super) fn of(&self, key: Key, offset: usize) -> Result<Arc<Walk>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if offset > 0 {
            let mut same = known.walks.iter().filter(|walk| walk.key == key);
            let next = same.clone().find(|walk| walk.next.load(Ordering::Relaxed) == offset);
            if next.is_none() && known.lost.contains(&(key.link, offset)) {
                let text = "offset: this list is not kept any more: begin again with offset 0";
                return Err(Error::new(ErrorKind::FailedPrecondition, text));
            }
            if let Some(walk) = next.or_else(|| same.next_back()) {
                walk.used.store(now, Ordering::Relaxed);
                return Ok(Arc::clone(walk));
            }
        }
        known.make_room(&key);
        let walk = Arc::new(Walk {
            key,
            next: AtomicUsize::new(0),
            used: AtomicU64::new(now),
            rows: tokio::sync::Mutex::default(),
        });
        known.walks.push(Arc::clone(&walk));
        Ok(walk)
    }

    /// Forgets a walk that nobody will go on with.
    pub(super) fn forget(&self, walk: &Arc<Walk>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.walks.retain(|other| !Arc::ptr_eq(other, walk));
    }
}

impl Known {
    /// Makes room for a walk of this key.
    fn make_room(&mut self, key: &Key) {
        let count =
            |is: &dyn Fn(&Key) -> bool| self.walks.iter().filter(|walk| is(&walk.key)).count();
        if count(&|other| other.link == key.link) >= OF_A_LINK {
            self.push_out(|other| other.link == key.link);
        } else if count(&|other| other.connection == key.connection) >= OF_A_CONNECTION {
            self.push_out(|other| other.connection == key.connection);
        } else if self.walks.len() >= WALKS {
            self.push_out(|_| true);
        }
    }

    /// Lets the least lately used of these leave.
    fn push_out(&mut self, which: impl Fn(&Key) -> bool) {
        let places = self.walks.iter().enumerate().filter(|(_, walk)| which(&walk.key));
        let oldest = places.min_by_key(|(_, walk)| walk.used.load(Ordering::Relaxed));
        let Some((place, _)) = oldest else { return };
        let walk = self.walks.remove(place);
        if self.lost.len() >= LOST {
            self.lost.pop_front();
        }
        self.lost.push_back((walk.key.link, walk.next.load(Ordering::Relaxed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(link: u64) -> Key {
        Key {
            caller: Caller::anonymous(),
            connection: ConnectionId(link / 100),
            link,
            scope: Parent::root(),
            filter: String::new(),
        }
    }

    fn of(walks: &Walks, key: Key, offset: usize) -> Arc<Walk> {
        walks.of(key, offset).unwrap()
    }

    #[test]
    fn whoever_goes_on_finds_the_walk_that_was_read_so_far() {
        let walks = Walks::default();
        let (first, second) = (of(&walks, key(1), 0), of(&walks, key(1), 0));
        first.read_to(10);
        second.read_to(20);
        assert!(Arc::ptr_eq(&of(&walks, key(1), 10), &first));
        assert!(Arc::ptr_eq(&of(&walks, key(1), 20), &second));
        assert!(Arc::ptr_eq(&of(&walks, key(1), 30), &second), "the newest");
        assert!(!Arc::ptr_eq(&of(&walks, key(2), 10), &first), "another link's");
        let other = Key { filter: "state = RUNNING".into(), ..key(1) };
        assert!(!Arc::ptr_eq(&of(&walks, other, 10), &first), "another list's");
        assert!(!Arc::ptr_eq(&of(&walks, key(1), 0), &second), "a new beginning");
    }

    #[test]
    fn there_are_no_more_walks_than_stated() {
        let walks = Walks::default();
        for link in 0..10_000 {
            for _ in 0..2 * OF_A_LINK {
                drop(of(&walks, key(link), 0));
            }
            let known = walks.known.lock().unwrap();
            let count =
                |is: &dyn Fn(&Key) -> bool| known.walks.iter().filter(|walk| is(&walk.key)).count();
            assert!(count(&|other| other.link == link) <= OF_A_LINK);
            assert!(count(&|other| other.connection == key(link).connection) <= OF_A_CONNECTION);
            assert!(known.walks.len() <= WALKS && known.lost.len() <= LOST);
        }
    }

    #[test]
    fn a_connection_that_lists_without_end_pushes_out_its_own_walks_only() {
        let walks = Walks::default();
        let mine = of(&walks, key(1), 0);
        mine.read_to(50);
        for link in 100..200 {
            drop(of(&walks, key(link), 0));
        }
        assert!(Arc::ptr_eq(&of(&walks, key(1), 50), &mine));
    }

    #[test]
    fn who_goes_on_with_a_walk_that_left_is_told_and_who_never_had_one_is_not() {
        let walks = Walks::default();
        of(&walks, key(1), 0).read_to(50);
        for _ in 0..OF_A_LINK {
            of(&walks, key(1), 0).read_to(7);
        }
        assert_eq!(walks.of(key(1), 50).unwrap_err().kind, ErrorKind::FailedPrecondition);
        assert!(walks.of(key(2), 50).is_ok());
    }
}
