//! When and how often callbacks are attempted.

use std::time::Duration;

/// The longest wait there is, whatever is configured.
const DAY: Duration = Duration::from_hours(24);

/// The bounds and the schedule of callbacks' delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callbacks {
    /// About the wait before the second attempt; each later one is twice as long.
    pub first: Duration,
    /// The longest wait between two attempts, whoever asks for more; more than a day counts as a
    /// day.
    pub longest: Duration,
    /// How long a callback is attempted after it became owed; then it is a dead letter. The attempt
    /// that was due by then is the last.
    pub give_up: Duration,
    /// Attempts at a time.
    pub concurrency: usize,
    /// Attempts at a time to one destination.
    pub per_destination: usize,
    /// Attempts to one destination that fail in a row before it is left alone.
    pub failures: u32,
    /// How long it is left alone; then one attempt tells whether it is back.
    pub pause: Duration,
    /// Callbacks owed at a time: while there are more, starts that bring callbacks are refused. As
    /// many are held in memory, some 400 bytes each; the others wait on disk until there is room.
    pub owed: usize,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_hours(1),
            give_up: Duration::from_hours(72),
            concurrency: 256,
            per_destination: 32,
            failures: 5,
            pause: Duration::from_mins(1),
            owed: 100_000,
        }
    }
}

impl Callbacks {
    /// The wait after so many attempts, at least 1: what doubling gives, a fifth more or less, so
    /// that callbacks that failed together do not come back together; and no less than the receiver
    /// asked for, within the longest.
    pub(super) fn after(&self, attempts: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let longest = self.longest.min(DAY);
        let full = self.first.saturating_mul(doubled).min(longest);
        // Without randomness there is no jitter, which is no reason to stop.
        let draw = getrandom::u32().unwrap_or(u32::MAX / 2);
        let jittered = full.mul_f64(0.8 + 0.4 * f64::from(draw) / f64::from(u32::MAX));
        jittered.max(asked.unwrap_or_default().min(longest))
    }

    /// The longest that a callback can have to wait: more is a clock that was set.
    pub(super) fn at_most(&self) -> Duration {
        self.longest.min(DAY).mul_f64(1.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_give_or_take_a_fifth() {
        let callbacks = Callbacks::default();
        for (attempts, full) in [(1, 1), (2, 2), (3, 4), (12, 2048), (13, 3600), (u32::MAX, 3600)] {
            let full = Duration::from_secs(full);
            for _ in 0..100 {
                let wait = callbacks.after(attempts, None);
                assert!((full.mul_f64(0.8)..=full.mul_f64(1.2)).contains(&wait), "{wait:?}");
                assert!(wait <= callbacks.at_most());
            }
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_more_than_the_longest() {
        let callbacks = Callbacks::default();
        let (long, endless) = (Duration::from_mins(10), Duration::MAX);
        assert_eq!(callbacks.after(1, Some(long)), long);
        assert_eq!(callbacks.after(1, Some(endless)), callbacks.longest);
        assert!(callbacks.after(11, Some(Duration::from_secs(1))) > long);
        let wild = Callbacks { first: Duration::MAX, longest: Duration::MAX, ..callbacks };
        assert!(wild.after(9, Some(endless)) <= wild.at_most());
    }
}
