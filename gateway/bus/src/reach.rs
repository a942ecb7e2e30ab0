//! Which backends cannot be asked now, and how busy each is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opgate_core::{Error, ErrorKind, Outcome, Timestamp, limits};

use crate::router::Router;

/// What went wrong with a backend last. Shared with its leases.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<(Timestamp, Box<str>)>>);

impl Trouble {
    pub(crate) fn note(&self, at: Timestamp, text: &str) {
        *self.lock() = Some((at, limits::clip(text).into()));
    }

    pub(crate) fn last(&self) -> Option<(Timestamp, Box<str>)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Timestamp, Box<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the dispatcher and the leases know of one backend.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Whether its last attempt did not reach what is behind it.
    down: AtomicBool,
    /// Operations that it has.
    leased: AtomicUsize,
    /// Operations that wait for it to have room.
    queued: AtomicUsize,
    trouble: Arc<Trouble>,
}

impl Seen {
    /// Hears how much of a backend's room is taken, and how many operations wait for more.
    pub(crate) fn counted(&self, leased: usize, queued: usize) {
        self.leased.store(leased, Ordering::Relaxed);
        self.queued.store(queued, Ordering::Relaxed);
    }

    /// How many operations a backend has, and how many wait for it.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.leased.load(Ordering::Relaxed), self.queued.load(Ordering::Relaxed))
    }

    /// Where a backend's trouble is noted.
    pub(crate) const fn trouble(&self) -> &Arc<Trouble> {
        &self.trouble
    }

    /// Whether the last attempt of a backend did not reach what is behind it.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }
}

/// How many backends did not answer last, and which backends are missed.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Backends that live operations name and that are not configured, with how many name them.
    missing: Mutex<BTreeMap<Arc<str>, usize>>,
    /// How many of either there are, so that the usual look takes no lock.
    count: AtomicUsize,
}

impl Reach {
    /// The backends that are missed, with how many live operations name each.
    pub(crate) fn missed(&self) -> Vec<(Arc<str>, usize)> {
        self.missing().iter().map(|(name, count)| (Arc::clone(name), *count)).collect()
    }

    /// Hears how an attempt ended.
    pub(crate) fn heard(&self, seen: &Seen, result: &Result<Outcome, Error>, now: Timestamp) {
        if let Err(error) = result {
            seen.trouble.note(now, &error.message);
        }
        let unreached = result.as_ref().is_err_and(|error| {
            matches!(error.kind, ErrorKind::Unavailable | ErrorKind::DeadlineExceeded)
        });
        match (seen.down.swap(unreached, Ordering::Relaxed), unreached) {
            (false, true) => _ = self.count.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.count.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
    }

    /// Hears that a live operation names a backend that is not configured.
    pub(crate) fn misses(&self, backend: &Arc<str>) {
        let mut missing = self.missing();
        let operations = missing.entry(Arc::clone(backend)).or_insert(0);
        if *operations == 0 {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        *operations += 1;
    }

    /// Hears that such an operation has ended.
    pub(crate) fn misses_no_more(&self, backend: &str) {
        let mut missing = self.missing();
        let Some(operations) = missing.get_mut(backend) else { return };
        *operations -= 1;
        if *operations == 0 {
            missing.remove(backend);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets who is missed: a new dispatcher tells it anew.
    pub(crate) fn forget_missing(&self) {
        let mut missing = self.missing();
        self.count.fetch_sub(missing.len(), Ordering::Relaxed);
        missing.clear();
    }

    /// The names of the backends that cannot be asked now.
    pub(crate) fn unreachable(&self, router: &Router) -> Vec<Arc<str>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let down = router.backends().iter().filter(|placed| placed.seen.is_down());
        let mut names: Vec<Arc<str>> = down.map(|placed| Arc::clone(&placed.name)).collect();
        names.extend(self.missing().keys().cloned());
        names
    }

    fn missing(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
