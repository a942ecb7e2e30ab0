//! A response of HTTP's as a message.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Batch, Body, Data};
use fe2o3_amqp_types::primitives::SimpleValue;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::response::Parts;
use serde_amqp::Value;
use serde_amqp::primitives::{Binary, OrderedMap};
use serde_json::Value as Json;

use crate::node::{Content, Reply};
use crate::wire::json;

/// The headers that are application properties,
const HEADERS: [&str; 7] =
    ["allow", "cache-control", "etag", "location", "retry-after", "link", "www-authenticate"];
/// and how others begin.
const PREFIXES: [&str; 3] = ["nexus-", "opc-", "opgate-"];
/// Says that a message is a response, and of which version (of HTTP over AMQP, too).
const VERSION: &str = "http:response";
/// All that an error says, as JSON.
const ERROR: &str = "opgate:error";
/// The longest such; longer ones are left out.
const ERROR_BYTES: usize = 16 * 1024;

/// Whether the response goes on for as long as its reader likes.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    is(headers, |media_type| media_type == "text/event-stream")
}

/// A refusal of this node's own.
pub(super) fn refused(status: u16, problem: &str) -> Reply {
    replied(status, properties(&HeaderMap::new()), text(problem))
}

/// The message of a response.
pub(super) fn of(head: &Parts, body: Bytes) -> Reply {
    let status = head.status.as_u16();
    let mut properties = properties(&head.headers);
    if body.is_empty() {
        return replied(status, properties, value(Value::Null));
    }
    let is_json = is(&head.headers, |media_type| {
        media_type == "application/json" || media_type.ends_with("+json")
    });
    let parsed = if is_json && json::is_small(&body) {
        serde_json::from_slice::<Json>(&body).ok()
    } else {
        None
    };
    match parsed {
        Some(error) if status >= 400 => {
            let all = error.to_string();
            let said = message(&error).unwrap_or(&all).to_owned();
            if all.len() <= ERROR_BYTES {
                properties.insert(ERROR.to_owned(), SimpleValue::String(all));
            }
            replied(status, properties, text(&said))
        }
        Some(parsed) => replied(status, properties, value(json::value(&parsed))),
        None => {
            let is_text =
                status >= 400 || is(&head.headers, |media_type| media_type.starts_with("text/"));
            match str::from_utf8(&body) {
                Ok(said) if is_text => replied(status, properties, text(said)),
                Ok(_) | Err(_) => {
                    let content_type =
                        head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                    let data = Data(Binary::from(Vec::from(body)));
                    let mut reply = replied(status, properties, Body::Data(Batch::new(vec![data])));
                    reply.content_type = content_type.map(str::to_owned);
                    reply
                }
            }
        }
    }
}

fn replied(status: u16, properties: OrderedMap<String, SimpleValue>, body: Body<Content>) -> Reply {
    Reply {
        subject: Some(status.to_string()),
        content_type: None,
        content_encoding: None,
        application_properties: ApplicationProperties(properties),
        body,
    }
}

fn text(text: &str) -> Body<Content> {
    value(Value::String(text.to_owned()))
}

const fn value(value: Value) -> Body<Content> {
    Body::Value(AmqpValue(Content::Value(value)))
}

fn properties(headers: &HeaderMap) -> OrderedMap<String, SimpleValue> {
    let mut properties = OrderedMap::new();
    properties.insert(VERSION.to_owned(), SimpleValue::String("1.1".to_owned()));
    for (name, value) in headers {
        let name = name.as_str();
        let is_one =
            HEADERS.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if is_one && let Ok(value) = value.to_str() {
            properties.insert(name.to_owned(), SimpleValue::String(value.to_owned()));
        }
    }
    properties
}

/// Whether the media type is as wanted; it is given without parameters, in lower case.
fn is(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| wanted(&media_type.trim().to_ascii_lowercase()))
}

/// What an error of one of the faces tells a person: Google's, in either form, OCI's, Nexus'.
fn message(error: &Json) -> Option<&str> {
    let inner = error.get("error").unwrap_or(error);
    let inner = inner.as_array().and_then(|errors| errors.first()).unwrap_or(inner);
    inner.as_str().or_else(|| inner.get("message")?.as_str())
}
