//! What an OCI API says of a work request, read leniently: services differ in spelling, in what they
//! leave out and in where they say it, and none of it is worth losing sight of an operation.

pub(super) mod phase;
pub(super) mod refusal;

use opgate_bus::Line;
use opgate_core::{Resource, Timestamp, limits};
use serde_json::Value;

use phase::Phase;

/// A work request, as far as it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WorkRequest {
    /// The status, verbatim.
    pub(super) status: String,
    /// What it means.
    pub(super) phase: Phase,
    /// Whether a time is said at which it ended.
    pub(super) finished: bool,
    /// How far it is, verbatim.
    pub(super) percent: Option<f64>,
    /// What it says for people; the load balancer's, mostly.
    pub(super) message: String,
    /// Its compartment; container engine wants to be told it back.
    pub(super) compartment: Option<String>,
    /// What it works on. At most [`limits::RESOURCES`].
    pub(super) resources: Vec<Resource>,
    /// Whether it works on more than that.
    pub(super) is_more: bool,
    /// The errors and logs inside of it.
    pub(super) lines: Vec<Line>,
}

impl WorkRequest {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong: it is no JSON object, or tells no status.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("it is not JSON: {error}"))?;
        let text = |names: &[&str]| text(&value, names);
        let status = text(&["status", "lifecycleState"])
            .ok_or("it has neither status nor lifecycleState")?;
        let inside = [("errors", true), ("errorDetails", true), ("logs", false)];
        let resources: Vec<Resource> =
            items(value.get("resources")).filter_map(resource).take(limits::RESOURCES).collect();
        let lines = inside.into_iter().flat_map(|(name, error)| lines(value.get(name), error));
        Ok(Self {
            phase: Phase::of(&status),
            status,
            finished: text(&["timeFinished"]).is_some(),
            percent: percent(value.get("percentComplete")),
            message: text(&["message", "statusMessage"]).unwrap_or_default(),
            compartment: text(&["compartmentId"]),
            is_more: resources.len() < items(value.get("resources")).count(),
            resources,
            lines: lines.collect(),
        })
    }
}

/// Reads a page of errors or logs: an array, or an object with one.
///
/// # Errors
/// What is wrong.
pub(super) fn page(body: &[u8], error: bool) -> Result<Vec<Line>, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("it is not JSON: {error}"))?;
    let items = value.get("items").unwrap_or(&value);
    if !items.is_array() {
        return Err("it has no items".to_owned());
    }
    Ok(lines(Some(items), error).collect())
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn lines(value: Option<&Value>, error: bool) -> impl Iterator<Item = Line> {
    items(value).filter_map(move |item| {
        let line = Line {
            at: text(item, &["timestamp", "timeStamp"]).and_then(|text| instant(&text)),
            error,
            code: text(item, &["code", "errorCode"]).unwrap_or_default(),
            message: text(item, &["message"]).unwrap_or_default(),
        };
        (!line.message.is_empty() || !line.code.is_empty()).then_some(line)
    })
}

/// A resource that a record can hold: what is worth nothing when cut is left out.
fn resource(item: &Value) -> Option<Resource> {
    let part = |name: &str| {
        let text = item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())?;
        (text.len() <= limits::TEXT_BYTES).then(|| text.into())
    };
    Some(Resource {
        entity_type: part("entityType")?,
        action: part("actionType").unwrap_or_default(),
        becomes: Box::default(),
        identifier: part("identifier")?,
        uri: part("entityUri").unwrap_or_default(),
    })
}

/// The first of these fields that holds a text, as far as a record keeps it.
fn text(value: &Value, names: &[&str]) -> Option<String> {
    let mut found = names.iter().filter_map(|name| value.get(name)?.as_str());
    found.find(|text| !text.is_empty()).map(|text| limits::clip(text).to_owned())
}

fn percent(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|percent: &f64| percent.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A time; without a zone it is one of UTC.
fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::from_rfc3339(text).or_else(|| Timestamp::from_rfc3339(&format!("{text}Z")))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
