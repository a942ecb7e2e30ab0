//! Operations that came through different protocols and share one job: of an OCI API, which the test plays, or of workers.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faces::{JSON, Reply, raw};
use crate::grpc::Client;
use crate::process::{Daemon, Launch, PATIENCE};
use crate::upstream::{Call, Upstream};

/// A route with doors for Google's clients and for OCI's; Nexus and opgate's own API have theirs anyway.
fn launch(dir: &Path, upstream: &Upstream) -> Launch {
    let config = format!(
        r#"
[backends.up]
kind = "oci"
concurrency = 10
endpoint = "http://{}"
signing = "none"
timeout = "60s"
poll_first = "10ms"
poll_longest = "20ms"

[routes.build]
service = "builds"
operation = "build"
backend = "up"
share = "${{/digest}}"
[routes.build.grpc]
method = "acme.v1.Builds/Build"
request_type = "google.protobuf.Struct"
input = "json"
response_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
[routes.build.oci]
request = "POST /builds"
body = {{ digest = "${{/digest}}" }}
dialect = "identity"
work_requests = "/workRequests"
cancel = true
"#,
        upstream.address
    );
    Launch::new(dir).config(&config)
}

/// Starts a build over Nexus; its token.
fn over_nexus(daemon: &Daemon, key: &str) -> String {
    let request = format!("Nexus-Request-Id: {key}");
    let body = json!({"digest": "d", "for": key}).to_string();
    let reply = raw(daemon.http, "POST", "/nexus/builds/build", &[JSON, &request], body.as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.head);
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// Starts a build over gRPC; its name.
async fn over_grpc(daemon: &Daemon, key: &str) -> String {
    let client = Client::connect(daemon.http).await;
    let input = json!({"digest": "d", "for": key});
    client.start("/acme.v1.Builds/Build", &input, key).await.unwrap().name
}

fn shown(daemon: &Daemon, name: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{name}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

fn canceled_over_nexus(daemon: &Daemon, token: &str) {
    let header = format!("Nexus-Operation-Token: {token}");
    let reply = raw(daemon.http, "POST", "/nexus/builds/build/cancel", &[&header], b"");
    assert_eq!(reply.status, 202, "{}", reply.head);
}

fn result(daemon: &Daemon, token: &str) -> Reply {
    raw(daemon.http, "GET", &format!("/nexus/builds/build/{token}/result?wait=60s"), &[], b"")
}

fn is_look(call: &Call) -> bool {
    call.is("GET /workRequests/w")
}

/// Answers looks until `holds`; nothing but looks may come.
fn look_until(upstream: &Upstream, work_request: &Value, holds: impl Fn() -> bool) {
    let ends = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < ends);
        // There are no more once it has ended.
        let Ok(look) = upstream.calls.recv_timeout(Duration::from_millis(20)) else { continue };
        assert!(is_look(&look), "{}", look.head);
        look.show(work_request);
    }
}

/// Answers the start, which must come next.
fn begin(upstream: &Upstream) -> String {
    let call = upstream.expect("POST /builds");
    let token = call.header("opc-retry-token").unwrap().to_owned();
    call.answer("202 Accepted", "opc-work-request-id: w\r\n", "");
    token
}

