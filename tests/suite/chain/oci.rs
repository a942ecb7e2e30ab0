//! One daemon calls the OCI face of another, signed.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use opgate_native::client::{Operation, State};
use serde_json::{Value, json};

use super::{Client, data};
use crate::grpc;
use crate::process::{Daemon, Launch};

/// The key pair of the one who calls, in PEM.
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/protocols/oci/tests/keys/user.pkcs8.pem");
const PUBLIC: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/protocols/oci/tests/keys/user.public.pem");

const COMPARTMENT: &str = "ocid1.compartment.oc1..c";

/// The daemon at the end, which lets in who signs.
fn back(dir: &Path) -> Daemon {
    let config = format!(
        r#"
[oci]
signatures = "required"
[oci.tenancies.main]
id = "ocid1.tenancy.oc1..main"
tenant = "default"
[oci.users.front]
tenancy = "main"
id = "ocid1.user.oc1..front"
key_files = ["{PUBLIC}"]
[oci.services.container-engine]
path = "/20180222"
dialect = "container-engine"

[routes.move]
service = "identity"
operation = "MOVE_COMPARTMENT"
backend = "showcase"
[routes.move.http]
request = "POST /20160918/compartments/{{compartmentId}}/actions/moveCompartment"
reply = "oci"
[[routes.move.resources]]
entity_type = "compartment"
action = "UPDATED"
identifier = "${{/compartmentId}}"
uri = "/20160918/compartments/${{/compartmentId}}"
[routes.move.showcase]
duration = "5s"
steps = 4

[routes.refuse]
service = "identity"
operation = "REFUSE"
backend = "showcase"
[routes.refuse.http]
request = "DELETE /20160918/refused/{{compartmentId}}"
reply = "oci"
[routes.refuse.showcase]
duration = "50ms"
outcome = "failed"
code = "FAILED_PRECONDITION"
message = "the compartment is not empty"

[routes.create-cluster]
service = "container-engine"
operation = "CLUSTER_CREATE"
backend = "showcase"
[routes.create-cluster.http]
request = "POST /20180222/clusters"
reply = "oci"
[[routes.create-cluster.resources]]
entity_type = "cluster"
action = "CREATED"
identifier = "ocid1.cluster.oc1..${{id}}"
uri = "/20180222/clusters/ocid1.cluster.oc1..${{id}}"
[routes.create-cluster.showcase]
hold = true
"#
    );
    Launch::new(dir).config(&config).start()
}

/// A daemon whose operations are calls of another's OCI face, started natively or by Google's clients.
fn front(dir: &Path, upstream: SocketAddr) -> Daemon {
    let config = format!(
        r#"
[backends.up]
kind = "oci"
concurrency = 100
endpoint = "http://{upstream}"
tenancy = "ocid1.tenancy.oc1..main"
user = "ocid1.user.oc1..front"
key_file = "{KEY}"
poll_first = "50ms"
poll_longest = "100ms"

[routes.move]
service = "ours"
operation = "move"
backend = "up"
[routes.move.grpc]
method = "ours.v1.Compartments/Move"
request_type = "google.protobuf.Struct"
response_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
input = "json"
[routes.move.oci]
request = "POST /20160918/compartments/{{compartmentId}}/actions/moveCompartment"
body = {{ targetCompartmentId = "${{/target}}" }}
work_requests = "/20160918/workRequests"
dialect = "identity"

[routes.refused]
service = "ours"
operation = "refused"
backend = "up"
[routes.refused.oci]
request = "DELETE /20160918/refused/{{compartmentId}}"
work_requests = "/20160918/workRequests"
dialect = "identity"

[routes.cluster]
service = "ours"
operation = "cluster"
backend = "up"
[routes.cluster.oci]
request = "POST /20180222/clusters"
body = {{ compartmentId = "${{/compartmentId}}", name = "c" }}
work_requests = "/20180222/workRequests"
dialect = "container-engine"
"#
    );
    Launch::new(dir).config(&config).start()
}

fn target() -> Value {
    json!({"compartmentId": COMPARTMENT, "target": "ocid1.compartment.oc1..t"})
}

