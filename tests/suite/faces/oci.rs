//! Work requests as operations of the other faces, and operations of the other faces as work requests.

use std::time::Instant;

use super::*;
use crate::grpc::RUN;

/// Compartments with an OCID of their own, and calls that take longer or fail.
const CONFIG: &str = r#"
[oci.compartments.projects]
id = "ocid1.compartment.oc1..projects"
parent = "projects/p"
[oci.services.container-engine]
path = "/20180222"
dialect = "container-engine"
[oci.services.identity-failing]
path = "/failing/20160918"
dialect = "identity"
[routes.failing]
service = "identity-failing"
operation = "DELETE_COMPARTMENT"
backend = "showcase"
[routes.failing.http]
request = "DELETE /failing/20160918/compartments/{compartmentId}"
reply = "oci"
[routes.failing.showcase]
duration = "50ms"
outcome = "failed"
code = "NOT_FOUND"
message = "no such scene"
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
identifier = "ocid1.cluster.oc1..${id}"
uri = "/20180222/clusters/ocid1.cluster.oc1..${id}"
[routes.create-cluster.showcase]
hold = true
"#;

const COMPARTMENT: &str = "ocid1.compartment.oc1..somewhere";
const SERVICE: &str = "/20160918/workRequests";

fn daemon(dir: &tempfile::TempDir) -> Daemon {
    Launch::new(dir.path()).config(CONFIG).start()
}

/// Sends a request that starts an operation; the OCID of its work request.
fn accepted(daemon: &Daemon, method: &str, path: &str, body: &str) -> String {
    let reply = raw(daemon.http, method, path, &[JSON], body.as_bytes());
    assert!(matches!(reply.status, 200..300), "{}", reply.head);
    reply.header("opc-work-request-id").unwrap().to_owned()
}

fn work_request(daemon: &Daemon, ocid: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("{SERVICE}/{ocid}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

/// The work requests of a compartment.
fn listed(daemon: &Daemon, compartment: &str) -> Vec<Value> {
    let compartment = compartment.replace('/', "%2F");
    let path = format!("{SERVICE}?compartmentId={compartment}");
    let reply = raw(daemon.http, "GET", &path, &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn what_oci_started_is_awaited_and_has_one_end_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir);
    let path = format!("/20160918/compartments/{COMPARTMENT}");
    let ocid = accepted(&daemon, "DELETE", &path, "");
    let shown = native(&daemon, &ocid);
    assert_eq!(shown["names"]["oci"], *ocid);
    assert_eq!(shown["origin"]["face"], "oci");
    assert_eq!(shown["parent"], COMPARTMENT);
    let name = shown["names"]["grpc"].as_str().unwrap();
    let token = shown["names"]["nexus"].as_str().unwrap();

    let grpc = Client::connect(daemon.http).await;
    let done = grpc.wait(name, Duration::from_mins(1)).await.unwrap();
    assert!(done.done && done.error.is_none(), "{done:?}");
    assert_eq!(rest(&daemon, name)["done"], true);
    let path = format!("/nexus/identity/DELETE_COMPARTMENT/{token}/result?wait=60s");
    let reply = raw(daemon.http, "GET", &path, &[], b"");
    assert!(matches!(reply.status, 200 | 204), "{}", reply.head);
    for name in [&*ocid, token, name] {
        assert_eq!(ops(&daemon, &["get", name])["names"]["oci"], *ocid);
    }
    let ended = work_request(&daemon, &ocid);
    assert_eq!(ended["status"], "SUCCEEDED");
    let reply = raw(daemon.http, "GET", &format!("/20180222/workRequests/{ocid}"), &[], b"");
    let shown = native(&daemon, &ocid);
    assert_eq!(shown["resources"][0]["identifier"], COMPARTMENT);
    assert_eq!(shown["resources"][0]["action"], "DELETED");
    let version = shown["version"].as_str().unwrap();
    assert!(reply.header("etag").unwrap().contains(version), "{}", reply.head);
}

#[tokio::test]
async fn what_other_faces_started_is_a_work_request_of_its_compartment() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir);
    let grpc = Client::connect(daemon.http).await;
    let play = json!({"duration": "50ms", "steps": 2, "result": {"answer": 42}});
    for (through, parent, compartment) in [
        ("grpc", "projects/p", "ocid1.compartment.oc1..projects"),
        ("rest", "projects/q/locations/l", "projects/q/locations/l"),
        ("native", COMPARTMENT, COMPARTMENT),
        ("nexus", "endpoints/e", "endpoints/e"),
    ] {
        let id = match through {
            "grpc" => grpc.start_beneath(parent, RUN, &play).await.unwrap().name,
            "rest" => {
                let path = format!("/v1/{parent}/workflows?workflowId=w");
                let play = r#"opgate-showcase: {"duration": "50ms", "steps": 2}"#;
                let reply = raw(daemon.http, "POST", &path, &[JSON, play], b"{}");
                reply.json()["name"].as_str().unwrap().to_owned()
            }
            "native" => {
                let start =
                    json!({"route": "showcase-run", "parent": parent, "input": {"json": play}});
                let body = start.to_string();
                let path = "/opgate/v1/operations";
                let reply = raw(daemon.http, "POST", path, &[JSON], body.as_bytes());
                assert_eq!(reply.status, 200, "{}", reply.head);
                reply.json()["id"].as_str().unwrap().to_owned()
            }
            _ => {
                let path = format!("/nexus/{parent}/services/showcase/run");
                let reply = raw(daemon.http, "POST", &path, &[JSON], play.to_string().as_bytes());
                reply.json()["token"].as_str().unwrap().to_owned()
            }
        };
        let ended = ops(&daemon, &["wait", &id]);
        let ocid = ended["names"]["oci"].as_str().unwrap();
        let all = listed(&daemon, compartment);
        let [one] = &*all else { panic!("{through}: {all:?}") };
        assert_eq!((&one["id"], &one["status"]), (&json!(ocid), &json!("SUCCEEDED")), "{through}");
        let one = work_request(&daemon, ocid);
        assert_eq!(one["compartmentId"], compartment, "{through}");
        assert_eq!(one["percentComplete"].as_f64(), Some(100.0));
        assert_eq!(one["resources"][0]["identifier"], ocid);
        let logs: Vec<&Value> =
            one["logs"].as_array().unwrap().iter().map(|entry| &entry["message"]).collect();
        assert_eq!(logs, ["step 1 of 2", "step 2 of 2"], "{through}");
    }
}

