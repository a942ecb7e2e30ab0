//! An operation as this face shows it, no more of it made than is asked for.

use std::borrow::Cow;
use std::cell::OnceCell;

use opgate_core::filter::{Found, Subject, Value};
use opgate_core::{Code, Operation, Outcome, Payload};
use prost_reflect::DynamicMessage;

use super::{Field, json, reflect};
use crate::buildgrid::{self, EXECUTE_METADATA, Profile};
use crate::map::{self, Told};
use crate::proto::{Any, STRUCT};
use crate::types::Types;

type Test<'t> = &'t mut dyn FnMut(Found<'_>) -> bool;

pub(super) struct Shown<'a> {
    types: &'a Types,
    profile: Profile,
    operation: &'a Operation,
    /// Whether payloads are at hand.
    whole: bool,
    metadata: OnceCell<Option<Content>>,
    response: OnceCell<Option<Packed>>,
}

/// A message that is walked.
enum Content {
    Message(DynamicMessage),
    Object(serde_json::Value),
}

struct Packed {
    type_url: String,
    /// None where the type is not known.
    content: Option<Content>,
}

impl Content {
    fn any(&self, types: &Types, path: &[String], test: Test<'_>) -> bool {
        match self {
            Self::Message(message) => reflect::any(types, message, path, test),
            Self::Object(object) => json::any(object, path, test),
        }
    }
}

impl<'a> Shown<'a> {
    pub(super) fn new(
        types: &'a Types,
        profile: Profile,
        operation: &'a Operation,
        whole: bool,
    ) -> Self {
        let (metadata, response) = (OnceCell::new(), OnceCell::new());
        Self { types, profile, operation, whole, metadata, response }
    }

    fn error(&self) -> Option<(i32, Cow<'_, str>)> {
        map::error(self.profile, self.operation)
    }

    /// Whether the metadata is that of remote execution, whatever was declared.
    fn executes(&self) -> bool {
        let declared = self.operation.expects.metadata_type.as_deref();
        self.profile == Profile::BuildGrid || declared == Some(EXECUTE_METADATA)
    }

    fn metadata(&self) -> Option<&Content> {
        let made = self.metadata.get_or_init(|| {
            if self.executes() {
                return unpack(self.types, &buildgrid::metadata(self.operation));
            }
            Some(match map::metadata(self.types, self.operation)? {
                Told::Message(message) => Content::Message(message),
                Told::Report(report) => Content::Object(report.into()),
            })
        });
        made.as_ref()
    }

    fn response(&self) -> Option<&Packed> {
        let made = self.response.get_or_init(|| {
            let any = map::response(self.types, self.profile, self.operation)?;
            Some(Packed { content: unpack(self.types, &any), type_url: any.type_url })
        });
        made.as_ref()
    }

    /// Whether a payload has content that is not at hand.
    const fn lacks(&self, payload: &Payload) -> bool {
        !self.whole && payload.bytes.is_empty()
    }

    /// The result, where its content is not at hand.
    fn absent(&self) -> Option<&Payload> {
        match self.operation.outcome.as_ref()? {
            Outcome::Succeeded(payload) => payload.as_ref().filter(|payload| self.lacks(payload)),
            Outcome::Failed(_) | Outcome::Canceled(_) => None,
        }
    }

    fn metadata_type(&self, test: Test<'_>) -> bool {
        if self.executes() {
            return test(Value::Text(&type_url(EXECUTE_METADATA)).into());
        }
        let declared = self.operation.expects.metadata_type.as_deref();
        // Of a type that is not known there is no metadata.
        let known = declared.filter(|name| self.types.message(name).is_some());
        known.is_some_and(|name| test(Value::Text(&type_url(name)).into()))
    }

    fn response_type(&self, test: Test<'_>) -> Option<bool> {
        if let Some(payload) = self.absent() {
            // A message that says its type keeps it.
            let kept = payload.encoding.is_none() && self.profile == Profile::Google;
            let named = payload.message_type().filter(|named| kept && !named.is_empty())?;
            return Some(test(Value::Text(&type_url(named)).into()));
        }
        let packed = self.response();
        Some(packed.is_some_and(|packed| test(Value::Text(&packed.type_url).into())))
    }
}

fn type_url(full_name: &str) -> String {
    format!("type.googleapis.com/{full_name}")
}

fn unpack(types: &Types, any: &Any) -> Option<Content> {
    if any.is(STRUCT) {
        return map::object(&any.value).ok().map(Content::Object);
    }
    let descriptor = types.message(any.type_url.rsplit('/').next()?)?;
    DynamicMessage::decode(descriptor, &*any.value).ok().map(Content::Message)
}

impl Subject<Field> for Shown<'_> {
    fn any(&self, field: &Field, test: Test<'_>) -> Option<bool> {
        let passes = match field {
            Field::Name => {
                let name = map::name(self.profile, &self.operation.parent, self.operation.id);
                test(Value::Text(&name).into())
            }
            Field::Done => test(Value::Bool(self.operation.is_done()).into()),
            Field::Error => self.error().is_some() && test(Value::Opaque(true).into()),
            Field::ErrorCode => self.error().is_some_and(|(number, _)| {
                let name = Code::from_number(number).map_or("", Code::name);
                test(Value::Name(name, Some(number)).into())
            }),
            Field::ErrorMessage => self.error().is_some_and(|(_, message)| {
                !message.is_empty() && test(Value::Text(&message).into())
            }),
            Field::MetadataType => self.metadata_type(test),
            // The digest of what is executed stands in the input.
            Field::Metadata(_) if self.executes() && self.lacks(&self.operation.input) => {
                return None;
            }
            Field::Metadata(path) => {
                self.metadata().is_some_and(|metadata| metadata.any(self.types, path, test))
            }
            Field::ResponseType => return self.response_type(test),
            Field::Response(_) if self.absent().is_some() => return None,
            Field::Response(path) => {
                let content = self.response().and_then(|packed| packed.content.as_ref());
                content.is_some_and(|content| content.any(self.types, path, test))
            }
        };
        Some(passes)
    }

    fn anywhere(&self, test: &mut dyn FnMut(&str) -> bool) -> Option<bool> {
        if test(&map::name(self.profile, &self.operation.parent, self.operation.id)) {
            return Some(true);
        }
        if self.error().is_some_and(|(_, message)| test(&message)) {
            return Some(true);
        }
        Some(match self.metadata() {
            // The metadata of remote execution has no texts of its own.
            _ if self.executes() => false,
            None => false,
            Some(Content::Message(message)) => {
                message.fields().any(|(_, value)| value.as_str().is_some_and(&mut *test))
            }
            Some(Content::Object(object)) => object
                .as_object()
                .is_some_and(|object| object.values().filter_map(|value| value.as_str()).any(test)),
        })
    }
}
