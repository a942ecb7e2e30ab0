//! One daemon calls the gRPC methods of another, and follows the operations that they return.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use opgate_native::client::{Operation, State};
use serde_json::json;

use super::{Client, data};
use crate::grpc;
use crate::process::{Daemon, Launch};

/// A daemon whose operations are the showcase's of another, started natively or by Google's clients.
fn front(dir: &Path, upstream: SocketAddr, more: &str) -> Daemon {
    let config = format!(
        r#"
[backends.up]
kind = "longrunning"
concurrency = 100
endpoint = "http://{upstream}"
poll_first = "50ms"
poll_longest = "100ms"
{more}

[routes.do]
service = "ours"
operation = "do"
backend = "up"
[routes.do.grpc]
method = "ours.v1.Things/Do"
request_type = "google.protobuf.Struct"
response_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
[routes.do.longrunning_call]
method = "opgate.showcase.v1.Showcase/Run"
result = "json"
idempotent = true

# A call that must not come twice.
[routes.refuse]
service = "ours"
operation = "refuse"
backend = "up"
[routes.refuse.longrunning_call]
method = "/opgate.showcase.v1.Showcase/Fail"
request = {{ code = "${{/code}}", message = "no ${{/what}}" }}
"#
    );
    Launch::new(dir).config(&config).start()
}

#[test]
fn a_success_comes_back_with_its_progress() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    for waits in ["", "waits = 0"] {
        let front = front(dirs[1].path(), back.http, waits);
        let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));
        let id = client.start("do", r#"{"duration": "5s", "steps": 4, "result": {"a": [1, "x"]}}"#);
        // While it runs, what is reported there is seen here.
        client.until(&id, |now| {
            now.progress.as_ref().is_some_and(|progress| progress.percent() > 0.0) && !now.done
        });
        let ended = client.ended(&id);
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}\n{}", front.log(), back.log());
        assert_eq!(data(ended.result.as_ref()), r#"{"a":[1,"x"]}"#);
        let carried = &upstream.all()[0];
        assert_eq!(carried.origin.as_ref().unwrap().face, "grpc");
    }
}

#[tokio::test]
async fn googles_client_starts_and_awaits_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.http, "");
    let client = grpc::Client::connect(front.http).await;
    let input = json!({"duration": "300ms", "steps": 2, "result": {"a": 1}});
    let started = client.start_beneath("projects/p", "/ours.v1.Things/Do", &input).await.unwrap();
    assert!(!started.done);
    let done = client.wait(&started.name, Duration::from_mins(1)).await.unwrap();
    assert!(done.done && done.error.is_none(), "{done:?}\n{}\n{}", front.log(), back.log());
    assert_eq!(done.metadata()["progress"]["percent"], json!(100.0));
    let refused = json!({"duration": "50ms", "outcome": "failed", "code": 5, "message": "m"});
    let started = client.start_beneath("projects/p", "/ours.v1.Things/Do", &refused).await.unwrap();
    let done = client.wait(&started.name, Duration::from_mins(1)).await.unwrap();
    let error = done.error.unwrap();
    assert_eq!((error.code, &*error.message), (5, "m"));
}

#[test]
fn a_failure_comes_back_with_its_code_text_and_details() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.http, "");
    let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));
    let id = client
        .start("do", r#"{"duration": "50ms", "outcome": "failed", "code": 9, "message": "m"}"#);
    let error = client.ended(&id).error.unwrap();
    let told = upstream.all()[0].error.clone().unwrap();
    assert_eq!((&*error.code, &*error.message), ("FAILED_PRECONDITION", "m"));
    assert_eq!((&*told.code, &*told.message), ("FAILED_PRECONDITION", "m"));
    // What the face there adds in standard details is taken apart again.
    assert_eq!((&error.details, &error.reason), (&told.details, &told.reason));
    assert_eq!((error.retryable, &error.cause), (told.retryable, &told.cause));
    // It ends at once there, and so it does here.
    let id = client.start("refuse", r#"{"code": 8, "what": "room"}"#);
    let error = client.ended(&id).error.unwrap();
    assert_eq!((&*error.code, &*error.message), ("RESOURCE_EXHAUSTED", "no room"));
}

#[test]
fn a_cancel_goes_there_and_its_end_comes_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).start();
    let front = front(dirs[1].path(), back.http, "");
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
    let mut front = front(dirs[1].path(), back.http, "");
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
    let address = back.http;
    let front = front(dirs[1].path(), address, "");
    let mut client = Client::of(&front);
    let ids: Vec<String> =
        (0..4).map(|_| client.start("do", r#"{"duration": "500ms", "result": 1}"#)).collect();
    for id in &ids {
        client.until(id, |now| now.native_state == "RUNNING" || now.done);
    }
    back.kill();
    // Where it was before: the front knows no other place.
    let back = Launch::new(dirs[0].path()).set(&format!("http.listen={address}")).start();
    for id in &ids {
        let ended = client.ended(id);
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}", front.log());
        assert_eq!(data(ended.result.as_ref()), "1");
    }
    assert_eq!(Client::of(&back).all().len(), ids.len());
}
