//! What the metadata of an operation says of its progress. There is no common type of it; where the type
//! is known here, the fields that most of Google's share are looked for (longrunning.md, 1.5), and those
//! of opgate's own object.

use opgate_bus::{Line, Lines, changed_resources};
use opgate_core::{Operation, Progress, Report, Resource, Timestamp, limits};
use opgate_rpc::transcode::Json;
use serde_json::Value;

use crate::map;
use crate::proto::{Any, STRUCT};
use crate::types::Types;

/// Where a percentage is, as JSON pointers; the first that is there counts.
const PERCENT: [&str; 5] = [
    "/progress/percent",
    "/progressPercent",
    "/progressPercentage",
    "/percentComplete",
    "/progress",
];
/// Where a text for people is.
const MESSAGE: [&str; 4] =
    ["/progress/message", "/statusMessage", "/statusDetail", "/progressMessage"];
/// Where the state is.
const STATE: [&str; 2] = ["/nativeState", "/state"];
/// Where units are counted.
const DONE: &str = "/progress/done";
const TOTAL: &str = "/progress/total";
/// Where the log is, and what is worked on: opgate's own object has them (`map/report.rs`).
const LOG: &str = "/log";
const RESOURCES: &str = "/resources";
/// Largest metadata that is looked into, in bytes.
const BYTES: usize = 256 * 1024;

/// What metadata says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    percent: Option<f64>,
    done: Option<u64>,
    total: Option<u64>,
    message: Option<String>,
    state: Option<String>,
    lines: Vec<Line>,
    resources: Vec<Resource>,
}

/// Reads metadata. What is of no known type says nothing.
pub(super) fn read(types: &Types, metadata: Option<&Any>) -> Said {
    let Some(said) = metadata.and_then(|metadata| object(types, metadata)) else {
        return Said::default();
    };
    let first = |pointers: &[&str]| {
        let mut found = pointers.iter().filter_map(|pointer| said.pointer(pointer)?.as_str());
        found.find(|text| !text.is_empty()).map(|text| limits::clip(text).to_owned())
    };
    let mut percents = PERCENT.iter().filter_map(|pointer| said.pointer(pointer)?.as_f64());
    Said {
        percent: percents.next(),
        done: said.pointer(DONE).and_then(Value::as_u64),
        total: said.pointer(TOTAL).and_then(Value::as_u64),
        message: first(&MESSAGE),
        state: first(&STATE),
        lines: items(&said, LOG).filter_map(line).collect(),
        resources: items(&said, RESOURCES).filter_map(resource).take(limits::RESOURCES).collect(),
    }
}

fn items<'a>(said: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    said.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The text of a field, as far as a record keeps it; empty where there is none.
fn text(item: &Value, field: &str) -> String {
    let text = item.get(field).and_then(Value::as_str).unwrap_or_default();
    limits::clip(text).to_owned()
}

fn line(item: &Value) -> Option<Line> {
    let line = Line {
        at: Timestamp::from_rfc3339(&text(item, "time")),
        error: item.get("error").and_then(Value::as_bool).unwrap_or_default(),
        code: text(item, "code"),
        message: text(item, "message"),
    };
    (!line.message.is_empty() || !line.code.is_empty()).then_some(line)
}

/// A resource that a record can hold: what is worth nothing when cut is left out.
fn resource(item: &Value) -> Option<Resource> {
    let part = |field: &str| {
        let text = item.get(field).and_then(Value::as_str).unwrap_or_default();
        (text.len() <= limits::TEXT_BYTES).then(|| text.into())
    };
    let (entity_type, identifier): (Box<str>, Box<str>) = (part("type")?, part("identifier")?);
    let named = !entity_type.is_empty() && !identifier.is_empty();
    named.then_some(Resource {
        entity_type,
        action: part("action").unwrap_or_default(),
        becomes: Box::default(),
        identifier,
        uri: part("uri").unwrap_or_default(),
    })
}

/// Metadata as JSON.
fn object(types: &Types, metadata: &Any) -> Option<Value> {
    if metadata.value.len() > BYTES {
        return None;
    }
    if metadata.is(STRUCT) {
        return map::object(&metadata.value).ok();
    }
    let kind = types.message(metadata.type_url.rsplit('/').next()?)?;
    let text = Json::default().encoded(&kind, metadata.value.clone()).ok()?;
    serde_json::from_slice(&text).ok()
}

