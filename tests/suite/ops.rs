//! `opgate ops` against a running daemon: what a person does at night.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::process::{Daemon, Launch};

/// A route without a door: only opgate's own API starts it. And a queue that no worker serves.
const ROUTES: &str = r#"
[backends.nobody]
kind = "worker"
concurrency = 10
[routes.unserved]
service = "unserved"
operation = "run"
backend = "nobody"
"#;

fn daemon() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(ROUTES).start();
    (dir, daemon)
}

/// Runs `opgate ops` with these arguments against a daemon.
fn ops(daemon: &Daemon, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_opgate"))
        .arg("ops")
        .args(arguments)
        .env_clear()
        .env("OPGATE_ADDRESS", format!("http://{}", daemon.http))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command prints, which must end with this code.
fn said(daemon: &Daemon, code: i32, arguments: &[&str]) -> String {
    let output = ops(daemon, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    text(&output.stdout).to_owned()
}

/// The JSON that a command prints.
fn json(daemon: &Daemon, code: i32, arguments: &[&str]) -> Value {
    let said = said(daemon, code, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

#[test]
fn an_operation_is_started_awaited_and_shown() {
    let (_dir, daemon) = daemon();
    let input = r#"{"duration": "10ms", "steps": 1, "result": {"answer": 42}}"#;
    let done = json(&daemon, 0, &["start", "showcase-run", "--json", input, "--wait"]);
    assert_eq!(done["state"], "SUCCEEDED");
    assert_eq!(done["result"]["json"], json!({ "answer": 42 }));
    let shown = said(&daemon, 0, &["get", id(&done)]);
    for line in ["state", "SUCCEEDED", "route", "showcase-run", "result"] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    // By its kind instead of its route.
    let kind = ["start", "--service", "showcase", "--operation", "echo", "--json", "[1]", "--wait"];
    assert_eq!(json(&daemon, 0, &kind)["result"]["json"], json!([1]));
}

#[test]
fn an_ocid_is_a_name_like_any_other() {
    let (_dir, daemon) = daemon();
    let done = json(&daemon, 0, &["start", "showcase-echo", "--json", "1", "--wait"]);
    let ocid = done["names"]["oci"].as_str().unwrap();
    assert!(ocid.starts_with("ocid1.opgateworkrequest.oc1.."), "{ocid}");
    assert_eq!(id(&json(&daemon, 0, &["get", ocid])), id(&done));
}

#[test]
fn a_repeat_with_the_same_request_id_is_the_same_operation() {
    let (_dir, daemon) = daemon();
    let start = ["start", "unserved", "--request-id", "once", "--text", "a"];
    let first = json(&daemon, 0, &start);
    assert_eq!(id(&json(&daemon, 0, &start)), id(&first));
    let other = ops(&daemon, &["start", "unserved", "--request-id", "once", "--text", "b"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("ALREADY_EXISTS"), "{}", text(&other.stderr));
}

#[test]
fn any_faces_name_is_taken() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved", "--parent", "projects/p/locations/l"]);
    let id = id(&started);
    for name in [
        id.to_owned(),
        format!("operations/{id}"),
        format!("projects/p/locations/l/operations/{id}"),
        format!("main/{id}"),
        format!("/{id}"),
    ] {
        assert_eq!(json(&daemon, 0, &["get", &name])["id"], *id, "{name}");
    }
}

#[test]
fn what_has_no_dead_letter_is_not_redriven() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "showcase-echo", "--json", "{}", "--wait"]);
    let refused = ops(&daemon, &["redrive", id(&started)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("dead letter"), "{}", text(&refused.stderr));
    let dead = json(&daemon, 0, &["list", "--filter", "callbacks.state = DEAD"]);
    assert_eq!(dead["operations"], json!([]));
}

#[test]
fn a_list_is_filtered_and_paged() {
    let (_dir, daemon) = daemon();
    for n in 0..5 {
        let parent = format!("shelf/{}", n % 2);
        json(&daemon, 0, &["start", "unserved", "--parent", &parent]);
    }
    json(&daemon, 0, &["start", "showcase-echo", "--json", "{}", "--wait"]);
    let count = |arguments: &[&str]| {
        let listed = json(&daemon, 0, &[&["list"], arguments].concat());
        listed["operations"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 6);
    assert_eq!(count(&["--all"]), 6);
    assert_eq!(count(&["--limit", "2"]), 2);
    assert_eq!(count(&["--parent", "shelf"]), 5);
    assert_eq!(count(&["--parent", "shelf/1"]), 2);
    assert_eq!(count(&["--filter", "state = SUCCEEDED"]), 1);
    let table = said(&daemon, 0, &["list", "--filter", "service = \"unserved\""]);
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.starts_with("ID "), "{table}");
    let wrong = ops(&daemon, &["list", "--filter", "colour = red"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("colour"), "{}", text(&wrong.stderr));
}

#[test]
fn an_operation_completed_by_hand_says_so_in_its_log() {
    let (_dir, daemon) = daemon();
    let start = || json(&daemon, 0, &["start", "unserved"]);
    let log = |operation: &Value| operation["log"].as_array().unwrap().last().unwrap().to_string();

    let started = start();
    let complete = ["complete", id(&started), "--outcome", "succeeded", "--json", "{\"by\": 1}"];
    let done = json(&daemon, 0, &complete);
    assert_eq!((&done["state"], &done["result"]["json"]), (&json!("SUCCEEDED"), &json!({"by": 1})));
    assert!(log(&done).contains("by hand"), "{done}");
    // Told again it is the same; told otherwise it is refused.
    assert_eq!(json(&daemon, 0, &complete)["version"], done["version"]);
    let other = ops(&daemon, &["complete", id(&started), "--outcome", "canceled"]);
    assert_eq!(other.status.code(), Some(2));

    let started = start();
    let complete =
        ["complete", id(&started), "--outcome", "failed", "--code", "5", "--message", "m"];
    let done = json(&daemon, 0, &complete);
    assert_eq!(
        (&done["error"]["code"], &done["error"]["message"]),
        (&json!("NOT_FOUND"), &json!("m"))
    );
    // A wait for what ended without success says so by its code.
    assert_eq!(json(&daemon, 1, &["wait", id(&started)])["state"], "FAILED");

    let started = start();
    let url = "type.googleapis.com/google.protobuf.Duration";
    let complete = [
        "complete",
        id(&started),
        "--outcome",
        "succeeded",
        "--type-url",
        url,
        "--value-base64",
        "CAE=",
    ];
    let done = json(&daemon, 0, &complete);
    assert_eq!(done["result"]["data"], "CAE=");
    assert!(done["result"]["mediaType"].as_str().unwrap().contains("google.protobuf.Duration"));
}

#[test]
fn an_operation_is_canceled_and_deleted() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved"]);
    let canceled = json(&daemon, 0, &["cancel", id(&started), "--reason", "wrong button"]);
    assert_eq!(canceled["state"], "CANCELED");
    assert_eq!(canceled["cancel"]["reason"], "wrong button");
    assert_eq!(said(&daemon, 0, &["delete", id(&started)]), "");
    let gone = ops(&daemon, &["get", id(&started)]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).contains("NOT_FOUND"), "{}", text(&gone.stderr));
    // A token of Nexus may begin with a hyphen, which makes it no option.
    for command in ["get", "wait", "cancel", "delete", "redrive"] {
        let unknown = ops(&daemon, &[command, "-x_unknown", "-o", "json"]);
        assert_eq!(unknown.status.code(), Some(2), "{command}");
        assert!(text(&unknown.stderr).contains("NOT_FOUND"), "{}", text(&unknown.stderr));
    }
}

#[test]
fn a_wait_that_is_over_is_no_success() {
    let (_dir, daemon) = daemon();
    let started = json(&daemon, 0, &["start", "unserved"]);
    let waited = json(&daemon, 75, &["wait", id(&started), "--timeout", "50ms"]);
    assert_eq!(waited["state"], "ACCEPTED");
}

#[test]
fn without_a_gateway_the_code_is_69_and_the_address_is_named() {
    let (dir, daemon) = daemon();
    let address = daemon.http;
    // The ready file of a running daemon says where it is.
    let by_file = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["ops", "list", "--ready-file"])
        .arg(dir.path().join("ready.json"))
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(by_file.status.code(), Some(0), "{}", text(&by_file.stderr));
    assert_eq!(daemon.terminate().code(), Some(0));
    let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
        .args(["ops", "list", "--address", &format!("http://{address}")])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains(&address.to_string()), "{}", text(&output.stderr));
}

#[test]
fn wrong_usage_is_64_and_says_what_is_allowed() {
    for (arguments, allowed) in [
        (&["ops"][..], "start"),
        (&["ops", "start"], "ROUTE"),
        (&["ops", "start", "--service", "s"], "--operation"),
        (&["ops", "start", "r", "--json", "{"], "JSON"),
        (&["ops", "start", "r", "--json", "1", "--text", "x"], "--text"),
        (&["ops", "wait", "x", "--timeout", "5"], "ms, s, m, h or d"),
        (&["ops", "complete", "x", "--outcome", "done"], "succeeded"),
        (&["ops", "complete", "x", "--outcome", "failed", "--code", "99"], "NOT_FOUND"),
        (&["ops", "complete", "x", "--outcome", "succeeded", "--code", "5"], "--code"),
        (&["ops", "complete", "x", "--outcome", "failed", "--json", "1"], "result"),
        (&["ops", "list", "--address", "ftp://x"], "http://"),
        (&["ops", "list", "--limit", "0"], "1"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_opgate"))
            .args(arguments)
            .env_clear()
            .env("OPGATE_ADDRESS", "http://127.0.0.1:1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(allowed), "{arguments:?}: {said}");
    }
}
