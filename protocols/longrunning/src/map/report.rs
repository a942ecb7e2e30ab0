//! An operation as a JSON object of opgate's own: metadata for callers that declare
//! `google.protobuf.Struct`. Keys without a value are absent:
//!
//! | key | JSON | |
//! |---|---|---|
//! | `state` | string | ACCEPTED, RUNNING, SUCCEEDED, FAILED or CANCELED |
//! | `nativeState` | string | the backend's own word |
//! | `service`, `operation` | string | the kind |
//! | `version` | number | counts changes, from 1 |
//! | `createTime`, `startTime`, `updateTime`, `endTime`, `expireTime`, `deadline` | string | RFC 3339, UTC |
//! | `progress` | object | `percent` (0 to 100), `done`, `total`, `message` |
//! | `waiting` | string | why it waits for somebody |
//! | `cancelRequested` | bool | |
//! | `cancel` | object | `requestTime`, `by`, `reason`; how far it got: `delivery` (requested, queued, sent, acked, refused, gave_up), `deliveryTime`, `attempts`, `problem` |
//! | `log` | array | the newest lines: `time`, `error` (bool), `code`, `message` |
//! | `logOmitted` | number | older lines left out |
//! | `resources` | array | the newest: `type`, `action`, `identifier`, `uri` |
//! | `links` | array | the newest, to what the work is about elsewhere: `url`, `type` |

use opgate_core::{Cancel, Link, LogEntry, Loss, Losses, Operation, Progress, Resource, Timestamp};
use serde_json::{Map, Value};

/// Metadata comes with every read and shares the 4 MiB a client takes with the result.
pub(super) const LOG_LINES_MAX: usize = 32;
const LOG_BYTES_MAX: usize = 16 * 1024;
const RESOURCES_MAX: usize = 32;
const LINKS_MAX: usize = 8;

/// The operation as an object, with so many lines of its log at most.
pub(super) fn report(operation: &Operation, log_lines_max: usize) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    };
    let times = &operation.times;
    let cancel = operation.cancel.as_deref();
    put("state", Some(operation.state.name().into()));
    put("nativeState", text(&operation.native_state));
    put("service", Some(operation.kind.service().into()));
    put("operation", Some(operation.kind.operation().into()));
    put("version", Some(operation.version.0.into()));
    put("createTime", Some(rfc3339(times.accepted)));
    put("startTime", times.started.map(rfc3339));
    put("updateTime", Some(rfc3339(times.updated)));
    put("endTime", times.closed.map(rfc3339));
    put("expireTime", times.expires.map(rfc3339));
    put("deadline", operation.deadline.map(rfc3339));
    put("progress", operation.progress.as_deref().map(progress));
    put("waiting", text(&operation.waiting));
    put("cancelRequested", cancel.map(|_| true.into()));
    put("cancel", cancel.map(self::cancel));
    let lines = newest(&operation.log, log_lines_max);
    let omitted = operation.log.len() - lines.len() + operation.log_dropped as usize;
    put("log", list(lines, line));
    put("logOmitted", (omitted > 0).then(|| omitted.into()));
    let first = operation.resources.len().saturating_sub(RESOURCES_MAX);
    put("resources", list(operation.resources.get(first..).unwrap_or_default(), resource));
    let first = operation.links_out.len().saturating_sub(LINKS_MAX);
    put("links", list(operation.links_out.get(first..).unwrap_or_default(), link));
    object
}

/// What an object does not say of the work.
pub(super) fn lost(object: &Map<String, Value>, operation: &Operation) -> Losses {
    let shown = |name: &str| object.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    let percent = operation.progress.as_deref().and_then(|progress| progress.percent);
    let clamped = operation.progress.as_deref().and_then(Progress::percent_shown);
    let resources = shown("resources") < operation.resources.len();
    Losses::NONE
        .with(Loss::Log, shown("log") < operation.log.len())
        .with(Loss::PercentRounded, percent != clamped)
        .with(Loss::Metadata, resources || shown("links") < operation.links_out.len())
}

