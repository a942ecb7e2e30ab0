//! What has been made for the peer and is not written yet.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

/// What may weigh on a connection before no more is made for it, in bytes of memory. What is being made then comes on
/// top.
const LIMIT: usize = 16 << 20;

/// What may before nothing is, not even for those who have nothing under way yet.
const HARD_LIMIT: usize = 64 << 20;

/// What weighs on a connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outgoing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    /// Deliveries and dispositions that are not written.
    unwritten: AtomicUsize,
    /// Told when there may be room again.
    freed: Notify,
    /// Told when all is written.
    written: Notify,
}

/// A delivery that weighs on its connection until this is dropped: when it is written, or never will be.
#[derive(Debug)]
pub struct Load {
    bytes: usize,
    on: Outgoing,
}

impl Drop for Load {
    fn drop(&mut self) {
        let before = self.on.0.bytes.fetch_sub(self.bytes, AcqRel);
        if before >= LIMIT {
            self.on.0.freed.notify_waiters();
        }
        self.on.gone(1);
    }
}

impl Outgoing {
    /// Adds a delivery of so many bytes.
    pub fn load(&self, bytes: usize) -> Load {
        self.0.bytes.fetch_add(bytes, AcqRel);
        self.hand();
        Load { bytes, on: self.clone() }
    }

    /// Whether more may be made, for somebody who has something under way already or not.
    pub fn has_room(&self, busy: bool) -> bool {
        self.0.bytes.load(Acquire) < if busy { LIMIT } else { HARD_LIMIT }
    }

    /// Waits until more may be made.
    pub async fn room(&self, busy: impl Fn() -> bool) {
        until(&self.0.freed, || self.has_room(busy())).await;
    }

    /// A future that makes something, which goes on only while there is room for it: of many that could be ready at
    /// once, no more are than fit, if what they make is weighed without a wait.
    pub async fn gated<F: Future + Unpin>(
        &self,
        mut making: F,
        busy: impl Fn() -> bool,
    ) -> F::Output {
        let mut waiting = None;
        poll_fn(|cx| {
            while !self.has_room(busy()) {
                let freed = waiting.get_or_insert_with(|| Box::pin(self.0.freed.notified()));
                if freed.as_mut().poll(cx).is_pending() && !self.has_room(busy()) {
                    return Poll::Pending;
                }
                waiting = None;
            }
            Pin::new(&mut making).poll(cx)
        })
        .await
    }

    /// Waits until all is written.
    pub async fn written(&self) {
        until(&self.0.written, || self.0.unwritten.load(Acquire) == 0).await;
    }

    fn hand(&self) {
        self.0.unwritten.fetch_add(1, AcqRel);
    }

    fn gone(&self, count: usize) {
        if count > 0 && self.0.unwritten.fetch_sub(count, AcqRel) == count {
            self.0.written.notify_waiters();
        }
    }
}

/// Waits until something is so, which is told whenever it may have become so.
async fn until(told: &Notify, is: impl Fn() -> bool) {
    loop {
        let changed = told.notified();
        if is() {
            return;
        }
        changed.await;
    }
}

/// The dispositions of a session that are told and not written; none once it has ended.
#[derive(Debug)]
pub(super) struct Dispositions {
    count: Mutex<Option<usize>>,
    /// Our channel, once we have begun the session.
    channel: OnceLock<u16>,
    on: Outgoing,
}

impl Dispositions {
    pub(super) fn new(on: Outgoing) -> Self {
        Self { count: Mutex::new(Some(0)), channel: OnceLock::new(), on }
    }

    /// We have begun the session on that channel.
    pub(super) fn begun(&self, channel: u16) {
        self.channel.get_or_init(|| channel);
    }

    /// Our channel; none if we have not begun the session, or have ended it.
    pub(super) fn channel(&self) -> Option<u16> {
        self.count().and_then(|_| self.channel.get().copied())
    }

    /// One is told; false where the session has ended.
    pub(super) fn add(&self) -> bool {
        let mut count = self.count();
        let Some(count) = count.as_mut() else { return false };
        *count += 1;
        self.on.hand();
        true
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
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_over(future: Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn there_is_room_until_as_much_weighs_as_may() {
        let outgoing = Outgoing::default();
        let whole = outgoing.load(LIMIT);
        assert!(!outgoing.has_room(true) && outgoing.has_room(false));
        let mut room = pin!(outgoing.room(|| true));
        assert!(!is_over(room.as_mut()));
        let more = outgoing.load(HARD_LIMIT - LIMIT);
        assert!(!outgoing.has_room(false));
        drop(more);
        drop(whole);
        assert!(outgoing.has_room(true));
        assert!(is_over(room));
    }

    #[test]
    fn of_those_who_could_be_ready_at_once_as_many_are_as_fit() {
        let outgoing = Outgoing::default();
        let loads = RefCell::new(Vec::new());
        let make = || {
            let (outgoing, loads) = (outgoing.clone(), &loads);
            Box::pin(async move {
                let made = outgoing.gated(std::future::ready(LIMIT / 2), || true).await;
                loads.borrow_mut().push(outgoing.load(made));
            })
        };
        let mut making: Vec<_> = (0..10).map(|_| make()).collect();
        let mut go_on = || making.retain_mut(|one| !is_over(one.as_mut()));
        go_on();
        assert_eq!(loads.borrow().len(), 2);
        loads.borrow_mut().pop();
        go_on();
        assert_eq!(loads.borrow().len(), 2);
    }

    #[test]
    fn all_is_written_when_the_last_delivery_and_disposition_are() {
        let outgoing = Outgoing::default();
        let is_written = || is_over(pin!(outgoing.written()));
        assert!(is_written());
        let (one, other) = (outgoing.load(1), outgoing.load(LIMIT));
        drop(one);
        assert!(!is_written());
        drop(other);
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
    }
}
