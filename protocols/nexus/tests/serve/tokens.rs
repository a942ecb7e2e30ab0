//! Cancel and get-info, by every form of a token.

use opgate_bus::core::{Failure, Outcome};

use crate::gateway::{Gateway, send, succeeded};

#[tokio::test]
async fn a_token_comes_in_header_query_or_path_and_the_header_wins() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    for (path, header) in [
        ("/nexus/s/run".to_owned(), Some(&*token)),
        (format!("/nexus/s/run?token={token}"), None),
        (format!("/nexus/s/run/{token}"), None),
        ("/nexus/s/run?token=wrong".to_owned(), Some(&*token)),
        ("/nexus/s/run/wrong".to_owned(), Some(&*token)),
        (format!("/nexus/s/run/wrong?token={token}"), None),
    ] {
        let headers: Vec<_> =
            header.map(|token| ("Nexus-Operation-Token", token)).into_iter().collect();
        let reply = gateway.get(&path, &headers).await;
        assert_eq!(reply.status.as_u16(), 200, "{path} {header:?}");
        let body = reply.json();
        assert_eq!((body["token"].as_str(), body["id"].as_str()), (Some(&*token), Some(&*token)));
        assert_eq!(body["state"], "running");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_cancel_is_202_in_both_forms_again_and_after_the_end() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    let header = [("nexus-operation-token", &*token)];
    for _ in 0..2 {
        for path in ["/nexus/s/run/cancel".to_owned(), format!("/nexus/s/run/{token}/cancel")] {
            let reply = gateway.post(&path, &header, "").await;
            assert_eq!((reply.status.as_u16(), &*reply.body), (202, &b""[..]));
        }
    }
    let wait = "/nexus/s/run/result?wait=30s";
    let reply = gateway.get(wait, &header).await;
    assert_eq!(reply.status.as_u16(), 424);
    assert_eq!(reply.header("nexus-operation-state"), Some("canceled"));
    assert_eq!(reply.json()["details"]["state"], "canceled");
    let reply = gateway.post("/nexus/s/run/cancel", &header, "").await;
    assert_eq!(reply.status.as_u16(), 202);
    let state = gateway.get("/nexus/s/run", &header).await.json()["state"].clone();
    assert_eq!(state, "canceled");
    gateway.stop().await;
}

#[tokio::test]
async fn info_tells_every_state() {
    let (gateway, _dir) = Gateway::start().await;
    let failed = Outcome::Failed(Failure::new(opgate_bus::core::Code::Internal, "boom"));
    for (outcome, state) in [(succeeded("1"), "succeeded"), (failed, "failed")] {
        let token = gateway.run(&[]).await;
        gateway.finish(&token, outcome).await;
        let reply = gateway.get(&format!("/nexus/s/run/{token}"), &[]).await;
        assert_eq!(reply.json()["state"], state);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_is_good_for_its_tenant_its_service_its_operation_and_its_endpoint() {
    let (mut gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    let elsewhere = gateway.serve(Some("stranger")).await;
    let header = [("nexus-operation-token", &*token)];
    for (address, path) in [
        (elsewhere, "/nexus/s/run"),
        (gateway.address, "/nexus/s/other"),
        (gateway.address, "/nexus/other/run"),
        (gateway.address, "/nexus/endpoints/e/services/s/run"),
    ] {
        for (method, path) in [
            ("GET", path.to_owned()),
            ("POST", format!("{path}/cancel")),
            ("GET", format!("{path}/result")),
        ] {
            let reply = send(address, method, &path, &header, b"").await;
            let (status, kind, retry, _) = reply.handler_error();
            assert_eq!((status, &*kind, retry), (404, "NOT_FOUND", false), "{method} {path}");
        }
    }
    assert!(gateway.stored(&token).await.cancel.is_none());
    // The stranger has tokens of its own.
    let own = send(elsewhere, "POST", "/nexus/s/run", &[], b"").await.token();
    let reply = send(elsewhere, "GET", &format!("/nexus/s/run/{own}"), &[], b"").await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(gateway.get(&format!("/nexus/s/run/{own}"), &[]).await.status.as_u16(), 404);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_token_is_not_found_and_none_is_400() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.run(&[]).await;
    let id = gateway.stored(&token).await.id.to_string();
    for wrong in [&id, "result", "x", &token.to_uppercase(), &format!("{token}x")] {
        let reply = gateway.get(&format!("/nexus/s/run/{wrong}"), &[]).await;
        assert_eq!(reply.handler_error().0, 404, "{wrong}");
    }
    let reply = gateway.get("/nexus/s/run", &[("nexus-operation-token", "\u{e9}")]).await;
    assert_eq!(reply.handler_error().0, 404);
    for (method, path) in [("GET", "/nexus/s/run"), ("POST", "/nexus/s/run/cancel")] {
        let reply = send(gateway.address, method, path, &[], b"").await;
        let (status, kind, _, field) = reply.handler_error();
        assert_eq!((status, &*kind, &*field), (400, "BAD_REQUEST", "nexus-operation-token"));
    }
    gateway.stop().await;
}
