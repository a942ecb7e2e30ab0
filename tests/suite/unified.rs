//! One key through several protocols, where a route has one space of keys for all.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Barrier;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::faces::{JSON, raw};
use crate::grpc;
use crate::process::{Daemon, Launch};

/// A route with a door on each face, to a backend that calls another daemon.
fn front(upstream: SocketAddr, unify: bool) -> String {
    format!(
        r#"
[backends.up]
kind = "nexus"
concurrency = 100
endpoint = "http://{upstream}/nexus"
completion = "poll"
poll_first = "50ms"
[routes.move]
service = "identity"
operation = "MOVE"
backend = "up"
unify_keys = {unify}
[routes.move.nexus]
service = "upstream"
operation = "move"
[routes.move.grpc]
method = "acme.v1.Compartments/Move"
request_type = "google.protobuf.Struct"
input = "json"
[routes.move.http]
reply = "oci"
request = "POST /20160918/compartments/{{compartmentId}}/actions/move"
"#
    )
}

/// What is called: it runs until it is canceled.
const BACK: &str = r#"
[routes.move]
service = "upstream"
operation = "move"
backend = "showcase"
[routes.move.showcase]
hold = true
"#;

const COMPARTMENT: &str = "ocid1.compartment.oc1..c";

/// Starts the operation through one of four faces; its id, by opgate's own API.
fn start(face: usize, to: SocketAddr, key: &str, to_where: &str) -> Result<String, String> {
    let input = json!({"to": to_where, "steps": 1, "compartmentId": COMPARTMENT});
    let name = match face {
        0 => {
            let runtime = Runtime::new().unwrap();
            let started = runtime.block_on(async {
                let client = grpc::Client::connect(to).await;
                client.start("/acme.v1.Compartments/Move", &input, key).await
            });
            started.map_err(|refused| format!("{:?}", refused.code()))?.name
        }
        1 => {
            let path = format!("/20160918/compartments/{COMPARTMENT}/actions/move");
            // The path has the rest.
            let body = json!({"steps": 1.0, "to": to_where}).to_string();
            let token = format!("opc-retry-token: {key}");
            let reply = raw(to, "POST", &path, &[JSON, &token], body.as_bytes());
            let started = reply.header("opc-work-request-id").map(str::to_owned);
            started.ok_or_else(|| reply.json()["code"].to_string())?
        }
        2 => {
            let id = format!("Nexus-Request-Id: {key}");
            let body = input.to_string();
            let reply = raw(to, "POST", "/nexus/identity/MOVE", &[JSON, &id], body.as_bytes());
            match reply.status {
                201 => reply.json()["token"].as_str().unwrap().to_owned(),
                status => return Err(status.to_string()),
            }
        }
        _ => {
            let body = json!({"route": "move", "requestId": key, "input": {"json": input}});
            let body = body.to_string();
            let reply = raw(to, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
            match reply.status {
                200 => reply.json()["id"].as_str().unwrap().to_owned(),
                status => return Err(status.to_string()),
            }
        }
    };
    let shown = raw(to, "GET", &format!("/opgate/v1/operations/{name}"), &[], b"");
    assert_eq!(shown.status, 200, "{name}: {}", shown.head);
    Ok(shown.json()["id"].as_str().unwrap().to_owned())
}

/// Operations that a daemon has.
fn all(daemon: &Daemon) -> Vec<Value> {
    let listed = raw(daemon.http, "GET", "/opgate/v1/operations?pageSize=1000", &[], b"").json();
    listed["operations"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_storm_over_four_faces_with_one_key_starts_the_upstream_once() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).config(BACK).start();
    let front = Launch::new(dirs[1].path()).config(&front(back.http, true)).start();
    let together = Barrier::new(64);
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..64)
            .map(|index| {
                let (to, together) = (front.http, &together);
                scope.spawn(move || {
                    together.wait();
                    start(index % 4, to, "storm", "a").unwrap()
                })
            })
            .collect();
        started.into_iter().map(|started| started.join().unwrap()).collect()
    });
    let [id] = &*ids.into_iter().collect::<Vec<_>>() else { panic!("more than one") };
    let cancel = format!("/opgate/v1/operations/{id}:cancel");
    assert_eq!(raw(front.http, "POST", &cancel, &[JSON], b"{}").status, 200);
    let wait = format!("/opgate/v1/operations/{id}:wait?timeout=60s");
    assert_eq!(raw(front.http, "GET", &wait, &[], b"").json()["state"], "CANCELED");
    assert_eq!((all(&front).len(), all(&back).len()), (1, 1));
}

#[test]
fn another_input_under_the_key_is_refused_in_each_faces_words() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).config(BACK).start();
    let front = Launch::new(dirs[1].path()).config(&front(back.http, true)).start();
    start(0, front.http, "k", "a").unwrap();
    let refused = [0, 1, 2, 3].map(|face| start(face, front.http, "k", "b").unwrap_err());
    assert_eq!(refused, ["AlreadyExists", "\"InvalidatedRetryToken\"", "409", "409"]);
    assert_eq!(all(&front).len(), 1);
}

#[test]
fn without_the_routes_word_each_face_has_its_own_keys() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).config(BACK).start();
    let front = Launch::new(dirs[1].path()).config(&front(back.http, false)).start();
    let ids: BTreeSet<String> =
        (0..8).map(|index| start(index % 4, front.http, "k", "a").unwrap()).collect();
    assert_eq!(ids.len(), 4);
}
