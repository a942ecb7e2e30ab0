//! Bodies of messages as content, and content as the body that it was.
//!
//! Data is the bytes that it is. Values become JSON, which every side reads. What JSON does not say of them (widths,
//! symbols, sections) goes along as AMQP encodes it, in [`Payload::encoded`]: for another AMQP peer it is the same
//! body again.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Batch, Body, Data, Message};
use opgate_core::{Loss, Losses, Payload, limits};
use serde::de::IgnoredAny;
use serde_amqp::Value;
use serde_json::Value as Json;

use super::came::Values;
use super::encoded::Encoded;
use super::json;

/// What a section that is a value begins with: section 3.2.8 of the specification.
const VALUE: [u8; 3] = [0x00, 0x53, 0x77];

/// Data as it came: where it is in several sections, these are kept. `media_type`: what it is said to be.
pub fn data(sections: &Batch<Data>, media_type: &str, encoding: Option<&str>) -> Payload {
    let sections: Vec<&[u8]> = sections.iter().map(|data| data.0.as_slice()).collect();
    let mut payload = Payload::new(media_type, Bytes::from(sections.concat()));
    if (2..=limits::SECTIONS).contains(&sections.len()) {
        let length = |section: &&[u8]| u32::try_from(section.len()).unwrap_or(u32::MAX);
        payload.sections = sections.iter().map(length).collect();
    }
    payload.encoding = encoding.filter(|encoding| !encoding.is_empty()).map(Into::into);
    payload
}

/// Data that would else go on as the value that its text is: marked as the section that it came in.
pub fn as_data(mut payload: Payload) -> Payload {
    let is_value = payload.encoding.is_none()
        && (payload.is_json() && serde_json::from_slice::<IgnoredAny>(&payload.bytes).is_ok()
            || payload.essence().starts_with("text/") && str::from_utf8(&payload.bytes).is_ok());
    if is_value && payload.sections.is_empty() {
        payload.sections = u32::try_from(payload.bytes.len()).into_iter().collect();
    }
    payload
}

/// A value as JSON. `came`: its bytes, where it came over AMQP.
pub fn value(value: &Value, came: Option<&Encoded>) -> Payload {
    let payload = Payload::json(json::of(value).to_string());
    let made = Encoded::from(value);
    let as_made = came.is_none_or(|came| *came == made);
    if as_made && json::is_kept(value) {
        return payload;
    }
    let encoded = sections(Body::Value(AmqpValue(came.cloned().unwrap_or(made))), &payload);
    Payload { encoded, ..payload }
}

/// The same of a value that is at this pointer of one that came.
pub fn part(value: &Value, of: Option<&Values>, pointer: &str) -> Payload {
    let whole = if let Some(Body::Value(AmqpValue(whole))) = of { Some(whole) } else { None };
    let came = whole.and_then(|whole| whole.at(pointer));
    // Where a map has a name twice, each of the two readers may have taken another.
    self::value(value, came.filter(|came| came.value().as_ref() == Some(value)).as_ref())
}

/// The values of a body as JSON; none of data, or of nothing. `came`: their bytes, where it came over AMQP.
pub fn values(body: &Body<Value>, came: Option<&Values>) -> Option<Payload> {
    match (body, came) {
        (Body::Value(AmqpValue(value)), Some(Body::Value(AmqpValue(came)))) => {
            Some(self::value(value, Some(came)))
        }
        (Body::Value(AmqpValue(value)), _) => Some(self::value(value, None)),
        (Body::Sequence(lists), Some(Body::Sequence(came))) => Some(sequence(lists, came.clone())),
        (Body::Sequence(lists), _) => {
            let list = |list: &AmqpSequence<Value>| {
                AmqpSequence(list.0.iter().map(Encoded::from).collect())
            };
            let made: Vec<AmqpSequence<Encoded>> = lists.iter().map(list).collect();
            Some(sequence(lists, made.into()))
        }
        (Body::Data(_) | Body::Empty, _) => None,
    }
}

/// Content that was values, also where its bytes say all of them.
pub fn as_values(mut payload: Payload) -> Payload {
    payload.encoded.get_or_insert_default();
    payload
}

/// The items of all sequences as one list.
fn sequence(lists: &Batch<AmqpSequence<Value>>, came: Batch<AmqpSequence<Encoded>>) -> Payload {
    let items: Json = lists.iter().flat_map(|list| list.0.iter()).map(json::of).collect();
    let payload = Payload::json(items.to_string());
    let encoded = sections(Body::Sequence(came), &payload);
    Payload { encoded, ..payload }
}

/// What the content made of a body does not say to those who read it as JSON.
pub fn lost(body: &Body<Value>) -> Losses {
    let kept = match body {
        Body::Empty => true,
        Body::Data(sections) => {
            return Losses::NONE.with(Loss::ResultSections, sections.len() > limits::SECTIONS);
        }
        Body::Value(AmqpValue(value)) => json::is_kept(value),
        // It comes back as one list.
        Body::Sequence(_) => false,
    };
    Losses::NONE.with(Loss::ResultValues, !kept)
}

/// The values that content was made of, where it was made of values.
pub fn again(payload: &Payload) -> Option<Values> {
    let encoded = payload.encoded.as_ref()?;
    if encoded.is_empty() {
        let said = serde_json::from_slice(&payload.bytes).ok()?;
        return Some(Body::Value(AmqpValue(Encoded::from(&json::value(&said)))));
    }
    match exact_value(Some(encoded)) {
        Some(value) => Some(Body::Value(AmqpValue(value))),
        None => serde_amqp::from_slice::<Deserializable<Message<Values>>>(encoded)
            .ok()
            .map(|message| message.0.body),
    }
}

/// The same, where JSON does not say all of them.
pub fn exact(payload: &Payload) -> Option<Values> {
    if is_exact(payload) { again(payload) } else { None }
}

/// Whether content was made of values of which JSON does not say all.
pub fn is_exact(payload: &Payload) -> bool {
    payload.encoded.as_ref().is_some_and(|encoded| !encoded.is_empty())
}

/// The value of an encoded body that is one.
pub fn exact_value(encoded: Option<&Bytes>) -> Option<Encoded> {
    let encoded = encoded.filter(|encoded| encoded.starts_with(&VALUE))?;
    Some(Encoded::of_bytes(encoded.slice(VALUE.len()..)))
}

/// The sections of a body, as far as there is room for them beside the content.
fn sections(body: Values, beside: &Payload) -> Option<Bytes> {
    let message = Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: None,
        application_properties: None,
        body,
        footer: None,
    };
    let bytes = serde_amqp::to_vec(&Serializable(message)).ok()?;
    let fits = beside.bytes.len() + bytes.len() <= limits::PAYLOAD_BYTES;
    fits.then(|| bytes.into())
}

#[cfg(test)]
mod tests;
