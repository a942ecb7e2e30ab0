//! Percent-encoding of paths and queries, strict: what is no escape is refused.

/// What is done with `%2F` and `+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decode {
    /// Every escape is resolved.
    All,
    /// An escaped slash stays as it is written: the variable spans several segments, so a resolved
    /// one would look like a border between them.
    KeepSlash,
    /// Every escape is resolved and `+` is a space, as forms are encoded.
    Form,
}

/// A path with its escapes resolved, but for slashes: a resolved one would look like a border between
/// segments.
///
/// # Errors
/// What is wrong with it.
pub fn decode_path(path: &str) -> Result<String, &'static str> {
    decode(path, Decode::KeepSlash)
}

/// The text with its escapes resolved.
pub(super) fn decode(text: &str, how: Decode) -> Result<String, &'static str> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (digits, after) =
                    after.split_at_checked(2).ok_or("an escape, `%` and two hex digits, is cut")?;
                let byte = hex(digits).ok_or("`%` is not followed by two hex digits")?;
                if byte == b'/' && how == Decode::KeepSlash {
                    decoded.push(b'%');
                    decoded.extend_from_slice(digits);
                } else {
                    decoded.push(byte);
                }
                rest = after;
            }
            b'+' if how == Decode::Form => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| "is not UTF-8 once its escapes are resolved")
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | u8::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_stays_escaped_where_segments_are_counted() {
        assert_eq!(decode("a%2Fb%2f%20c+", Decode::KeepSlash).unwrap(), "a%2Fb%2f c+");
        assert_eq!(decode("a%2Fb%2f%20c+", Decode::All).unwrap(), "a/b/ c+");
        assert_eq!(decode("a%2Bb+c", Decode::Form).unwrap(), "a+b c");
    }

    #[test]
    fn what_is_no_escape_or_no_text_is_refused() {
        for broken in ["%", "%4", "%zz", "a%g0", "%ff", "%c3%28", "%+1"] {
            assert!(decode(broken, Decode::All).is_err(), "{broken}");
        }
        assert_eq!(decode("%C3%A9", Decode::All).unwrap(), "é");
    }
}
