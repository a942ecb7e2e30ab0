//! What is seen of an operation while it runs.

use serde_json::{Value, json};

use super::ends::plain;
use crate::matrix::{Cell, Started};

pub(super) fn starts(cell: &Cell<'_>) {
    let started = runs(cell);
    assert_eq!(started.shown["done"], false, "{}", started.shown);
    let asked = cell.asked(&started.key);
    for (name, sent) in started.input.as_object().unwrap() {
        assert_eq!(plain(&asked["input"][name]), plain(sent), "{asked}");
    }
    assert_eq!(asked["begun"], 1, "{asked}");
}

/// One that has begun and runs until it is released or canceled.
pub(super) fn runs(cell: &Cell<'_>) -> Started {
    let started = cell.start("work", &json!({"do": "hold", "result": {"a": ["b"]}}));
    cell.awaits(&started.key, "starts", 1);
    started
}

pub(super) fn is_started_once(cell: &Cell<'_>) {
    let started = runs(cell);
    let again = cell.start_as("work", &started.key, started.input.clone());
    assert_eq!(again.name, started.name);
    assert_eq!(cell.asked(&started.key)["begun"], 1);
    // Nor once it has ended.
    cell.release(&started.key);
    cell.wait(&started);
    let again = cell.start_as("work", &started.key, started.input.clone());
    assert_eq!(again.name, started.name);
    assert_eq!(cell.asked(&started.key)["begun"], 1);
}

pub(super) fn has_a_percentage(cell: &Cell<'_>) {
    let started = runs(cell);
    let shown = cell.until(&started, |shown| shown["percent"].as_f64() == Some(40.0));
    assert_eq!((&shown["done"], &shown["state"]), (&json!(false), &json!("running")), "{shown}");
}

pub(super) fn has_a_message(cell: &Cell<'_>) {
    let started = runs(cell);
    cell.until(&started, |shown| shown["message"] == "halfway");
}

pub(super) fn has_a_log(cell: &Cell<'_>) {
    let started = runs(cell);
    let shown =
        cell.until(&started, |shown| shown["log"].as_array().is_some_and(|log| !log.is_empty()));
    assert_eq!(shown["log"], json!(["half of it is done"]), "{shown}");
}

pub(super) fn has_resources(cell: &Cell<'_>) {
    let started = runs(cell);
    let thing = |action: &str| {
        let identifier = format!("thing-{}", started.key);
        json!([{"type": "thing", "action": action, "identifier": identifier}])
    };
    let working = thing("IN_PROGRESS");
    cell.until(&started, |shown: &Value| shown["resources"] == working);
    cell.release(&started.key);
    let ended = cell.wait(&started);
    assert_eq!(ended["resources"], thing("CREATED"), "{ended}");
}
