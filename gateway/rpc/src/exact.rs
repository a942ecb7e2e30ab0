//! What JSON keeps where it is read and written anew: whether its text, and whether its numbers. Nothing
//! here makes a copy of what it looks at.

use std::io;

use opgate_core::{Loss, Losses};
use serde::Serialize;
use serde::ser::{SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;

/// Whether a value is written as exactly this text.
pub fn is_written_as(text: &[u8], value: &impl Serialize) -> bool {
    let mut rest = Expected(text);
    serde_json::to_writer(&mut rest, value).is_ok() && rest.0.is_empty()
}

/// What a result loses that is JSON and becomes values of which the integers have 64 bits.
pub fn of_values(text: &[u8], value: &Value) -> Losses {
    Losses::NONE
        .with(Loss::ResultText, !is_written_as(text, value))
        .with(Loss::ResultNumbers, !keeps_numbers(text, true))
}

/// What a result loses that is JSON and becomes a `google.protobuf.Struct`: it has no order and no
/// numbers but doubles.
pub fn of_struct(text: &[u8], value: &Value) -> Losses {
    Losses::NONE
        .with(Loss::ResultText, !is_written_as(text, &Unordered(value)))
        .with(Loss::ResultNumbers, !keeps_numbers(text, false))
}

/// Whether every number of a JSON text stays the same number as a double or, with `integers`, as an
/// integer of 64 bits.
pub fn keeps_numbers(text: &[u8], integers: bool) -> bool {
    numbers(text).all(|number| (integers && is_integer(number)) || is_double(number))
}

/// Whether a JSON text holds a number, as one or as a text that is one.
pub fn has_number(text: &[u8], number: &str) -> bool {
    // What stands between quotes is looked at as well: `"5"` begins and ends like `5`.
    let parts = text.split(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    parts.filter_map(|part| str::from_utf8(part).ok()).any(|part| same(part, number))
}

/// The numbers of a JSON text, as they are written.
pub fn numbers(text: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (first, after) = rest.split_first()?;
            match first {
                b'"' => rest = behind_string(after),
                b'-' | b'0'..=b'9' => {
                    let is_part =
                        |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let length = rest.iter().take_while(|byte| is_part(byte)).count();
                    let (number, after) = rest.split_at_checked(length)?;
                    rest = after;
                    return str::from_utf8(number).ok();
                }
                _ => rest = after,
            }
        }
    })
}

fn behind_string(text: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = !escaped && *byte == b'"';
        escaped = !escaped && *byte == b'\\';
        ends
    });
    end.and_then(|end| text.get(end + 1..)).unwrap_or_default()
}

fn is_integer(number: &str) -> bool {
    number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
}

/// Whether the double nearest to a number is written as the same one.
fn is_double(number: &str) -> bool {
    let Some(double) = number.parse::<f64>().ok().filter(|double| double.is_finite()) else {
        return false;
    };
    // As JSON is written here: of two shortest texts equally near, others may choose the other one. It has at most 24
    // characters.
    let mut written = io::Cursor::new([0; 32]);
    if serde_json::to_writer(&mut written, &double).is_err() {
        return false;
    }
    let length = usize::try_from(written.position()).unwrap_or_default();
    let text = written.get_ref().get(..length).and_then(|text| str::from_utf8(text).ok());
    text.is_some_and(|text| same(text, number))
}

/// Whether two texts are one number, whatever it takes to write it.
fn same(one: &str, other: &str) -> bool {
    match (Decimal::of(one), Decimal::of(other)) {
        (Some(one), Some(other)) => {
            one.exponent == other.exponent && one.digits().eq(other.digits())
        }
        _ => false,
    }
}

