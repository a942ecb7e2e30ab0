//! Numbers, texts, bytes and enums; and messages that are one text.

use std::fmt;

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, Unexpected, Visitor};

use super::super::scalar;
use super::{Progress, structure};

/// Reads a scalar: numbers as numbers or texts, 64-bit ones too.
pub(super) struct ScalarSeed<'a> {
    pub(super) progress: &'a Progress,
    pub(super) kind: &'a Kind,
}

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.progress.count()?;
        reader.deserialize_any(self)
    }
}

impl ScalarSeed<'_> {
    const fn is_number(&self) -> bool {
        !matches!(self.kind, Kind::String | Kind::Bytes | Kind::Bool | Kind::Message(_))
    }

    /// A number by its digits.
    fn number<E: Error>(&self, digits: &str) -> Result<Value, E> {
        scalar::from_text(self.kind, digits).map_err(E::custom)
    }
}

impl Visitor<'_> for ScalarSeed<'_> {
    type Value = Value;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::String => text.write_str("a string"),
            Kind::Bytes => text.write_str("a string in base64"),
            Kind::Bool => text.write_str("true or false"),
            Kind::Enum(kind) => write!(text, "the name or number of a {}", kind.full_name()),
            Kind::Message(message) => write!(text, "a {}", message.full_name()),
            Kind::Double | Kind::Float => text.write_str("a number"),
            Kind::Int32
            | Kind::Sint32
            | Kind::Sfixed32
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Int64
            | Kind::Sint64
            | Kind::Sfixed64
            | Kind::Uint64
            | Kind::Fixed64 => text.write_str("a whole number"),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        if *self.kind == Kind::Bool {
            Ok(Value::Bool(value))
        } else {
            Err(E::invalid_type(Unexpected::Bool(value), &self))
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        if self.is_number() {
            self.number(&value.to_string())
        } else {
            Err(E::invalid_type(Unexpected::Signed(value), &self))
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        if self.is_number() {
            self.number(&value.to_string())
        } else {
            Err(E::invalid_type(Unexpected::Unsigned(value), &self))
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if *self.kind == Kind::Double {
            Ok(Value::F64(value))
        } else if self.is_number() {
            // Its digits, without an exponent: 1.0 and 1e3 are whole numbers.
            self.number(&format!("{value}"))
        } else {
            Err(E::invalid_type(Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        if let Kind::Enum(kind) = self.kind {
            let value = kind.get_value_by_name(text);
            let number = value.map(|value| Value::EnumNumber(value.number()));
            number.ok_or_else(|| E::custom(scalar::no_such_value(kind, text)))
        } else if matches!(self.kind, Kind::Bool | Kind::Message(_)) {
            Err(E::invalid_type(Unexpected::Str(text), &self))
        } else {
            scalar::from_text(self.kind, text).map_err(E::custom)
        }
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        if *self.kind == Kind::String { Ok(Value::String(text)) } else { self.visit_str(&text) }
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        let kind = self.kind.as_enum();
        if kind.is_some_and(|kind| kind.full_name() == structure::NULL) {
            Ok(Value::EnumNumber(0))
        } else {
            Err(E::invalid_type(Unexpected::Unit, &self))
        }
    }
}

/// Reads a message whose JSON is one text.
pub(super) struct TextSeed<'a> {
    pub(super) progress: &'a Progress,
    pub(super) message: &'a MessageDescriptor,
}

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<DynamicMessage, D::Error> {
        self.progress.count()?;
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for TextSeed<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "a string, a {}", self.message.full_name())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DynamicMessage, E> {
        let value = scalar::from_text(&Kind::Message(self.message.clone()), text);
        if let Value::Message(message) = value.map_err(E::custom)? {
            Ok(message)
        } else {
            Err(E::invalid_type(Unexpected::Str(text), &self))
        }
    }
}
