//! One work request, read.

use opgate_bus::core::{Code, Failure, Outcome};
use serde_json::{Value, json};

use crate::gateway::Gateway;

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z'))
}

#[tokio::test]
async fn a_work_request_tells_how_its_operation_is() {
    let (gateway, _dir) = Gateway::start().await;
    let input = json!({
        "id": "ocid1.compartment.oc1..a",
        "percent": 40,
        "log": [{"message": "begun"}, {"error": true, "code": "Slow", "message": "it hangs"}],
    });
    let running = gateway.run("delete-compartment", "ocid1.compartment.oc1..p", &input).await;
    let id = gateway.oci.name(&running);
    assert!(id.starts_with("ocid1.identityworkrequest.oc1..aaaa"), "{id}");
    let path = format!("/20160918/workRequests/{id}");
    let reply = gateway.get(&path).await;
    let object = reply.object();
    assert_eq!(object["id"], *id);
    assert_eq!(object["operationType"], "DELETE_COMPARTMENT");
    assert_eq!(object["status"], "IN_PROGRESS");
    assert_eq!(object["compartmentId"], "ocid1.compartment.oc1..p");
    assert_eq!(object["percentComplete"], 40.0);
    assert!(is_time(&object["timeAccepted"]) && is_time(&object["timeStarted"]), "{object}");
    assert_eq!(object["timeFinished"], Value::Null);
    assert_eq!(
        object["resources"],
        json!([{
            "entityType": "compartment", "actionType": "IN_PROGRESS",
            "identifier": "ocid1.compartment.oc1..a", "entityUri": null,
        }])
    );
    assert_eq!(object["errors"].as_array().unwrap().len(), 1);
    assert_eq!(object["errors"][0]["code"], "Slow");
    assert_eq!(object["logs"][0]["message"], "begun");
    assert!(is_time(&object["logs"][0]["timestamp"]));

    let outcome = Outcome::Failed(Failure::new(Code::NotFound, "no such compartment"));
    gateway.finish(running.id, outcome).await;
    let object = gateway.get(&path).await.object();
    assert_eq!(object["status"], "FAILED");
    assert_eq!(object["resources"][0]["actionType"], "RELATED");
    assert_eq!(object["percentComplete"], 40.0);
    assert!(is_time(&object["timeFinished"]));
    // That it was ended by hand is a line of the log, and no error of its own.
    assert_eq!(object["errors"].as_array().unwrap().len(), 2, "{object}");
    let last = &object["errors"][1];
    assert_eq!(last["code"], "NotAuthorizedOrNotFound");
    assert_eq!(last["message"], "no such compartment");
    let logs = object["logs"].as_array().unwrap();
    assert!(logs.last().unwrap()["message"].as_str().unwrap().starts_with("completed by hand as"));
    gateway.stop().await;
}

#[tokio::test]
async fn every_dialect_shows_the_same_operation_in_its_own_words() {
    let (gateway, _dir) = Gateway::start().await;
    let running = gateway.run("cluster", "c", &json!({"id": "ocid1.cluster.oc1..a"})).await;
    let id = gateway.oci.name(&running);
    assert!(id.starts_with("ocid1.opgateworkrequest.oc1.."), "{id}");
    gateway.finish(running.id, Outcome::Succeeded(None)).await;
    for (path, missing) in [
        ("/20160918/workRequests/", &[][..]),
        ("/20160918/taggingWorkRequests/", &[]),
        ("/20160918/iamWorkRequests/", &[]),
        ("//20160918/workRequests/", &[]),
        ("/iaas/20160918/workRequests/", &["errors", "logs"]),
        ("/iaas//20160918/workRequests/", &["errors", "logs"]),
        ("/oke/20180222/workRequests/", &["errors", "logs", "percentComplete"]),
        ("/20260325/workRequests/", &["errors", "logs"]),
    ] {
        let object = gateway.get(&format!("{path}{id}")).await.object();
        assert_eq!((&object["id"], &object["status"]), (&json!(id), &json!("SUCCEEDED")), "{path}");
        assert_eq!(object["resources"][0]["actionType"], "DELETED");
        for field in ["resources", "percentComplete", "errors", "logs"] {
            assert_eq!(object.get(field).is_none(), missing.contains(&field), "{path} {field}");
        }
    }
    let object = gateway.get(&format!("/20170115/loadBalancerWorkRequests/{id}")).await.object();
    assert_eq!(
        (&object["type"], &object["lifecycleState"]),
        (&json!("CLUSTER_DELETE"), &json!("SUCCEEDED"))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn any_ocid_of_an_operation_leads_to_it() {
    let (gateway, _dir) = Gateway::start().await;
    let running = gateway.run("pool", "c", &json!({"id": "t"})).await;
    let id = gateway.oci.name(&running);
    let other = id.replace("opgateworkrequest.oc1.", "clustersworkrequest.oc9.iad");
    assert_ne!(id, other);
    let object = gateway.get(&format!("/20160918/workRequests/{other}")).await.object();
    assert_eq!(object["id"], *id);
    gateway.stop().await;
}

#[tokio::test]
async fn what_runs_says_when_to_ask_again_and_what_has_ended_does_not() {
    let (gateway, _dir) = Gateway::start().await;
    let running = gateway.run("delete-tag", "c", &json!({"id": "t"})).await;
    let path = format!("/20160918/workRequests/{}", gateway.oci.name(&running));
    let reply = gateway.get(&path).await;
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(reply.header("etag"), Some(&*running.version.0.to_string()));
    let ended = gateway.finish(running.id, Outcome::Succeeded(None)).await;
    let reply = gateway.get(&path).await;
    assert_eq!(reply.header("retry-after"), None);
    assert_eq!(reply.header("etag"), Some(&*ended.version.0.to_string()));
    gateway.stop().await;
}
