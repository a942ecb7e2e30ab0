//! JSON of which nothing is lost on the way through a reader that knows numbers as doubles only, and
//! objects as sets of different names.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The largest whole number up to which every whole number is a double.
const EXACT: u64 = 1 << 53;

/// The JSON in one line, without blanks between its parts; none if it is not JSON, or if something of
/// it would be lost: whole numbers beyond 2^53, numbers of more digits than a double has, a name
/// that is there twice.
pub(super) fn compact(json: &[u8]) -> Option<Vec<u8>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Distinct.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((&first, after)) = rest.split_first() {
        let taken = match first {
            b'"' => string(rest),
            b'-' | b'0'..=b'9' => {
                let length = rest.iter().take_while(|byte| is_numeric(**byte)).count();
                let number = rest.get(..length)?;
                if !is_exact(std::str::from_utf8(number).ok()?) {
                    return None;
                }
                length
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                rest = after;
                continue;
            }
            _ => 1,
        };
        out.extend_from_slice(rest.get(..taken)?);
        rest = rest.get(taken..)?;
    }
    Some(out)
}

/// The length of the string that `json` begins with.
fn string(json: &[u8]) -> usize {
    let mut escaped = false;
    let end = json.iter().skip(1).position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.map_or(json.len(), |end| end + 2)
}

const fn is_numeric(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Whether a number is the same once it was a double.
fn is_exact(number: &str) -> bool {
    if let Ok(whole) = number.parse::<i64>() {
        return whole.unsigned_abs() <= EXACT && number != "-0";
    }
    let Ok(double) = number.parse::<f64>() else { return false };
    if !double.is_finite() {
        return false;
    }
    // Written with as few digits as tell it apart from every other.
    decimal(number).is_some_and(|told| Some(told) == decimal(&format!("{double:e}")))
}

/// A number as its sign, its digits without zeros around them, and the power of ten of the last; none
/// for a negative zero.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, power) = match number.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let power = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let significant = digits.trim_start_matches('0');
    let trimmed = significant.trim_end_matches('0');
    if trimmed.is_empty() {
        return (!negative).then(|| (false, String::new(), 0));
    }
    let zeros = i64::try_from(significant.len() - trimmed.len()).ok()?;
    Some((negative, trimmed.to_owned(), power.checked_add(zeros)?))
}

/// Reads any JSON, and refuses an object with a name twice.
struct Distinct;

impl<'de> DeserializeSeed<'de> for Distinct {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Distinct {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if !names.insert(name) {
                return Err(serde::de::Error::custom("a name is there twice"));
            }
            fields.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compacted(json: &str) -> Option<String> {
        compact(json.as_bytes()).map(|json| String::from_utf8(json).unwrap())
    }

    #[test]
    fn blanks_between_the_parts_go_and_nothing_else() {
        for (json, expected) in [
            (" { \"a b\" : [ 1 , 2.50 ,\n null ] }\r\n", r#"{"a b":[1,2.50,null]}"#),
            (r#""a \" b \\""#, r#""a \" b \\""#),
            (r#"{"b":1,"a":2}"#, r#"{"b":1,"a":2}"#),
            ("true", "true"),
            (r#""é\u00e9""#, r#""é\u00e9""#),
        ] {
            assert_eq!(compacted(json).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_would_be_lost_is_not_compacted() {
        for lossy in [
            "9007199254740993",
            "-9007199254740993",
            "12345678901234567890",
            "123456789012345678901234567890",
            "0.12345678901234567890",
            "1e400",
            "-0",
            "-0.0",
            r#"{"a":1,"a":1}"#,
            r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
            // Not JSON at all.
            "",
            "{",
            "1 2",
            "NaN",
            "'a'",
            "[1,]",
            "\u{feff}1",
        ] {
            assert_eq!(compacted(lossy), None, "{lossy}");
        }
        for kept in ["9007199254740992", "0", "0.0", "1.50", "1e3", "1E+3", "0.1", "5e-324", "0e9"]
        {
            assert_eq!(compacted(kept).as_deref(), Some(kept));
        }
    }

    #[test]
    fn depth_has_a_bound() {
        let deep = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(compacted(&deep(100)).is_some());
        assert!(compacted(&deep(1_000_000)).is_none());
    }

    proptest! {
        #[test]
        fn every_double_is_kept(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let text = serde_json::to_string(&number).unwrap();
            prop_assume!(number != 0.0 || number.is_sign_positive());
            // It writes a fraction or a power always, so that no double looks like a whole number.
            prop_assert_eq!(compacted(&text), Some(text));
        }

        #[test]
        fn what_is_kept_reads_as_before(text in "[\\[\\]{}:,0-9eE.+\\- \"a\\\\]{0,24}") {
            if let Some(kept) = compacted(&text) {
                let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
                prop_assert_eq!(value(&kept), value(&text));
            }
        }
    }
}
