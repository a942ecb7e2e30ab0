//! How upstreams are called that are slow, dead or back again: played by the test, by the settings of all kinds.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch};
use crate::upstream::{Call, Upstream};

/// A backend of OCI's kind and a route to it, both of this name.
fn to(name: &str, upstream: SocketAddr, keys: &str, route: &str) -> String {
    format!(
        r#"
[backends.{name}]
kind = "oci"
concurrency = 1000
endpoint = "http://{upstream}"
signing = "none"
poll_first = "1ms"
poll_longest = "10ms"
{keys}
[routes.{name}]
service = "things"
operation = "{name}"
backend = "{name}"
{route}
[routes.{name}.oci]
request = "POST /{name}"
dialect = "identity"
work_requests = "/workRequests"
"#
    )
}

fn start(daemon: &Daemon, route: &str) -> String {
    let body = json!({"route": route, "input": {"json": {}}}).to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn shown(daemon: &Daemon, id: &str, verb: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations/{id}{verb}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

fn ended(daemon: &Daemon, id: &str) -> Value {
    shown(daemon, id, ":wait?timeout=60s")
}

/// An API that has done all there is to do at once.
fn done(call: Call) {
    call.show(&json!({}));
}

fn unavailable(call: Call) {
    call.answer("503 Service Unavailable", "", "");
}

#[test]
fn an_upstream_that_never_answers_holds_up_no_other() {
    let (mute, well) = (Upstream::start(), Upstream::start());
    // It takes connections, and reads nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = [
        to("mute", mute.address, "timeout = \"60s\"", ""),
        to("deaf", deaf.local_addr().unwrap(), "timeout = \"60s\"", ""),
        to("well", well.address, "", ""),
    ];
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(&config.concat()).start();
    let waiting: Vec<String> = (0..200)
        .map(|number| start(&daemon, if number % 2 == 0 { "mute" } else { "deaf" }))
        .collect();
    let held: Vec<Call> = (0..100).map(|_| mute.expect("POST /mute")).collect();
    // All of theirs is under way, and none of it answered.
    for _ in 0..20 {
        let id = start(&daemon, "well");
        done(well.expect("POST /well"));
        assert_eq!(ended(&daemon, &id)["state"], "SUCCEEDED");
    }
    for id in &waiting {
        assert_ne!(shown(&daemon, id, "")["done"], true);
    }
    drop(held);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn an_upstream_that_is_down_is_left_alone_until_one_call_finds_it_back() {
    let (upstream, dir) = (Upstream::start(), tempfile::tempdir().unwrap());
    let keys = "breaker = 3\nbreaker_pause = \"10ms\"\nbreaker_longest = \"50ms\"\nretry_first = \"10ms\"\n\
                retry_longest = \"50ms\"\nretry_attempts = 4";
    let config = to("up", upstream.address, keys, "");
    let daemon = Launch::new(dir.path()).config(&config).start();
    let first = start(&daemon, "up");
    for _ in 0..3 {
        unavailable(upstream.expect("POST /up"));
    }
    daemon.await_metric("opgate_backend_breaker_opened_total{backend=\"up\"} 1");
    // One call at a time from here on, however many wait; and nobody's attempts are used up by them.
    let others: Vec<String> = (0..20).map(|_| start(&daemon, "up")).collect();
    for _ in 0..10 {
        let probe = upstream.expect("POST /up");
        daemon.await_metric("opgate_backend_breaker{backend=\"up\"} 1");
        let waiting = others.iter().filter(|id| shown(&daemon, id, "")["state"] == "ACCEPTED");
        assert!(waiting.count() >= 9, "they are not held back");
        assert!(upstream.calls.try_recv().is_err(), "it is not left alone");
        unavailable(probe);
    }
    for id in others.iter().chain([&first]) {
        assert_ne!(shown(&daemon, id, "")["done"], true);
    }
    done(upstream.expect("POST /up"));
    daemon.await_metric("opgate_backend_breaker{backend=\"up\"} 0");
    for _ in 0..others.len() {
        done(upstream.expect("POST /up"));
    }
    for id in others.iter().chain([&first]) {
        assert_eq!(ended(&daemon, id)["state"], "SUCCEEDED");
    }
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(upstream.rest().is_empty());
}

#[test]
fn what_is_held_back_is_pending_until_its_own_deadline() {
    let (upstream, dir) = (Upstream::start(), tempfile::tempdir().unwrap());
    let keys = "breaker = 1\nbreaker_pause = \"1h\"\nbreaker_longest = \"1h\"\nretry_attempts = 1";
    let config = to("up", upstream.address, keys, "timeout = \"10s\"");
    let daemon = Launch::new(dir.path()).config(&config).start();
    let first = start(&daemon, "up");
    unavailable(upstream.expect("POST /up"));
    daemon.await_metric("opgate_backend_breaker{backend=\"up\"} 2");
    let second = start(&daemon, "up");
    let canceled = start(&daemon, "up");
    assert_eq!(shown(&daemon, &second, "")["state"], "ACCEPTED");
    // What was never sent is canceled at once.
    let path = format!("/opgate/v1/operations/{canceled}:cancel");
    assert_eq!(raw(daemon.http, "POST", &path, &[JSON], b"{}").status, 200);
    assert_eq!(ended(&daemon, &canceled)["state"], "CANCELED");
    for id in [&first, &second] {
        let ended = ended(&daemon, id);
        assert_eq!(ended["error"]["reason"], "deadline", "{ended}");
    }
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(upstream.rest().is_empty());
}

#[test]
fn looks_and_cancels_wait_as_well_and_go_on_as_if_nothing_had_been() {
    let (upstream, dir) = (Upstream::start(), tempfile::tempdir().unwrap());
    let keys = "breaker = 1\nbreaker_pause = \"10ms\"\nbreaker_longest = \"20ms\"\nretry_first = \"10ms\"\n\
                retry_longest = \"10ms\"\nretry_attempts = 2";
    let config = to("up", upstream.address, keys, "");
    let config = format!("{config}cancel = true\n");
    let daemon = Launch::new(dir.path()).config(&config).start();
    let id = start(&daemon, "up");
    let named = "opc-work-request-id: ocid1.workrequest.oc1..w\r\n";
    upstream.expect("POST /up").answer("202 Accepted", named, "");
    unavailable(upstream.expect_any("GET /workRequests/ocid1.workrequest.oc1..w"));
    let path = format!("/opgate/v1/operations/{id}:cancel");
    assert_eq!(raw(daemon.http, "POST", &path, &[JSON], b"{}").status, 200);
    // More often than a cancel is tried at all.
    let mut refused = 0;
    while refused < 6 {
        let call = upstream.call();
        refused += usize::from(call.head.starts_with("DELETE "));
        unavailable(call);
    }
    let look = "GET /workRequests/ocid1.workrequest.oc1..w";
    let mut taken = false;
    loop {
        let call = upstream.call();
        if !call.is(look) {
            taken = true;
            call.answer("202 Accepted", "", "");
        } else if taken {
            call.show(&json!({"status": "CANCELED"}));
            break;
        } else {
            call.show(&json!({"status": "IN_PROGRESS"}));
        }
    }
    let ended = ended(&daemon, &id);
    assert_eq!(
        (&ended["state"], &ended["cancel"]["delivery"]),
        (&json!("CANCELED"), &json!("acked"))
    );
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn the_rate_is_kept() {
    const CALLS: u32 = 60;
    let (upstream, dir) = (Upstream::start(), tempfile::tempdir().unwrap());
    let config = to("up", upstream.address, "rate = \"50/s\"\nburst = 10", "");
    let daemon = Launch::new(dir.path()).config(&config).start();
    let began = Instant::now();
    let ids: Vec<String> = (0..CALLS).map(|_| start(&daemon, "up")).collect();
    let mut came = Vec::new();
    for _ in 0..CALLS {
        done(upstream.expect("POST /up"));
        came.push(began.elapsed());
    }
    for id in &ids {
        assert_eq!(ended(&daemon, id)["state"], "SUCCEEDED");
    }
    // All but the burst, a fiftieth of a second each; what comes late here was not made early.
    let least = Duration::from_secs(1) / 50 * (CALLS - 10);
    assert!(*came.last().unwrap() >= least, "{came:?}");
    assert_eq!(daemon.terminate().code(), Some(0));
}
