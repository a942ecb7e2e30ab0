//! Operation identity.

use std::fmt;
use std::str::FromStr;

/// 128 bits: 48 bits of milliseconds since the epoch, then 80 random bits.
///
/// Time-ordered so that the journal's index on it grows at one end (random ids cost the index
/// three times the processor time), and with enough randomness not to be guessed. The text form is
/// 26 characters of Crockford base 32 in lower case: safe in a URL segment, a header, an OCID and
/// an AMQP symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(u128);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;
const RANDOM_BITS: u32 = 80;

/// The text is not an operation id: 26 characters of lower-case Crockford base 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operation id: 26 characters of 0-9 a-z without i, l, o, u are expected")]
pub struct ParseIdError;

impl OperationId {
    /// An id from the accepting clock and fresh randomness (only the low 80 bits are used).
    pub const fn new(unix_millis: u64, random: u128) -> Self {
        let time = (unix_millis as u128) << RANDOM_BITS;
        Self(time | (random & ((1 << RANDOM_BITS) - 1)))
    }

    /// The bits, as stored.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits, for storage; big-endian bytes of it keep the time order.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// When the id was made, in milliseconds since the epoch.
    pub const fn unix_millis(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }

    /// The text form, without allocating.
    pub fn to_text(self) -> IdText {
        let mut text = [0_u8; TEXT_LEN];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        IdText(text)
    }
}

/// The text form of an id on the stack.
#[derive(Clone, Copy)]
pub struct IdText([u8; TEXT_LEN]);

impl IdText {
    /// The text.
    pub fn as_str(&self) -> &str {
        // The alphabet is ASCII, so the bytes are always UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = text.as_bytes();
        // 26 characters carry 130 bits: the first may only be 0..7.
        if bytes.len() != TEXT_LEN || bytes[0] > b'7' {
            return Err(ParseIdError);
        }
        let mut bits = 0_u128;
        for byte in bytes {
            bits = (bits << 5) | u128::from(digit(*byte).ok_or(ParseIdError)?);
        }
        Ok(Self(bits))
    }
}

/// One spelling for each id: upper case and Crockford's look-alikes are refused, so that a name
/// compared as text and a name compared as bits never disagree.
const fn digit(byte: u8) -> Option<u8> {
    Some(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'h' => byte - b'a' + 10,
        b'j' | b'k' => byte - b'j' + 18,
        b'm' | b'n' => byte - b'm' + 20,
        b'p'..=b't' => byte - b'p' + 22,
        b'v'..=b'z' => byte - b'v' + 27,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_bits_are_one_to_one(bits: u128) {
            let id = OperationId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<OperationId>(), Ok(id));
        }

        #[test]
        fn text_sorts_as_bits_do(a: u128, b: u128) {
            let (a, b) = (OperationId::from_bits(a), OperationId::from_bits(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn whatever_parses_prints_back_the_same(text in "[0-9a-zA-Z]{24,28}") {
            if let Ok(id) = text.parse::<OperationId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn the_time_is_kept_and_the_randomness_cannot_touch_it() {
        let id = OperationId::new(1_700_000_000_123, u128::MAX);
        assert_eq!(id.unix_millis(), 1_700_000_000_123);
    }
}
