//! A value that is shown of something: written from where it is, without a copy.

use std::borrow::Cow;

use opgate_core::Timestamp;
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, Symbol, Timestamp as AmqpTimestamp};

use crate::wire::encoded::{self, Encoded};
use crate::wire::written;

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
    /// A value as it came.
    Encoded(Encoded),
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

impl Shown<'_> {
    /// Writes it as AMQP has it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => written::null(out),
            Self::Bool(is) => written::boolean(*is, out),
            Self::Ushort(number) => written::ushort(*number, out),
            Self::Uint(number) => written::uint(*number, out),
            Self::Ulong(number) => written::ulong(*number, out),
            Self::Int(number) => written::int(*number, out),
            Self::Time(time) => written::timestamp(time.millis(), out),
            Self::Text(text) => written::text(text, out),
            Self::Symbol(text) => written::symbol(text, out),
            Self::Bytes(bytes) => written::binary(bytes, out),
            Self::List(items) => written::list(out, |out| {
                for item in items {
                    item.write(out);
                }
                items.len()
            }),
            Self::Map(fields) => written::map(out, |out| {
                for (name, value) in fields {
                    written::text(name, out);
                    value.write(out);
                }
                fields.len()
            }),
            Self::Made(value) => encoded::write(out, value),
            Self::Encoded(value) => out.extend_from_slice(value.bytes()),
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
            // What was kept can be read.
            Shown::Encoded(value) => value.value().unwrap_or_default(),
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
            ("short uint", Shown::Uint(255)),
            ("long uint", Shown::Uint(256)),
            ("short ulong", Shown::Ulong(1)),
            ("least int", Shown::Int(i32::MIN)),
            ("time", Shown::Time(Timestamp::from_nanos(1_700_000_000_123_000_000))),
            ("text", Shown::text("ä")),
            ("symbol", Shown::Symbol("amqp:not-found".into())),
            ("bytes", Shown::Bytes(&[0, 255])),
            ("empty list", Shown::List(Vec::new())),
            ("list", Shown::List(vec![Shown::Text("x".repeat(300).into()), Shown::Null])),
            ("empty map", Shown::map([])),
            ("long map", Shown::map([("x", Shown::Text("x".repeat(250).into()))])),
            ("longest text of a byte", Shown::Text("x".repeat(255).into())),
            ("many", Shown::List(vec![Shown::Null; 300])),
            ("made", Shown::Made(Value::from(1.5))),
            ("encoded", Shown::Encoded(Encoded::from(&Value::Ubyte(7)))),
        ]);
        let mut bytes = Vec::new();
        shown.write(&mut bytes);
        let value = Value::from(shown);
        // The crate takes the long form for what is one byte short of it.
        let by_crate = serde_amqp::to_vec(&value).unwrap();
        assert!((by_crate.len() - 12..=by_crate.len()).contains(&bytes.len()));
        assert_eq!(serde_amqp::from_slice::<Value>(&bytes).unwrap(), value);
    }
}
