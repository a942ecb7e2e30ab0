//! Operations as people read them.

use std::time::Duration;

use opgate::Timestamp;
use serde_json::Value;

use crate::table;

/// Columns of a list, with the widest each may grow; the last takes what is left.
const COLUMNS: [(&str, usize); 6] = [
    ("ID", 26),
    ("STATE", 11),
    ("PROGRESS", 9),
    ("CREATED", 20),
    ("KIND", 60),
    ("PARENT", usize::MAX),
];

/// Widths that most lists need anyway, so that their pages are aligned with one another.
const LEAST: [usize; 6] = [26, 9, 8, 20, 0, 0];

/// A page of a list as a part of one JSON object, with a line for each operation.
pub(super) fn json_list(operations: &[Value], is_first: bool, is_last: bool) -> String {
    let mut text = String::from(if is_first { "{\"operations\": [\n" } else { ",\n" });
    let lines: Vec<String> = operations.iter().map(Value::to_string).collect();
    text.push_str(&lines.join(",\n"));
    text.push_str(if is_last { "\n]}\n" } else { "" });
    text
}

/// A page of a list, one line each, beneath a heading if it is the first.
pub(super) fn list(operations: &[Value], is_first: bool) -> String {
    let heading = is_first.then(|| COLUMNS.map(|(name, _)| name.to_owned()));
    let rows: Vec<[String; 6]> = heading.into_iter().chain(operations.iter().map(row)).collect();
    table::lines(&rows, LEAST, COLUMNS.map(|(_, most)| most))
}

fn row(operation: &Value) -> [String; 6] {
    [
        text(operation, "/id"),
        state(operation),
        progress(operation),
        seconds(&text(operation, "/createTime")),
        format!("{}/{}", text(operation, "/service"), text(operation, "/operation")),
        text(operation, "/parent"),
    ]
}

/// One operation, a line for each thing that is known of it.
pub(super) fn one(operation: &Value) -> String {
    let mut lines: Vec<(&str, String)> = vec![("id", text(operation, "/id"))];
    let names = operation["names"].as_object().into_iter().flatten();
    lines.extend(names.map(|(face, name)| ("name", format!("{} ({face})", plain(name)))));
    lines.push(("state", state(operation)));
    for (label, pointer) in [
        ("native state", "/nativeState"),
        ("waiting for", "/waiting"),
        ("parent", "/parent"),
        ("service", "/service"),
        ("operation", "/operation"),
        ("route", "/route"),
        ("backend", "/backend"),
        ("version", "/version"),
        ("lease", "/epoch"),
        ("updated", "/updateTime"),
        ("deadline", "/deadline"),
        ("kept until", "/expireTime"),
    ] {
        lines.push((label, text(operation, pointer)));
    }
    let origin = |key| text(operation, &format!("/origin/{key}"));
    lines.push(("started by", origin("principal")));
    lines.push(("through", format!("{} {}", origin("face"), origin("endpoint"))));
    lines.push(("request id", origin("requestId")));
    let trace = |key| text(operation, &format!("/trace/{key}"));
    lines.push(("trace", joined(&[trace("traceparent"), trace("tracestate")])));
    lines.push(("progress", joined(&[progress(operation), text(operation, "/progress/message")])));
    if operation["cancel"].is_object() {
        let cancel = |key| text(operation, &format!("/cancel/{key}"));
        let asked = format!("requested by {}", cancel("by"));
        lines.push(("cancel", joined(&[cancel("requestTime"), asked, cancel("reason")])));
        let attempts = match &*cancel("attempts") {
            "" | "0" => String::new(),
            attempts => format!("attempts {attempts}"),
        };
        let (time, delivery) = (cancel("deliveryTime"), cancel("delivery"));
        if delivery != "requested" {
            lines.push(("cancel", joined(&[time, delivery, attempts, cancel("problem")])));
        }
    }
    let error = |key| text(operation, &format!("/error/{key}"));
    lines.push(("error", joined(&[error("code"), error("message"), error("reason")])));
    let tokens: Vec<String> = items(operation, "lost").map(plain).collect();
    lines.push(("lost", tokens.join(", ")));
    let faces = operation["lostOn"].as_object().into_iter().flatten();
    lines.extend(faces.map(|(face, lost)| ("lost", format!("{} ({face})", plain(lost)))));
    lines.push(("input", payload(&operation["input"])));
    lines.push(("result", payload(&operation["result"])));
    for resource in items(operation, "resources") {
        let part = |key: &str| text(resource, &format!("/{key}"));
        lines.push((
            "resource",
            joined(&[part("action"), part("entityType"), part("identifier"), part("uri")]),
        ));
    }
    for callback in items(operation, "callbacks") {
        let part = |key: &str| text(callback, &format!("/{key}"));
        let at = |label: &str, key: &str| match part(key) {
            time if time.is_empty() => time,
            time => format!("{label} {time}"),
        };
        let attempts = match &*part("attempts") {
            "" | "0" => String::new(),
            attempts => format!("attempts {attempts}"),
        };
        let (last, next) = (at("last", "lastAttemptTime"), at("next", "nextAttemptTime"));
        lines.push((
            "callback",
            joined(&[part("state"), part("url"), attempts, last, next, part("problem")]),
        ));
    }
    lines.extend(history(operation).into_iter().map(|line| ("history", line)));
    lines.retain(|(_, value)| !value.trim().is_empty());
    let width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let lines = lines.iter().map(|(label, value)| format!("{label:<width$}  {value}\n"));
    lines.collect::<Vec<_>>().concat()
}