/// A number without its sign: `0.digits` times a power of ten.
struct Decimal<'a> {
    /// From the first digit that is no zero to the last; a point may be among them.
    significant: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim_start_matches('-');
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let power: i64 = power.parse().ok()?;
        let digit = |byte: &u8| matches!(byte, b'1'..=b'9');
        let bytes = mantissa.as_bytes();
        if !bytes.iter().any(u8::is_ascii_digit) {
            return None;
        }
        let Some(first) = bytes.iter().position(digit) else {
            return Some(Self { significant: &[], exponent: 0 });
        };
        let last = bytes.iter().rposition(digit)?;
        let whole = mantissa.find('.').unwrap_or(mantissa.len());
        // A point in front of the first digit counts as one of the places before it.
        let place = if first > whole { first - 1 } else { first };
        let exponent = i64::try_from(whole).ok()?.checked_sub(i64::try_from(place).ok()?)?;
        let significant = bytes.get(first..=last)?;
        Some(Self { significant, exponent: exponent.checked_add(power)? })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.significant.iter().copied().filter(|byte| *byte != b'.')
    }
}

/// Takes what is expected and nothing else.
struct Expected<'a>(&'a [u8]);

impl io::Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value as it is read out of a Struct: names in their own order, whole numbers as integers.
struct Unordered<'a>(&'a Value);

/// Integers up to here are written as such.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Serialize for Unordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => match number.as_f64() {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "whole and within the range of an i64"
                )]
                Some(double) if double.fract() == 0.0 && double.abs() <= EXACT_MAX => {
                    serializer.serialize_i64(double as i64)
                }
                Some(double) => serializer.serialize_f64(double),
                None => number.serialize(serializer),
            },
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Unordered(item)))?;
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                let mut last = "";
                for (name, value) in fields {
                    if name.as_str() < last {
                        return Err(serde::ser::Error::custom("not in order"));
                    }
                    last = name;
                    map.serialize_entry(name, &Unordered(value))?;
                }
                map.end()
            }
            Value::Null | Value::Bool(_) | Value::String(_) => self.0.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_kept_that_is_read_back_as_written() {
        for (text, double, integer) in [
            ("0", true, true),
            ("-0", true, true),
            ("0.0", true, true),
            ("1", true, true),
            ("0.1", true, true),
            ("0.10", true, true),
            ("-12.50e-3", true, true),
            ("1E+2", true, true),
            ("9007199254740993", false, true),
            ("18446744073709551615", false, true),
            ("18446744073709551616", false, false),
            ("18446744073709551617", false, false),
            ("0.1000000000000000055", false, false),
            ("1e400", false, false),
            ("1e-400", false, false),
            ("100000000000000000000000", true, true),
            // As near to its double as one that ends in 3.
            ("9411136006172.062", true, true),
        ] {
            let of = |integers| keeps_numbers(text.as_bytes(), integers);
            assert_eq!((of(false), of(true)), (double, integer), "{text}");
        }
    }

    #[test]
    fn numbers_are_those_outside_of_texts() {
        let text = br#"{"1":-2.5e+3,"a\"4\\":[5,"6",{"b":7}],"c":true}"#;
        assert_eq!(numbers(text).collect::<Vec<_>>(), ["-2.5e+3", "5", "7"]);
        assert_eq!(numbers(br#""1"#).count(), 0);
    }

    #[test]
    fn a_text_is_kept_that_is_written_again_as_it_was() {
        let of = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            let bytes = text.as_bytes();
            (of_values(bytes, &value).to_string(), of_struct(bytes, &value).to_string())
        };
        let none = String::new;
        assert_eq!(of(r#"{"a":[1,0.5,null,true],"b":"x"}"#), (none(), none()));
        assert_eq!(of(r#"{"b":1,"a":2}"#), (none(), "result-text".to_owned()));
        assert_eq!(of(r#"{"a": 1}"#), ("result-text".to_owned(), "result-text".to_owned()));
        assert_eq!(of(r#"{"a":1,"a":2}"#).0, "result-text");
        let both = "result-text, result-numbers".to_owned();
        assert_eq!(of(r#"{"a":9007199254740993}"#), (none(), both.clone()));
        assert_eq!(of(r#"{"a":0.12345678901234567890}"#), (both.clone(), both));
    }

    proptest! {
        #[test]
        fn every_double_is_kept(double in proptest::num::f64::NORMAL, whole in any::<i64>()) {
            let text = json!([double, whole]).to_string();
            prop_assert!(keeps_numbers(text.as_bytes(), true));
        }

        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for number in numbers(&bytes) {
                is_double(number);
            }
        }
    }
}
