//! List filters on the fields of `google.longrunning.Operation`.
//!
//! | field | type |
//! |---|---|
//! | `name` | text: the whole name as it is shown |
//! | `done` | boolean |
//! | `error.code` | a `google.rpc.Code` by name or number |
//! | `error.message` | text |
//! | `metadata.@type`, `response.@type` | text: the type URL |
//! | `metadata.PATH`, `response.PATH` | whatever the message has there |
//!
//! Beneath `metadata` and `response` each operation has fields of its own types, in their proto or
//! JSON names: a field that an operation's type lacks is not set there, and never an error. A way
//! through a list or a map, a Struct or an Any of a known type goes on within. A literal by itself
//! is looked for in the name, the error's message and the texts directly in the metadata.
//!
//! The log of a metadata report is no part of it here. The messages are made only where the rest of
//! the filter does not decide, and payloads on disk are read only for `response`.

mod json;
mod reflect;
mod shown;

use std::sync::Arc;

use opgate_core::filter::{Bound, FieldType, Filter, Needs, Predicate, Resolved, Schema, is_field};
use opgate_core::{Error, Operation};

use self::shown::Shown;
use crate::buildgrid::Instances;
use crate::types::Types;

/// A filter on operations as this face shows them.
#[derive(Clone, Debug)]
pub(crate) struct Shows {
    bound: Bound<Field>,
    types: Types,
    instances: Arc<Instances>,
}

impl Shows {
    /// Reads a filter.
    pub(crate) fn parse(
        types: &Types,
        instances: &Arc<Instances>,
        text: &str,
    ) -> Result<Self, Error> {
        let bound = Filter::parse(text)?.bind(&Fields)?;
        Ok(Self { bound, types: types.clone(), instances: Arc::clone(instances) })
    }

    fn test(&self, operation: &Operation, whole: bool) -> Option<bool> {
        let profile = self.instances.profile(operation.parent.as_str());
        self.bound.test(&Shown::new(&self.types, profile, operation, whole))
    }
}

impl Predicate for Shows {
    fn early(&self, without_payloads: &Operation) -> Option<bool> {
        self.test(without_payloads, false)
    }

    fn passes(&self, operation: &Operation) -> bool {
        self.test(operation, true).unwrap_or(false)
    }
}

/// A field; paths are beneath the field itself.
#[derive(Clone, Debug)]
enum Field {
    Name,
    Done,
    Error,
    ErrorCode,
    ErrorMessage,
    MetadataType,
    Metadata(Vec<String>),
    ResponseType,
    Response(Vec<String>),
}

struct Fields;

const TYPE: &str = "@type";

impl Schema for Fields {
    type Field = Field;

    fn resolve(&self, path: &[String]) -> Result<Resolved<Field>, String> {
        let (field, of, needs) = match path {
            [only] if only == "name" => (Field::Name, FieldType::Text, Needs::Record),
            [only] if only == "done" => (Field::Done, FieldType::Bool, Needs::Record),
            [only] if only == "error" => (Field::Error, FieldType::Message, Needs::Record),
            [error, code] if error == "error" && code == "code" => {
                (Field::ErrorCode, FieldType::Code, Needs::Record)
            }
            [error, message] if error == "error" && message == "message" => {
                (Field::ErrorMessage, FieldType::Text, Needs::Record)
            }
            [metadata, of] if metadata == "metadata" && of == TYPE => {
                (Field::MetadataType, FieldType::Text, Needs::Record)
            }
            [metadata, rest @ ..] if metadata == "metadata" => {
                (Field::Metadata(rest.to_vec()), FieldType::Dynamic, Needs::Message)
            }
            [response, of] if response == "response" && of == TYPE => {
                (Field::ResponseType, FieldType::Text, Needs::Bodies)
            }
            [response, rest @ ..] if response == "response" => {
                (Field::Response(rest.to_vec()), FieldType::Dynamic, Needs::Bodies)
            }
            _ => {
                return Err("no such field; there are name, done, error.code, error.message, \
                            metadata.@type, metadata.PATH, response.@type, response.PATH"
                    .to_owned());
            }
        };
        Ok(Resolved { field, of, needs })
    }

    fn anywhere(&self) -> Needs {
        Needs::Message
    }
}

/// Whether a segment of a path means this key, in one spelling or the other.
fn means(segment: &str, key: &str) -> bool {
    segment == key || is_field(segment, key) || is_field(key, segment)
}

#[cfg(test)]
mod tests;
