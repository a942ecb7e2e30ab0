//! The gRPC methods that start operations.
//!
//! google.longrunning has no call to start an operation: any method that returns
//! `google.longrunning.Operation` does. Which ones do here is configuration, a door for each.

mod headers;
mod http_form;
mod parent;
mod reads;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use opgate_bus::{RepeatKey, Start};
use opgate_core::{Error, ErrorKind, Expects, Face, KeySpace, Loss, Losses, Payload};
use opgate_rpc::transcode::{self, Json};
use prost_reflect::MessageDescriptor;

use crate::map::{self, NoJson};
use crate::proto::STRUCT;
use crate::scan::{self, Raw};
use opgate_rpc::headers as shared;
use parent::ParentRule;

pub use http_form::HttpForm;
pub(crate) use parent::field;
pub(crate) use table::{Doors, is_identifier, method_problems, resolve};

/// Values in one request that is turned into JSON: a value of one byte takes a hundred in between.
const JSON_VALUES_MAX: usize = 100_000;

/// A gRPC method that starts operations, as configured. `None` is the default everywhere.
///
/// Where a descriptor of the method is known, the types default to what it says. A method with a
/// request type is *typed*: its requests are checked, and its fields can be used. One without is
/// *opaque*: its bytes are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorSettings {
    /// `package.Service/Method`, or `package.Service/*` for every method of an opaque service.
    pub method: String,
    /// The route that takes the operations.
    pub route: String,
    /// Full name of the request message.
    pub request_type: Option<String>,
    /// Full name of the message a success carries; a JSON result is turned into it.
    pub response_type: Option<String>,
    /// Full name of the message that metadata is shown in.
    pub metadata_type: Option<String>,
    /// The scope the operations are listed in: a text with fields of the request in braces, such as
    /// `{parent}` or `tenants/acme/{workflow.name}`; empty is the root. By default the field
    /// `parent` of a typed request that has one, else `parent` or `name` of the header
    /// `x-goog-request-params`, else the root.
    pub parent: Option<String>,
    /// The field with the caller's id for the request, for a start that is sent again to be the
    /// same operation. By default `request_id` of a typed request that has it. Where the request
    /// gives none, the header `idempotency-key` counts.
    pub request_id: Option<String>,
    /// What the backend gets to see of the request.
    pub input: InputForm,
    /// Whether the method streams the operation until it is done, rather than answer with it once.
    /// By default as the method's descriptor says, else not.
    pub stream: Option<bool>,
    /// The HTTP request that starts the same operations, for typed methods. By default those that
    /// the `google.api.http` option of the method's descriptor says, if it has one.
    pub http: Option<HttpForm>,
}

/// What a backend gets to see of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputForm {
    /// The bytes as they came, as `application/x-protobuf`.
    #[default]
    Bytes,
    /// The request as canonical proto JSON, for backends that do not speak protobuf. Typed only.
    Json,
}

impl InputForm {
    /// The form of this name, `bytes` or `json`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "bytes" => Some(Self::Bytes),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A checked door.
#[derive(Debug)]
pub(crate) struct Door {
    /// `package.Service/Method`; none for a door to a whole service.
    endpoint: Option<Arc<str>>,
    route: Arc<str>,
    request: Option<MessageDescriptor>,
    media_type: Arc<str>,
    expects: Expects,
    parent: ParentRule,
    request_id: Option<Vec<u32>>,
    validate_only: Option<Vec<u32>>,
    input: InputForm,
    streams: bool,
}

/// What a request through a door asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To start an operation.
    Start(Box<Start>),
    /// To look at the request and start nothing.
    Validate {
        /// The message a success would carry.
        response_type: Option<Arc<str>>,
    },
}

impl Door {
    /// Whether an operation is streamed until it is done.
    pub(crate) const fn streams(&self) -> bool {
        self.streams
    }

    /// Reads a gRPC request to `endpoint` through this door.
    pub(crate) fn read(
        &self,
        endpoint: &str,
        headers: &HeaderMap,
        request: &Bytes,
    ) -> Result<Asked, Error> {
        let endpoint = self.endpoint.clone().unwrap_or_else(|| Arc::from(endpoint));
        self.asked(Face::Grpc, endpoint, headers, request)
    }

