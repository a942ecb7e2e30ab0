//! How often calls are made: a bucket of tokens that fills evenly, as the instant at which it will be full.

use std::time::Duration;

use tokio::time::Instant;

/// So many calls in so long, and so many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub calls: u32,
    /// Longer than nothing.
    pub period: Duration,
    /// What may be made at once after a pause: at least 1.
    pub burst: u32,
}

impl Rate {
    /// The time that one call costs.
    fn each(self) -> Duration {
        self.period / self.calls.max(1)
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When all that was taken will have come back; none as long as nothing was.
    full: Option<Instant>,
}

impl Bucket {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, full: None }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// When the next call may be made: now, or later.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let spare = self.rate.each().saturating_mul(self.rate.burst.saturating_sub(1));
        let next = self.full.and_then(|full| full.checked_sub(spare));
        next.map_or(now, |next| next.max(now))
    }

    /// Takes what a call costs.
    pub(super) fn take(&mut self, now: Instant) {
        self.full = Some(self.full.map_or(now, |full| full.max(now)) + self.rate.each());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However callers come, no stretch of time sees more calls than what fits into it and one burst; and nobody
        /// waits who need not.
        #[test]
        fn no_stretch_of_time_sees_more_than_its_share(
            calls in 1..50_u32,
            period in 1..5000_u64,
            burst in 1..20_u32,
            pauses in proptest::collection::vec(0..400_u64, 1..200),
        ) {
            let rate = Rate { calls, period: Duration::from_millis(period), burst };
            let mut bucket = Bucket::new(rate);
            let start = Instant::now();
            let (mut now, mut made): (Instant, Vec<Duration>) = (start, Vec::new());
            for (number, pause) in pauses.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                let next = bucket.next(now);
                prop_assert!(number >= burst as usize || next == now, "a burst had to wait");
                now = next;
                bucket.take(now);
                made.push(now.duration_since(start));
            }
            for (first, from) in made.iter().enumerate() {
                for (last, to) in made.iter().enumerate().skip(first) {
                    let stretch = to.saturating_sub(*from);
                    let fits = stretch.as_nanos() / rate.each().as_nanos();
                    let seen = (last - first + 1) as u128;
                    prop_assert!(seen <= fits + u128::from(burst), "{seen} in {stretch:?}");
                }
            }
        }
    }

    #[test]
    fn after_a_pause_a_burst_is_there_again_and_no_more() {
        let rate = Rate { calls: 10, period: Duration::from_secs(1), burst: 3 };
        let (mut bucket, start) = (Bucket::new(rate), Instant::now());
        for _ in 0..3 {
            assert_eq!(bucket.next(start), start);
            bucket.take(start);
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(bucket.next(start), start + tenth);
        let later = start + Duration::from_mins(1);
        for _ in 0..3 {
            assert_eq!(bucket.next(later), later);
            bucket.take(later);
        }
        assert_eq!(bucket.next(later), later + tenth);
    }
}
