//! The content of what a worker sends, as a payload.

use fe2o3_amqp_types::messaging::{AmqpValue, Body, Message};
use opgate_core::{Losses, Payload};
use serde_amqp::Value;

use crate::wire::came::Values;
use crate::wire::content;

/// The media type of what nobody named.
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// What of a message's body its result does not say.
pub(super) fn lost(body: &Body<Value>) -> Losses {
    // A null is no result, a text is one of its own type.
    if let Body::Value(AmqpValue(Value::Null | Value::String(_) | Value::Binary(_))) = body {
        return Losses::NONE;
    }
    content::lost(body)
}

/// The result that a message holds; none for one without content. Data is kept as it is, with its content
/// type and encoding and the lengths of its sections; a text is a text; any other value becomes JSON.
pub(super) fn payload(message: Message<Body<Value>>, values: Option<&Values>) -> Option<Payload> {
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
            let payload = content::data(&sections, &given(BYTES), None);
            if payload.bytes.is_empty() && media_type.is_none() {
                return None;
            }
            payload
        }
        Body::Value(AmqpValue(Value::Binary(bytes))) => {
            Payload::new(given(BYTES), bytes.into_vec())
        }
        Body::Value(AmqpValue(Value::String(text))) => Payload::new(given(TEXT), text),
        Body::Value(_) | Body::Sequence(_) => content::values(&message.body, values)?,
    };
    payload.encoding = encoding
        .filter(|encoding| !encoding.as_str().is_empty())
        .map(|encoding| encoding.as_str().into());
    Some(payload)
}