    /// What a message that came to an endpoint of a face asks for.
    fn asked(
        &self,
        face: Face,
        endpoint: Arc<str>,
        headers: &HeaderMap,
        request: &Bytes,
    ) -> Result<Asked, Error> {
        let values = match &self.request {
            Some(message) => scan::check(message, request).map_err(|malformed| {
                let text = format!("not a {}: {}", message.full_name(), malformed.0);
                Error::new(ErrorKind::InvalidArgument, text)
            })?,
            None => 0,
        };
        let parent = self.parent.read(headers, request)?;
        let key = self.key(headers, request)?;
        let validates = self.validate_only.as_ref().is_some_and(|path| {
            scan::find(request, path).is_some_and(|raw| matches!(raw, Raw::Varint(1..)))
        });
        if validates {
            return Ok(Asked::Validate { response_type: self.expects.response_type.clone() });
        }
        let input = self.input(request, values)?;
        // What HTTP had made this message of, who reads it knows.
        let whole = face != Face::Grpc || self.keeps(request, &input);
        let mut start = Start::new(face, endpoint, Arc::clone(&self.route), input);
        start.parent = parent;
        start.expects = self.expects.clone();
        start.request_id = key.as_deref().map(Box::from).or_else(|| headers::request_id(headers));
        // Each face has a space of its own: two callers who happen on one key do not meet.
        let space = if face == Face::Rest { "rest" } else { "grpc" };
        start.dedupe = key.map(|key| RepeatKey::new(KeySpace::new(space), key));
        start.trace = shared::trace(headers);
        start.headers = headers::kept(headers);
        start.lost = Losses::NONE.with(Loss::InputText, !whole);
        Ok(Asked::Start(Box::new(start)))
    }

    fn key(&self, headers: &HeaderMap, request: &[u8]) -> Result<Option<String>, Error> {
        let header = shared::idempotency_key(headers)?;
        let field = self.request_id.as_ref().and_then(|path| scan::find(request, path));
        let (name, key) = match (field, header) {
            (Some(Raw::Bytes(key)), _) if !key.is_empty() => ("request_id", key),
            (_, Some(key)) => (shared::IDEMPOTENCY_KEY, key),
            (_, None) => return Ok(None),
        };
        let key = std::str::from_utf8(key).map_err(|_| Error::invalid(name, "is not UTF-8"))?;
        Ok(Some(key.to_owned()))
    }

    /// Whether JSON that was made of a message says all of it. The names of a Struct have no order.
    fn keeps(&self, request: &Bytes, input: &Payload) -> bool {
        let message = self.request.as_ref().filter(|message| message.full_name() != STRUCT);
        let Some(message) = message.filter(|_| self.input == InputForm::Json) else { return true };
        let again = transcode::from_json(message, &input.bytes);
        again.is_ok_and(|again| transcode::encode(&again) == *request)
    }

    fn input(&self, request: &Bytes, values: usize) -> Result<Payload, Error> {
        match (self.input, &self.request) {
            (InputForm::Json, Some(message)) => json(message, request, values).map(Payload::json),
            // Copied, as the request's bytes hold on to a whole read buffer of the connection.
            (InputForm::Bytes, _) | (InputForm::Json, None) => {
                Ok(Payload::new(Arc::clone(&self.media_type), Bytes::copy_from_slice(request)))
            }
        }
    }
}

/// The request as JSON.
fn json(message: &MessageDescriptor, request: &[u8], values: usize) -> Result<Vec<u8>, Error> {
    if message.full_name() == STRUCT {
        return map::to_json(request).map_err(|error| {
            Error::new(
                ErrorKind::InvalidArgument,
                match error {
                    NoJson::Malformed => "the request is not a google.protobuf.Struct",
                    NoJson::NotFinite => "the request holds a number that JSON does not have",
                },
            )
        });
    }
    if values > JSON_VALUES_MAX {
        let text =
            format!("the request has {values} values, at most {JSON_VALUES_MAX} are allowed");
        return Err(Error::new(ErrorKind::PayloadTooLarge, text));
    }
    // A request that is sent again is the same text: its maps are in order.
    Json::default().encoded(message, Bytes::copy_from_slice(request)).map_err(|error| {
        let why = error.message.replacen("the answer", "it", 1);
        let text = format!("the request has no JSON form: {why}");
        Error::new(ErrorKind::InvalidArgument, text)
    })
}
