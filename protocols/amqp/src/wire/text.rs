//! Texts and numbers as clients spell them: a text may come as a string, a symbol or binary (uAMQP sends
//! as binary what its Python caller gives as bytes), a number in any of its types or as a text.

use fe2o3_amqp_types::messaging::MessageId;
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

/// The text of a value.
pub fn of(value: &Value) -> Option<&str> {
    if let Value::String(text) = value {
        Some(text)
    } else if let Value::Symbol(symbol) = value {
        Some(symbol.as_str())
    } else if let Value::Binary(bytes) = value {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    }
}

/// The number of a value: an integer that is not negative.
pub fn count(value: &Value) -> Option<u64> {
    match integer(value) {
        Some(number) => u64::try_from(number).ok(),
        None => of(value)?.parse().ok(),
    }
}

/// The number of a value of one of the types of integers.
pub fn integer(value: &Value) -> Option<i128> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no integers")]
    match value {
        Value::Ubyte(number) => Some(i128::from(*number)),
        Value::Ushort(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        Value::Ulong(number) => Some(i128::from(*number)),
        Value::Byte(number) => Some(i128::from(*number)),
        Value::Short(number) => Some(i128::from(*number)),
        Value::Int(number) => Some(i128::from(*number)),
        Value::Long(number) => Some(i128::from(*number)),
        _ => None,
    }
}

/// The truth value of a value.
pub fn flag(value: &Value) -> Option<bool> {
    if let Value::Bool(flag) = value {
        return Some(*flag);
    }
    of(value)?.to_ascii_lowercase().parse().ok()
}

/// The value of an application property.
pub fn value(simple: SimpleValue) -> Value {
    match simple {
        SimpleValue::Null => Value::Null,
        SimpleValue::Bool(value) => Value::Bool(value),
        SimpleValue::Ubyte(value) => Value::Ubyte(value),
        SimpleValue::Ushort(value) => Value::Ushort(value),
        SimpleValue::Uint(value) => Value::Uint(value),
        SimpleValue::Ulong(value) => Value::Ulong(value),
        SimpleValue::Byte(value) => Value::Byte(value),
        SimpleValue::Short(value) => Value::Short(value),
        SimpleValue::Int(value) => Value::Int(value),
        SimpleValue::Long(value) => Value::Long(value),
        SimpleValue::Float(value) => Value::Float(value),
        SimpleValue::Double(value) => Value::Double(value),
        SimpleValue::Decimal32(value) => Value::Decimal32(value),
        SimpleValue::Decimal64(value) => Value::Decimal64(value),
        SimpleValue::Decimal128(value) => Value::Decimal128(value),
        SimpleValue::Char(value) => Value::Char(value),
        SimpleValue::Timestamp(value) => Value::Timestamp(value),
        SimpleValue::Uuid(value) => Value::Uuid(value),
        SimpleValue::Binary(value) => Value::Binary(value),
        SimpleValue::String(value) => Value::String(value),
        SimpleValue::Symbol(value) => Value::Symbol(value),
        SimpleValue::Described(value) => Value::Described(value),
    }
}

/// A message id as a text: for a record, not to be compared with.
pub fn of_id(id: &MessageId) -> Option<String> {
    match id {
        MessageId::Ulong(number) => Some(number.to_string()),
        MessageId::Uuid(uuid) => Some(super::json::uuid(uuid.as_inner())),
        MessageId::Binary(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        MessageId::String(text) => Some(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_amqp::primitives::{Binary, Symbol};

    use super::*;

    #[test]
    fn a_text_is_a_text_in_whichever_type() {
        for value in [
            Value::String("READ".into()),
            Value::Symbol(Symbol::from("READ")),
            Value::Binary(Binary::from("READ")),
        ] {
            assert_eq!(of(&value), Some("READ"));
        }
        assert_eq!(of(&Value::Binary(Binary::from(vec![0xff]))), None);
        assert_eq!(of(&Value::Int(1)), None);
    }

    #[test]
    fn a_number_is_a_number_in_whichever_type() {
        for value in [Value::Ubyte(7), Value::Int(7), Value::Ulong(7), Value::from("7")] {
            assert_eq!(count(&value), Some(7));
        }
        for value in [Value::Int(-1), Value::from("-1"), Value::from(7.0), Value::Null] {
            assert_eq!(count(&value), None);
        }
        assert_eq!(flag(&Value::from("True")), Some(true));
        assert_eq!(flag(&Value::Int(1)), None);
    }
}
