//! Requests that cannot be served.

use tempfile::TempDir;

use crate::gateway::{Gateway, send, settings};
use opgate_oci::Settings;

#[tokio::test]
async fn what_is_not_there_is_told_apart_only_by_its_path() {
    let (gateway, _dir) = Gateway::start().await;
    let absent = format!("ocid1.identityworkrequest.oc1..{}{}", "a".repeat(34), "0".repeat(26));
    for id in [&*absent, "x", "ocid1.identityworkrequest.oc1..x", "%ff", "%zz", "a%2Fb"] {
        let refusal = gateway.get(&format!("/20160918/workRequests/{id}")).await.refusal();
        let text = "Authorization failed or requested resource not found.";
        assert_eq!(refusal, (404, "NotAuthorizedOrNotFound".to_owned(), text.to_owned()), "{id}");
    }
    for path in
        ["/20160918", "/20160918/x", "/20160918/workRequests/a/b/c", "/20160918/workRequests/"]
    {
        let refusal = gateway.get(path).await.refusal();
        assert_eq!((refusal.0, &*refusal.1), (404, "NotFound"), "{path}");
    }
    let reply = gateway.send("PUT", &format!("/20160918/workRequests/{absent}"), &[]).await;
    assert_eq!((reply.refusal().0, &*reply.refusal().1), (405, "MethodNotAllowed"));
    assert_eq!(reply.header("allow"), Some("GET"));
    gateway.stop().await;
}

#[tokio::test]
async fn every_answer_continues_the_callers_request_id() {
    let (gateway, _dir) = Gateway::start().await;
    let given = [("opc-request-id", "5E5AE4896B944FB7A269EFF02750D759")];
    for path in ["/20160918/workRequests/x", "/20160918/x"] {
        let reply = gateway.send("GET", path, &given).await;
        let answer = reply.header("opc-request-id").unwrap();
        let own = answer.strip_prefix("5E5AE4896B944FB7A269EFF02750D759/").unwrap();
        assert_eq!(own.split('/').map(str::len).collect::<Vec<_>>(), [32, 32], "{answer}");
    }
    assert!(gateway.get("/20160918/x").await.header("opc-request-id").is_some());
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_too_large_is_refused_and_ends_the_connection() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), Settings { request_bytes: 100, ..settings() }).await;
    let body = "x".repeat(101);
    let reply = send(gateway.address, "POST", "/20160918/x", &[], body.as_bytes()).await;
    assert_eq!((reply.refusal().0, &*reply.refusal().1), (413, "RequestEntityTooLarge"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(gateway.operations().await.is_empty());
    gateway.stop().await;
}
