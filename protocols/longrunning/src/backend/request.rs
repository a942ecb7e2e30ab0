//! The request that starts an operation upstream, and what it carries.

use http::{HeaderMap, HeaderName, HeaderValue};
use opgate_bus::{Lease, Route};
use opgate_core::{Error, OperationId, Payload};
use opgate_rpc::headers::IDEMPOTENCY_KEY;
use opgate_rpc::transcode;
use opgate_template::{self as template, Source};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::MessageDescriptor;
use serde_json::Value;

use super::plan::{Plan, no_fields, unusable};
use crate::map;
use crate::proto::{Any, STRUCT};
use crate::scan::{self, Raw};
use crate::types::Types;

const ANY: &str = "google.protobuf.Any";
/// By what proxies of Google's kind tell where a call goes.
const ROUTING: HeaderName = HeaderName::from_static("x-goog-request-params");
/// All but what RFC 3986 calls unreserved.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a route says of the operation that a lease is for.
pub(super) fn plan<'a>(types: &Types, route: &'a Route) -> Result<Plan<'a>, Error> {
    Plan::of(types, &route.options).map_err(unusable)
}

/// Whether the request of a start can be made of its input.
///
/// # Errors
/// Why not.
pub(super) fn check(plan: &Plan<'_>, input: &Payload) -> Result<(), Error> {
    // Which id it is going to have is all the same.
    made(plan, input, OperationId::from_bits(0)).map(drop)
}

/// What a start is to ask: the message, and its metadata.
///
/// # Errors
/// Why it cannot be made of the input.
pub(super) fn start(plan: &Plan<'_>, lease: &Lease) -> Result<(Vec<u8>, HeaderMap), Error> {
    let operation = lease.operation();
    let (message, mut headers) = made(plan, &operation.input, operation.id)?;
    for header in &operation.headers {
        let Ok(name) = header.name.parse::<HeaderName>() else { continue };
        let Ok(value) = HeaderValue::from_bytes(&header.value) else { continue };
        // What the route asks for is not to be replaced by what its caller says.
        if plan.passes(&name) && plan.metadata.iter().all(|(own, _)| *own != name) {
            headers.append(name, value);
        }
    }
    Ok((message, headers))
}

/// What a call about an operation upstream carries.
pub(super) fn about(name: &str) -> HeaderMap {
    let value = format!("name={}", utf8_percent_encode(name, VALUE));
    let value = HeaderValue::try_from(value).ok();
    value.map(|value| (ROUTING, value)).into_iter().collect()
}

fn made(plan: &Plan<'_>, input: &Payload, id: OperationId) -> Result<(Vec<u8>, HeaderMap), Error> {
    let json = of_json(input);
    let source = Source { input: json.as_ref(), id: Some(id) };
    let mut message = match (&plan.request, &plan.kind) {
        (Some(request), Some(kind)) => {
            if json.is_none() && template::reads_input(request) {
                return Err(no_fields());
            }
            let request =
                template::expand(request, &source).map_err(|problem| problem.of("request"))?;
            // A request made of nothing is one without a field set.
            let request = if request.is_null() { "{}".to_owned() } else { request.to_string() };
            encoded(kind, request.as_bytes())?
        }
        (_, kind) => whole(kind.as_ref(), input)?,
    };
    if let Some(path) = &plan.request_id {
        identify(&mut message, path, &source)?;
    }
    let mut headers = HeaderMap::new();
    // However often it is sent, by whichever process: to a service that looks at it, it is the same one.
    insert(&mut headers, HeaderName::from_static(IDEMPOTENCY_KEY), id.to_text().as_str())?;
    for (name, value) in &plan.metadata {
        let reads = template::reads_input(&Value::String(value.clone()));
        if json.is_none() && reads {
            return Err(no_fields());
        }
        let made = template::text(value, &source).map_err(|problem| problem.of("metadata"))?;
        let Some(made) = made else {
            let text = format!("is made of the input by {value:?}, which finds no text there");
            return Err(Error::invalid(format!("metadata.{name}"), text));
        };
        insert(&mut headers, name.clone(), &made)?;
    }
    Ok((message, headers))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Error> {
    let visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let made = HeaderValue::from_str(value).ok().filter(|_| visible).ok_or_else(|| {
        let text = "is made of the input, and holds more than visible characters and spaces";
        Error::invalid(format!("metadata.{name}"), text)
    })?;
    headers.insert(name, made);
    Ok(())
}

/// The input as the request. What is protobuf already goes as it came.
fn whole(kind: Option<&MessageDescriptor>, input: &Payload) -> Result<Vec<u8>, Error> {
    let refused = |text: String| Err(Error::invalid("input", text));
    if let Some(encoding) = &input.encoding {
        return refused(format!("is encoded as {encoding:?}: a request is not"));
    }
    if input.is_nothing() {
        return Ok(Vec::new());
    }
    let Some(named) = input.message_type() else {
        return match kind {
            Some(kind) if input.is_json() => encoded(kind, &input.bytes),
            Some(kind) => {
                refused(format!("must be JSON, or protobuf of {}", kind.full_name()))
            }
            None => refused(
                "must be protobuf: the route names no request_type, so that nothing can be made of \
                 anything else"
                    .to_owned(),
            ),
        };
    };
    let Some(kind) = kind else { return Ok(input.bytes.to_vec()) };
    let full_name = kind.full_name();
    let bytes = match named {
        "" => input.bytes.clone(),
        named if named == full_name => input.bytes.clone(),
        ANY => match Any::decode(input.bytes.clone()) {
            Ok(any) if any.is(full_name) => any.value,
            Ok(_) | Err(_) => return refused(format!("is an Any, and not one of {full_name}")),
        },
        named => return refused(format!("is a {named}, and the method takes a {full_name}")),
    };
    match scan::check(kind, &bytes) {
        Ok(_) => Ok(bytes.to_vec()),
        Err(malformed) => refused(format!("is not a {full_name}: {}", malformed.0)),
    }
}

/// The message of a JSON text.
fn encoded(kind: &MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, Error> {
    if kind.full_name() == STRUCT {
        return map::from_json(json)
            .map(Vec::from)
            .ok_or_else(|| Error::invalid("input", "must be a JSON object"));
    }
    // The same request is the same bytes each time.
    transcode::from_json(kind, json).map(|message| transcode::encode(&message)).map_err(|error| {
        let text = format!("it does not make a {}: {}", kind.full_name(), error.message);
        Error { message: text.into(), ..error }
    })
}

/// Gives a request the operation's id, unless that field has a value. What is there stays as it is: fields
/// of a message may be in any number of pieces, and the last counts.
fn identify(message: &mut Vec<u8>, path: &[u32], source: &Source<'_>) -> Result<(), Error> {
    if matches!(scan::find(message, path), Some(Raw::Bytes(value)) if !value.is_empty()) {
        return Ok(());
    }
    let id = template::text("${uuid}", source).map_err(|problem| problem.of("request_id"))?;
    let mut piece = id.unwrap_or_default().into_bytes();
    for number in path.iter().rev() {
        let mut outer = Vec::with_capacity(piece.len() + 12);
        encode_key(*number, WireType::LengthDelimited, &mut outer);
        encode_varint(piece.len() as u64, &mut outer);
        outer.append(&mut piece);
        piece = outer;
    }
    message.append(&mut piece);
    Ok(())
}

/// An input that is JSON and not packed.
fn of_json(input: &Payload) -> Option<Value> {
    let plain = input.is_json() && input.encoding.is_none();
    if plain { serde_json::from_slice(&input.bytes).ok() } else { None }
}

#[cfg(test)]
mod tests;
