//! Which backends cannot be asked now.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opgate_core::{Error, ErrorKind, Outcome};

use crate::router::{BackendIndex, Router};

/// What the last attempts say of each backend, and which backends are missed.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Whether the last attempt of a backend did not reach what is behind it.
    down: Box<[AtomicBool]>,
    /// Backends that live operations name and that are not configured, with how many name them.
    missing: Mutex<BTreeMap<Arc<str>, usize>>,
    /// How many of either there are, so that the usual look takes no lock.
    count: AtomicUsize,
}

impl Reach {
    pub(crate) fn new(router: &Router) -> Self {
        Self {
            down: router.backends().iter().map(|_| AtomicBool::new(false)).collect(),
            missing: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }

    /// Hears how an attempt ended.
    pub(crate) fn heard(&self, backend: BackendIndex, result: &Result<Outcome, Error>) {
        let unreached = result.as_ref().is_err_and(|error| {
            matches!(error.kind, ErrorKind::Unavailable | ErrorKind::DeadlineExceeded)
        });
        let Some(down) = self.down.get(backend.0) else { return };
        match (down.swap(unreached, Ordering::Relaxed), unreached) {
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
        let placed = router.backends().iter().zip(&self.down);
        let down = placed.filter(|(_, down)| down.load(Ordering::Relaxed));
        let mut names: Vec<Arc<str>> = down.map(|(placed, _)| Arc::clone(&placed.name)).collect();
        names.extend(self.missing().keys().cloned());
        names
    }

    fn missing(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
