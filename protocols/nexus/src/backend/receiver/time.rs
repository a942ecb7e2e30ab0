//! Times of RFC 3339.

/// Whether a text is one: a day that may be, with a zone, and at most nine digits of a second.
pub(super) fn is_rfc3339(text: &str) -> bool {
    read(text.as_bytes()).is_some()
}

fn read(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    number([*y1, *y2], 99)?;
    number([*y3, *y4], 99)?;
    number([*m1, *m2], 12).filter(|month| *month > 0)?;
    number([*d1, *d2], 31).filter(|day| *day > 0)?;
    let [b'T' | b't', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = rest else { return None };
    number([*h1, *h2], 23)?;
    number([*m1, *m2], 59)?;
    // A leap second has the number 60.
    number([*s1, *s2], 60)?;
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            fraction.get(digits..)?
        }
        rest => rest,
    };
    match rest {
        [b'Z' | b'z'] => Some(()),
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            number([*h1, *h2], 23)?;
            number([*m1, *m2], 59).map(drop)
        }
        _ => None,
    }
}

/// Two digits of at most so much.
fn number([tens, ones]: [u8; 2], most: u8) -> Option<u8> {
    if !(tens.is_ascii_digit() && ones.is_ascii_digit()) {
        return None;
    }
    let number = (tens - b'0') * 10 + (ones - b'0');
    (number <= most).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::is_rfc3339;

    #[test]
    fn what_senders_write_is_one_and_other_dates_are_not() {
        for text in [
            "2026-11-20T11:45:02.767Z",
            "2026-01-02T03:05:05.678901Z",
            "2026-01-02T03:05:05Z",
            "2026-01-02t03:05:60.123456789+02:00",
        ] {
            assert!(is_rfc3339(text), "{text}");
        }
        for text in [
            "",
            "Fri, 02 Jan 2026 03:04:05 GMT",
            "2026-13-02T03:05:05Z",
            "2026-01-00T03:05:05Z",
            "2026-01-02T24:05:05Z",
            "2026-01-02T03:05:05",
            "2026-01-02T03:05:05.Z",
            "2026-01-02T03:05:05.1234567890Z",
            "2026-01-02 03:05:05Z",
            "2026-01-02T03:05:05+0200",
            "2026-01-02T03:05:05ZZ",
            "2026-01-02T03:05:05ä",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}