#[tokio::test]
async fn two_protocols_wait_for_one_job_and_one_of_them_may_leave() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = launch(dir.path(), &upstream).start();
    let by_grpc = over_grpc(&daemon, "g").await;
    // Nobody knows yet whether it was begun when the others come; the same start again is the same operation.
    let start = upstream.expect("POST /builds");
    let by_nexus = over_nexus(&daemon, "n");
    assert_eq!(by_grpc, over_grpc(&daemon, "g").await);
    let ids = [&by_grpc, &by_nexus].map(|name| shown(&daemon, name)["id"].clone());
    assert_ne!(ids[0], ids[1]);
    let token = start.header("opc-retry-token").unwrap().to_owned();
    assert!(!ids.contains(&json!(token)), "the job has an id of its own");
    // Killed over it: it is sent again as the same start, once, and both still wait for it.
    let daemon = daemon.crash();
    drop(start);
    assert_eq!(begin(&upstream), token);
    let running = json!({"status": "IN_PROGRESS", "percentComplete": 40, "logs": [
        {"message": "compiling", "timestamp": "2026-01-02T03:04:05.678Z"}]});
    look_until(&upstream, &running, || {
        [&by_grpc, &by_nexus].iter().all(|name| {
            let now = shown(&daemon, name);
            now["progress"]["percent"] == 40.0 && now["log"][0]["message"] == "compiling"
        })
    });

    // Who leaves is canceled at once, and nothing of that is told upstream, now or after a crash.
    let client = Client::connect(daemon.http).await;
    client.cancel(&by_grpc).await.unwrap();
    assert_eq!(client.get(&by_grpc).await.unwrap().error.unwrap().code, 1);
    let daemon = daemon.crash();
    let third = over_nexus(&daemon, "later");
    look_until(&upstream, &running, || shown(&daemon, &third)["progress"]["percent"] == 40.0);
    let done = json!({"status": "SUCCEEDED", "percentComplete": 100});
    look_until(&upstream, &done, || shown(&daemon, &third)["done"] == true);
    for token in [&by_nexus, &third] {
        let reply = result(&daemon, token);
        assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("SUCCEEDED")));
    }
    assert_eq!(shown(&daemon, &by_grpc)["state"], "CANCELED");
    let listed = raw(daemon.http, "GET", "/opgate/v1/operations", &[], b"").json();
    assert_eq!(listed["operations"].as_array().unwrap().len(), 3, "nobody sees the job: {listed}");
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(upstream.rest().iter().all(is_look));
}

#[tokio::test]
async fn the_last_who_leaves_has_it_canceled_whatever_was_between() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let daemon = launch(dir.path(), &upstream).start();
    let by_grpc = over_grpc(&daemon, "g").await;
    begin(&upstream);
    let by_nexus = over_nexus(&daemon, "n");
    let running = json!({"status": "IN_PROGRESS"});
    look_until(&upstream, &running, || shown(&daemon, &by_nexus)["nativeState"] == "IN_PROGRESS");
    canceled_over_nexus(&daemon, &by_nexus);
    assert_eq!(result(&daemon, &by_nexus).status, 424);
    let daemon = daemon.crash();
    // A few looks of the next process, and nothing else.
    for _ in 0..3 {
        let look = upstream.call();
        assert!(is_look(&look), "{}", look.head);
        look.show(&running);
    }
    // A deletion is leaving, too.
    Client::connect(daemon.http).await.delete(&by_grpc).await.unwrap();
    let mut cancels = 0;
    while cancels == 0 {
        let call = upstream.call();
        if is_look(&call) {
            call.show(&running);
        } else {
            assert!(call.is("DELETE /workRequests/w"), "{}", call.head);
            cancels += 1;
            call.answer("202 Accepted", "", "");
        }
    }
    // Who comes now has a job of its own, while the other comes to its end.
    let fresh = over_nexus(&daemon, "fresh");
    let mut begun = false;
    while !begun {
        let call = upstream.call();
        if is_look(&call) {
            call.show(&json!({"status": "CANCELED"}));
        } else {
            assert!(call.is("POST /builds"), "{}", call.head);
            call.answer("202 Accepted", "opc-work-request-id: w2\r\n", "");
            begun = true;
        }
    }
    loop {
        let call = upstream.call();
        if call.is("GET /workRequests/w2") {
            call.show(&json!({"status": "SUCCEEDED"}));
            break;
        }
        assert!(is_look(&call), "{}", call.head);
        call.show(&json!({"status": "CANCELED"}));
    }
    assert_eq!(result(&daemon, &fresh).status, 200);
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(upstream.rest().iter().all(is_look));
}

/// A route whose work is shared and done by workers.
const CREW: &str = r#"
[backends.crew]
kind = "worker"
concurrency = 10
[routes.build]
service = "builds"
operation = "build"
backend = "crew"
share = "${/digest}"
[routes.build.worker]
queue = "builds"
"#;

/// A daemon with workers whose work is shared.
struct Crew {
    daemon: Daemon,
    _dir: tempfile::TempDir,
}

