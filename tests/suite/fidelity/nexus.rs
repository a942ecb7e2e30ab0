//! Nexus: headers and a body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opgate_core::{Losses, Operation, Payload};
use opgate_nexus::wire::{content, failure, names};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::sample::{self, media_type, text, value};
use super::{End, Peer, Wire, ended};

pub(super) struct Nexus;

/// Headers and body, as one text.
fn wire(headers: &HeaderMap, body: &[u8]) -> Wire {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    [lines.concat().as_bytes(), b"\n", body].concat()
}

fn parts(wire: &Wire) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut rest = &wire[..];
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        if line.is_empty() {
            return (headers, Bytes::copy_from_slice(after));
        }
        let (name, value) = std::str::from_utf8(line).unwrap().split_once(": ").unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        rest = after;
    }
}

fn state(word: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static(names::OPERATION_STATE),
        HeaderValue::from_static(word),
    )])
}

/// What operations fail with: a failure in a form that ends an operation, around another.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let tags =
        ["nexus.OperationError", "nexus.HandlerError", "temporal.api.failure.v1.Failure", "x"];
    let tag = proptest::option::of(proptest::sample::select(tags.to_vec()));
    let outer = proptest::option::of(proptest::sample::select(vec![tags[0], tags[2], tags[3]]));
    let cause = proptest::option::of((text(), tag, value()));
    (text(), outer, value(), any::<bool>(), cause).prop_map(
        |(message, outer, details, canceled, cause)| {
            let mut body = level(&message, outer, &details);
            if outer == Some("nexus.OperationError") {
                body["details"] = json!({ "state": if canceled { "canceled" } else { "failed" } });
            }
            if let Some((message, tag, details)) = cause {
                body["cause"] = level(&message, tag, &details);
            }
            body.to_string().into_bytes()
        },
    )
}

fn level(message: &str, tag: Option<&str>, details: &Value) -> Value {
    let mut body = json!({ "message": message, "details": details });
    if let Some(tag) = tag {
        body["metadata"] = json!({ "type": tag });
    }
    body
}

impl Peer for Nexus {
    fn name(&self) -> &'static str {
        "nexus"
    }

    fn results(&self) -> BoxedStrategy<Wire> {
        let encoding = proptest::option::weighted(0.1, "[a-z]{2,6}");
        (proptest::option::weighted(0.9, media_type()), encoding, sample::content())
            .prop_map(|(media_type, encoding, body)| {
                let mut headers = HeaderMap::new();
                for (name, label) in [("content-type", media_type), ("content-encoding", encoding)]
                {
                    if let Some(label) = label {
                        headers.insert(name, label.parse().unwrap());
                    }
                }
                wire(&headers, &body)
            })
            .boxed()
    }

    fn failures(&self) -> BoxedStrategy<Wire> {
        let state = prop_oneof![3 => Just(names::FAILED), 1 => Just(names::CANCELED)];
        (state, body())
            .prop_filter_map("the tag wins over the header", |(word, body)| {
                let headers = self::state(word);
                let read = failure::read(&headers, &Bytes::copy_from_slice(&body));
                (names::state(read.state()) == word).then(|| wire(&headers, &body))
            })
            .boxed()
    }

    fn read(&self, wire: &Wire) -> (Option<Payload>, Losses) {
        let (headers, body) = parts(wire);
        (content::read_result(&headers, body).unwrap(), Losses::NONE)
    }

    fn write(&self, payload: Option<&Payload>) -> Option<(Wire, Losses)> {
        let mut headers = HeaderMap::new();
        let body = content::write(payload, &mut headers);
        let lost = payload.map(|payload| content::lost(payload, &headers));
        Some((wire(&headers, &body), lost.unwrap_or_default()))
    }

    fn read_end(&self, wire: &Wire) -> End {
        let (headers, body) = parts(wire);
        (ended(failure::read(&headers, &body)), Losses::NONE)
    }

    fn write_end(&self, operation: &Operation) -> (Wire, Losses) {
        let (body, lost) = failure::of(operation).unwrap();
        (wire(&state(names::state(operation.state)), &body), lost)
    }
}
