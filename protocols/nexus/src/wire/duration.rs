//! Durations: `Request-Timeout`, `Operation-Timeout` and `wait`.
//!
//! The specification has a number and one of `ms`, `s`, `m`. Temporal 1.25 to 1.30 write
//! `Operation-Timeout` as Go prints its durations (`1h0m0s`, `59m59.998s`, `88.458µs`), so both are
//! read everywhere. Zero and less mean that the time is over.

use std::time::Duration;

use http::HeaderMap;
use opgate_core::Error;

/// The longest there is, some 292 years: what 64 bits of nanoseconds hold, and so do timestamps.
/// `ExecuteOperation` of sdk-go asks for that much (`9223372036854ms`).
pub const MAX: Duration = Duration::from_nanos(u64::MAX >> 1);

const NANOS_OF: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads either spelling; what is longer than [`MAX`] is that long.
///
/// # Errors
/// `InvalidArgument` that names `field`.
pub fn parse(field: &'static str, text: &str) -> Result<Duration, Error> {
    parse_lenient(text).ok_or_else(|| {
        let problem = "is no duration: a number with ms, s or m is expected, as in 1500ms or 1.5s";
        Error::invalid(field, problem)
    })
}

/// As [`parse`], for whoever ignores what cannot be read.
pub fn parse_lenient(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos = 0_u128;
    loop {
        let (part, after) = part(rest)?;
        nanos = nanos.saturating_add(part);
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    if negative {
        return Some(Duration::ZERO);
    }
    Some(u64::try_from(nanos).map_or(MAX, |nanos| Duration::from_nanos(nanos).min(MAX)))
}

/// A number with its unit, in nanoseconds, and what follows.
fn part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|at: char| at == '.' || at.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let (_, unit) = NANOS_OF.into_iter().find(|(name, _)| *name == unit)?;
    let mut nanos = number(whole).saturating_mul(unit);
    let mut scale = unit;
    for digit in fraction.bytes() {
        scale /= 10;
        nanos = nanos.saturating_add(scale.saturating_mul(u128::from(digit - b'0')));
    }
    Some((nanos, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|at: char| !at.is_ascii_digit()).unwrap_or(text.len()))
}

/// The number; one that is too large is as large as can be.
fn number(digits: &str) -> u128 {
    digits.bytes().fold(0_u128, |number, digit| {
        number.saturating_mul(10).saturating_add(u128::from(digit - b'0'))
    })
}

/// The duration in the first header of this name, where there is one.
///
/// # Errors
/// As [`parse`].
pub fn header(headers: &HeaderMap, name: &'static str) -> Result<Option<Duration>, Error> {
    let value = headers.get(name);
    // Go's sign of the micro is no ASCII.
    let text = value.map(|value| std::str::from_utf8(value.as_bytes()).unwrap_or("\0"));
    text.map(|text| parse(name, text.trim())).transpose()
}

/// Milliseconds, which everybody reads. What is left of one is cut off, so that nobody waits longer
/// than was asked; what is not over does not become nothing by that.
pub fn write(duration: Duration) -> String {
    let millis = duration.min(MAX).as_millis();
    let millis = if duration.is_zero() { 0 } else { millis.max(1) };
    format!("{millis}ms")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for (text, nanos) in [
            ("1500ms", 1_500_000_000),
            ("1.5s", 1_500_000_000),
            ("2m", 120_000_000_000),
            ("1.5ms", 1_500_000),
            ("0.25m", 15_000_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("59m59.998s", 3_599_998_000_000),
            ("23h59m59.998877665s", 86_399_998_877_665),
            ("1m30s", 90_000_000_000),
            ("88.458\u{b5}s", 88_458),
            ("88.458\u{3bc}s", 88_458),
            ("3us", 3_000),
            ("7ns", 7),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+1s", 1_000_000_000),
            ("0", 0),
            ("0s", 0),
            ("-1h", 0),
            ("-0.5s", 0),
        ] {
            assert_eq!(parse_lenient(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn the_longest_is_read_and_what_is_longer_is_that_long() {
        let asked = parse_lenient("9223372036854ms").unwrap();
        assert_eq!(asked, Duration::from_millis(9_223_372_036_854));
        for text in ["9223372036855ms", "999999999999999999999999999999999999999999999h"] {
            assert_eq!(parse_lenient(text), Some(MAX));
        }
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for text in ["", "1", "s", "1 s", "1d", "1S", "ms1", "1.2.3s", "--1s", "1e3s", "1,5s", "."]
        {
            assert_eq!(parse_lenient(text), None, "{text}");
        }
        let error = parse("wait", "soon").unwrap_err();
        assert_eq!(error.field.unwrap().field, "wait");
    }

    #[test]
    fn the_first_header_counts_whatever_letters_it_holds() {
        let mut headers = HeaderMap::new();
        assert_eq!(header(&headers, "operation-timeout").unwrap(), None);
        let micro = "5\u{b5}s".as_bytes();
        headers.append("operation-timeout", http::HeaderValue::from_bytes(micro).unwrap());
        headers.append("operation-timeout", http::HeaderValue::from_static("x"));
        let read = header(&headers, "operation-timeout").unwrap();
        assert_eq!(read, Some(Duration::from_micros(5)));
        headers.insert("request-timeout", http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(header(&headers, "request-timeout").is_err());
    }

    proptest! {
        #[test]
        fn milliseconds_come_back(millis in 0..=9_223_372_036_854_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_lenient(&write(duration)), Some(duration));
        }

        #[test]
        fn what_is_written_is_never_more_and_never_nothing(nanos: u64) {
            let duration = Duration::from_nanos(nanos);
            let read = parse_lenient(&write(duration)).unwrap();
            prop_assert!(read <= duration.max(Duration::from_millis(1)));
            prop_assert_eq!(read.is_zero(), duration.is_zero());
        }

        #[test]
        fn what_go_prints_is_read(hours in 0..2_000_000_u64, minutes in 0..60_u64, nanos in 0..60_000_000_000_u64) {
            let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            let text = format!("{hours}h{minutes}m{seconds}.{fraction:09}s");
            let expected = (hours * 60 + minutes) * 60_000_000_000 + nanos;
            prop_assert_eq!(parse_lenient(&text), Some(Duration::from_nanos(expected).min(MAX)));
        }
    }
}
