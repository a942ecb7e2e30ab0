//! One daemon calls the management node of another.

mod faults;
mod node;
mod users;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use opgate_native::client::{Operation, State};
use serde_json::json;

use super::{Client, data};
use crate::grpc;
use crate::process::{Daemon, Launch};

/// A daemon whose operations are the showcase's of another, started natively or by Google's clients.
fn front(dir: &Path, upstream: SocketAddr) -> Daemon {
    let config = format!(
        r#"
[backends.up]
kind = "amqp"
concurrency = 100
endpoint = "amqp://{upstream}"
poll_first = "50ms"
poll_longest = "100ms"

[routes.do]
service = "ours"
operation = "do"
backend = "up"
[routes.do.grpc]
method = "ours.v1.Things/Do"
request_type = "google.protobuf.Struct"
response_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
input = "json"
[routes.do.amqp_call]
operation = "CREATE"
type = "org.opgate.operation"
body = {{ service = "showcase", operation = "run", input = "${{}}" }}
completion = "poll"
idempotent = true

# A request that must not come twice, and whose reply is its end.
[routes.read]
service = "ours"
operation = "read"
backend = "up"
[routes.read.amqp_call]
operation = "READ"
type = "org.opgate.operation"
identity = "${{/id}}"
"#
    );
    Launch::new(dir).config(&config).start()
}

#[test]
fn a_success_comes_back_with_its_progress() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.amqp);
    let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));
    let id = client.start("do", r#"{"duration": "5s", "steps": 4, "result": {"a": [1, "x"]}}"#);
    // While it runs, what is reported there is seen here.
    client.until(&id, |now| {
        now.progress.as_ref().is_some_and(|progress| progress.percent() > 0.0) && !now.done
    });
    let ended = client.ended(&id);
    assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}\n{}", front.log(), back.log());
    assert_eq!(data(ended.result.as_ref()), r#"{"a":[1,"x"]}"#);
    assert_eq!(ended.native_state, "SUCCEEDED");
    let [carried] = &*upstream.all() else { panic!("{}", back.log()) };
    assert_eq!(carried.origin.as_ref().unwrap().face, "amqp");
}

#[tokio::test]
async fn googles_client_starts_and_awaits_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.amqp);
    let client = grpc::Client::connect(front.http).await;
    let input = json!({"duration": "300ms", "steps": 2, "result": {"a": 1}});
    let started = client.start_beneath("projects/p", "/ours.v1.Things/Do", &input).await.unwrap();
    assert!(!started.done);
    let done = client.wait(&started.name, Duration::from_mins(1)).await.unwrap();
    assert!(done.done && done.error.is_none(), "{done:?}\n{}\n{}", front.log(), back.log());
}

#[test]
fn a_failure_comes_back_with_its_code_and_text() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.amqp);
    let mut client = Client::of(&front);
    let input = r#"{"duration": "50ms", "outcome": "failed", "code": 5, "message": "m"}"#;
    let id = client.start("do", input);
    let error = client.ended(&id).error.unwrap();
    assert_eq!((&*error.code, &*error.message), ("NOT_FOUND", "m"));
    // What is asked and not there is the end at once.
    let id = client.start("read", r#"{"id": "00000000000000000000000001"}"#);
    let error = client.ended(&id).error.unwrap();
    assert_eq!((&*error.code, &*error.reason), ("NOT_FOUND", "amqp:not-found"));
}

#[test]
fn a_cancel_goes_there_and_its_end_comes_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.amqp);
    let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));
    let id = client.start("do", r#"{"hold": true}"#);
    client.until(&id, |now| now.native_state == "RUNNING");
    client.cancel(&id);
    assert_eq!(client.ended(&id).state(), State::Canceled);
    let states: Vec<State> = upstream.all().iter().map(Operation::state).collect();
    assert_eq!(states, [State::Canceled]);
}

#[test]
fn a_daemon_in_front_that_is_killed_starts_nothing_twice() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let mut front = front(dirs[1].path(), back.amqp);
    let mut ids = Vec::new();
    // Each time some have been asked for, some have not, and some are on their way.
    for round in 0..3 {
        let mut client = Client::of(&front);
        ids.extend((0..4).map(|_| client.start("do", r#"{"duration": "300ms"}"#)));
        client.until(&ids[round * 4], |now| !now.native_state.is_empty());
        front = front.crash();
    }
    let mut client = Client::of(&front);
    for id in &ids {
        let ended = client.ended(id);
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}", front.log());
        assert!(ended.conflicts.is_empty());
    }
    let carried = Client::of(&back).all();
    assert_eq!(carried.len(), ids.len(), "{}", back.log());
}

#[test]
fn a_daemon_behind_that_is_killed_is_found_again() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let address = back.amqp;
    let front = front(dirs[1].path(), address);
    let mut client = Client::of(&front);
    let ids: Vec<String> =
        (0..4).map(|_| client.start("do", r#"{"duration": "500ms", "result": 1}"#)).collect();
    for id in &ids {
        client.until(id, |now| now.native_state == "RUNNING" || now.done);
    }
    back.kill();
    // Where it was before: the front knows no other place.
    let back = Launch::new(dirs[0].path()).set(&format!("amqp.listen={address}")).start();
    for id in &ids {
        let ended = client.ended(id);
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}", front.log());
        assert_eq!(data(ended.result.as_ref()), "1");
    }
    assert_eq!(Client::of(&back).all().len(), ids.len());
}
