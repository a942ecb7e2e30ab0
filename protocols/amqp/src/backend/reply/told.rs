//! The lists that a node's attributes have of an operation: its log, and what it works on, with the field
//! names of opgate's own entities (`management/attributes.rs`).

use opgate_bus::Line;
use opgate_core::{Resource, Timestamp, limits};
use serde_json::Value as Json;

use crate::wire::json;

/// The lines of a log: texts, or maps with a `message`.
pub(super) fn lines(list: Option<&Json>) -> Vec<Line> {
    items(list).filter_map(line).collect()
}

/// What is worked on, as far as a record can hold it.
pub(super) fn resources(list: Option<&Json>) -> Vec<Resource> {
    items(list).filter_map(resource).take(limits::RESOURCES).collect()
}

fn items(list: Option<&Json>) -> impl Iterator<Item = &Json> {
    list.and_then(Json::as_array).into_iter().flatten()
}

fn line(item: &Json) -> Option<Line> {
    let text = |field: &str| item.get(field).and_then(Json::as_str).map(limits::clip);
    let message = item.as_str().map(limits::clip).or_else(|| text("message")).unwrap_or_default();
    let line = Line {
        at: item.get("time").and_then(time),
        error: item.get("error").and_then(Json::as_bool).unwrap_or_default(),
        code: text("code").unwrap_or_default().to_owned(),
        message: message.to_owned(),
    };
    (!line.message.is_empty() || !line.code.is_empty()).then_some(line)
}

/// A time of AMQP's own, or as a text.
fn time(value: &Json) -> Option<Timestamp> {
    match value.as_str() {
        Some(text) => Timestamp::from_rfc3339(text),
        None => json::milliseconds(value)?.checked_mul(1_000_000).map(Timestamp::from_nanos),
    }
}

/// What is worth nothing when cut is left out.
fn resource(item: &Json) -> Option<Resource> {
    let part = |field: &str| {
        let text = item.get(field).and_then(Json::as_str).filter(|text| !text.is_empty())?;
        (text.len() <= limits::TEXT_BYTES).then(|| text.into())
    };
    Some(Resource {
        entity_type: part("entityType")?,
        action: part("action").unwrap_or_default(),
        becomes: Box::default(),
        identifier: part("identifier")?,
        uri: part("uri").unwrap_or_default(),
    })
}
