//! A value that is shown of something: written from where it is, without a copy.

use std::borrow::Cow;

use opgate_core::Timestamp;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, Symbol, Timestamp as AmqpTimestamp};

/// A value of AMQP's, of whose texts and bytes nothing is copied.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown<'a> {
    Null,
    Bool(bool),
    Ushort(u16),
    Uint(u32),
    Ulong(u64),
    Int(i32),
    Time(Timestamp),
    Text(Cow<'a, str>),
    Symbol(Cow<'a, str>),
    Bytes(&'a [u8]),
    List(Vec<Self>),
    Map(Vec<(Cow<'a, str>, Self)>),
    /// Any other, which had to be made.
    Made(Value),
}

impl<'a> Shown<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Null in place of a text that is empty.
    pub(super) fn optional_text(text: &'a str) -> Self {
        if text.is_empty() { Self::Null } else { Self::text(text) }
    }

    pub(super) fn optional_time(instant: Option<Timestamp>) -> Self {
        instant.map_or(Self::Null, Self::Time)
    }

    pub(super) fn list<T>(items: &'a [T], shown: fn(&'a T) -> Self) -> Self {
        Self::List(items.iter().map(shown).collect())
    }

    pub(super) fn map<const N: usize>(fields: [(&'static str, Self); N]) -> Self {
        Self::Map(fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Ushort(number) => serializer.serialize_u16(*number),
            Self::Uint(number) => serializer.serialize_u32(*number),
            Self::Ulong(number) => serializer.serialize_u64(*number),
            Self::Int(number) => serializer.serialize_i32(*number),
            Self::Time(time) => {
                AmqpTimestamp::from_milliseconds(time.millis()).serialize(serializer)
            }
            Self::Text(text) => serializer.serialize_str(text),
            Self::Symbol(text) => Symbol::from(text.as_ref()).serialize(serializer),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => items.serialize(serializer),
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Self::Made(value) => value.serialize(serializer),
        }
    }
}

impl From<Shown<'_>> for Value {
    fn from(shown: Shown<'_>) -> Self {
        match shown {
            Shown::Null => Self::Null,
            Shown::Bool(is) => Self::Bool(is),
            Shown::Ushort(number) => Self::Ushort(number),
            Shown::Uint(number) => Self::Uint(number),
            Shown::Ulong(number) => Self::Ulong(number),
            Shown::Int(number) => Self::Int(number),
            Shown::Time(time) => Self::Timestamp(AmqpTimestamp::from_milliseconds(time.millis())),
            Shown::Text(text) => Self::String(text.into_owned()),
            Shown::Symbol(text) => Self::Symbol(Symbol::from(text.as_ref())),
            Shown::Bytes(bytes) => Self::Binary(Binary::from(bytes.to_vec())),
            Shown::List(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Shown::Map(fields) => {
                let fields = fields.into_iter();
                Self::Map(
                    fields
                        .map(|(name, value)| (Self::String(name.into_owned()), Self::from(value)))
                        .collect(),
                )
            }
            Shown::Made(value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_value_that_it_is() {
        let shown = Shown::map([
            ("null", Shown::Null),
            ("bool", Shown::Bool(true)),
            ("ushort", Shown::Ushort(404)),
            ("uint", Shown::Uint(0)),
            ("ulong", Shown::Ulong(u64::MAX)),
            ("int", Shown::Int(-1)),
            ("time", Shown::Time(Timestamp::from_nanos(1_700_000_000_123_000_000))),
            ("text", Shown::text("ä")),
            ("symbol", Shown::Symbol("amqp:not-found".into())),
            ("bytes", Shown::Bytes(&[0, 255])),
            ("empty list", Shown::List(Vec::new())),
            ("list", Shown::List(vec![Shown::Text("x".repeat(300).into()), Shown::Null])),
            ("empty map", Shown::map([])),
            ("made", Shown::Made(Value::from(1.5))),
        ]);
        let bytes = serde_amqp::to_vec(&shown).unwrap();
        let value = Value::from(shown);
        assert_eq!(bytes, serde_amqp::to_vec(&value).unwrap());
        assert_eq!(serde_amqp::from_slice::<Value>(&bytes).unwrap(), value);
    }
}
