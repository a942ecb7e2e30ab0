//! One destination: what waits for it, and whether it may be attempted.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{Key, Went};
use crate::deliver::Callbacks;

/// Whether a destination is attempted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It is.
    #[default]
    Closed,
    /// Not before this.
    Open(Instant),
    /// A single attempt is under way.
    Probing,
}

/// Where a destination stands in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nowhere: nothing waits, or what waits may not be attempted.
    #[default]
    Idle,
    /// On the agenda.
    At(Instant),
    /// In line.
    Turn(u64),
}

#[derive(Debug, Default)]
pub(super) struct Destination {
    /// What waits for it, by when it is due.
    pub(super) waiting: BTreeSet<(Instant, Key)>,
    /// All that the table has of it.
    pub(super) held: usize,
    /// Attempts under way.
    pub(super) running: usize,
    /// Attempts that failed in a row.
    failures: u32,
    pub(super) breaker: Breaker,
    pub(super) stand: Stand,
}

impl Destination {
    /// Whether it is left alone, or being tried after that.
    pub(super) fn is_open(&self) -> bool {
        self.breaker != Breaker::Closed
    }

    /// From when on the next attempt may be made.
    pub(super) fn opens(&self, most: usize) -> Option<Instant> {
        let (due, _) = *self.waiting.first()?;
        match self.breaker {
            Breaker::Closed => (self.running < most).then_some(due),
            Breaker::Open(until) => Some(due.max(until)),
            Breaker::Probing => None,
        }
    }

    /// Hears of an attempt; true when it is left alone from now on, or again.
    pub(super) fn heard(&mut self, went: Went, limits: Callbacks, now: Instant) -> bool {
        match (went, self.breaker) {
            (Went::Answered, _) => (self.failures, self.breaker) = (0, Breaker::Closed),
            // Whether it is back is still to be found out.
            (Went::Unmade, Breaker::Probing) => self.breaker = Breaker::Open(now),
            (Went::Unmade, _) => {}
            (Went::Failed, breaker) => {
                self.failures = self.failures.saturating_add(1);
                let again = breaker == Breaker::Probing;
                if again || (breaker == Breaker::Closed && self.failures >= limits.failures) {
                    self.breaker = Breaker::Open(now + limits.pause);
                    return true;
                }
            }
        }
        false
    }
}
