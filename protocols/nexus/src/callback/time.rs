//! Instants as completions write them.

use std::time::{Duration, SystemTime};

use opgate_core::Timestamp;

/// An HTTP date, rounded down to its second, so that no operation ends before it started; none for a
/// time before 1970.
pub(super) fn http_date(time: Timestamp) -> Option<String> {
    let seconds = u64::try_from(time.seconds_and_nanos().0).ok()?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    Some(httpdate::fmt_http_date(time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64, nanos: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000 + nanos)
    }

    #[test]
    fn times_are_rounded_down() {
        let time = at(1_767_323_045, 678_901_234);
        assert_eq!(http_date(time).unwrap(), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(http_date(at(-1, 0)), None);
    }

    proptest! {
        /// Both ways of writing a date agree.
        #[test]
        fn the_calendar_is_that_of_http(seconds in 0..9_000_000_000_i64) {
            let date = http_date(at(seconds, 0)).unwrap();
            let rest = date.split_once(", ").unwrap().1;
            let words: Vec<&str> = rest.split(' ').collect();
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = 1 + months.iter().position(|month| *month == words[1]).unwrap();
            let expected = format!("{}-{month:02}-{}T{}.000Z", words[2], words[0], words[3]);
            prop_assert_eq!(at(seconds, 0).to_rfc3339(), expected);
        }
    }
}
