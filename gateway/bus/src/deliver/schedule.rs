//! When and how often callbacks are attempted.

use std::time::Duration;

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
