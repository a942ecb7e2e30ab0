//! Instants as OCI writes them: RFC 3339 in UTC with milliseconds and `Z`, which every client reads.

use opgate_core::Timestamp;

const DAY_MILLIS: i64 = 86_400_000;

/// The text of an instant, rounded down to its millisecond.
pub fn write(time: Timestamp) -> String {
    let (days, of_day) =
        (time.millis().div_euclid(DAY_MILLIS), time.millis().rem_euclid(DAY_MILLIS));
    let (year, month, day) = date(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
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
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64, nanos: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000 + nanos)
    }

    #[test]
    fn times_are_rounded_down_and_always_have_milliseconds_and_a_zone() {
        assert_eq!(write(at(1_767_323_045, 678_901_234)), "2026-01-02T03:04:05.678Z");
        assert_eq!(write(at(0, 0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(write(at(951_782_399, 999_999_999)), "2000-02-28T23:59:59.999Z");
        assert_eq!(write(at(951_782_400, 0)), "2000-02-29T00:00:00.000Z");
        assert_eq!(write(at(-1, 0)), "1969-12-31T23:59:59.000Z");
    }

    proptest! {
        #[test]
        fn the_calendar_is_that_of_http(seconds in 0..9_000_000_000_i64) {
            let since = Duration::from_secs(seconds.unsigned_abs());
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since);
            let rest = date.split_once(", ").unwrap().1;
            let words: Vec<&str> = rest.split(' ').collect();
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = 1 + months.iter().position(|month| *month == words[1]).unwrap();
            let expected = format!("{}-{month:02}-{}T{}.000Z", words[2], words[0], words[3]);
            prop_assert_eq!(write(at(seconds, 0)), expected);
        }

        #[test]
        fn every_instant_has_the_one_form(nanos: i64) {
            let text = write(Timestamp::from_nanos(nanos));
            prop_assert_eq!(text.len(), 24, "{}", text);
            prop_assert!(text.ends_with('Z'));
            let read = Timestamp::from_rfc3339(&text).map(Timestamp::millis);
            // The first instant there is rounds down to one that is not.
            let expected = Timestamp::from_nanos(nanos).millis();
            prop_assert!(read == Some(expected) || expected <= i64::MIN / 1_000_000, "{}", text);
        }
    }
}
