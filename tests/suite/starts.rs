//! Calls of OCI's that start work requests: those of the shipped defaults, and of the example.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch};

const EXAMPLE: &str = include_str!("../../config/examples/oci.toml");

/// The example with work that is seen to run.
fn slowly() -> String {
    let slowly = EXAMPLE.replace("duration = \"1s\"", "duration = \"5s\"");
    assert_ne!(slowly, EXAMPLE);
    slowly
}

/// Starts something; the OCID of its work request.
fn started(daemon: &Daemon, request: &str, body: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    let reply = raw(daemon.http, method, path, &[JSON], body.as_bytes());
    assert_eq!((reply.status, reply.body.len()), (202, 0), "{request}: {}", reply.head);
    reply.header("opc-work-request-id").unwrap().to_owned()
}

fn shown(address: SocketAddr, path: &str) -> Value {
    let reply = raw(address, "GET", path, &[], b"");
    assert_eq!(reply.status, 200, "{path}: {}", reply.head);
    reply.json()
}

/// The work request when opgate's own API has told of its end.
fn ended(daemon: &Daemon, collection: &str, ocid: &str) -> Value {
    let wait = format!("/opgate/v1/operations/{ocid}:wait?timeout=30s");
    let operation = shown(daemon.http, &wait);
    assert_eq!(operation["state"], "SUCCEEDED", "{operation}");
    shown(daemon.http, &format!("{collection}/{ocid}"))
}

/// (type, action, identifier) of each resource.
fn resources(work_request: &Value) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let resource = |resource: &Value| {
        ["entityType", "actionType", "identifier"].map(|name| text(&resource[name]))
    };
    work_request["resources"].as_array().unwrap().iter().map(resource).collect()
}

