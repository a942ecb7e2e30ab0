//! `google.protobuf.Any`: an object whose key `@type` says what the others are.

use std::fmt;

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::super::writer::has_own_json;
use super::message::{FieldsVisitor, MessageSeed};
use super::{Progress, Step};

const TYPE: &str = "@type";

/// Reads an Any. The key `@type` may come last, so the object is held until its end.
pub(super) struct AnySeed<'a> {
    pub(super) progress: &'a Progress,
    pub(super) message: &'a MessageDescriptor,
}

impl<'de> DeserializeSeed<'de> for AnySeed<'_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<DynamicMessage, D::Error> {
        let tree = TreeSeed { progress: self.progress }.deserialize(reader)?;
        if let Json::Object(object) = tree {
            self.read(object).map_err(D::Error::custom)
        } else {
            Err(D::Error::custom("an object with the key `@type` is expected"))
        }
    }
}

impl AnySeed<'_> {
    fn read(&self, mut object: Map<String, Json>) -> Result<DynamicMessage, String> {
        let progress = self.progress;
        let mut any = DynamicMessage::new(self.message.clone());
        if object.is_empty() {
            return Ok(any);
        }
        let url = match object.remove(TYPE) {
            Some(Json::String(url)) => url,
            Some(_) => return Err("`@type` must be a string".to_owned()),
            None => return Err("the key `@type` is missing".to_owned()),
        };
        let name = url.rsplit_once('/').map(|(_, name)| name);
        let kind = name.and_then(|name| self.message.parent_pool().get_message_by_name(name));
        let kind = kind.ok_or_else(|| format!("the type `{url}` is not known here"))?;
        let is_empty = kind.full_name() == "google.protobuf.Empty";
        let read = if has_own_json(kind.full_name()) && !(is_empty && object.is_empty()) {
            let value = object.remove("value").ok_or("the key `value` is missing")?;
            if let Some(odd) = object.keys().next() {
                progress.step(Step::Name(odd.clone()));
                return Err(format!("a {} has the key `value` alone", kind.full_name()));
            }
            progress.step(Step::Name("value".to_owned()));
            let read = MessageSeed { progress, message: &kind }.deserialize(value);
            read.inspect(|_| progress.back())
        } else if is_empty {
            Ok(DynamicMessage::new(kind))
        } else {
            let fields = FieldsVisitor { progress, message: &kind };
            Json::Object(object).deserialize_map(fields)
        };
        let message = read.map_err(|error| error.to_string())?;
        any.set_field_by_number(1, Value::String(url));
        any.set_field_by_number(2, Value::Bytes(message.encode_to_vec().into()));
        Ok(any)
    }
}

/// Reads any JSON, strict about keys and within the bounds.
#[derive(Clone, Copy)]
struct TreeSeed<'a> {
    progress: &'a Progress,
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        self.progress.count()?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Json;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        self.progress.enter()?;
        let mut values = Vec::new();
        loop {
            self.progress.step(Step::Index(values.len()));
            let value = list.next_element_seed(self)?;
            self.progress.back();
            let Some(value) = value else { break };
            values.push(value);
        }
        self.progress.leave();
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        self.progress.enter()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.progress.step(Step::Name(key.clone()));
            let value = map.next_value_seed(self)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("is given more than once"));
            }
            self.progress.back();
        }
        self.progress.leave();
        Ok(Json::Object(object))
    }
}
