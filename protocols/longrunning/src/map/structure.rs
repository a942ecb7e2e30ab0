//! JSON and `google.protobuf.Struct`, both ways, each in one pass over the text or bytes: a general
//! protobuf library needs a hundred bytes for each value and measures nested ones again and again.

use bytes::Bytes;
use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

/// Integers up to here are exact in both forms.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The encoded Struct of a JSON object; `None` if the text is anything else. Numbers become
/// doubles, as Struct has no others.
pub(crate) fn from_json(text: &[u8]) -> Option<Bytes> {
    serde_json::from_slice::<Map<String, Value>>(text).ok().map(|object| encode(&object))
}

/// The encoded Struct of an object.
pub(crate) fn encode(object: &Map<String, Value>) -> Bytes {
    let mut backward = Backward(Vec::new());
    backward.object(object);
    backward.0.reverse();
    backward.0.into()
}

/// Why an encoded Struct has no JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoJson {
    /// It is not a Struct.
    Malformed,
    /// A number is infinite or not a number.
    NotFinite,
}

/// The JSON of an encoded Struct. A number without a fraction is written as an integer, so that a
/// reader that expects one finds one.
pub(crate) fn to_json(encoded: &[u8]) -> Result<Vec<u8>, NoJson> {
    serde_json::to_vec(&read(encoded)?).map_err(|_| NoJson::Malformed)
}

/// The object of an encoded Struct.
pub(crate) fn read(encoded: &[u8]) -> Result<Value, NoJson> {
    object(prost_types::Struct::decode(encoded).map_err(|_| NoJson::Malformed)?)
}

fn object(structure: prost_types::Struct) -> Result<Value, NoJson> {
    let fields = structure.fields.into_iter();
    fields
        .map(|(name, field)| Ok((name, value(field)?)))
        .collect::<Result<_, _>>()
        .map(Value::Object)
}

fn value(value: prost_types::Value) -> Result<Value, NoJson> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(double)) => Value::Number(number(double)?),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::StructValue(structure)) => object(structure)?,
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(self::value).collect::<Result<_, _>>()?)
        }
    })
}

fn number(double: f64) -> Result<Number, NoJson> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the range of an i64")]
    if double.fract() == 0.0 && double.abs() <= EXACT_MAX {
        return Ok((double as i64).into());
    }
    Number::from_f64(double).ok_or(NoJson::NotFinite)
}

/// An encoder that writes from the last byte to the first: the length of a nested message is then
/// known when it is to be written.
struct Backward(Vec<u8>);

impl Backward {
    fn object(&mut self, object: &Map<String, Value>) {
        for (name, value) in object.iter().rev() {
            self.nested(1, |entry| {
                entry.nested(2, |field| field.value(value));
                entry.nested(1, |key| key.bytes(name.as_bytes()));
            });
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(&[1 << 3, 0]),
            Value::Number(number) => {
                self.bytes(&number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
                self.bytes(&[2 << 3 | 1]);
            }
            Value::String(text) => self.nested(3, |string| string.bytes(text.as_bytes())),
            Value::Bool(truth) => self.bytes(&[4 << 3, u8::from(*truth)]),
            Value::Object(object) => self.nested(5, |structure| structure.object(object)),
            Value::Array(items) => self.nested(6, |list| {
                for item in items.iter().rev() {
                    list.nested(1, |element| element.value(item));
                }
            }),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().rev());
    }

    fn nested(&mut self, number: u8, content: impl FnOnce(&mut Self)) {
        let before = self.0.len();
        content(self);
        let mut prefix = Vec::with_capacity(6);
        prefix.push(number << 3 | 2);
        prost::encoding::encode_varint((self.0.len() - before) as u64, &mut prefix);
        self.bytes(&prefix);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            // Without a fraction it would come back as an integer.
            (-1e9..1e9).prop_map(|number: f64| Value::from(number.floor() + 0.5)),
            ".{0,9}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_back_as_it_went(value in json(), name in ".{0,9}") {
            let object = Map::from_iter([(name, value)]);
            let text = serde_json::to_vec(&object).unwrap();
            let back = to_json(&from_json(&text).unwrap()).unwrap();
            let back: Map<String, Value> = serde_json::from_slice(&back).unwrap();
            prop_assert_eq!(back, object);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(from_json(&bytes));
            drop(to_json(&bytes));
        }
    }

    #[test]
    fn only_objects_are_structs() {
        for text in ["", "null", "1", "\"x\"", "[]", "{", "{}x"] {
            assert_eq!(from_json(text.as_bytes()), None, "{text}");
        }
        assert_eq!(from_json(b" {} ").unwrap(), "");
    }

    #[test]
    fn whole_numbers_are_integers_and_odd_ones_are_refused() {
        let encoded = |number: f64| {
            let value = prost_types::Value { kind: Some(Kind::NumberValue(number)) };
            prost_types::Struct { fields: [("n".to_owned(), value)].into() }.encode_to_vec()
        };
        assert_eq!(to_json(&encoded(3.0)).unwrap(), br#"{"n":3}"#);
        assert_eq!(to_json(&encoded(-0.5)).unwrap(), br#"{"n":-0.5}"#);
        assert_eq!(to_json(&encoded(1e300)).unwrap(), br#"{"n":1e+300}"#);
        assert_eq!(to_json(&encoded(f64::NAN)), Err(NoJson::NotFinite));
        assert_eq!(to_json(&encoded(f64::INFINITY)), Err(NoJson::NotFinite));
        assert_eq!(to_json(b"\x0a"), Err(NoJson::Malformed));
    }

    #[test]
    fn nesting_beyond_what_json_readers_take_is_refused() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(from_json(text.as_bytes()), None);
    }
}
