//! How operations end.

use serde_json::{Value, json};

use super::running::runs;
use crate::matrix::{Cell, Started};

/// What can only be found where it was carried.
const MARK: &str = "a mark that nothing else has";

/// The same with every number as a double, which is what some of the protocols have.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Waits for an end, which must be this.
fn ended(cell: &Cell<'_>, started: &Started, state: &str) -> Value {
    let ended = cell.wait(started);
    assert_eq!((&ended["done"], &ended["state"]), (&json!(true), &json!(state)), "{ended}");
    ended
}

pub(super) fn succeeds(cell: &Cell<'_>) {
    let result = json!({"text": "für \"alle\"", "list": [1, 2.5, true, null], "of": {"a": "b"}});
    let started = cell.start("work", &json!({"do": "succeed", "result": result}));
    let ended = ended(cell, &started, "succeeded");
    let found = ended["result"].pointer(cell.stage.backend.result).unwrap();
    assert_eq!(plain(found), plain(&result), "{ended}");
}

pub(super) fn succeeds_after_all(cell: &Cell<'_>, started: &Started) {
    let shown = cell.read(started);
    assert_eq!((&shown["name"], &shown["done"]), (&started.name, &json!(false)), "{shown}");
    cell.release(&started.key);
    ended(cell, started, "succeeded");
    let asked = cell.asked(&started.key);
    assert_eq!(asked["begun"], 1, "{asked}");
}

/// The error of an operation that was told to fail so.
fn error(cell: &Cell<'_>, code: &str, retryable: Option<bool>) -> Value {
    let error = json!({"code": code, "message": "no: ü", "retryable": retryable, "mark": MARK});
    let started = cell.start("work", &json!({"do": "fail", "error": error}));
    ended(cell, &started, "failed")["error"].clone()
}

/// A canonical code as a face says it.
fn word<'a>(cell: &Cell<'_>, code: &'a str) -> &'a str {
    match (cell.front.name, code) {
        ("oci", "NOT_FOUND") => "NotAuthorizedOrNotFound",
        ("oci", "DEADLINE_EXCEEDED") => "Timeout",
        (_, code) => code,
    }
}

pub(super) fn fails(cell: &Cell<'_>) {
    let error = error(cell, "NOT_FOUND", Some(false));
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!(word(cell, "NOT_FOUND")), &json!("no: ü"))
    );
}

pub(super) fn has_details(cell: &Cell<'_>) {
    let error = error(cell, "NOT_FOUND", None);
    assert!(error["details"].as_str().is_some_and(|text| text.contains(MARK)), "{error}");
}

pub(super) fn may_be_repeated(cell: &Cell<'_>) {
    for (code, retryable) in [("NOT_FOUND", false), ("UNAVAILABLE", true)] {
        let error = error(cell, code, Some(retryable));
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!(code), &json!(retryable)),
            "{error}"
        );
    }
}

pub(super) fn is_canceled(cell: &Cell<'_>) {
    let started = runs(cell);
    cell.cancel(&started);
    ended(cell, &started, "canceled");
    let asked = cell.asked(&started.key);
    assert!(asked["cancels"].as_u64() >= Some(1), "{asked}");
}

pub(super) fn is_not_canceled(cell: &Cell<'_>) {
    let started = cell.start("work", &json!({"do": "refuse-cancel", "result": {"a": "b"}}));
    cell.awaits(&started.key, "starts", 1);
    cell.cancel(&started);
    cell.awaits(&started.key, "cancels", 1);
    assert_eq!(cell.read(&started)["done"], false);
    cell.release(&started.key);
    ended(cell, &started, "succeeded");
}

pub(super) fn is_late(cell: &Cell<'_>) {
    let started = cell.start("brief", &json!({"do": "hold", "result": {}}));
    let late = ended(cell, &started, "failed");
    assert_eq!(late["error"]["code"], word(cell, "DEADLINE_EXCEEDED"), "{late}");
    // Who has begun it is told, or learns of it.
    cell.awaits(&started.key, "cancels", 1);
}

pub(super) fn is_traced(cell: &Cell<'_>) {
    let started = runs(cell);
    // Who comes for its operations is asked nothing later.
    let is_asked = !cell.stage.upstream.tell("address", json!({})).is_null();
    if is_asked {
        cell.awaits(&started.key, "polls", 1);
    }
    cell.cancel(&started);
    let ended = ended(cell, &started, "canceled");
    let kinds: &[&str] = if is_asked { &["starts", "polls", "cancels"] } else { &["starts"] };
    let traces: Value =
        kinds.iter().map(|kind| ((*kind).to_owned(), json!([started.trace]))).collect();
    assert_eq!(cell.asked(&started.key)["traces"], traces);
    let callback = if cell.front.name == "nexus" { &started.trace } else { &Value::Null };
    assert_eq!(&ended["callback"], callback);
}
