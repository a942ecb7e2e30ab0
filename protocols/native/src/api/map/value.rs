//! JSON in the form of `google.protobuf.Value`.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number, Value as Json};

/// The largest whole number up to which every whole number is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a value has no JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoJson {
    /// A part of it holds no value at all.
    Empty,
    /// A number is infinite or not a number.
    NotFinite,
}

/// The JSON text of a value.
pub(super) fn text(value: Value) -> Result<String, NoJson> {
    json(value).map(|json| json.to_string())
}

/// The decoder has bounded the depth.
fn json(value: Value) -> Result<Json, NoJson> {
    Ok(match value.kind.ok_or(NoJson::Empty)? {
        Kind::NullValue(_) => Json::Null,
        Kind::NumberValue(number) => Json::Number(self::number(number)?),
        Kind::StringValue(text) => Json::String(text),
        Kind::BoolValue(flag) => Json::Bool(flag),
        Kind::StructValue(Struct { fields }) => {
            let field = |(name, value)| Ok((name, json(value)?));
            Json::Object(fields.into_iter().map(field).collect::<Result<Map<_, _>, _>>()?)
        }
        Kind::ListValue(ListValue { values }) => {
            Json::Array(values.into_iter().map(json).collect::<Result<_, _>>()?)
        }
    })
}

/// Whole numbers are written without a fraction, as everybody else writes them.
fn number(number: f64) -> Result<Number, NoJson> {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
    if number.fract() == 0.0
        && number.abs() <= EXACT
        && !(number == 0.0 && number.is_sign_negative())
    {
        return Ok((number as i64).into());
    }
    Number::from_f64(number).ok_or(NoJson::NotFinite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    #[test]
    fn numbers_are_written_as_they_are_meant() {
        for (number, expected) in [
            (1.0, Ok("1")),
            (-3.0, Ok("-3")),
            (0.5, Ok("0.5")),
            (-0.0, Ok("-0.0")),
            (9_007_199_254_740_992.0, Ok("9007199254740992")),
            (1e300, Ok("1e+300")),
            (f64::NAN, Err(NoJson::NotFinite)),
            (f64::INFINITY, Err(NoJson::NotFinite)),
        ] {
            let written = text(value(Kind::NumberValue(number)));
            assert_eq!(written.as_deref(), expected.as_ref().map(|text| &**text), "{number}");
        }
    }

    #[test]
    fn every_kind_has_its_text() {
        let list = [Kind::NullValue(0), Kind::BoolValue(true), Kind::StringValue("a\"b".into())];
        let list = ListValue { values: list.map(value).into() };
        let fields = [("b".to_owned(), value(Kind::ListValue(list)))].into();
        let whole = value(Kind::StructValue(Struct { fields }));
        assert_eq!(text(whole).unwrap(), r#"{"b":[null,true,"a\"b"]}"#);
        assert_eq!(text(Value { kind: None }), Err(NoJson::Empty));
    }
}
