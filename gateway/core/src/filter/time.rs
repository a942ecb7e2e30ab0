//! Instants and durations as filters write them.

const NANOS: i128 = 1_000_000_000;

/// An instant in RFC 3339, in nanoseconds since the Unix epoch; digits beyond nanoseconds are
/// dropped, a leap second is the second after.
pub(crate) fn instant(text: &str) -> Option<i128> {
    let mut rest = Digits(text);
    let year = rest.number(4)?;
    let month = rest.after("-")?.number(2)?;
    let day = rest.after("-")?.number(2)?;
    let rest = &mut Digits(rest.0.strip_prefix(['T', 't', ' '])?);
    let hour = rest.number(2)?;
    let minute = rest.after(":")?.number(2)?;
    let second = rest.after(":")?.number(2)?;
    let nanos = rest.fraction()?;
    let offset = rest.offset()?;
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    valid.then(|| i128::from(seconds) * NANOS + nanos)
}

/// Seconds with a fraction and an `s`, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<i128> {
    let number = text.strip_suffix('s')?;
    let positive = number.strip_prefix('-').unwrap_or(number);
    let whole_length = positive.find('.').unwrap_or(positive.len());
    let (whole, fraction) = positive.split_at_checked(whole_length)?;
    // As many as a Duration of protobuf can have.
    if whole.is_empty() || whole.len() > 12 || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut fraction = Digits(fraction);
    let nanos = whole.parse::<i128>().ok()? * NANOS + fraction.fraction()?;
    fraction.0.is_empty().then_some(if number == positive { nanos } else { -nanos })
}

/// What is left to read.
struct Digits<'a>(&'a str);

impl Digits<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
    }

    fn after(&mut self, sign: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(sign)?;
        Some(self)
    }

    /// A fraction in nanoseconds; zero where there is none.
    fn fraction(&mut self) -> Option<i128> {
        let Some(rest) = self.0.strip_prefix('.') else { return Some(0) };
        let end = rest.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
        self.0 = rest;
        let nine = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
        Some(nine.fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0')))
    }

    /// The offset from UTC in seconds, and nothing after it.
    fn offset(&mut self) -> Option<i64> {
        if matches!(self.0, "Z" | "z") {
            return Some(0);
        }
        let sign = match self.0.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let mut rest = Digits(self.0.get(1..)?);
        let hours = rest.number(2)?;
        let minutes = rest.after(":")?.number(2)?;
        let valid = rest.0.is_empty() && hours < 24 && minutes < 60;
        valid.then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from the epoch to a date of the Gregorian calendar. The year is counted from March, so that
/// the leap day is its last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_of_any_offset() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t01:00:00+01:00", 0),
            ("1969-12-31 18:30:00-05:30", 0),
            ("2000-02-29T00:00:00z", 951_782_400),
            ("2026-11-21T13:25:18Z", 1_795_267_518),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(instant(text), Some(seconds * NANOS), "{text}");
        }
        assert_eq!(instant("1970-01-01T00:00:00.5Z"), Some(NANOS / 2));
        assert_eq!(instant("1970-01-01T00:00:00.0000000019Z"), Some(1));
    }

    #[test]
    fn what_is_no_instant() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T13:25:18",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+25:00",
            "2026-01-01T00:00:00Zx",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0éZ",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("20s", Some(20 * NANOS)),
            ("1.2s", Some(1_200_000_000)),
            ("-0.5s", Some(-500_000_000)),
            ("0s", Some(0)),
            ("s", None),
            (".5s", None),
            ("1.s", None),
            ("1", None),
            ("1ss", None),
            ("--1s", None),
            ("1e3s", None),
            ("9999999999999s", None),
        ] {
            assert_eq!(duration(text), nanos, "{text}");
        }
    }
}
