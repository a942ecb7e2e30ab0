//! `docs/semantics.md`: its tables are what a daemon says, face by face.

mod ends;
mod requests;
mod states;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faces::{JSON, Reply, raw};
use crate::process::{Daemon, PATIENCE};

const PAGE: &str = "docs/semantics.md";

/// Workers that nobody is; a route whose results have a declared type, and one whose results have none.
const ROUTES: &str = r#"
[backends.nobody]
kind = "worker"
concurrency = 100
[routes.typed]
service = "see"
operation = "typed"
backend = "nobody"
[routes.typed.grpc]
method = "see.v1.See/Typed"
request_type = "google.protobuf.Struct"
response_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
input = "json"
[routes.plain]
service = "see"
operation = "plain"
backend = "nobody"
[routes.keyed]
service = "see"
operation = "keyed"
backend = "nobody"
[routes.keyed.grpc]
method = "see.v1.See/Keyed"
request_type = "google.protobuf.Struct"
input = "json"
[routes.keyed.http]
request = "POST /v1/keyed"
body = "*"
[routes.keyed.amqp]
type = "see"
operation = "keyed"
[routes.keyed-oci]
service = "see"
operation = "keyed-oci"
backend = "nobody"
[routes.keyed-oci.http]
reply = "oci"
request = "POST /20160918/keyed"
"#;

fn post(daemon: &Daemon, path: &str, body: &Value) -> Value {
    let reply = raw(daemon.http, "POST", path, &[JSON], body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// An operation of a route, by opgate's own API.
fn started(daemon: &Daemon, route: &str, input: &Value) -> Value {
    post(daemon, "/opgate/v1/operations", &json!({"route": route, "input": {"json": input}}))
}

fn path(operation: &Value) -> String {
    format!("/opgate/v1/operations/{}", operation["id"].as_str().unwrap())
}

/// The operation as soon as it is as wanted.
fn once(daemon: &Daemon, operation: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let ends = Instant::now() + PATIENCE;
    loop {
        let shown = raw(daemon.http, "GET", &path(operation), &[], b"").json();
        if wanted(&shown) {
            return shown;
        }
        assert!(Instant::now() < ends, "it stays {shown}");
        // Only so that looking leaves time for what is looked for.
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn in_state(daemon: &Daemon, operation: &Value, state: &str) -> Value {
    once(daemon, operation, |shown| shown["state"] == state)
}

/// A text of JSON as code.
fn code(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("`{value}`"), |text| format!("`{text}`"))
}

fn name<'a>(operation: &'a Value, face: &str) -> &'a str {
    operation["names"][face].as_str().unwrap()
}

fn rest(daemon: &Daemon, operation: &Value) -> Reply {
    raw(daemon.http, "GET", &format!("/v1/{}", name(operation, "grpc")), &[], b"")
}

fn oci(daemon: &Daemon, operation: &Value) -> Reply {
    let path = format!("/20160918/workRequests/{}", name(operation, "oci"));
    raw(daemon.http, "GET", &path, &[], b"")
}

/// What get-info and get-result of Nexus say.
fn nexus(daemon: &Daemon, operation: &Value) -> [Reply; 2] {
    let token = format!("Nexus-Operation-Token: {}", name(operation, "nexus"));
    let kind = ["service", "operation"].map(|part| operation[part].as_str().unwrap());
    ["", "/result"].map(|what| {
        let path = format!("/nexus/{}/{}{what}", kind[0], kind[1]);
        raw(daemon.http, "GET", &path, &[&token], b"")
    })
}
