//! What all calls to one upstream pass through: how often they are made, and whether they are at all.
//!
//! Whoever comes waits for its turn; the first in line waits for the rate and the breaker. Nothing that waits has
//! been sent, and nobody who leaves takes anything along. There are never more in line than the backend has leases,
//! for each of which there is one look and one cancel at a time.

mod breaker;
mod rate;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use opgate_telemetry::{BackendMetrics, Counter, Gauge, Held};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use breaker::Breaker;
use rate::Bucket;

pub use breaker::Breaking;
pub(crate) use breaker::Stand;
pub use rate::Rate;

/// The way to one upstream. Clones are of the same. The default lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Gate(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Held by the first in line.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Tells the first in line.
    changed: Notify,
    /// Told of each change of the breaker.
    follower: OnceLock<Arc<Notify>>,
    metrics: Option<Metrics>,
}

#[derive(Debug)]
struct State {
    bucket: Option<Bucket>,
    breaker: Option<Breaker>,
    /// How many wait.
    waiting: usize,
    /// How often the breaker changed.
    changes: u64,
}

#[derive(Debug)]
struct Metrics {
    breaker: Gauge,
    opened: Counter,
    waiting: Gauge,
}

/// The right to make one call. Dropped without a word on how it went it was not made, or says nothing.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    gate: Gate,
    probe: bool,
}

/// One that waits.
#[derive(Debug)]
struct Waiting<'a> {
    inner: &'a Inner,
    _counted: Option<Held>,
}

/// Whether operations are leased to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leasing {
    /// As many as there is room for.
    Free,
    /// None before this; where there is none, before something changes.
    Not(Option<Instant>),
    /// One, to find out whether the upstream is back; the number of this occasion.
    One(u64),
}

