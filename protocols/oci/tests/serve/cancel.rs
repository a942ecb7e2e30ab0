//! Cancels.

use opgate_bus::Caller;
use opgate_bus::Until;
use opgate_bus::core::{Outcome, State};
use serde_json::json;
use std::time::Duration;

use crate::gateway::Gateway;

const OKE: &str = "/oke/20180222/workRequests";
const MODERN: &str = "/20260325/workRequests";

#[tokio::test]
async fn a_running_work_request_is_asked_to_end() {
    let (gateway, _dir) = Gateway::start().await;
    for (path, status) in [(OKE, 204), (MODERN, 202)] {
        let running = gateway.run("cluster", "c", &json!({"id": "x"})).await;
        let path = format!("{path}/{}", gateway.oci.name(&running));
        let etag = gateway.get(&path).await.header("etag").unwrap().to_owned();
        let reply = gateway.send("DELETE", &path, &[("if-match", &etag)]).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (status, 0));
        assert!(reply.header("opc-request-id").is_some());
        let caller = Caller::anonymous();
        let end = gateway.bus.wait(&caller, running.id, Until::Done, Duration::from_secs(10)).await;
        assert_eq!(end.unwrap().state, State::Canceled);
        let object = gateway.get(&path).await.object();
        assert_eq!(object["status"], "CANCELED");
        let action = object["resources"][0]["actionType"].as_str().unwrap();
        assert_eq!(action, if status == 204 { "CANCELED_DELETE" } else { "FAILED" });
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_canceled_stays_as_it_is() {
    let (gateway, _dir) = Gateway::start().await;
    let running = gateway.run("cluster", "c", &json!({"id": "x"})).await;
    let id = gateway.oci.name(&running);
    let oke = format!("{OKE}/{id}");
    for etag in ["999", "\"x\"", "", "1, 2"] {
        let reply = gateway.send("DELETE", &oke, &[("if-match", etag)]).await;
        assert_eq!((reply.refusal().0, &*reply.refusal().1), (412, "NoEtagMatch"), "{etag}");
    }
    for path in ["/20160918", "/iaas/20160918"] {
        let reply = gateway.send("DELETE", &format!("{path}/workRequests/{id}"), &[]).await;
        assert_eq!((reply.refusal().0, &*reply.refusal().1), (405, "MethodNotAllowed"), "{path}");
    }
    let reply = gateway.send("DELETE", &format!("{OKE}/x"), &[]).await;
    assert_eq!((reply.refusal().0, &*reply.refusal().1), (404, "NotAuthorizedOrNotFound"));
    assert_eq!(gateway.stored(running.id).await.version, running.version);

    gateway.finish(running.id, Outcome::Succeeded(None)).await;
    for headers in [&[][..], &[("if-match", "*")]] {
        let reply = gateway.send("DELETE", &oke, headers).await;
        // Not IncorrectState, which clients repeat for minutes.
        assert_eq!((reply.refusal().0, &*reply.refusal().1), (409, "Conflict"));
    }
    assert_eq!(gateway.stored(running.id).await.state, State::Succeeded);
    gateway.stop().await;
}