/// What happened to it, oldest first, as far as that is on record.
fn history(operation: &Value) -> Vec<String> {
    let mut events: Vec<(String, String)> = Vec::new();
    let mut add = |time: String, what: String| {
        if !time.is_empty() {
            events.push((time, what));
        }
    };
    let at = |pointer: &str| text(operation, pointer);
    let by = |who: String| if who.is_empty() { who } else { format!("by {who}") };
    let origin = |key: &str| at(&format!("/origin/{key}"));
    add(
        at("/createTime"),
        joined(&["accepted".into(), by(origin("principal")), origin("face"), origin("endpoint")]),
    );
    add(at("/startTime"), "given to its backend".to_owned());
    let cancel = |key: &str| at(&format!("/cancel/{key}"));
    add(
        cancel("requestTime"),
        joined(&["cancellation asked for".into(), by(cancel("by")), cancel("reason")]),
    );
    for entry in items(operation, "log") {
        let part = |key: &str| text(entry, &format!("/{key}"));
        add(part("time"), joined(&[part("code"), part("message")]));
    }
    for conflict in items(operation, "conflicts") {
        let part = |key: &str| text(conflict, &format!("/{key}"));
        let what = format!("another end was claimed and refused: {}", part("state"));
        add(part("time"), joined(&[what, part("message")]));
    }
    add(at("/endTime"), format!("ended: {}", at("/state")));
    // The texts have digits of different number, and the order of equals is kept.
    events.sort_by_cached_key(|(time, _)| Timestamp::from_rfc3339(time));
    events.into_iter().map(|(time, what)| joined(&[time, what])).collect()
}

/// A change of an operation, in one line.
pub(super) fn change(operation: &Value, deleted: bool, with_id: bool) -> String {
    let id = if with_id { text(operation, "/id") } else { String::new() };
    let state = if deleted { "DELETED".to_owned() } else { state(operation) };
    let state = format!("{state:<9}");
    let time = text(operation, "/updateTime");
    let mut line = joined(&[time, id, state, progress(operation), doing(operation)]);
    line.truncate(line.trim_end().len());
    line + "\n"
}

/// What an operation is at, in words.
pub(super) fn doing(operation: &Value) -> String {
    let error = ["/error/code", "/error/message"].map(|pointer| text(operation, pointer));
    [
        joined(&error),
        text(operation, "/progress/message"),
        text(operation, "/waiting"),
        text(operation, "/nativeState"),
    ]
    .into_iter()
    .find(|text| !text.is_empty())
    .unwrap_or_default()
}

/// As [`list`], with more columns. `now` is what ages are counted from.
pub(super) fn wide(operations: &[Value], is_first: bool, now: Timestamp) -> String {
    let heading = is_first.then(|| WIDE.map(|(name, ..)| name.to_owned()));
    let row = |operation: &Value| {
        let [id, state, progress, created, kind, parent] = row(operation);
        let (route, backend) = (text(operation, "/route"), text(operation, "/backend"));
        let age = Timestamp::from_rfc3339(&text(operation, "/createTime"))
            .map(|created| age(now.since(created)))
            .unwrap_or_default();
        let updated = seconds(&text(operation, "/updateTime"));
        let doing = doing(operation);
        [id, state, progress, age, created, updated, kind, route, backend, parent, doing]
    };
    let rows: Vec<[String; 11]> = heading.into_iter().chain(operations.iter().map(row)).collect();
    table::lines(&rows, WIDE.map(|(_, least, _)| least), WIDE.map(|(.., most)| most))
}

/// Columns of a wide list, with the least and the most width of each.
const WIDE: [(&str, usize, usize); 11] = [
    ("ID", 26, 26),
    ("STATE", 9, 11),
    ("PROGRESS", 8, 9),
    ("AGE", 6, 8),
    ("CREATED", 20, 20),
    ("UPDATED", 20, 20),
    ("KIND", 0, 60),
    ("ROUTE", 0, 40),
    ("BACKEND", 0, 40),
    ("PARENT", 0, 60),
    ("DOING", 0, usize::MAX),
];