impl Gate {
    /// A gate that holds calls to a rate, and leaves an upstream alone that is down.
    pub fn new(
        rate: Option<Rate>,
        breaking: Option<Breaking>,
        metrics: Option<&BackendMetrics>,
    ) -> Self {
        Self(Some(Arc::new(Inner {
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                bucket: rate.map(Bucket::new),
                breaker: breaking.map(Breaker::new),
                waiting: 0,
                changes: 0,
            }),
            changed: Notify::new(),
            follower: OnceLock::new(),
            metrics: metrics.map(|metrics| Metrics {
                breaker: metrics.breaker.clone(),
                opened: metrics.breaker_opened.clone(),
                waiting: metrics.waiting.clone(),
            }),
        })))
    }

    /// Has calls go by another rate and another breaker from now on. A breaker that is open stays so until it would have
    /// been tried. False for a gate that lets everything pass.
    pub(crate) fn govern(&self, rate: Option<Rate>, breaking: Option<Breaking>) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut state = inner.lock();
        let before = state.stand();
        if state.bucket.as_ref().map(Bucket::rate) != rate {
            state.bucket = rate.map(Bucket::new);
        }
        match (&mut state.breaker, breaking) {
            (Some(breaker), Some(breaking)) => breaker.govern(breaking),
            (breaker, breaking) => *breaker = breaking.map(Breaker::new),
        }
        let now = state.stand();
        if now != before {
            state.changes += 1;
        }
        drop(state);
        // Whoever is first in line looks again, for the rate may be another.
        inner.tell(before, now);
        true
    }

    /// Waits until a call may be made.
    pub async fn pass(&self) -> Pass {
        let Some(inner) = &self.0 else { return Pass { gate: self.clone(), probe: false } };
        let mut waiting = None;
        let _turn = if let Ok(turn) = inner.turn.try_lock() {
            turn
        } else {
            waiting = Some(inner.wait());
            inner.turn.lock().await
        };
        loop {
            let mut changed = pin!(inner.changed.notified());
            changed.as_mut().enable();
            let until = match inner.ask(Instant::now()) {
                Ok(probe) => return Pass { gate: self.clone(), probe },
                Err(until) => until,
            };
            waiting.get_or_insert_with(|| inner.wait());
            match until {
                Some(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// Whether the upstream is called: not where it is left alone, nor while that is being found out.
    pub fn is_closed(&self) -> bool {
        self.stand() == Stand::Closed
    }

    pub(crate) fn stand(&self) -> Stand {
        self.0.as_ref().map_or(Stand::Closed, |inner| inner.lock().stand())
    }

    /// Has somebody told of each change of the breaker. Only the first one asked for counts.
    pub(crate) fn follow(&self, follower: &Arc<Notify>) {
        if let Some(inner) = &self.0 {
            inner.follower.get_or_init(|| Arc::clone(follower));
        }
    }

    /// Whether operations are to be leased. `tried`: the last occasion at which one was.
    pub(crate) fn leasing(&self, now: Instant, tried: Option<u64>) -> Leasing {
        let Some(inner) = &self.0 else { return Leasing::Free };
        let state = inner.lock();
        match state.stand() {
            Stand::Closed => Leasing::Free,
            Stand::Open(until) if until > now => Leasing::Not(Some(until)),
            // Whoever waits already finds it out.
            Stand::Open(_) if state.waiting == 0 && tried != Some(state.changes) => {
                Leasing::One(state.changes)
            }
            Stand::Open(_) | Stand::Probing => Leasing::Not(None),
        }
    }

    /// Changes how it stands with the breaker.
    fn change(&self, change: impl FnOnce(&mut Breaker, Instant)) {
        let Some(inner) = &self.0 else { return };
        let mut state = inner.lock();
        let before = state.stand();
        if let Some(breaker) = &mut state.breaker {
            change(breaker, Instant::now());
        }
        let now = state.stand();
        if now != before {
            state.changes += 1;
            drop(state);
            inner.tell(before, now);
        }
    }
}

impl State {
    fn stand(&self) -> Stand {
        self.breaker.as_ref().map_or(Stand::Closed, Breaker::stand)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in there leaves numbers behind, none of them half a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Waiting<'_> {
        self.lock().waiting += 1;
        Waiting { inner: self, _counted: self.metrics.as_ref().map(|of| of.waiting.hold()) }
    }

    /// Whether a call may be made, and then whether it is the one that all wait for; else when to ask again.
    fn ask(&self, now: Instant) -> Result<bool, Option<Instant>> {
        let mut state = self.lock();
        let before = state.stand();
        match before {
            Stand::Open(until) if until > now => return Err(Some(until)),
            Stand::Probing => return Err(None),
            Stand::Open(_) | Stand::Closed => {}
        }
        if let Some(bucket) = &mut state.bucket {
            let next = bucket.next(now);
            if next > now {
                return Err(Some(next));
            }
            bucket.take(now);
        }
        let probe = state.breaker.as_mut().is_some_and(Breaker::begin);
        let stand = state.stand();
        drop(state);
        if stand != before {
            self.tell(before, stand);
        }
        Ok(probe)
    }

    fn tell(&self, before: Stand, now: Stand) {
        if let Some(metrics) = &self.metrics {
            metrics.breaker.set(match now {
                Stand::Closed => 0,
                Stand::Probing => 1,
                Stand::Open(_) => 2,
            });
            if before == Stand::Closed && now != before {
                metrics.opened.increment(1);
            }
        }
        self.changed.notify_one();
        if let Some(follower) = self.follower.get() {
            follower.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

impl Pass {
    /// Whether it is the one call that all others wait for.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// The upstream answered, whatever it said.
    pub fn answered(mut self) {
        self.probe = false;
        self.gate.change(|breaker, _| breaker.answered());
    }

    /// It did not, or said that nobody is there to.
    pub fn failed(mut self) {
        let probe = std::mem::take(&mut self.probe);
        self.gate.change(|breaker, now| breaker.failed(probe, now));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe {
            self.gate.change(Breaker::unmade);
        }
    }
}
