//! Durations and sizes as text: a whole number and a unit, nothing else. A bare number is refused,
//! because its reader would have to guess the unit; a fraction, because it would have to be rounded.

use std::time::Duration;

/// Units of a duration with their milliseconds, smallest first.
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of a size with their bytes, smallest first. Powers of 1024 only: there is no "MB" to be
/// mistaken for one.
const SIZES: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A duration such as `250ms`, `30s`, `5m`, `2h`, `7d`; none for any other text.
pub fn duration(text: &str) -> Option<Duration> {
    parse(text, &DURATIONS).map(Duration::from_millis)
}

/// A size in bytes such as `512B`, `64KiB`, `4MiB`, `2GiB`, `1TiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// So many in so long, such as `100/s`, `600/m`, `1000/h`; none for any other text.
pub(super) fn rate(text: &str) -> Option<(u32, Duration)> {
    const PERIODS: [(&str, Duration); 3] = [
        ("s", Duration::from_secs(1)),
        ("m", Duration::from_mins(1)),
        ("h", Duration::from_hours(1)),
    ];
    let (count, unit) = text.split_once('/')?;
    let (_, period) = PERIODS.into_iter().find(|(name, _)| *name == unit)?;
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count = count.parse().ok().filter(|count| digits && (1..=1_000_000).contains(count))?;
    Some((count, period))
}

/// A duration in the largest unit that holds it whole.
pub(super) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

/// A size in the largest unit that holds it whole.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    // Nothing divides 0, which then takes the second smallest unit: "0s" reads better than "0ms".
    let (name, factor) = whole.or(units.get(1)).copied().unwrap_or(("", 1));
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_whole_number_in_a_time() {
        assert_eq!(rate("100/s"), Some((100, Duration::from_secs(1))));
        assert_eq!(rate("1/m"), Some((1, Duration::from_mins(1))));
        assert_eq!(rate("1000000/h"), Some((1_000_000, Duration::from_hours(1))));
        for text in
            ["", "1", "/s", "0/s", "+1/s", "1.5/s", "1/d", "1/S", "1000001/s", "1/s/s", " 1/s"]
        {
            assert_eq!(rate(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_whole_number_with_a_unit_is_read() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        assert_eq!(duration("7d"), Some(Duration::from_hours(7 * 24)));
        assert_eq!(size("512B"), Some(512));
        assert_eq!(size("64MiB"), Some(64 << 20));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "1s ", "+1s", "1S", "1w", "1h30m"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        for text in ["", "5", "1.9MiB", "1MB", "1mib", "1 MiB", "99999999999TiB"] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["0s", "1ms", "1500ms", "30s", "90m", "2h", "7d"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
        for text in ["1B", "1500B", "64KiB", "4MiB", "64GiB", "2TiB"] {
            assert_eq!(size(text).map(show_size).as_deref(), Some(text));
        }
    }
}
