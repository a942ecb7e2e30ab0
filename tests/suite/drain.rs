//! The orderly stop, as clients see it.

use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::grpc::{Client, ECHO, RUN};
use crate::process::{Launch, PATIENCE};

#[test]
fn a_wait_is_answered_and_the_operation_goes_on_in_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("wait.max=1h").set("drain.timeout=1h");
    let daemon = launch.start();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(daemon.http));
    let held = runtime.block_on(client.start(RUN, &json!({"hold": true}), "held")).unwrap();
    let name = held.name;
    let waiting = runtime.spawn({
        let (client, name) = (client.clone(), name.clone());
        async move { client.wait(&name, Duration::from_hours(1)).await }
    });
    daemon.await_metric("opgate_requests_in_flight{protocol=\"grpc\"} 1");
    let ended = daemon.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    let answered = runtime.block_on(waiting).unwrap().unwrap();
    assert_eq!((answered.name.as_str(), answered.done), (name.as_str(), false));

    let daemon = launch.start();
    let client = runtime.block_on(Client::connect(daemon.http));
    runtime.block_on(client.cancel(&name)).unwrap();
    let canceled = runtime.block_on(client.wait(&name, PATIENCE)).unwrap();
    assert_eq!(canceled.error.unwrap().code, 1);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn during_the_notice_it_serves_and_says_that_it_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).set("drain.notice=1h").start();
    assert_eq!(daemon.probe("/readyz").0, 200);
    daemon.signal("TERM");
    daemon.await_message("draining");
    // The line comes just before.
    daemon.await_metric("opgate_draining 1");
    let (status, said) = daemon.probe("/readyz");
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("traffic: draining"), "{said}");
    assert_eq!(daemon.probe("/livez").0, 200);
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(daemon.http));
    assert!(runtime.block_on(client.start(ECHO, &json!({}), "late")).unwrap().done);
}

#[test]
fn during_the_notice_waits_are_held_whether_they_came_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let launch =
        Launch::new(dir.path()).set("wait.max=1h").set("drain.notice=1h").set("drain.timeout=1h");
    let daemon = launch.start();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(daemon.http));
    let held = runtime.block_on(client.start(RUN, &json!({"hold": true}), "held")).unwrap();
    let wait = || {
        let (client, name) = (client.clone(), held.name.clone());
        runtime.spawn(async move { client.wait(&name, Duration::from_hours(1)).await })
    };
    let early = wait();
    daemon.await_metric("opgate_watchers{protocol=\"grpc\"} 1");
    daemon.signal("TERM");
    daemon.await_message("draining");
    daemon.await_metric("opgate_draining 1");
    let late = wait();
    // Held at the same time: a wait that is answered at once leaves one.
    daemon.await_metric("opgate_watchers{protocol=\"grpc\"} 2");
    assert!(!early.is_finished() && !late.is_finished());
    runtime.block_on(client.cancel(&held.name)).unwrap();
    for wait in [early, late] {
        assert!(runtime.block_on(wait).unwrap().unwrap().done);
    }
}

#[test]
fn a_stuck_client_does_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path())
        .set("drain.timeout=100ms")
        .set("http.head_timeout=1h")
        .set("http.body_timeout=1h")
        .start();
    // A request whose body never ends.
    let mut stuck = std::net::TcpStream::connect(daemon.http).unwrap();
    let head = "POST /opgate.showcase.v1.Showcase/Echo HTTP/1.1\r\nhost: opgate\r\n\
                content-type: application/grpc\r\ncontent-length: 9\r\n\r\n";
    std::io::Write::write_all(&mut stuck, head.as_bytes()).unwrap();
    daemon.await_metric("opgate_connections{listener=\"http\"} 1");
    let ended = daemon.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
}