#[test]
fn a_success_comes_back_with_its_progress_logs_and_resources() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = back(dirs[0].path());
    let front = front(dirs[1].path(), back.http);
    let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));
    let id = client.start("move", &target().to_string());
    // While it runs, what is reported there is seen here.
    client.until(&id, |now| {
        now.progress.as_ref().is_some_and(|progress| progress.percent() > 0.0) && !now.done
    });
    let ended = client.ended(&id);
    assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}\n{}", front.log(), back.log());
    let result: Value = serde_json::from_str(&data(ended.result.as_ref())).unwrap();
    assert_eq!(
        (&result["status"], &result["percentComplete"]),
        (&json!("SUCCEEDED"), &json!(100.0))
    );
    let lines: Vec<&str> = ended.log.iter().map(|entry| &*entry.message).collect();
    assert_eq!(lines, ["step 1 of 4", "step 2 of 4", "step 3 of 4", "step 4 of 4"]);
    let [resource] = &*ended.resources else { panic!("{ended:?}") };
    assert_eq!((&*resource.action, &*resource.identifier), ("UPDATED", COMPARTMENT));
    let [carried] = &*upstream.all() else { panic!("{}", back.log()) };
    assert_eq!(carried.parent, COMPARTMENT);
    assert_eq!(carried.origin.as_ref().unwrap().face, "oci");
    assert_eq!(result["id"], carried.names["oci"]);
}

#[tokio::test]
async fn googles_client_starts_and_awaits_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = back(dirs[0].path());
    let front = front(dirs[1].path(), back.http);
    let client = grpc::Client::connect(front.http).await;
    let started =
        client.start_beneath("projects/p", "/ours.v1.Compartments/Move", &target()).await.unwrap();
    assert!(!started.done);
    let done = client.wait(&started.name, Duration::from_mins(1)).await.unwrap();
    assert!(done.done && done.error.is_none(), "{done:?}\n{}\n{}", front.log(), back.log());
    assert_eq!(done.metadata()["progress"]["percent"], json!(100.0));
}

#[test]
fn a_failure_comes_back_with_its_text() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = back(dirs[0].path());
    let front = front(dirs[1].path(), back.http);
    let mut client = Client::of(&front);
    let id = client.start("refused", &target().to_string());
    let ended = client.ended(&id);
    assert_eq!(ended.state(), State::Failed, "{ended:?}");
    let error = ended.error.unwrap();
    assert!(error.message.contains("the compartment is not empty"), "{error:?}");
}

#[test]
fn a_cancel_goes_there_and_its_end_comes_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = back(dirs[0].path());
    let front = front(dirs[1].path(), back.http);
    let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));
    let id = client.start("cluster", &target().to_string());
    client.until(&id, |now| now.native_state == "IN_PROGRESS");
    client.cancel(&id);
    assert_eq!(client.ended(&id).state(), State::Canceled);
    let states: Vec<State> = upstream.all().iter().map(Operation::state).collect();
    assert_eq!(states, [State::Canceled]);
}

#[test]
fn a_daemon_killed_in_between_starts_nothing_twice() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = back(dirs[0].path());
    let mut front = front(dirs[1].path(), back.http);
    let mut ids = Vec::new();
    // Each time some have been called for, some have not, and some are on their way.
    for round in 0..3 {
        let mut client = Client::of(&front);
        ids.extend((0..4).map(|_| client.start("move", &target().to_string())));
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
    assert!(carried.iter().all(|carried| carried.state() == State::Succeeded));
}

#[test]
fn who_is_not_let_in_there_fails_here_and_says_why() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).set("oci.signatures=required").start();
    let front = front(dirs[1].path(), back.http);
    let mut client = Client::of(&front);
    let id = client.start("move", &target().to_string());
    let ended = client.ended(&id);
    assert_eq!(ended.state(), State::Failed);
    let error = ended.error.unwrap();
    assert_eq!(&*error.code, "UNAUTHENTICATED", "{error:?}");
    assert!(Client::of(&back).all().is_empty());
}
