//! One value that is replaced as a whole while everybody reads it.
//!
//! A thread reads by a copy of its own, so that readers on several cores write to nothing they share; whoever
//! replaces the value has all copies for a moment, and nobody sees an old one after a new one.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// More threads than this share copies, which costs speed and nothing else.
const COPIES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COPY: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES;
}

/// Two cache lines apart: processors fetch lines in pairs.
#[repr(align(128))]
struct Copy<T>(RwLock<Arc<Of<T>>>);

/// The value, as one copy has it: who holds it is counted by that copy alone.
pub(crate) struct Of<T>(Arc<T>);

impl<T> Deref for Of<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A value that can be replaced. Clones are of the same.
pub(crate) struct Latest<T>(Arc<[Copy<T>]>);

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").finish_non_exhaustive()
    }
}

impl<T> Latest<T> {
    pub(crate) fn new(value: T) -> Self {
        let value = Arc::new(value);
        let copy = |_| Copy(RwLock::new(Arc::new(Of(Arc::clone(&value)))));
        Self((0..COPIES).map(copy).collect())
    }

    /// The value as it is now, for as long as it is needed.
    pub(crate) fn get(&self) -> Arc<Of<T>> {
        let Copy(copy) = &self.0[COPY.with(|copy| *copy)];
        Arc::clone(&copy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has another value for everybody who asks from now on. Who has the old one may finish with it.
    pub(crate) fn replace(&self, value: T) {
        let value = Arc::new(value);
        let copies = self.0.iter();
        // Nobody reads until all have the new one.
        let mut all: Vec<_> =
            copies.map(|Copy(copy)| copy.write().unwrap_or_else(PoisonError::into_inner)).collect();
        for copy in &mut all {
            **copy = Arc::new(Of(Arc::clone(&value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn nobody_sees_an_old_value_after_a_new_one() {
        let latest = Latest::new(0_u64);
        let (seen, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !over.load(Ordering::Relaxed) {
                        // Whoever reads after me, on whatever thread, sees this one or a later one.
                        let before = seen.load(Ordering::SeqCst);
                        let now = usize::try_from(**latest.get()).unwrap();
                        assert!(now >= last && now >= before, "{now} after {last} and {before}");
                        seen.fetch_max(now, Ordering::SeqCst);
                        last = now;
                    }
                });
            }
            for value in 1..=2000 {
                latest.replace(value);
            }
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(**latest.get(), 2000);
    }

    #[test]
    fn an_old_value_goes_with_the_last_who_has_it() {
        let value = Arc::new(());
        let latest = Latest::new(Arc::clone(&value));
        let held = latest.get();
        latest.replace(Arc::default());
        assert_eq!(Arc::strong_count(&value), 2);
        drop(held);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
