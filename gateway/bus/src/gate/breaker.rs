//! Whether an upstream is called, by how the last calls went: pure, and told the time.
//!
//! ```text
//!            so many failures in a row              the pause is over
//!   Closed --------------------------> Open(until) -----------------> one call: Probing
//!     ^                                  ^                                |        |
//!     |                                  +------- it failed, longer ------+        |
//!     +---------------------------- it was answered -------------------------------+
//! ```

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// When an upstream is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaking {
    /// After so many calls in a row that failed: at least 1.
    pub failures: u32,
    /// About how long at first; twice as long each time that it is still not back,
    pub pause: Duration,
    /// up to this.
    pub longest: Duration,
}

impl Breaking {
    /// How long, for the so many-th time in a row.
    fn pause(self, times: u32) -> Duration {
        Backoff { first: self.pause, longest: self.longest, attempts: u32::MAX }.after(times)
    }
}

/// Whether calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// They are.
    Closed,
    /// Not before this; then one.
    Open(Instant),
    /// One is, and tells about the others.
    Probing,
}

#[derive(Debug)]
pub(super) struct Breaker {
    breaking: Breaking,
    stand: Stand,
    /// Calls that failed in a row.
    failures: u32,
    /// How often it was opened in a row.
    times: u32,
}

impl Breaker {
    pub(super) const fn new(breaking: Breaking) -> Self {
        Self { breaking, stand: Stand::Closed, failures: 0, times: 0 }
    }

    /// What holds from the next failure on.
    pub(super) const fn govern(&mut self, breaking: Breaking) {
        self.breaking = breaking;
    }

    pub(super) const fn stand(&self) -> Stand {
        self.stand
    }

    /// A call begins that may: whether it is the one that all wait for.
    pub(super) fn begin(&mut self) -> bool {
        let probes = self.stand != Stand::Closed;
        if probes {
            self.stand = Stand::Probing;
        }
        probes
    }

    /// A call was answered, whenever it was made: somebody is there.
    pub(super) fn answered(&mut self) {
        (self.stand, self.failures, self.times) = (Stand::Closed, 0, 0);
    }

    /// A call failed. What was on its way when the first failures were told says nothing new.
    pub(super) fn failed(&mut self, probe: bool, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let enough = self.stand == Stand::Closed && self.failures >= self.breaking.failures;
        if probe || enough {
            self.times = self.times.saturating_add(1);
            self.stand = Stand::Open(now + self.breaking.pause(self.times));
        }
    }

    /// The one that all wait for was not made: another may be.
    pub(super) fn unmade(&mut self, now: Instant) {
        if self.stand == Stand::Probing {
            self.stand = Stand::Open(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKING: Breaking =
        Breaking { failures: 3, pause: Duration::from_secs(1), longest: Duration::from_secs(4) };

    fn open_until(breaker: &Breaker) -> Instant {
        let Stand::Open(until) = breaker.stand() else { panic!("{breaker:?}") };
        until
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_in_between_does_not_let_it_come_to_that() {
        let (mut breaker, now) = (Breaker::new(BREAKING), Instant::now());
        for _ in 0..5 {
            breaker.failed(false, now);
            breaker.failed(false, now);
            breaker.answered();
        }
        assert_eq!(breaker.stand(), Stand::Closed);
        for _ in 0..3 {
            assert!(!breaker.begin());
            breaker.failed(false, now);
        }
        let until = open_until(&breaker);
        let pause = until - now;
        assert!((BREAKING.pause / 2..=BREAKING.pause).contains(&pause), "{pause:?}");
        // Those that were on their way make it no longer.
        breaker.failed(false, now + pause / 2);
        assert_eq!(open_until(&breaker), until);
    }

    #[test]
    fn each_time_it_is_not_back_it_is_left_alone_for_longer_until_it_answers() {
        let (mut breaker, now) = (Breaker::new(BREAKING), Instant::now());
        for _ in 0..3 {
            breaker.failed(false, now);
        }
        for seconds in [2, 4, 4, 4] {
            assert!(breaker.begin());
            assert_eq!(breaker.stand(), Stand::Probing);
            breaker.failed(true, now);
            let (pause, full) = (open_until(&breaker) - now, Duration::from_secs(seconds));
            assert!((full / 2..=full).contains(&pause), "{pause:?}");
        }
        assert!(breaker.begin());
        breaker.unmade(now);
        assert_eq!(breaker.stand(), Stand::Open(now));
        assert!(breaker.begin());
        breaker.answered();
        assert_eq!(breaker.stand(), Stand::Closed);
        // As if nothing had been.
        breaker.failed(false, now);
        assert_eq!(breaker.stand(), Stand::Closed);
    }

    #[test]
    fn a_late_answer_closes_it_and_what_was_tried_meanwhile_is_nothing_special() {
        let (mut breaker, now) = (Breaker::new(BREAKING), Instant::now());
        for _ in 0..3 {
            breaker.failed(false, now);
        }
        assert!(breaker.begin());
        breaker.answered();
        breaker.unmade(now);
        assert_eq!(breaker.stand(), Stand::Closed);
    }
}
