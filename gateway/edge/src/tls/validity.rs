//! When a certificate ends: the one field of it that an operator wants to see and rustls does not show.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate (RFC 5280, 4.1); none if it is none. What lies before 1970 is 1970.
pub(super) fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut to_be_signed, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(to_be_signed, VERSION) {
        to_be_signed = rest;
    }
    let (_serial, rest) = element(to_be_signed, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    let seconds = u64::try_from(not_after).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The content of the first element, which must have this tag, and what follows it. One element in DER is a tag, a
/// length of one byte or of one to four bytes after a byte that counts them, and the content.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = der.split_first_chunk()?;
    if first != tag {
        return None;
    }
    if length < 0x80 {
        return rest.split_at_checked(usize::from(length));
    }
    if !(0x81..=0x84).contains(&length) {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    let length = digits.iter().fold(0, |length, digit| length << 8 | u32::from(*digit));
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// An instant in seconds since 1970, in either of the two forms RFC 5280 allows, and what follows it.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    if let Some((text, rest)) = element(der, UTC_TIME) {
        let (year, text) = digits(text, 2)?;
        return Some((instant(if year < 50 { 2000 } else { 1900 } + year, text)?, rest));
    }
    let (text, rest) = element(der, GENERALIZED_TIME)?;
    let (year, text) = digits(text, 4)?;
    Some((instant(year, text)?, rest))
}

/// `MMDDHHMMSSZ` of a year.
fn instant(year: i64, text: &[u8]) -> Option<i64> {
    let (month, text) = digits(text, 2)?;
    let (day, text) = digits(text, 2)?;
    let (hour, text) = digits(text, 2)?;
    let (minute, text) = digits(text, 2)?;
    let (second, text) = digits(text, 2)?;
    if text != b"Z" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of them.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some((days + of_year - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A number of so many decimal digits, and what follows it.
fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let number = digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    });
    Some((number?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Option<i64> {
        let der = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        time(&der).map(|(seconds, _)| seconds)
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(at(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(at(UTC_TIME, "000229000000Z"), Some(951_782_400));
        assert_eq!(at(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(at(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(at(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        assert_eq!(at(GENERALIZED_TIME, "19691231235959Z"), Some(-1));
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in ["", "7001010000Z", "700101000000", "701301000000Z", "7001010000000Z", "70x1"] {
            assert_eq!(at(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(at(INTEGER, "700101000000Z"), None);
    }

    #[test]
    fn whatever_the_bytes_they_are_read_or_not() {
        bolero::check!()
            .for_each(|bytes| assert!(not_after(bytes).is_none_or(|end| end >= UNIX_EPOCH)));
    }
}