impl Said {
    /// What it changes of an operation that is in this state unless it says another; nothing where it
    /// changes nothing. What is not said stays as it was. `lines`: those that were told; `at`: the present.
    pub(super) fn report(
        self,
        now: &Operation,
        state: &str,
        lines: &mut Lines,
        at: Timestamp,
    ) -> Option<Report> {
        let before = now.progress.as_deref().cloned().unwrap_or_default();
        let progress = Progress {
            percent: self.percent.or(before.percent),
            done: self.done.or(before.done),
            total: self.total.or(before.total),
            message: self.message.map_or_else(|| before.message.clone(), Into::into),
        };
        // That it is done is more than what its metadata says last.
        let state = self.state.filter(|_| state != super::DONE).unwrap_or_else(|| state.to_owned());
        let report = Report {
            progress: (progress != before).then_some(progress),
            native_state: (*now.native_state != *state).then(|| state.into()),
            log: lines.fresh(&self.lines, true, at),
            resources: changed_resources(now, &self.resources),
            ..Report::default()
        };
        (report != Report::default()).then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::DynamicMessage;
    use serde_json::json;

    use super::*;
    use crate::map::from_json;
    use crate::sample::{WORKFLOW_METADATA, at, operation, types};

    fn of(object: &Value) -> Said {
        read(types(), Some(&Any::new(STRUCT, from_json(object.to_string().as_bytes()).unwrap())))
    }

    #[test]
    fn the_fields_that_most_types_share_are_read_and_opgates_own() {
        let own = json!({
            "state": "RUNNING", "nativeState": "BUILDING",
            "progress": {"percent": 40.5, "done": 2, "total": 5, "message": "half"},
        });
        let said = of(&own);
        assert_eq!((said.percent, said.done, said.total), (Some(40.5), Some(2), Some(5)));
        assert_eq!(
            (said.message.as_deref(), said.state.as_deref()),
            (Some("half"), Some("BUILDING"))
        );
        for (object, percent, message) in [
            (json!({"progressPercent": 1, "statusMessage": "a"}), Some(1.0), Some("a")),
            (json!({"percentComplete": 2, "statusDetail": "b"}), Some(2.0), Some("b")),
            (json!({"progress": 3}), Some(3.0), None),
            (json!({"progress": "x", "statusMessage": ""}), None, None),
            (json!({}), None, None),
        ] {
            let said = of(&object);
            assert_eq!((said.percent, said.message.as_deref()), (percent, message), "{object}");
        }
    }

    #[test]
    fn metadata_of_a_known_type_is_read_by_its_descriptor_and_of_another_not_at_all() {
        let kind = types().message(WORKFLOW_METADATA).unwrap();
        let mut message = DynamicMessage::new(kind);
        message.set_field_by_name("target", prost_reflect::Value::String("t".to_owned()));
        let any = Any::new(WORKFLOW_METADATA, message.encode_to_vec());
        assert_eq!(read(types(), Some(&any)), Said::default());
        for (kind, bytes) in
            [("a.b.C", &b"\xff"[..]), (STRUCT, b"\xff"), (WORKFLOW_METADATA, b"\xff")]
        {
            let any = Any::new(kind, bytes.to_vec());
            assert_eq!(read(types(), Some(&any)), Said::default());
        }
        assert_eq!(read(types(), None), Said::default());
    }

    #[test]
    fn what_is_not_said_stays_and_what_is_not_new_is_no_report() {
        let mut now = operation(None, None);
        let mut lines = Lines::of(&now);
        let mut report = |now: &Operation, said: Value, state: &str| {
            of(&said).report(now, state, &mut lines, at(9))
        };
        let all = json!({
            "progress": {"percent": 10, "message": "m"},
            "log": [{"time": "1970-01-01T00:00:02Z", "message": "a"}, {"error": true, "code": "C"}, {}],
            "resources": [{"type": "t", "action": "CREATED", "identifier": "i"}, {"type": "t"}],
        });
        let first = report(&now, all.clone(), "RUNNING").unwrap();
        assert_eq!(first.native_state.as_deref(), Some("RUNNING"));
        let told: Vec<_> =
            first.log.iter().map(|line| (line.at, &*line.code, &*line.message)).collect();
        assert_eq!(told, [(at(2), "", "a"), (at(9), "C", "")]);
        assert_eq!(first.resources.len(), 1);
        assert_eq!(
            (&*first.resources[0].action, &*first.resources[0].identifier),
            ("CREATED", "i")
        );
        (now.progress, now.resources) = (first.progress.map(Box::new), first.resources);
        now.native_state = "RUNNING".into();
        assert_eq!(report(&now, all, "RUNNING"), None);
        assert_eq!(report(&now, json!({"progress": {"percent": 10}}), "RUNNING"), None);
        let next = report(&now, json!({"progress": 20}), "RUNNING").unwrap();
        let progress = next.progress.unwrap();
        assert_eq!((progress.percent, &*progress.message), (Some(20.0), "m"));
        let next = report(&now, json!({"state": "RUNNING"}), "DONE").unwrap();
        assert_eq!(next.native_state.as_deref(), Some("DONE"));
    }
}