#[test]
fn a_fresh_daemon_serves_identitys_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path())
        .set("routes.delete-compartment.showcase.duration=5s")
        .set("routes.delete-tag-definition.showcase.duration=5s")
        .start();
    for (request, collection, operation, resource) in [
        (
            "DELETE /20160918/compartments/ocid1.compartment.oc1..c",
            "/20160918/workRequests",
            "DELETE_COMPARTMENT",
            ["compartment", "ocid1.compartment.oc1..c"],
        ),
        (
            "DELETE /20160918/tagNamespaces/ns/tags/cost",
            "/20160918/taggingWorkRequests",
            "DELETE_TAG_DEFINITION",
            ["tagDefinition", "ns/tags/cost"],
        ),
    ] {
        let ocid = started(&daemon, request, "");
        assert!(ocid.starts_with("ocid1.identityworkrequest.oc1.."), "{ocid}");
        let running = shown(daemon.http, &format!("{collection}/{ocid}"));
        assert_eq!(running["operationType"], operation);
        let [kind, identifier] = resource.map(str::to_owned);
        let of = |action: &str| vec![[kind.clone(), action.to_owned(), identifier.clone()]];
        assert_eq!(resources(&running), of("IN_PROGRESS"));
        let done = ended(&daemon, collection, &ocid);
        assert_eq!(
            (&done["status"], &done["percentComplete"]),
            (&json!("SUCCEEDED"), &json!(100.0))
        );
        assert_eq!(resources(&done), of("DELETED"));
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn every_call_of_the_example_starts_a_work_request() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(&slowly()).start();
    let compartment = "ocid1.compartment.oc1..c";
    let cluster = format!(
        r#"{{"name": "n", "compartmentId": "{compartment}", "vcnId": "v", "kubernetesVersion": "v1"}}"#
    );
    let pool = format!(
        r#"{{"name": "n", "compartmentId": "{compartment}", "clusterId": "k", "nodeShape": "s"}}"#
    );
    let queue = format!(r#"{{"displayName": "n", "compartmentId": "{compartment}"}}"#);
    let (identity, tagging) = ("/20160918/workRequests", "/20160918/taggingWorkRequests");
    let (oke, queues) = ("/20180222/workRequests", "/20210201/workRequests");
    let mut seen = Vec::new();
    for (request, body, collection, operation, (kind, action, identifier)) in [
        (
            "POST /20160918/compartments/c/actions/moveCompartment",
            r#"{"targetCompartmentId": "t"}"#,
            identity,
            "MOVE_COMPARTMENT",
            ("compartment", "UPDATED", "c"),
        ),
        (
            "POST /20160918/compartments/c/actions/bulkDeleteResources",
            r#"{"resources": [{"identifier": "i", "entityType": "Instance"}]}"#,
            identity,
            "BULK_DELETE_RESOURCES",
            ("Instance", "DELETED", "i"),
        ),
        (
            "POST /20160918/tags/actions/bulkDelete",
            r#"{"tagDefinitionIds": ["d", "e", "f"]}"#,
            tagging,
            "BULK_DELETE_TAG_DEFINITION",
            ("tagDefinition", "DELETED", "d"),
        ),
        (
            "POST /20160918/tags/actions/bulkEdit",
            r#"{"resources": [{"id": "i", "resourceType": "instance"}], "bulkEditOperations": []}"#,
            tagging,
            "BULK_EDIT_OF_TAGS",
            ("instance", "UPDATED", "i"),
        ),
        (
            "POST /20160918/tags/actions/importStandardTags",
            r#"{"compartmentId": "ocid1.compartment.oc1..c", "standardTagNamespaceName": "n"}"#,
            tagging,
            "IMPORT_STANDARD_TAGS",
            ("tagNamespace", "CREATED", "n"),
        ),
        (
            "POST /20160918/tagNamespaces/ns/actions/cascadeDelete",
            "",
            tagging,
            "DELETE_NON_EMPTY_TAG_NAMESPACE",
            ("tagNamespace", "DELETED", "ns"),
        ),
        (
            "POST /20180222/clusters",
            &cluster,
            oke,
            "CLUSTER_CREATE",
            ("cluster", "CREATED", "ocid1.cluster.oc1.."),
        ),
        (
            "PUT /20180222/clusters/k",
            r#"{"name": "m"}"#,
            oke,
            "CLUSTER_UPDATE",
            ("cluster", "UPDATED", "k"),
        ),
        ("DELETE /20180222/clusters/k", "", oke, "CLUSTER_DELETE", ("cluster", "DELETED", "k")),
        (
            "POST /20180222/nodePools",
            &pool,
            oke,
            "NODEPOOL_CREATE",
            ("nodepool", "CREATED", "ocid1.nodepool.oc1.."),
        ),
        (
            "PUT /20180222/nodePools/p",
            r#"{"name": "m"}"#,
            oke,
            "NODEPOOL_UPDATE",
            ("nodepool", "UPDATED", "p"),
        ),
        ("DELETE /20180222/nodePools/p", "", oke, "NODEPOOL_DELETE", ("nodepool", "DELETED", "p")),
        (
            "POST /20210201/queues",
            &queue,
            queues,
            "CREATE_QUEUE",
            ("queue", "CREATED", "ocid1.queue.oc1.."),
        ),
        ("DELETE /20210201/queues/q", "", queues, "DELETE_QUEUE", ("queue", "DELETED", "q")),
    ] {
        let ocid = started(&daemon, request, body);
        let running = shown(daemon.http, &format!("{collection}/{ocid}"));
        assert_eq!(running["operationType"], operation, "{request}");
        seen.push((collection, ocid, resources(&running), (kind, action, identifier)));
    }
    // All have been running side by side.
    for (collection, ocid, begun, (kind, action, identifier)) in seen {
        let done = ended(&daemon, collection, &ocid);
        let made = resources(&done);
        assert_eq!(begun.len(), made.len());
        assert!(kind != "tagDefinition" || made.len() == 3, "{done}");
        assert_eq!((&*made[0][0], &*made[0][1]), (kind, action), "{done}");
        // What is made has its id from the beginning; what is worked on is named by the caller.
        assert_eq!((&begun[0][1], &begun[0][2]), (&"IN_PROGRESS".to_owned(), &made[0][2]));
        let minted = identifier.ends_with("..");
        assert!(made[0][2].starts_with(identifier) && (minted || made[0][2] == identifier));
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn a_worker_is_given_what_the_template_says() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).config(&slowly()).start();
    let request = "POST /20210201/queues/ocid1.queue.oc1..q/actions/purge";
    let ocid = started(&daemon, request, r#"{"purgeType": "NORMAL", "channelId": "c"}"#);
    let ask = r#"{"max": 1, "wait": "30s", "worker": "w"}"#;
    let path = "/opgate/v1/queues/workers:lease";
    let leases = raw(daemon.http, "POST", path, &[JSON], ask.as_bytes()).json();
    let lease = &leases["leases"][0];
    let input = &lease["operation"]["input"]["json"];
    assert_eq!(input, &json!({"queue": "ocid1.queue.oc1..q", "which": "NORMAL"}), "{leases}");
    let path = format!("/opgate/v1/leases/{}:finish", lease["lease"].as_str().unwrap());
    let finish = br#"{"outcome": {"succeeded": {"json": {}}}}"#;
    let reply = raw(daemon.http, "POST", &path, &[JSON], finish);
    assert_eq!(reply.status, 200, "{}", reply.head);
    let done = ended(&daemon, "/20210201/workRequests", &ocid);
    assert_eq!(resources(&done)[0][1], "UPDATED");
    assert_eq!(daemon.terminate().code(), Some(0));
}
