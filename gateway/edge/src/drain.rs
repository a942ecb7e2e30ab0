//! Orderly stop: one side begins it, everybody else sees it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug, Default)]
struct Shared {
    /// Set once: when open connections are cut.
    deadline: OnceLock<Instant>,
    started: Notify,
}

/// The view of those who must stop: listeners, and frontends whose waits should be answered.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

/// The one handle that begins a drain.
#[derive(Debug)]
pub struct DrainTrigger(Arc<Shared>);

impl Drain {
    /// A drain that has not begun.
    pub fn new() -> (DrainTrigger, Self) {
        let shared = Arc::new(Shared::default());
        (DrainTrigger(Arc::clone(&shared)), Self(shared))
    }

    /// Whether the drain has begun. One atomic load: cheap enough for every poll of a connection.
    pub fn is_draining(&self) -> bool {
        self.0.deadline.get().is_some()
    }

    /// Completes when the drain begins, at once if it has.
    ///
    /// Takes a lock shared with all other waiters at its first poll and when dropped: for waits and connections, not
    /// for every request.
    pub async fn started(&self) {
        // Made before the check, so that a drain beginning in between is not missed.
        let started = self.0.started.notified();
        if !self.is_draining() {
            started.await;
        }
    }

    /// When connections still open are cut; none before the drain began.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get().copied()
    }
}

impl DrainTrigger {
    /// Begins the drain: listeners close, connections finish what they have begun, and what is left after `limit` is
    /// cut. Only the first call counts.
    pub fn begin(&self, limit: Duration) {
        if self.0.deadline.set(Instant::now() + limit).is_ok() {
            self.0.started.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_it_early_or_late() {
        let (trigger, drain) = Drain::new();
        let early = tokio::spawn({
            let drain = drain.clone();
            async move { drain.started().await }
        });
        tokio::task::yield_now().await;
        assert!(!drain.is_draining() && drain.deadline().is_none());
        trigger.begin(Duration::from_secs(5));
        early.await.unwrap();
        drain.started().await;
        assert!(drain.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_limit_stands() {
        let (trigger, drain) = Drain::new();
        let now = Instant::now();
        trigger.begin(Duration::from_secs(5));
        trigger.begin(Duration::from_secs(500));
        assert_eq!(drain.deadline(), Some(now + Duration::from_secs(5)));
    }
}
