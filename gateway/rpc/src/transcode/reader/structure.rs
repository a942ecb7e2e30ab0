//! `google.protobuf.Struct`, `Value`, `ListValue` and `Empty`.

use std::collections::HashMap;
use std::fmt;

use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Progress, Step};

pub(super) const VALUE: &str = "google.protobuf.Value";
pub(super) const NULL: &str = "google.protobuf.NullValue";
const STRUCT: &str = "google.protobuf.Struct";
const LIST: &str = "google.protobuf.ListValue";
const EMPTY: &str = "google.protobuf.Empty";

/// Whether a message of this name is read here.
pub(super) fn is_one(full_name: &str) -> bool {
    matches!(full_name, VALUE | STRUCT | LIST | EMPTY)
}

/// The null of `google.protobuf.Value`.
pub(super) fn null(value: &MessageDescriptor) -> DynamicMessage {
    of(value, 1, Value::EnumNumber(0))
}

fn of(message: &MessageDescriptor, number: u32, value: Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(message.clone());
    message.set_field_by_number(number, value);
    message
}

/// Reads one of the four.
#[derive(Clone, Copy)]
pub(super) struct StructureSeed<'a> {
    pub(super) progress: &'a Progress,
    pub(super) message: &'a MessageDescriptor,
}

impl<'de> DeserializeSeed<'de> for StructureSeed<'_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<DynamicMessage, D::Error> {
        self.progress.count()?;
        match self.message.full_name() {
            VALUE => reader.deserialize_any(self),
            LIST => reader.deserialize_seq(self),
            _ => reader.deserialize_map(self),
        }
    }
}

impl StructureSeed<'_> {
    /// The message in a field of this message.
    fn within<E: Error>(&self, number: u32) -> Result<MessageDescriptor, E> {
        let kind = self.message.get_field(number).map(|field| field.kind());
        let message = kind.and_then(|kind| kind.as_message().cloned());
        message.ok_or_else(|| E::custom("is of a type that is not protobuf's own"))
    }

    fn entries<'de, A: MapAccess<'de>>(&self, mut map: A) -> Result<DynamicMessage, A::Error> {
        let entry: MessageDescriptor = self.within(1)?;
        let value = entry.map_entry_value_field().kind();
        let value = value.as_message().ok_or_else(|| A::Error::custom("no Struct"))?;
        let seed = StructureSeed { progress: self.progress, message: value };
        self.progress.enter()?;
        let mut entries: HashMap<MapKey, Value> = HashMap::new();
        while let Some(key) = map.next_key::<String>()? {
            self.progress.step(Step::Name(key.clone()));
            let value = Value::Message(map.next_value_seed(seed)?);
            if entries.insert(MapKey::String(key), value).is_some() {
                return Err(A::Error::custom("is given more than once"));
            }
            self.progress.back();
        }
        self.progress.leave();
        Ok(of(self.message, 1, Value::Map(entries)))
    }

    fn values<'de, A: SeqAccess<'de>>(&self, mut list: A) -> Result<DynamicMessage, A::Error> {
        let value: MessageDescriptor = self.within(1)?;
        let seed = StructureSeed { progress: self.progress, message: &value };
        self.progress.enter()?;
        let mut values = Vec::new();
        loop {
            self.progress.step(Step::Index(values.len()));
            let value = list.next_element_seed(seed)?;
            self.progress.back();
            let Some(value) = value else { break };
            values.push(Value::Message(value));
        }
        self.progress.leave();
        Ok(of(self.message, 1, Value::List(values)))
    }
}

impl<'de> Visitor<'de> for StructureSeed<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(match self.message.full_name() {
            VALUE => "a value",
            LIST => "a list",
            EMPTY => "an empty object",
            _ => "an object",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<DynamicMessage, E> {
        Ok(null(self.message))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<DynamicMessage, E> {
        Ok(of(self.message, 4, Value::Bool(value)))
    }

    #[expect(clippy::cast_precision_loss, reason = "the numbers of a Value are doubles")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<DynamicMessage, E> {
        self.visit_f64(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "the numbers of a Value are doubles")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<DynamicMessage, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<DynamicMessage, E> {
        Ok(of(self.message, 2, Value::F64(value)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DynamicMessage, E> {
        Ok(of(self.message, 3, Value::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<DynamicMessage, A::Error> {
        if self.message.full_name() == VALUE {
            let message = &self.within(6)?;
            let list = StructureSeed { progress: self.progress, message }.values(list)?;
            return Ok(of(self.message, 6, Value::Message(list)));
        }
        self.values(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicMessage, A::Error> {
        match self.message.full_name() {
            VALUE => {
                let message = &self.within(5)?;
                let entries = StructureSeed { progress: self.progress, message }.entries(map)?;
                Ok(of(self.message, 5, Value::Message(entries)))
            }
            EMPTY => match map.next_key::<String>()? {
                Some(key) => {
                    map.next_value::<IgnoredAny>()?;
                    self.progress.step(Step::Name(key));
                    Err(A::Error::custom("google.protobuf.Empty has no such field"))
                }
                None => Ok(DynamicMessage::new(self.message.clone())),
            },
            _ => self.entries(map),
        }
    }
}