#[tokio::test]
async fn progress_is_one_number_on_every_face_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir);
    let grpc = Client::connect(daemon.http).await;
    let play = json!({"duration": "100ms", "steps": 1, "hold": true});
    let name = grpc.start_beneath(COMPARTMENT, RUN, &play).await.unwrap().name;
    // One step, and then it holds.
    let deadline = Instant::now() + PATIENCE;
    let shown = loop {
        let shown = native(&daemon, &name);
        if shown["progress"]["percent"] == 100.0 {
            break shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
    };
    let ocid = shown["names"]["oci"].as_str().unwrap();
    let running = work_request(&daemon, ocid);
    assert_eq!(running["status"], "IN_PROGRESS");
    // Full at the success only.
    assert!(running["percentComplete"].as_f64().unwrap() < 100.0, "{running}");
    assert_eq!(running["timeFinished"], Value::Null);
    assert_eq!(running["logs"][0]["message"], "step 1 of 1");
}

#[tokio::test]
async fn a_failure_has_one_code_and_one_text_on_every_face() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir);
    let path = format!("/failing/20160918/compartments/{COMPARTMENT}");
    let ocid = accepted(&daemon, "DELETE", &path, "");
    let names = native(&daemon, &ocid)["names"].clone();
    let (name, token) = (names["grpc"].as_str().unwrap(), names["nexus"].as_str().unwrap());
    let grpc = Client::connect(daemon.http).await;
    let error = grpc.wait(name, Duration::from_mins(1)).await.unwrap().error.unwrap();
    assert_eq!((error.code, &*error.message), (5, "no such scene"));
    let error = ops(&daemon, &["get", &ocid])["error"].clone();
    assert_eq!((&error["code"], &error["message"]), (&json!("NOT_FOUND"), &json!("no such scene")));
    let failed = work_request(&daemon, &ocid);
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["errors"].as_array().unwrap().len(), 1);
    assert_eq!(failed["errors"][0]["message"], "no such scene");
    assert!(failed["timeFinished"].is_string());
    assert_eq!(rest(&daemon, name)["error"]["code"], 5);
    let path = format!("/nexus/identity-failing/DELETE_COMPARTMENT/{token}/result?wait=60s");
    let reply = raw(daemon.http, "GET", &path, &[], b"");
    assert_eq!((reply.status, reply.header("nexus-operation-state")), (424, Some("failed")));
    assert_eq!(reply.json()["message"], "no such scene");
}

#[tokio::test]
async fn a_cancel_goes_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir);
    let grpc = Client::connect(daemon.http).await;

    let body = format!(r#"{{"compartmentId": "{COMPARTMENT}", "name": "c"}}"#);
    let ocid = accepted(&daemon, "POST", "/20180222/clusters", &body);
    let name = native(&daemon, &ocid)["names"]["grpc"].as_str().unwrap().to_owned();
    grpc.cancel(&name).await.unwrap();
    assert_eq!(grpc.wait(&name, Duration::from_mins(1)).await.unwrap().error.unwrap().code, 1);
    let canceled = work_request(&daemon, &ocid);
    assert_eq!(canceled["status"], "CANCELED");
    assert!(canceled["timeFinished"].is_string());

    let play = json!({"hold": true});
    let name = grpc.start_beneath(COMPARTMENT, RUN, &play).await.unwrap().name;
    let ocid = native(&daemon, &name)["names"]["oci"].as_str().unwrap().to_owned();
    let path = format!("/20180222/workRequests/{ocid}");
    let reply = raw(daemon.http, "DELETE", &path, &[], b"");
    assert!(matches!(reply.status, 200..300), "{}", reply.head);
    assert_eq!(grpc.wait(&name, Duration::from_mins(1)).await.unwrap().error.unwrap().code, 1);
    assert_eq!(native(&daemon, &name)["state"], "CANCELED");
}

#[test]
fn a_call_that_another_face_makes_lies_in_its_compartment_and_is_followed_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir);
    let body = json!({"compartmentId": COMPARTMENT}).to_string();
    let path = "/nexus/identity/DELETE_COMPARTMENT";
    let reply = raw(daemon.http, "POST", path, &[JSON], body.as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.head);
    let [found] = &*listed(&daemon, COMPARTMENT) else { panic!("not in its compartment") };
    assert_eq!(found["compartmentId"], COMPARTMENT);
    assert_eq!(found["resources"][0]["identifier"], COMPARTMENT);
    let ended = ops(&daemon, &["wait", found["id"].as_str().unwrap()]);
    let shown = rest(&daemon, ended["names"]["grpc"].as_str().unwrap());
    assert_eq!(shown["metadata"]["@type"], "type.googleapis.com/google.protobuf.Struct");
    let metadata = &shown["metadata"]["value"];
    assert_eq!(metadata["resources"][0]["identifier"], COMPARTMENT, "{shown}");
    assert_eq!(metadata["log"].as_array().unwrap().len(), 4, "{shown}");
}
