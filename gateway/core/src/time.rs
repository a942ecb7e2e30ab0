//! Instants as opgate stores them.

use std::time::Duration;

use crate::filter::time::instant;

/// Nanoseconds since the Unix epoch, UTC. The precision a face shows is that face's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From a text of RFC 3339 with any offset; digits beyond nanoseconds are dropped. `None` for any
    /// other text, and for what lies beyond the years that nanoseconds reach (1678 to 2261).
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        i64::try_from(instant(text)?).ok().map(Self)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the epoch (rounded down) and the nanoseconds within that second.
    pub const fn seconds_and_nanos(self) -> (i64, i32) {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder below 10^9 fits an i32")]
        let nanos = self.0.rem_euclid(1_000_000_000) as i32;
        (self.0.div_euclid(1_000_000_000), nanos)
    }

    /// This instant and a duration more; the end of representable time where that overflows.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this is; zero when a clock stepped back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_rfc_3339_is_an_instant() {
        let read = |text| Timestamp::from_rfc3339(text).map(Timestamp::nanos);
        assert_eq!(read("1970-01-01T00:00:01.000000002Z"), Some(1_000_000_002));
        assert_eq!(read("1970-01-01T01:00:00+01:00"), Some(0));
        for text in ["", "1970-01-01", "1970-01-01T00:00:00", "9999-12-31T23:59:59Z", "yesterday"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