/// A duration in its two largest units.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{}m", minutes % 60),
        (days, hours, _) => format!("{days}d{}h", hours % 24),
    }
}

/// One word for the state: that it is to be canceled shows in it.
fn state(operation: &Value) -> String {
    let state = text(operation, "/state");
    if operation["cancel"].is_object() && operation["done"] != true {
        return "CANCELING".to_owned();
    }
    state
}

fn progress(operation: &Value) -> String {
    let percent = operation.pointer("/progress/percent").and_then(Value::as_f64);
    percent.map_or_else(String::new, |percent| format!("{percent:.0} %"))
}

fn payload(payload: &Value) -> String {
    let kind = text(payload, "/mediaType");
    match (&payload["json"], payload["text"].as_str(), payload["data"].as_str()) {
        (Value::Null, Some(plain), _) => joined(&[kind, printable(plain)]),
        // Four characters of base64 are three bytes.
        (Value::Null, None, Some(data)) => {
            let bytes = data.trim_end_matches('=').len() * 3 / 4;
            joined(&[kind, format!("{bytes} bytes")])
        }
        (Value::Null, None, None) => kind,
        (json, _, _) => joined(&[kind, json.to_string()]),
    }
}

fn items<'a>(operation: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    operation[key].as_array().into_iter().flatten()
}

/// The parts that say anything, one after the other.
fn joined(parts: &[String]) -> String {
    let parts: Vec<&str> =
        parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

/// What stands there, in one line; nothing where nothing does.
fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map_or_else(String::new, plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Text that cannot take the terminal over: clients and backends chose it.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A time to the second.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn callbacks_are_shown_with_what_keeps_them() {
        let shown = one(&json!({ "id": "02m", "callbacks": [
            { "url": "http://a/1", "state": "DELIVERED", "attempts": 1, "lastAttemptTime": "T1" },
            { "url": "http://b/2", "state": "PENDING", "attempts": 2, "lastAttemptTime": "T2",
              "nextAttemptTime": "T3", "problem": "busy" },
            { "url": "http://c/3", "state": "PENDING" },
        ] }));
        assert_eq!(
            shown,
            "id        02m\n\
             callback  DELIVERED  http://a/1  attempts 1  last T1\n\
             callback  PENDING  http://b/2  attempts 2  last T2  next T3  busy\n\
             callback  PENDING  http://c/3\n"
        );
    }

    #[test]
    fn a_list_is_aligned_and_says_what_is_to_be_canceled() {
        let page = [
            json!({
                "id": "01m", "state": "RUNNING", "service": "s", "operation": "o", "parent": "p/q",
                "createTime": "2026-11-20T01:02:03.004Z", "progress": { "percent": 41.6 },
            }),
            json!({ "id": "02m", "state": "RUNNING", "cancel": { "by": "x" }, "service": "longer",
                "operation": "o", "createTime": "2026-11-20T01:02:03Z" }),
        ];
        assert_eq!(
            list(&page, true),
            "ID                          STATE      PROGRESS  CREATED               KIND      PARENT\n\
             01m                         RUNNING    42 %      2026-11-20T01:02:03Z  s/o       p/q\n\
             02m                         CANCELING            2026-11-20T01:02:03Z  longer/o\n"
        );
        assert!(!list(&page, false).contains("STATE"));
    }

    #[test]
    fn pages_of_json_make_one_object() {
        let (a, b) = ([json!({ "id": 1 }), json!({ "id": 2 })], [json!({ "id": 3 })]);
        let pages = [json_list(&a, true, false), json_list(&b, false, true)].concat();
        let whole: Value = serde_json::from_str(&pages).unwrap();
        assert_eq!(whole["operations"].as_array().map(Vec::len), Some(3));
        for page in [json_list(&b, true, true), json_list(&[], true, true)] {
            assert!(serde_json::from_str::<Value>(&page).is_ok(), "{page}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_line_and_nothing_moves_the_cursor() {
        let shown = one(&json!({
            "id": "01m", "state": "FAILED", "done": true,
            "error": { "code": "NOT_FOUND", "message": "gone\u{1b}[2J\nforever" },
            "input": { "mediaType": "application/json", "json": { "a": 1 } },
            "result": { "mediaType": "application/x", "data": "AAECAw==" },
            "names": { "grpc": "operations/01m" },
            "trace": { "traceparent": "00-1-2-01", "tracestate": "a=1" },
        }));
        assert_eq!(
            shown,
            "id      01m\n\
             name    operations/01m (grpc)\n\
             state   FAILED\n\
             trace   00-1-2-01  a=1\n\
             error   NOT_FOUND  gone [2J forever\n\
             input   application/json  {\"a\":1}\n\
             result  application/x  4 bytes\n"
        );
    }
}