impl Crew {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Launch::new(dir.path()).config(CREW).start();
        Self { daemon, _dir: dir }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let reply = raw(self.daemon.http, "POST", path, &[JSON], body.as_bytes());
        assert_eq!(reply.status, 200, "{path}: {}", reply.json());
        reply.json()
    }

    /// Starts a build; its id.
    fn begin(&self, timeout: &str) -> String {
        let start =
            json!({"route": "build", "input": {"json": {"digest": "d"}}, "timeout": timeout});
        self.post("/opgate/v1/operations", &start)["id"].as_str().unwrap().to_owned()
    }

    fn leases(&self) -> Vec<Value> {
        let ask = json!({"wait": "0s", "max": 10});
        let answer = self.post("/opgate/v1/queues/builds:lease", &ask);
        answer["leases"].as_array().cloned().unwrap_or_default()
    }

    /// The one lease that there is.
    fn lease(&self) -> String {
        let leases = self.leases();
        assert_eq!(leases.len(), 1, "{leases:?}");
        leases[0]["lease"].as_str().unwrap().to_owned()
    }

    fn report(&self, lease: &str, report: &Value) -> Value {
        self.post(&format!("/opgate/v1/leases/{lease}:report"), report)
    }

    fn awaits(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let ends = Instant::now() + PATIENCE;
        loop {
            let now = shown(&self.daemon, id);
            if holds(&now) {
                return now;
            }
            assert!(Instant::now() < ends, "{now}");
        }
    }
}

#[test]
fn a_worker_does_it_once_for_all_who_stay() {
    let crew = Crew::start();
    let ids = ["3600s", "4s", "3600s"].map(|timeout| crew.begin(timeout));
    let [stays, late, leaves] = &ids;
    let lease = crew.lease();
    crew.report(&lease, &json!({"progress": {"percent": 40}}));
    for id in [stays, leaves] {
        crew.awaits(id, |now| now["progress"]["percent"] == 40.0);
    }
    crew.post(&format!("/opgate/v1/operations/{leaves}:cancel"), &json!({}));
    assert_eq!(shown(&crew.daemon, leaves)["state"], "CANCELED");
    let ended = crew.awaits(late, |now| now["done"] == true);
    assert_eq!(
        (&ended["state"], &ended["error"]["reason"]),
        (&json!("FAILED"), &json!("deadline"))
    );
    // It has heard of neither, and there is nothing else for anybody.
    let held = crew.report(&lease, &json!({"progress": {"percent": 60}}));
    assert_ne!(held["cancelRequested"], true, "{held}");
    assert!(crew.leases().is_empty());
    let finish = json!({"outcome": {"succeeded": {"json": {"built": "d"}}}});
    crew.post(&format!("/opgate/v1/leases/{lease}:finish"), &finish);
    let done = crew.awaits(stays, |now| now["done"] == true);
    assert_eq!(done["result"]["json"], json!({"built": "d"}), "{done}");
    assert_eq!(crew.daemon.terminate().code(), Some(0));
}

#[test]
fn a_worker_hears_of_it_when_the_last_has_left() {
    let crew = Crew::start();
    let (canceled, late) = (crew.begin("3600s"), crew.begin("4s"));
    let lease = crew.lease();
    crew.post(&format!("/opgate/v1/operations/{canceled}:cancel"), &json!({}));
    let told = |held: &Value| held["cancelRequested"] == true;
    assert!(!told(&crew.report(&lease, &json!({}))));
    crew.awaits(&late, |now| now["done"] == true);
    assert!(told(&crew.report(&lease, &json!({}))));
    // Who comes now shares nothing with what is on its end.
    let fresh = crew.begin("3600s");
    assert_ne!(crew.lease(), lease);
    crew.report(&lease, &json!({"acceptCancel": true}));
    crew.post(&format!("/opgate/v1/leases/{lease}:finish"), &json!({"outcome": {"canceled": {}}}));
    assert_ne!(shown(&crew.daemon, &fresh)["done"], true);
    assert_eq!(crew.daemon.terminate().code(), Some(0));
}
