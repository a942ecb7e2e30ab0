//! How long operations take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One operation's part in the average is one of so many.
const WEIGHT: u64 = 8;

/// A moving average of how long the operations of one route took, in memory only: after a start it
/// is not known until one has succeeded.
#[derive(Debug, Default)]
pub(crate) struct Pace(
    /// Milliseconds plus one; 0 is not known.
    AtomicU64,
);

impl Pace {
    /// Hears how long one took that succeeded; how another ended says nothing about that. The
    /// dispatcher is the only one that tells.
    pub(crate) fn heard(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let took = took.min(u64::MAX / (2 * WEIGHT));
        let average = match self.0.load(Relaxed) {
            0 => took,
            known => ((known - 1) * (WEIGHT - 1) + took) / WEIGHT,
        };
        self.0.store(average + 1, Relaxed);
    }

    /// The average.
    pub(crate) fn typical(&self) -> Option<Duration> {
        self.0.load(Relaxed).checked_sub(1).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_follows_what_succeeds() {
        let pace = Pace::default();
        assert_eq!(pace.typical(), None);
        pace.heard(Duration::from_secs(8));
        assert_eq!(pace.typical(), Some(Duration::from_secs(8)));
        pace.heard(Duration::ZERO);
        assert_eq!(pace.typical(), Some(Duration::from_secs(7)));
    }
}