fn progress(progress: &Progress) -> Value {
    let fields = [
        ("percent", progress.percent_shown().map(Value::from)),
        ("done", progress.done.map(Value::from)),
        ("total", progress.total.map(Value::from)),
        ("message", text(&progress.message)),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn cancel(cancel: &Cancel) -> Value {
    let fields = [
        ("requestTime", Some(rfc3339(cancel.requested))),
        ("by", Some((*cancel.by).into())),
        ("reason", Some((*cancel.reason).into())),
        ("delivery", Some(cancel.delivery.name().into())),
        ("deliveryTime", Some(rfc3339(cancel.changed))),
        ("attempts", (cancel.attempts > 0).then(|| cancel.attempts.into())),
        ("problem", text(&cancel.problem)),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// The newest lines, as many as fit.
fn newest(log: &[LogEntry], lines_max: usize) -> &[LogEntry] {
    let sizes = log.iter().rev().map(|line| line.message.len() + line.code.len());
    let fitting = sizes
        .scan(0, |total, size| {
            *total += size;
            Some(*total)
        })
        .take_while(|total| *total <= LOG_BYTES_MAX)
        .take(lines_max)
        .count();
    log.get(log.len() - fitting..).unwrap_or_default()
}

fn line(line: &LogEntry) -> Value {
    let fields = [
        ("time", Some(rfc3339(line.at))),
        ("error", line.error.then_some(Value::Bool(true))),
        ("code", text(&line.code)),
        ("message", Some((*line.message).into())),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn resource(resource: &Resource) -> Value {
    let fields = [
        ("type", text(&resource.entity_type)),
        ("action", text(&resource.action)),
        ("identifier", text(&resource.identifier)),
        ("uri", text(&resource.uri)),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn link(link: &Link) -> Value {
    let fields = [("url", text(&link.url)), ("type", text(&link.kind))];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn list<T>(items: &[T], item: impl Fn(&T) -> Value) -> Option<Value> {
    (!items.is_empty()).then(|| items.iter().map(item).collect())
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| text.into())
}

fn rfc3339(time: Timestamp) -> Value {
    let (seconds, nanos) = time.seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }.to_string().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::map::metadata::metadata;
    use crate::map::structure;
    use crate::proto::STRUCT;
    use crate::sample::{at, busy, operation, types};

    fn struct_of(operation: &Operation) -> Value {
        let any = metadata(types(), operation).0.unwrap();
        assert!(any.is(STRUCT));
        serde_json::from_slice(&structure::to_json(&any.value).unwrap()).unwrap()
    }

    #[test]
    fn a_struct_says_all_of_it() {
        assert_eq!(
            struct_of(&busy(STRUCT)),
            json!({
                "state": "RUNNING",
                "nativeState": "CRUNCHING",
                "service": "workflows",
                "operation": "create",
                "version": 4,
                "createTime": "1970-01-01T00:00:01Z",
                "startTime": "1970-01-01T00:00:02Z",
                "updateTime": "1970-01-01T00:00:03Z",
                "progress": { "percent": 66.6, "done": 2, "total": 3, "message": "two of three" },
                "cancelRequested": true,
                "cancel": {
                    "requestTime": "1970-01-01T00:00:03Z", "by": "anna", "reason": "late",
                    "delivery": "queued", "deliveryTime": "1970-01-01T00:00:03Z",
                },
                "log": [{
                    "time": "1970-01-01T00:00:02Z", "error": true, "code": "E1", "message": "slow"
                }],
                "logOmitted": 3,
                "resources": [{
                    "type": "workflow",
                    "action": "CREATED",
                    "identifier": "projects/p/workflows/w",
                }],
            })
        );
    }

    #[test]
    fn a_struct_is_bounded_whatever_the_log() {
        let mut operation = operation(None, Some(STRUCT));
        let line = LogEntry { at: at(1), error: false, code: "".into(), message: "x".into() };
        operation.log = vec![line; 200];
        operation.log[199].message = "last".into();
        let metadata = struct_of(&operation);
        assert_eq!(metadata["log"].as_array().unwrap().len(), LOG_LINES_MAX);
        assert_eq!(metadata["log"][LOG_LINES_MAX - 1]["message"], "last");
        assert_eq!(metadata["logOmitted"], 200 - LOG_LINES_MAX);
        for line in &mut operation.log {
            line.message = "y".repeat(4096).into();
        }
        assert_eq!(struct_of(&operation)["log"].as_array().unwrap().len(), 4);
    }
}
