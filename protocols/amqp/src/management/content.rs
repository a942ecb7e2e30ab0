//! Content between messages and operations: what a client sends as a value becomes JSON, what it sends
//! as data stays as it is; what JSON results in is a value again.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpSequence, AmqpValue, Batch, Body, Data};
use opgate_core::{Error, Loss, Losses, Payload};
use opgate_rpc::exact;
use serde_amqp::Value;

use super::shown::Shown;
use crate::node::Content;
use crate::wire::came::Values;
use crate::wire::encoded::Encoded;
use crate::wire::{content, data, json, text};

const BYTES: &str = "application/octet-stream";

/// Content as an attribute: JSON as the value that it is, text as text, anything else as it is.
pub(super) fn shown(payload: &Payload) -> Shown<'_> {
    if payload.is_nothing() {
        return Shown::Null;
    }
    // What was a value of AMQP's is the same again.
    if let Some(value) = content::exact_value(payload.encoded.as_ref()) {
        return Shown::Encoded(value);
    }
    if payload.is_json()
        && payload.encoding.is_none()
        && json::is_small(&payload.bytes)
        && let Ok(json) = serde_json::from_slice(&payload.bytes)
    {
        return Shown::Made(json::value(&json));
    }
    let text = payload.essence().starts_with("text/") && payload.encoding.is_none();
    match std::str::from_utf8(&payload.bytes) {
        Ok(content) if text => Shown::text(content),
        Ok(_) | Err(_) => Shown::Bytes(&payload.bytes),
    }
}

/// Content as a body, its labels where these are to be said, and what is not said of it.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) body: Body<Content>,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) lost: Losses,
    /// What is said after all.
    pub(super) kept: Losses,
}

/// Content as a body: data in as many sections as it came in, or a value.
pub(super) fn body(payload: Option<&Payload>) -> Carried {
    let plain = |value: Value| Carried {
        body: Body::Value(AmqpValue(Content::Value(value))),
        content_type: None,
        content_encoding: None,
        lost: Losses::NONE,
        kept: Losses::NONE,
    };
    let Some(payload) = payload else { return plain(super::answer::nothing()) };
    if let Some(body) = content::exact(payload) {
        let (body, kept) = (carried(body), Loss::ResultValues.into());
        return Carried { body, kept, ..plain(Value::Null) };
    }
    let shown = shown(payload);
    // What came as data goes as data.
    if payload.sections.is_empty() && !matches!(shown, Shown::Bytes(_)) {
        // A text does not say of which type it is, and a value that says nothing is none.
        let is_text = matches!(shown, Shown::Text(_));
        let is_typed = !payload.is_nothing() && *payload.media_type != *Payload::JSON;
        let value = Value::from(shown);
        let nothing = value == Value::Null || value == super::answer::nothing();
        let lost = lost(payload)
            .with(Loss::Result, nothing && !payload.is_nothing())
            .with(Loss::ResultType, is_typed)
            .with(Loss::ResultText, is_text);
        return Carried { lost, ..plain(value) };
    }
    Carried {
        body: Body::Data(data::sections(payload).into()),
        content_type: Some(payload.media_type.to_string()).filter(|kind| !kind.is_empty()),
        content_encoding: payload.encoding.as_deref().map(str::to_owned),
        lost: Losses::NONE,
        kept: Losses::NONE,
    }
}

fn carried(body: Body<Encoded>) -> Body<Content> {
    let written = |value: Encoded| Content::Written(value.into_bytes());
    match body {
        Body::Data(sections) => Body::Data(sections),
        Body::Sequence(sections) => {
            let section = |section: AmqpSequence<Encoded>| {
                AmqpSequence(section.0.into_iter().map(written).collect())
            };
            let sections: Vec<AmqpSequence<Content>> = sections.into_iter().map(section).collect();
            Body::Sequence(sections.into())
        }
        Body::Value(AmqpValue(value)) => Body::Value(AmqpValue(written(value))),
        Body::Empty => Body::Empty,
    }
}

