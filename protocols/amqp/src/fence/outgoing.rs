//! What has been made for the peer and is not written yet.

use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What may weigh on a connection before nothing more is made for it, in bytes of memory. What is being made then
/// comes on top.
const LIMIT: usize = 16 << 20;

/// What weighs on a connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outgoing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    /// Deliveries and dispositions that the crate has and that are not written.
    unwritten: AtomicUsize,
    /// Told when there is room again, and when all is written.
    changed: Notify,
}

/// Something that weighs on its connection until it is dropped.
#[derive(Debug)]
pub struct Load {
    bytes: usize,
    on: Outgoing,
}

impl Drop for Load {
    fn drop(&mut self) {
        let before = self.on.0.bytes.fetch_sub(self.bytes, AcqRel);
        if before >= LIMIT && before - self.bytes < LIMIT {
            self.on.0.changed.notify_waiters();
        }
    }
}

impl Outgoing {
    /// Adds so many bytes.
    pub fn load(&self, bytes: usize) -> Load {
        self.0.bytes.fetch_add(bytes, AcqRel);
        Load { bytes, on: self.clone() }
    }

    /// Whether more may be made.
    pub fn has_room(&self) -> bool {
        self.0.bytes.load(Acquire) < LIMIT
    }

    /// Waits until more may be made.
    pub async fn room(&self) {
        self.until(Self::has_room).await;
    }

    /// Waits until all is written that the crate has been handed.
    pub async fn written(&self) {
        self.until(|this| this.0.unwritten.load(Acquire) == 0).await;
    }

    fn hand(&self) {
        self.0.unwritten.fetch_add(1, AcqRel);
    }

    fn gone(&self, count: usize) {
        if count > 0 && self.0.unwritten.fetch_sub(count, AcqRel) == count {
            self.0.changed.notify_waiters();
        }
    }

    async fn until(&self, is: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            if is(self) {
                return;
            }
            changed.await;
        }
    }
}

/// The deliveries of a link that the crate has been handed and that are not written, the oldest first; none once the
/// link is detached.
#[derive(Debug)]
pub(super) struct Unwritten(Mutex<Option<VecDeque<Arc<Load>>>>);

impl Unwritten {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }

    pub(super) fn add(&self, load: Arc<Load>) {
        self.change(|loads| {
            load.on.hand();
            loads.push_back(load);
            None
        });
    }

    /// The newest is not sent after all.
    pub(super) fn take_back(&self) {
        self.change(VecDeque::pop_back);
    }

    /// The oldest is written.
    pub(super) fn written(&self) {
        self.change(VecDeque::pop_front);
    }

    /// None of them ever will be.
    pub(super) fn forget(&self) {
        let loads = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        loads.into_iter().flatten().for_each(|load| load.on.gone(1));
    }

    fn change(&self, change: impl FnOnce(&mut VecDeque<Arc<Load>>) -> Option<Arc<Load>>) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = loads.as_mut().and_then(change);
        drop(loads);
        if let Some(load) = left {
            load.on.gone(1);
        }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The dispositions of a session that the crate has been handed and that are not written; none once it has ended.
#[derive(Debug)]
pub(super) struct Dispositions {
    count: Mutex<Option<usize>>,
    on: Outgoing,
}

impl Dispositions {
    pub(super) fn new(on: Outgoing) -> Self {
        Self { count: Mutex::new(Some(0)), on }
    }

    pub(super) fn add(&self) {
        if let Some(count) = self.count().as_mut() {
            *count += 1;
            self.on.hand();
        }
    }

    /// One is written that settles so many deliveries.
    pub(super) fn written(&self, deliveries: usize) {
        let mut count = self.count();
        let Some(left) = count.as_mut() else { return };
        let gone = deliveries.min(*left);
        *left -= gone;
        drop(count);
        self.on.gone(gone);
    }

    /// None of them ever will be.
    pub(super) fn forget(&self) {
        let left = self.count().take();
        self.on.gone(left.unwrap_or(0));
    }

    fn count(&self) -> MutexGuard<'_, Option<usize>> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dispositions {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use super::*;

    fn is_over(future: Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn there_is_room_until_as_much_weighs_as_may() {
        let outgoing = Outgoing::default();
        let whole = outgoing.load(LIMIT);
        assert!(!outgoing.has_room());
        let mut room = pin!(outgoing.room());
        assert!(!is_over(room.as_mut()));
        drop(whole);
        assert!(outgoing.has_room());
        assert!(is_over(room));
    }

    #[test]
    fn all_is_written_when_the_last_delivery_is_or_its_link_is_no_more() {
        let outgoing = Outgoing::default();
        let (one, other) = (Unwritten::new(), Unwritten::new());
        let is_written = || is_over(pin!(outgoing.written()));
        assert!(is_written());
        one.add(Arc::new(outgoing.load(1)));
        one.add(Arc::new(outgoing.load(1)));
        other.add(Arc::new(outgoing.load(1)));
        one.written();
        one.take_back();
        assert!(!is_written());
        other.forget();
        assert!(is_written());
        let dispositions = Dispositions::new(outgoing.clone());
        dispositions.add();
        dispositions.add();
        dispositions.written(1);
        assert!(!is_written());
        dispositions.written(2);
        assert!(is_written());
        dispositions.add();
        dispositions.forget();
        assert!(is_written());
        // What is sent over a link that is detached is not waited for.
        other.add(Arc::new(outgoing.load(LIMIT)));
        assert!(is_written() && outgoing.has_room());
    }
}
