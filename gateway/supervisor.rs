//! What a service manager is told (`sd_notify(3)`): when the daemon serves, when it stops, and that it is alive.
//!
//! Without `NOTIFY_SOCKET` nobody is told anything, at no cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opgate::{Addresses, Recovering};
use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

/// Whoever started the daemon and waits to hear of it.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    /// Whether it could not be told something: that is said once.
    deaf: AtomicBool,
}

impl Supervisor {
    /// What the daemon is at, for `systemctl status`.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&[NotifyState::Status(text)]);
    }

    /// Every listener is bound, and every operation that has not ended was taken up.
    pub(crate) fn ready(&self, addresses: &Addresses) {
        let Addresses { http, amqp, admin, .. } = addresses;
        let status = format!("serving http on {http}, amqp on {amqp}, admin on {admin}");
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The drain begins.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }

    /// Says that the daemon is alive as long as it is, twice within what the manager allows, where it asked for that.
    /// Ends when what is returned is dropped.
    pub(crate) fn watch(alive: impl Fn() -> bool + Send + 'static) -> JoinSet<()> {
        let mut task = JoinSet::new();
        if let Some(allowed) = sd_notify::watchdog_enabled() {
            let own = Self::default();
            task.spawn(beat(allowed / 2, alive, move || own.tell(&[NotifyState::Watchdog])));
        }
        task
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.deaf.swap(true, Ordering::Relaxed)
        {
            warn!(%error, "the service manager cannot be told how it goes");
        }
    }
}

/// How often it is said how far the journal was read: to the service manager, and in the log.
const SHOWN: Duration = Duration::from_secs(1);
const LOGGED: Duration = Duration::from_secs(10);

/// Says how far the journal was read: to the service manager at once and then every second, in the log every ten
/// seconds, so that a start that takes its time is not taken for one that hangs.
pub(crate) fn recovery() -> impl FnMut(Recovering) + Send + 'static {
    let (own, began) = (Supervisor::default(), Instant::now());
    let (mut show, mut log) = (Every::new(Duration::ZERO, SHOWN), Every::new(LOGGED, LOGGED));
    move |Recovering { read, all }| {
        let at = began.elapsed();
        if show.is_due(at) {
            own.status(&format!("reading the journal back: {read} of {all} operations"));
        }
        if log.is_due(at) {
            info!(read, all, "reading the journal back");
        }
    }
}

/// What is due every so often, and is looked at more often.
struct Every {
    next: Duration,
    every: Duration,
}

impl Every {
    const fn new(first: Duration, every: Duration) -> Self {
        Self { next: first, every }
    }

    fn is_due(&mut self, at: Duration) -> bool {
        let due = at >= self.next;
        if due {
            self.next = at.saturating_add(self.every);
        }
        due
    }
}

/// Tells every so often, except when there is no sign of life. That this runs shows that tasks do.
async fn beat(every: Duration, alive: impl Fn() -> bool, tell: impl Fn()) {
    // A period of nothing would panic; nobody means that.
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if alive() {
            tell();
        } else {
            warn!(
                "no sign of life from the journal: the service manager is not told of one either"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn what_is_due_every_so_often_is_due_no_more_often() {
        let mut every = Every::new(Duration::from_millis(3), Duration::from_millis(10));
        let due = (0..40).filter(|at| every.is_due(Duration::from_millis(*at)));
        assert_eq!(due.collect::<Vec<_>>(), [3, 13, 23, 33]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_told_without_a_sign_of_life() {
        let (alive, told) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
        let mut task = JoinSet::new();
        task.spawn({
            let (alive, told) = (Arc::clone(&alive), Arc::clone(&told));
            beat(
                Duration::from_secs(5),
                move || alive.load(Ordering::Relaxed),
                move || {
                    told.fetch_add(1, Ordering::Relaxed);
                },
            )
        });
        let after = async |seconds| {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            told.load(Ordering::Relaxed)
        };
        assert_eq!(after(11).await, 3);
        alive.store(false, Ordering::Relaxed);
        assert_eq!(after(20).await, 3);
        alive.store(true, Ordering::Relaxed);
        assert_eq!(after(5).await, 4);
    }
}
