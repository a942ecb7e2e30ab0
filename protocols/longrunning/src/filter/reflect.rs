//! A path through a message of any known type.

use opgate_core::filter::{Found, Keys, Value};
use opgate_rpc::transcode::is_wrapper;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _,
    Value as Reflected,
};

use super::{TYPE, json, means};
use crate::types::Types;

/// Anys that are unpacked on the way, each within the one before: what is packed nests as deep as its
/// bytes are long, and a path does not end it. Beyond, nothing is set.
const ANYS_MAX: usize = 32;

type Test<'t> = &'t mut dyn FnMut(Found<'_>) -> bool;

/// Shows every value the path leads to, until the test says true.
pub(super) fn any(
    types: &Types,
    message: &DynamicMessage,
    path: &[String],
    test: Test<'_>,
) -> bool {
    Walk { types, listed: false, unpacked: 0, test }.message(message, path)
}

struct Walk<'a, 't> {
    types: &'a Types,
    /// Whether the way led through a list.
    listed: bool,
    /// Anys that are open.
    unpacked: usize,
    test: Test<'t>,
}

impl Walk<'_, '_> {
    fn test(&mut self, value: Value<'_>) -> bool {
        (self.test)(Found { value, listed: self.listed })
    }

    fn message(&mut self, message: &DynamicMessage, path: &[String]) -> bool {
        const NANOS: i128 = 1_000_000_000;
        let descriptor = message.descriptor();
        let number = |field: &str| -> i128 {
            let value = message.get_field_by_name(field);
            let value = value.as_deref();
            let seconds = value.and_then(Reflected::as_i64).map(i128::from);
            seconds.or_else(|| value?.as_i32().map(i128::from)).unwrap_or(0)
        };
        match descriptor.full_name() {
            "google.protobuf.Timestamp" if path.is_empty() => {
                return self.test(Value::Time(number("seconds") * NANOS + number("nanos")));
            }
            "google.protobuf.Duration" if path.is_empty() => {
                return self.test(Value::Duration(number("seconds") * NANOS + number("nanos")));
            }
            "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => {
                let value = serde_json::to_value(message);
                return value.is_ok_and(|value| json::walk(&value, path, self.listed, self.test));
            }
            "google.protobuf.Any" => return self.packed(message, path),
            wrapper if path.is_empty() && is_wrapper(wrapper) => {
                return message
                    .get_field_by_name("value")
                    .is_some_and(|value| self.value(None, &value, path));
            }
            _ => {}
        }
        let [segment, rest @ ..] = path else {
            return self.test(Value::Message(&Fields(message)));
        };
        let field = descriptor.fields().find(|field| is_named(field, segment));
        field.is_some_and(|field| {
            is_set(message, &field) && self.value(Some(&field), &message.get_field(&field), rest)
        })
    }

    fn packed(&mut self, any: &DynamicMessage, path: &[String]) -> bool {
        let type_url = any.get_field_by_name("type_url");
        let type_url = type_url.as_deref().and_then(Reflected::as_str).unwrap_or_default();
        if let [only] = path
            && only == TYPE
        {
            return self.test(Value::Text(type_url));
        }
        let bytes = any.get_field_by_name("value");
        let bytes = bytes.as_deref().and_then(Reflected::as_bytes);
        let descriptor = type_url.rsplit('/').next().and_then(|name| self.types.message(name));
        let (Some(descriptor), Some(bytes)) = (descriptor, bytes) else { return false };
        if self.unpacked == ANYS_MAX {
            return false;
        }
        self.unpacked += 1;
        let passes = DynamicMessage::decode(descriptor, bytes.clone())
            .is_ok_and(|message| self.message(&message, path));
        self.unpacked -= 1;
        passes
    }

    fn value(
        &mut self,
        field: Option<&FieldDescriptor>,
        value: &Reflected,
        path: &[String],
    ) -> bool {
        match value {
            Reflected::Message(message) => self.message(message, path),
            Reflected::List(items) => {
                let before = std::mem::replace(&mut self.listed, true);
                let passes = items.iter().any(|item| self.value(field, item, path));
                self.listed = before;
                passes
            }
            Reflected::Map(entries) => match path {
                [] => self.test(Value::Message(&Entries(value))),
                [key, rest @ ..] => {
                    let entry = entries.iter().find(|(known, _)| text(known) == *key);
                    entry.is_some_and(|(_, value)| {
                        let kind = field.map(FieldDescriptor::kind);
                        let entry = kind.as_ref().and_then(Kind::as_message);
                        let of = entry.map(MessageDescriptor::map_entry_value_field);
                        self.value(of.as_ref(), value, rest)
                    })
                }
            },
            _ if !path.is_empty() => false,
            Reflected::Bool(truth) => self.test(Value::Bool(*truth)),
            Reflected::I32(number) => self.test(Value::Int((*number).into())),
            Reflected::I64(number) => self.test(Value::Int((*number).into())),
            Reflected::U32(number) => self.test(Value::Int((*number).into())),
            Reflected::U64(number) => self.test(Value::Int((*number).into())),
            Reflected::F32(number) => self.test(Value::Float((*number).into())),
            Reflected::F64(number) => self.test(Value::Float(*number)),
            Reflected::String(text) => self.test(Value::Text(text)),
            Reflected::Bytes(bytes) => self.test(Value::Opaque(!bytes.is_empty())),
            Reflected::EnumNumber(number) => {
                let kind = field.map(FieldDescriptor::kind);
                let known = kind.as_ref().and_then(Kind::as_enum);
                let named = known.and_then(|known| known.get_value(*number));
                let name = named.as_ref().map_or("", |named| named.name());
                self.test(Value::Name(name, Some(*number)))
            }
        }
    }
}

fn is_named(field: &FieldDescriptor, segment: &str) -> bool {
    field.name() == segment || field.json_name() == segment || means(segment, field.name())
}

/// Whether a field has a value. Without presence of their own, numbers, booleans and enums always
/// have one; an empty text is none.
fn is_set(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    let text = matches!(field.kind(), Kind::String | Kind::Bytes);
    let always = !field.supports_presence() && !field.is_list() && !field.is_map() && !text;
    always || message.has_field(field)
}

fn text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(truth) => truth.to_string(),
        MapKey::I32(number) => number.to_string(),
        MapKey::I64(number) => number.to_string(),
        MapKey::U32(number) => number.to_string(),
        MapKey::U64(number) => number.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

#[derive(Debug)]
struct Fields<'a>(&'a DynamicMessage);

impl Keys for Fields<'_> {
    fn has(&self, key: &str) -> bool {
        let field = self.0.descriptor().fields().find(|field| is_named(field, key));
        field.is_some_and(|field| self.0.has_field(&field))
    }
}

#[derive(Debug)]
struct Entries<'a>(&'a Reflected);

impl Keys for Entries<'_> {
    fn has(&self, key: &str) -> bool {
        self.0.as_map().is_some_and(|entries| entries.keys().any(|known| text(known) == key))
    }
}
