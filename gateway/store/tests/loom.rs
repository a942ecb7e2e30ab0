//! The two places where threads meet without a lock, under every interleaving: how a list entry is
//! published, and how a waiter registers and looks again. The code is the store's own, compiled
//! against primitives the model checker sees into.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "parts of the store's files, not all of which these models use"
)]

#[path = "../src/chunk.rs"]
mod chunk;
#[path = "../src/wake.rs"]
mod wake;

/// Stand-ins of the same shape as the store's own.
mod sync {
    use std::collections::HashMap;

    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use loom::sync::{Condvar, Mutex};
    use opgate_core::OperationId;
    pub(crate) use std::sync::Arc;

    #[derive(Debug)]
    pub(crate) struct Notify {
        wakes: Mutex<u64>,
        changed: Condvar,
    }

    #[derive(Debug)]
    pub struct Notified<'a> {
        notify: &'a Notify,
        seen: u64,
    }

    impl Notify {
        pub(crate) fn new() -> Self {
            Self { wakes: Mutex::new(0), changed: Condvar::new() }
        }

        pub(crate) fn notified(&self) -> Notified<'_> {
            Notified { notify: self, seen: *self.wakes.lock().unwrap() }
        }

        pub(crate) fn notify_waiters(&self) {
            *self.wakes.lock().unwrap() += 1;
            self.changed.notify_all();
        }
    }

    impl Notified<'_> {
        pub(crate) fn wait(self) {
            let mut wakes = self.notify.wakes.lock().unwrap();
            while *wakes == self.seen {
                wakes = self.notify.changed.wait(wakes).unwrap();
            }
        }
    }

    #[derive(Debug)]
    pub(crate) struct Slots<V>(Mutex<HashMap<OperationId, V>>);

    impl<V: Clone> Slots<V> {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(HashMap::new()))
        }

        pub(crate) fn get(&self, id: OperationId) -> Option<V> {
            self.0.lock().unwrap().get(&id).cloned()
        }

        pub(crate) fn update(
            &self,
            id: OperationId,
            change: impl Fn(Option<&V>) -> Option<V>,
        ) -> Option<V> {
            let mut slots = self.0.lock().unwrap();
            let next = change(slots.get(&id));
            match next.clone() {
                Some(value) => slots.insert(id, value),
                None => slots.remove(&id),
            };
            next
        }

        pub(crate) fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }
}

use chunk::{Chunk, Entry};
use loom::thread;
use opgate_core::OperationId;
use sync::{Arc, AtomicU64, Ordering};
use wake::Wakers;

#[test]
fn a_reader_sees_whole_entries_only() {
    loom::model(|| {
        let chunk = Arc::new(Chunk::new(2));
        let entry = |seq| Entry { seq, id: u128::from(seq) << 64 | u128::from(seq) };
        let writer = {
            let chunk = Arc::clone(&chunk);
            thread::spawn(move || {
                assert!(chunk.push(entry(1)));
                assert!(chunk.push(entry(2)));
                assert!(!chunk.push(entry(3)), "it is full");
            })
        };
        let len = chunk.len();
        for index in 0..len {
            assert_eq!(chunk.get(index), Some(entry(index as u64 + 1)));
        }
        writer.join().unwrap();
    });
}

fn until_published(wakers: &Arc<Wakers>, published: &AtomicU64, id: OperationId) {
    let waiter = wakers.register(id);
    loop {
        let changed = waiter.changed();
        if published.load(Ordering::Acquire) > 0 {
            return;
        }
        changed.wait();
    }
}

#[test]
fn a_waiter_reads_the_change_or_is_woken_by_it() {
    loom::model(|| {
        let (wakers, published) = (Arc::new(Wakers::new()), Arc::new(AtomicU64::new(0)));
        let id = OperationId::from_bits(1);
        let waiter = {
            let (wakers, published) = (Arc::clone(&wakers), Arc::clone(&published));
            thread::spawn(move || until_published(&wakers, &published, id))
        };
        published.store(1, Ordering::Release);
        wakers.wake(id);
        waiter.join().unwrap();
        assert_eq!(wakers.operations(), 0, "nothing is left behind");
    });
}

#[test]
fn a_waiter_that_leaves_takes_nobody_s_wake_away() {
    loom::model(|| {
        let (wakers, published) = (Arc::new(Wakers::new()), Arc::new(AtomicU64::new(0)));
        let id = OperationId::from_bits(1);
        let leaver = {
            let wakers = Arc::clone(&wakers);
            thread::spawn(move || drop(wakers.register(id)))
        };
        let waiter = {
            let (wakers, published) = (Arc::clone(&wakers), Arc::clone(&published));
            thread::spawn(move || until_published(&wakers, &published, id))
        };
        published.store(1, Ordering::Release);
        wakers.wake(id);
        waiter.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(wakers.operations(), 0, "nothing is left behind");
    });
}
