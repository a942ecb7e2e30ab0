//! Instants as opgate stores them.

use std::time::Duration;

use crate::filter::time::instant;

const DAY_MILLIS: i64 = 86_400_000;

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

    /// The text of RFC 3339 in UTC with milliseconds, rounded down: 24 characters, `Z` the last.
    pub fn to_rfc3339(self) -> String {
        let (days, of_day) =
            (self.millis().div_euclid(DAY_MILLIS), self.millis().rem_euclid(DAY_MILLIS));
        let (year, month, day) = date(days);
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
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

/// The date that is so many days after 1970-01-01, in the Gregorian calendar: years begin in March,
/// so that the leap day is the last of them, and repeat after 400.
const fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + (month <= 2) as i64, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn an_instant_is_written_rounded_down_with_milliseconds_and_a_zone() {
        let write = |seconds: i64, nanos| {
            Timestamp::from_nanos(seconds * 1_000_000_000 + nanos).to_rfc3339()
        };
        assert_eq!(write(1_767_323_045, 678_901_234), "2026-01-02T03:04:05.678Z");
        assert_eq!(write(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(write(951_782_399, 999_999_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(write(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(write(-1, 0), "1969-12-31T23:59:59.000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(nanos: i64) {
            let text = Timestamp::from_nanos(nanos).to_rfc3339();
            prop_assert_eq!(text.len(), 24, "{}", text);
            prop_assert!(text.ends_with('Z'));
            let read = Timestamp::from_rfc3339(&text).map(Timestamp::millis);
            // The first instant there is rounds down to one that is not.
            let expected = Timestamp::from_nanos(nanos).millis();
            prop_assert!(read == Some(expected) || expected <= i64::MIN / 1_000_000, "{}", text);
        }
    }
}
