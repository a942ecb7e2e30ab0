//! The daemon in front of an API of OCI's kind, which the test plays: what `kill -9` comes between is
//! found again, and is never started twice. By the configuration of the example.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch, PATIENCE};
use crate::upstream::{Call, Upstream};

const EXAMPLE: &str = include_str!("../../config/examples/oci-backend.toml");
const MOVE: &str = "POST /20160918/compartments/ocid1.compartment.oc1..a/actions/moveCompartment";
const LOOK: &str = "GET /20160918/workRequests/ocid1.workrequest.oc1..w";

fn launch(dir: &Path, upstream: &Upstream) -> Daemon {
    Launch::new(dir)
        .config(EXAMPLE)
        .set(&format!("backends.identity.endpoint=http://{}", upstream.address))
        .set("backends.identity.poll_first=10ms")
        .set("backends.identity.poll_longest=50ms")
        .start()
}

/// Starts an operation over opgate's own API; its name.
fn start(daemon: &Daemon) -> String {
    let body = json!({"route": "move-compartment", "input": {"json":
        {"compartmentId": "ocid1.compartment.oc1..a", "to": "ocid1.compartment.oc1..b"}}});
    let body = body.to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Under which lease of its operation a request was sent.
fn lease(call: &Call) -> &str {
    call.header("opc-request-id").unwrap().split_once('/').unwrap().1
}

fn started(call: Call) {
    call.answer("202 Accepted", "opc-work-request-id: ocid1.workrequest.oc1..w\r\n", "");
}

fn operation(daemon: &Daemon, id: &str, verb: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{id}{verb}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

/// Each message of its log.
fn log(operation: &Value) -> Vec<&str> {
    let lines = operation["log"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

#[test]
fn what_runs_upstream_is_found_again_after_the_daemon_was_killed() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = launch(dir.path(), &upstream);
    let id = start(&daemon);
    let call = upstream.expect(MOVE);
    assert_eq!(call.header("opc-retry-token"), Some(&*id));
    let sent: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(sent, json!({"targetCompartmentId": "ocid1.compartment.oc1..b"}));
    started(call);
    let line = json!({"message": "moving", "timestamp": "2026-01-02T03:04:05.678Z"});
    let running = json!({"status": "IN_PROGRESS", "percentComplete": 40, "logs": [line]});
    upstream.expect(LOOK).show(&running);
    let deadline = Instant::now() + PATIENCE;
    while log(&operation(&daemon, &id, "")) != ["moving"] {
        assert!(Instant::now() < deadline, "{}", operation(&daemon, &id, ""));
    }

    let daemon = daemon.crash();
    // What the first process still asked for stays without an answer.
    let look = loop {
        let call = upstream.expect(LOOK);
        if lease(&call) == "2" {
            break call;
        }
    };
    let done = json!({"status": "SUCCEEDED", "percentComplete": 100, "logs": [line]});
    look.show(&done);
    let ended = operation(&daemon, &id, ":wait?timeout=30s");
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    assert_eq!(log(&ended), ["moving"]);
    assert_eq!(ended["resources"][0]["action"], "UPDATED", "{ended}");
    assert!(upstream.calls.try_recv().is_err());
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn a_start_that_the_daemon_was_killed_over_is_sent_again_as_the_same() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = launch(dir.path(), &upstream);
    let id = start(&daemon);
    // It arrived; nobody will hear so.
    let call = upstream.expect(MOVE);
    assert_eq!(call.header("opc-retry-token"), Some(&*id));
    let daemon = daemon.crash();
    drop(call);
    let call = upstream.expect(MOVE);
    assert_eq!((call.header("opc-retry-token"), lease(&call)), (Some(&*id), "2"));
    started(call);
    let error = json!({"code": "LimitExceeded", "message": "too many compartments",
        "timestamp": "2026-01-02T03:04:05.678Z"});
    upstream.expect(LOOK).show(&json!({"status": "FAILED", "errors": [error]}));
    let ended = operation(&daemon, &id, ":wait?timeout=30s");
    assert_eq!(ended["state"], "FAILED", "{ended}");
    assert_eq!(log(&ended), ["too many compartments"]);
    assert_eq!(ended["error"]["message"], "too many compartments", "{ended}");
    assert!(upstream.calls.try_recv().is_err());
    assert_eq!(daemon.terminate().code(), Some(0));
}
