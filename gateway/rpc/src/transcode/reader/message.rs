//! Messages, lists and maps.

use std::collections::{HashMap, HashSet};
use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::mask::find;
use super::super::scalar;
use super::any::AnySeed;
use super::scalars::{ScalarSeed, TextSeed};
use super::structure::{self, StructureSeed};
use super::{Progress, Step};

/// Reads a message.
#[derive(Clone, Copy)]
pub(super) struct MessageSeed<'a> {
    pub(super) progress: &'a Progress,
    pub(super) message: &'a MessageDescriptor,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<DynamicMessage, D::Error> {
        let Self { progress, message } = self;
        match message.full_name() {
            "google.protobuf.Any" => AnySeed { progress, message }.deserialize(reader),
            name if structure::is_one(name) => {
                StructureSeed { progress, message }.deserialize(reader)
            }
            "google.protobuf.Timestamp"
            | "google.protobuf.Duration"
            | "google.protobuf.FieldMask" => TextSeed { progress, message }.deserialize(reader),
            name if scalar::is_wrapper(name) => {
                let field = message.get_field(1).ok_or_else(|| D::Error::custom("no wrapper"))?;
                let kind = &field.kind();
                let value = ScalarSeed { progress, kind }.deserialize(reader)?;
                let mut wrapper = DynamicMessage::new(message.clone());
                wrapper.set_field(&field, value);
                Ok(wrapper)
            }
            _ => reader.deserialize_map(FieldsVisitor { progress, message }),
        }
    }
}

/// Reads the object of a message's fields.
pub(super) struct FieldsVisitor<'a> {
    pub(super) progress: &'a Progress,
    pub(super) message: &'a MessageDescriptor,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "an object, a {}", self.message.full_name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicMessage, A::Error> {
        let Self { progress, message: kind } = self;
        progress.enter()?;
        progress.count()?;
        let mut message = DynamicMessage::new(kind.clone());
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let field = find(kind, &name);
            progress.step(Step::Name(name));
            let field = field.ok_or_else(|| {
                A::Error::custom(format_args!("{} has no such field", kind.full_name()))
            })?;
            if !seen.insert(field.number()) {
                return Err(A::Error::custom("is given more than once"));
            }
            let value = map.next_value_seed(FieldSeed { progress, field: &field })?;
            if let Some(value) = value {
                if let Some(oneof) = field.containing_oneof()
                    && let Some(other) = oneof.fields().find(|other| message.has_field(other))
                {
                    let other = other.json_name();
                    return Err(A::Error::custom(format_args!(
                        "excludes `{other}`, which is set too"
                    )));
                }
                message.set_field(&field, value);
            }
            progress.back();
        }
        progress.leave();
        Ok(message)
    }
}

/// Reads the value of a field; none for a null, where null is no value.
#[derive(Clone, Copy)]
pub(super) struct FieldSeed<'a> {
    pub(super) progress: &'a Progress,
    pub(super) field: &'a FieldDescriptor,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a value")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        self.progress.count()?;
        let single = !self.field.is_list() && !self.field.is_map();
        let kind = self.field.kind();
        let message =
            kind.as_message().filter(|kind| single && kind.full_name() == structure::VALUE);
        let null = kind.as_enum().filter(|kind| single && kind.full_name() == structure::NULL);
        let value = message.map(|message| Value::Message(structure::null(message)));
        Ok(value.or_else(|| null.map(|_| Value::EnumNumber(0))))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        let Self { progress, field } = self;
        let kind = &field.kind();
        if field.is_list() {
            reader.deserialize_seq(ListVisitor { progress, kind }).map(Some)
        } else if field.is_map() {
            reader.deserialize_map(MapVisitor { progress, kind }).map(Some)
        } else {
            ValueSeed { progress, kind }.deserialize(reader).map(Some)
        }
    }
}

/// Reads a single value.
struct ValueSeed<'a> {
    progress: &'a Progress,
    kind: &'a Kind,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let Self { progress, kind } = self;
        if let Kind::Message(message) = kind {
            MessageSeed { progress, message }.deserialize(reader).map(Value::Message)
        } else {
            ScalarSeed { progress, kind }.deserialize(reader)
        }
    }
}

struct ListVisitor<'a> {
    progress: &'a Progress,
    kind: &'a Kind,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = Value;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Self { progress, kind } = self;
        progress.enter()?;
        let mut values = Vec::new();
        loop {
            progress.step(Step::Index(values.len()));
            let value = list.next_element_seed(ValueSeed { progress, kind })?;
            progress.back();
            let Some(value) = value else { break };
            values.push(value);
        }
        progress.leave();
        Ok(Value::List(values))
    }
}

struct MapVisitor<'a> {
    progress: &'a Progress,
    /// Of the message that stands for an entry.
    kind: &'a Kind,
}

impl<'de> Visitor<'de> for MapVisitor<'_> {
    type Value = Value;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("an object, a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Self { progress, kind } = self;
        let entry = kind.as_message().ok_or_else(|| A::Error::custom("no map"))?;
        let key_kind = entry.map_entry_key_field().kind();
        let value_kind = entry.map_entry_value_field().kind();
        progress.enter()?;
        let mut entries: HashMap<MapKey, Value> = HashMap::new();
        while let Some(text) = map.next_key::<String>()? {
            let key = scalar::key(&key_kind, &text);
            progress.step(Step::Key(text));
            let key = key.map_err(A::Error::custom)?;
            let value = map.next_value_seed(ValueSeed { progress, kind: &value_kind })?;
            if entries.insert(key, value).is_some() {
                return Err(A::Error::custom("is given more than once"));
            }
            progress.back();
        }
        progress.leave();
        Ok(Value::Map(entries))
    }
}
