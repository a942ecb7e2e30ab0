//! How much memory messages take.

use fe2o3_amqp_types::messaging::{Body, Message};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

use crate::node::Content;
use crate::wire::encoded::Encoded;

/// What a message weighs with nothing in it.
const EMPTY: usize = 1024;

/// About how much memory a message takes: a value of one byte takes many.
pub(super) fn of_message<T>(message: &Message<Body<T>>, of: impl Fn(&T) -> usize) -> usize {
    let body = match &message.body {
        Body::Data(sections) => sections.iter().map(|section| section.0.len()).sum(),
        Body::Sequence(sections) => sections.iter().flat_map(|section| &section.0).map(&of).sum(),
        Body::Value(value) => of(&value.0),
        Body::Empty => 0,
    };
    let delivery = message.delivery_annotations.iter().map(|section| &section.0);
    let others = message.message_annotations.iter().map(|section| &section.0);
    let annotations = delivery.chain(others).chain(message.footer.iter().map(|section| &section.0));
    let annotations = annotations.flat_map(|section| section.iter());
    let annotations = annotations.map(|(_, value)| size_of::<Value>() + of_value(value));
    let properties = message.application_properties.iter().flat_map(|section| section.0.iter());
    let properties = properties.map(|(name, value)| name.len() + of_simple(value));
    EMPTY + body + annotations.sum::<usize>() + properties.sum::<usize>()
}

/// What a reply has for a value.
pub(super) fn of_content(content: &Content) -> usize {
    match content {
        Content::Value(value) => of_value(value),
        Content::Written(bytes) => bytes.len(),
        Content::Operation(attributes) => attributes.bytes(),
    }
}

/// A value as it came, which is not read yet.
pub(super) fn of_encoded(value: &Encoded) -> usize {
    size_of::<Encoded>() + value.bytes().len()
}

/// What encodings nest is bounded by the fence.
pub(super) fn of_value(value: &Value) -> usize {
    let inside = if let Value::List(items) = value {
        items.iter().map(of_value).sum()
    } else if let Value::Array(items) = value {
        items.0.iter().map(of_value).sum()
    } else if let Value::Map(pairs) = value {
        // Each key is in an index as well.
        pairs.iter().map(|(key, value)| 2 * of_value(key) + of_value(value)).sum()
    } else if let Value::Described(described) = value {
        size_of::<Value>() + of_value(&described.value)
    } else if let Value::String(text) = value {
        text.len()
    } else if let Value::Symbol(text) = value {
        text.as_str().len()
    } else if let Value::Binary(bytes) = value {
        bytes.len()
    } else {
        0
    };
    size_of::<Value>() + inside
}

fn of_simple(value: &SimpleValue) -> usize {
    let inside = if let SimpleValue::String(text) = value {
        text.len()
    } else if let SimpleValue::Symbol(text) = value {
        text.as_str().len()
    } else if let SimpleValue::Binary(bytes) = value {
        bytes.len()
    } else {
        0
    };
    2 * size_of::<SimpleValue>() + inside
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::messaging::AmqpValue;

    use super::*;

    #[test]
    fn a_message_weighs_what_it_takes() {
        let of = |value| {
            of_message(&Message::builder().body(Body::Value(AmqpValue(value))).build(), of_value)
        };
        assert!(of(Value::Null) < 2 * EMPTY);
        assert!(of(Value::from("x".repeat(1 << 20))) > 1 << 20);
        // A byte each on the wire.
        assert!(of(Value::List(vec![Value::Null; 60_000])) > 60_000 * size_of::<Value>());
        let nested = Value::List(vec![Value::List(vec![Value::from("x".repeat(1 << 20))])]);
        assert!(of(nested) > 1 << 20);
    }
}
