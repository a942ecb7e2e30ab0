//! How long to wait before trying again.

use std::time::Duration;

/// The longest wait between two attempts, whoever asks for more.
pub(crate) const LONGEST: Duration = Duration::from_hours(24);

/// When and how often to repeat what a backend could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// About the wait before the first repeat; each later one is twice as long.
    pub first: Duration,
    /// The longest wait; more than a day counts as a day.
    pub longest: Duration,
    /// How often one operation is tried in all before it fails, counted since this process took it
    /// up. At least 1.
    pub attempts: u32,
}

impl Default for Backoff {
    /// Half a second to a minute, eight attempts: about a minute and a half in all.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_mins(1), attempts: 8 }
    }
}

impl Backoff {
    /// The wait after so many attempts, at least 1: between half of what doubling gives and all of
    /// it, so that operations that failed together do not come back together.
    pub fn after(&self, attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let full = self.first.saturating_mul(doubled).min(self.longest).min(LONGEST);
        // Without randomness there is no jitter, which is no reason to stop.
        let draw = getrandom::u32().unwrap_or(u32::MAX);
        full / 2 + (full / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_never_fall_below_half() {
        let backoff = Backoff::default();
        for (attempts, full) in [(1, 500), (2, 1000), (3, 2000), (8, 60_000), (1000, 60_000)] {
            let full = Duration::from_millis(full);
            let wait = backoff.after(attempts);
            assert!((full / 2..=full).contains(&wait), "{attempts}: {wait:?}");
        }
        let endless = Backoff { first: Duration::MAX, longest: Duration::MAX, attempts: 1 };
        assert!((LONGEST / 2..=LONGEST).contains(&endless.after(1)));
    }
}
