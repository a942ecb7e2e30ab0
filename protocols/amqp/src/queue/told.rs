//! The content of what a worker sends, as a payload.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message};
use opgate_core::{Loss, Losses, Payload, limits};
use serde_amqp::Value;

use crate::wire::json;

/// The media type of what nobody named.
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// What of a message's body its result does not say.
pub(super) fn lost(body: &Body<Value>) -> Losses {
    let values = match body {
        // A null is no result, a text is one of its own type.
        Body::Empty | Body::Value(AmqpValue(Value::Null | Value::String(_) | Value::Binary(_))) => {
            true
        }
        Body::Data(sections) => {
            return Losses::NONE.with(Loss::ResultSections, sections.len() > limits::SECTIONS);
        }
        Body::Value(AmqpValue(value)) => json::is_kept(value),
        Body::Sequence(_) => false,
    };
    Losses::NONE.with(Loss::ResultValues, !values)
}

/// The result that a message holds; none for one without content. Data is kept as it is, with its content
/// type and encoding and the lengths of its sections; a text is a text; any other value becomes JSON.
pub(super) fn payload(message: Message<Body<Value>>) -> Option<Payload> {
    let properties = message.properties;
    let labels =
        properties.map(|properties| (properties.content_type, properties.content_encoding));
    let (media_type, encoding) = labels.unwrap_or_default();
    let given = |default: &str| match &media_type {
        Some(given) if !given.as_str().is_empty() => given.as_str().to_owned(),
        Some(_) | None => default.to_owned(),
    };
    let mut payload = match message.body {
        Body::Empty | Body::Value(AmqpValue(Value::Null)) => return None,
        Body::Data(sections) => {
            let mut sections: Vec<Vec<u8>> =
                sections.into_iter().map(|section| section.0.into_vec()).collect();
            let length = |section: &Vec<u8>| u32::try_from(section.len()).unwrap_or(u32::MAX);
            let lengths =
                if sections.len() > 1 { sections.iter().map(length).collect() } else { Vec::new() };
            let bytes = match sections.as_mut_slice() {
                [one] => Bytes::from(std::mem::take(one)),
                all => Bytes::from(all.concat()),
            };
            if bytes.is_empty() && media_type.is_none() {
                return None;
            }
            Payload { sections: lengths, ..Payload::new(given(BYTES), bytes) }
        }
        Body::Value(AmqpValue(Value::Binary(bytes))) => {
            Payload::new(given(BYTES), bytes.into_vec())
        }
        Body::Value(AmqpValue(Value::String(text))) => Payload::new(given(TEXT), text),
        Body::Value(AmqpValue(value)) => Payload::json(json::of(&value).to_string()),
        Body::Sequence(sections) => {
            let items = sections.into_iter().flat_map(|section| section.0).collect();
            Payload::json(json::of(&Value::List(items)).to_string())
        }
    };
    payload.encoding = encoding
        .filter(|encoding| !encoding.as_str().is_empty())
        .map(|encoding| encoding.as_str().into());
    Some(payload)
}