/// What a value does not say of the content that it was made of, its media type apart.
pub(super) fn lost(payload: &Payload) -> Losses {
    let sections = Losses::NONE.with(Loss::ResultSections, !payload.sections.is_empty());
    if content::is_exact(payload) {
        return sections;
    }
    let is_json = payload.is_json() && payload.encoding.is_none() && json::is_small(&payload.bytes);
    if !is_json {
        return sections;
    }
    match serde_json::from_slice(&payload.bytes) {
        Ok(value) => sections | exact::of_values(&payload.bytes, &value),
        Err(_) => sections,
    }
}

/// Data as it came: its type and its sections are kept.
pub(super) fn data(batch: &Batch<Data>, kind: Option<&str>, encoding: Option<&str>) -> Payload {
    content::data(batch, kind.unwrap_or(BYTES), encoding)
}

/// An attribute as content: of the media type that is named, else JSON, or bytes if it is binary. Null is nothing.
pub(super) fn payload(
    field: &str,
    value: &Value,
    of: Option<&Values>,
    kind: Option<&str>,
) -> Result<Payload, Error> {
    let bytes = if let Value::Binary(bytes) = value { Some(bytes.as_slice()) } else { None };
    match (kind, bytes, text::of(value)) {
        (Some(kind), Some(bytes), _) => Ok(Payload::new(kind, Bytes::copy_from_slice(bytes))),
        (Some(kind), None, Some(text)) => Ok(Payload::new(kind, text.to_owned())),
        (Some(_), None, None) => {
            let problem = "must be a text or binary where its media type is given beside it";
            Err(Error::invalid(field.to_owned(), problem))
        }
        (None, Some(bytes), _) => Ok(Payload::new(BYTES, Bytes::copy_from_slice(bytes))),
        (None, None, _) if *value == Value::Null => Ok(Payload::new("", "")),
        (None, None, _) => Ok(content::part(value, of, &format!("/{field}"))),
    }
}

/// A time: milliseconds, or a whole number and a unit, such as `30s`.
pub(super) fn duration(field: &'static str, value: &Value) -> Result<Duration, Error> {
    let from_text = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let factor = match unit {
            "" | "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    };
    let millis = text::count(value).or_else(|| from_text(text::of(value)?));
    millis.map(Duration::from_millis).ok_or_else(|| {
        let problem = "must be a time: milliseconds, or a text such as 250ms, 30s, 5m or 1h";
        Error::invalid(field, problem)
    })
}

#[cfg(test)]
mod tests {
    use serde_amqp::primitives::Binary;

    use super::*;

    fn value(payload: &Payload) -> Value {
        shown(payload).into()
    }

    #[test]
    fn content_is_what_it_is() {
        assert_eq!(value(&Payload::json("[1]")), Value::List(vec![Value::Long(1)]));
        assert_eq!(value(&Payload::new("text/plain", "hi")), Value::from("hi"));
        let bytes = Value::Binary(Binary::from("hi"));
        assert_eq!(value(&Payload::new("image/png", "hi")), bytes);
        assert_eq!(value(&Payload::json("no JSON")), Value::Binary(Binary::from("no JSON")));
        assert_eq!(value(&Payload::new("", "")), Value::Null);
        let many = format!("[{}0]", "0,".repeat(json::ELEMENTS));
        assert_eq!(value(&Payload::json(many.clone())), Value::Binary(Binary::from(many)));
        let back = |value: &Value, kind| payload("input", value, None, kind).unwrap();
        assert_eq!(back(&Value::List(vec![Value::Long(1)]), None), Payload::json("[1]"));
        assert_eq!(back(&bytes, None), Payload::new("application/octet-stream", "hi"));
        assert_eq!(back(&Value::from("<a/>"), Some("text/xml")), Payload::new("text/xml", "<a/>"));
        assert!(payload("input", &Value::Int(1), None, Some("text/xml")).is_err());
    }

    #[test]
    fn a_time_is_milliseconds_or_says_its_unit() {
        let read = |value: Value| duration("timeout", &value).map(|time| time.as_millis()).ok();
        assert_eq!(read(Value::Uint(250)), Some(250));
        assert_eq!(read(Value::from("250")), Some(250));
        assert_eq!(read(Value::from("30s")), Some(30_000));
        for odd in [Value::Int(-1), Value::from("s"), Value::from("1.5s"), Value::Bool(true)] {
            assert_eq!(read(odd), None);
        }
    }
}
