//! A backend at its place.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::backend::Backend;
use crate::pull::Pull;
use crate::reach::Seen;
use crate::work::desk::Desk;

/// How a backend's operations get to where they are carried out.
pub(crate) enum Carrying {
    /// They are given to it.
    Push(Arc<dyn Backend>),
    /// Workers come for them.
    Pull(Pull),
}

/// A backend, and what lasts of it whatever the routes.
pub(crate) struct Placed {
    pub(crate) name: Arc<str>,
    pub(crate) carrying: Carrying,
    concurrency: AtomicUsize,
    /// What its last attempts say of it.
    pub(crate) seen: Seen,
    /// Where its workers come; none where it is given its operations.
    desk: OnceLock<Arc<Desk>>,
}

impl Placed {
    pub(super) fn new(name: Arc<str>, carrying: Carrying, concurrency: usize) -> Arc<Self> {
        let concurrency = AtomicUsize::new(concurrency);
        let (seen, desk) = (Seen::default(), OnceLock::new());
        Arc::new(Self { name, carrying, concurrency, seen, desk })
    }

    /// Operations that it has at a time, at most.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.load(Ordering::Relaxed)
    }

    pub(crate) fn allot(&self, concurrency: usize) {
        self.concurrency.store(concurrency, Ordering::Relaxed);
    }

    pub(crate) fn desk(&self) -> Option<&Arc<Desk>> {
        self.desk.get()
    }

    /// Its desk, which is made where it has none yet.
    pub(crate) fn furnish(&self, make: impl FnOnce() -> Desk) -> &Arc<Desk> {
        self.desk.get_or_init(|| Arc::new(make()))
    }
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed")
            .field("name", &self.name)
            .field("concurrency", &self.concurrency())
            .finish_non_exhaustive()
    }
}
