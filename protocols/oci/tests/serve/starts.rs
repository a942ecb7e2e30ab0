//! Starts: what is answered, and what the operation holds then.

use opgate_bus::core::{Face, Outcome};
use opgate_oci::Oci;
use serde_json::{Value, json};

use crate::gateway::{Gateway, JSON, Reply, send};

/// The OCID in a 202, which has no body.
pub(crate) fn accepted(reply: &Reply) -> String {
    assert_eq!(reply.status.as_u16(), 202, "{reply:?}");
    assert!(reply.body.is_empty(), "{reply:?}");
    assert_eq!(reply.header("content-type"), None);
    assert_eq!(reply.header("opgate-durability"), Some("fsync"));
    reply.header("opc-work-request-id").unwrap().to_owned()
}

#[tokio::test]
async fn a_delete_is_202_and_its_work_request_can_be_read_at_once() {
    let (gateway, _dir) = Gateway::start().await;
    let headers = [("opc-request-id", "5E5AE4896B944FB7A269EFF02750D759")];
    let reply = gateway.send("DELETE", "/20160918/compartments/ocid1.compartment.oc1..c", &headers);
    let reply = reply.await;
    let ocid = accepted(&reply);
    assert!(ocid.starts_with("ocid1.identityworkrequest.oc1..aaaa"), "{ocid}");
    let id = reply.header("opc-request-id").unwrap();
    assert!(id.starts_with("5E5AE4896B944FB7A269EFF02750D759/"), "{id}");
    let path = format!("/20160918/workRequests/{ocid}");
    let shown = gateway.get(&path).await.object();
    assert_eq!(shown["id"], *ocid);
    assert_eq!(shown["operationType"], "DELETE_COMPARTMENT");
    assert_eq!(shown["compartmentId"], "ocid1.compartment.oc1..c");
    let resource = |action: &str| {
        json!([{
            "entityType": "compartment",
            "actionType": action,
            "identifier": "ocid1.compartment.oc1..c",
            "entityUri": null,
        }])
    };
    assert_eq!(shown["resources"], resource("IN_PROGRESS"));
    gateway.finish(Oci::read(&ocid).unwrap(), Outcome::Succeeded(None)).await;
    let shown = gateway.get(&path).await.object();
    assert_eq!(
        (&shown["status"], &shown["resources"]),
        (&json!("SUCCEEDED"), &resource("DELETED"))
    );
    gateway.stop().await;
}

/// The input of the only operation there is.
async fn input(gateway: &Gateway) -> Value {
    let all = gateway.operations().await;
    let [only] = &*all else { panic!("{all:?}") };
    assert!(only.input.is_json());
    serde_json::from_slice(&only.input.bytes).unwrap()
}

#[tokio::test]
async fn path_query_and_body_are_the_input() {
    let (gateway, _dir) = Gateway::start().await;
    let path = "//20160918/compartments/ocid1.c%2Fx/actions/moveCompartment?lock=a+b&id=query";
    let body = br#"{"targetCompartmentId": "t", "id": "body", "deep": {"n": [1.50, null]}}"#;
    accepted(&send(gateway.address, "POST", path, &JSON, body).await);
    let expected = json!({
        "targetCompartmentId": "t",
        "id": "ocid1.c/x",
        "deep": {"n": [1.50, null]},
        "lock": "a b",
    });
    assert_eq!(input(&gateway).await, expected);
    gateway.stop().await;
}

#[tokio::test]
async fn a_template_makes_the_input_and_names_what_is_made_before_it_is() {
    let (gateway, _dir) = Gateway::start().await;
    let body = br#"{"name": "c", "compartmentId": "ocid1.compartment.oc1..c", "secret": 1}"#;
    let reply = send(gateway.address, "POST", "/oke/20180222/clusters?why=x", &JSON, body).await;
    let ocid = accepted(&reply);
    assert!(ocid.starts_with("ocid1.clustersworkrequest.oc1.."), "{ocid}");
    let expected = json!({
        "cluster": "c", "in": "ocid1.compartment.oc1..c", "note": "by x", "kind": "fixed",
    });
    assert_eq!(input(&gateway).await, expected);
    let shown = gateway.get(&format!("/oke/20180222/workRequests/{ocid}")).await.object();
    assert_eq!(shown["compartmentId"], "ocid1.compartment.oc1..c");
    let id = Oci::read(&ocid).unwrap();
    let [resource] = &shown["resources"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!(resource["identifier"], format!("ocid1.cluster.oc1..{id}"));
    assert_eq!(resource["actionType"], "IN_PROGRESS");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_done_at_once_is_202_all_the_same() {
    let (gateway, _dir) = Gateway::start().await;
    let reply = send(gateway.address, "POST", "/20260325/done", &JSON, b"").await;
    let ocid = accepted(&reply);
    let shown = gateway.get(&format!("/20260325/workRequests/{ocid}")).await.object();
    assert_eq!((&shown["status"], &shown["percentComplete"]), (&json!("SUCCEEDED"), &json!(100.0)));
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_caller_says_beside_its_input_is_kept() {
    let (gateway, _dir) = Gateway::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("content-type", "application/json"),
        ("if-match", "etag-1"),
        ("opc-request-id", "F455CF20E4D4-11F1-AEAC-25A8A78F15F0"),
        ("opc-client-info", "Oracle-PythonSDK/2.189.0"),
        ("opc-obo-token", "secret"),
        ("authorization", "Signature secret"),
        ("traceparent", trace),
    ];
    let path = "/20160918/tagNamespaces/ns/tags/cost?isLockOverride=true";
    accepted(&gateway.send("DELETE", path, &headers).await);
    let all = gateway.operations().await;
    let [stored] = &*all else { panic!("{all:?}") };
    assert_eq!(stored.origin.face, Face::Oci);
    assert_eq!(&*stored.origin.endpoint, "DELETE /20160918/tagNamespaces/{ns}/tags/{name}");
    assert_eq!(stored.origin.request_id.as_deref(), Some("F455CF20E4D4-11F1-AEAC-25A8A78F15F0"));
    let kept = |name: &str| {
        let found = stored.headers.iter().find(|header| &*header.name == name);
        found.map(|header| String::from_utf8(header.value.to_vec()).unwrap())
    };
    assert_eq!(kept("if-match").as_deref(), Some("etag-1"));
    assert_eq!(kept("opc-client-info").as_deref(), Some("Oracle-PythonSDK/2.189.0"));
    assert_eq!((kept("authorization"), kept("opc-obo-token")), (None, None));
    assert_eq!(&*stored.trace.as_ref().unwrap().parent, trace);
    // Without a compartment it is the tenancy's.
    assert_eq!(stored.parent.as_str(), "");
    gateway.stop().await;
}

#[tokio::test]
async fn a_tag_is_read_where_identity_reads_the_work_on_tags() {
    let (gateway, _dir) = Gateway::start().await;
    let ocid = accepted(&gateway.send("DELETE", "/20160918/tagNamespaces/ns/tags/cost", &[]).await);
    let shown = gateway.get(&format!("/20160918/taggingWorkRequests/{ocid}")).await.object();
    assert_eq!(shown["operationType"], "DELETE_TAG_DEFINITION");
    gateway.stop().await;
}
