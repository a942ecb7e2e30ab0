//! A message as a request of HTTP's.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message};
use fe2o3_amqp_types::primitives::SimpleValue;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use opgate_bus::Caller;
use opgate_edge::RequestBody;
use opgate_rpc::headers::put_trace;
use serde_amqp::Value;

use crate::wire::{json, text, trace};

/// The application properties that are headers, besides those of a trace,
const HEADERS: [&str; 11] = [
    "accept",
    "accept-language",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "operation-timeout",
    "prefer",
    "request-timeout",
    "x-goog-request-params",
    "x-goog-user-project",
];
/// and how others begin. None of them says who calls.
const PREFIXES: [&str; 3] = ["nexus-", "opc-", "opgate-"];
/// Longest path with its query: what fits the head of a request over HTTP, by default.
const PATH_BYTES: usize = 16 * 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The request, or what is wrong with the message.
pub(super) fn made(
    message: Message<Body<Value>>,
    caller: Caller,
) -> Result<http::Request<RequestBody>, String> {
    let trace = trace::of(&message);
    let Message { properties, application_properties, body, .. } = message;
    let properties = properties.unwrap_or_default();
    let method =
        properties.subject.ok_or("subject is missing: it holds the method, such as GET")?;
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| "subject: this is no method of HTTP, such as GET or POST".to_owned())?;
    let path = properties.to.ok_or("to is missing: it holds the path, such as /v1/operations")?;
    let uri = uri(path)?;
    let mut headers = headers(application_properties)?;
    if let Some(said) = properties.content_type
        && !headers.contains_key(CONTENT_TYPE)
    {
        headers.insert(CONTENT_TYPE, header_value("content-type", said.as_str())?);
    }
    put_trace(trace.as_deref(), &mut headers);
    let body = content(body, &mut headers);
    let mut request = http::Request::new(RequestBody::whole(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    // Where faces look for who calls, before they ask who a request over HTTP is from.
    request.extensions_mut().insert(caller);
    Ok(request)
}

fn uri(path: String) -> Result<Uri, String> {
    if path.len() > PATH_BYTES {
        return Err(format!("to: a path has at most {PATH_BYTES} bytes"));
    }
    // A fragment would be dropped without a word.
    if !path.starts_with('/') || path.contains('#') {
        return Err("to: a path begins with / and has no #; what is not plain ASCII in it is \
                    percent-encoded"
            .to_owned());
    }
    Uri::try_from(path).map_err(|error| format!("to: {error}"))
}

fn headers(properties: Option<ApplicationProperties>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let properties = properties.map(|ApplicationProperties(properties)| properties);
    for (name, value) in properties.into_iter().flatten() {
        let lower = name.to_ascii_lowercase();
        let is_one =
            HEADERS.contains(&&*lower) || PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        if !is_one || value == SimpleValue::Null {
            continue;
        }
        let value = text::value(value);
        let value = match (text::of(&value), text::integer(&value), &value) {
            (Some(text), ..) => header_value(&name, text)?,
            (None, Some(number), _) => header_value(&name, &number.to_string())?,
            (None, None, Value::Bool(truth)) => header_value(&name, &truth.to_string())?,
            (None, None, _) => return Err(format!("application property {name}: must be a text")),
        };
        let header = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| format!("application property {name}: this is no name of a header"))?;
        headers.insert(header, value);
    }
    Ok(headers)
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("{name}: holds what no header can"))
}

/// The body, and what it is where nobody has said.
fn content(body: Body<Value>, headers: &mut HeaderMap) -> Bytes {
    match body {
        Body::Data(sections) => {
            let mut sections = sections.into_inner().into_iter().map(|data| data.0.into_vec());
            let mut bytes = sections.next().unwrap_or_default();
            sections.for_each(|section| bytes.extend_from_slice(&section));
            bytes.into()
        }
        Body::Sequence(sections) => {
            let items = sections.into_inner().into_iter().flat_map(|section| section.0).collect();
            as_json(&Value::List(items), headers)
        }
        Body::Empty | Body::Value(AmqpValue(Value::Null)) => Bytes::new(),
        Body::Value(AmqpValue(Value::Binary(bytes))) => bytes.into_vec().into(),
        // Who says what the text is has written it.
        Body::Value(AmqpValue(Value::String(text))) if headers.contains_key(CONTENT_TYPE) => {
            text.into()
        }
        Body::Value(AmqpValue(value)) => as_json(&value, headers),
    }
}

fn as_json(value: &Value, headers: &mut HeaderMap) -> Bytes {
    headers.entry(CONTENT_TYPE).or_insert(JSON);
    json::of(value).to_string().into()
}
