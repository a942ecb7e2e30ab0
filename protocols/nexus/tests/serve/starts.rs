//! Starts: what is answered, and what the operation holds then.

use std::time::Duration;

use opgate_bus::core::Face;
use serde_json::json;

use crate::gateway::{Gateway, send};

#[tokio::test]
async fn what_runs_is_201_with_both_names_of_its_token_and_a_link_to_it() {
    let (gateway, _dir) = Gateway::start().await;
    let reply = gateway.post("/nexus/s/run", &[], "{}").await;
    let token = reply.token();
    let stored = gateway.stored(&token).await;
    let link = format!("<opgate:///operations/{}>; type=\"opgate.v1.Operation\"", stored.id);
    assert_eq!(reply.header("nexus-link"), Some(&*link));
    assert_eq!((stored.origin.face, &*stored.origin.endpoint), (Face::Nexus, "/nexus/"));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_done_at_once_is_200_with_the_content_and_nobody_is_called_back() {
    let (gateway, _dir) = Gateway::start().await;
    let headers = [("content-type", "application/json"), ("nexus-callback-token", "t")];
    let path = "/nexus/s/echo?callback=https%3A%2F%2Ftaken.example%2Fcb";
    let reply = gateway.post(path, &headers, "{\"a\": 1}").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"{\"a\": 1}"[..]));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("nexus-operation-state"), Some("succeeded"));
    assert!(reply.header("nexus-link").unwrap().starts_with("<opgate:///operations/"));
    let stored = gateway.stored(reply.header("nexus-operation-token").unwrap()).await;
    assert!(stored.callbacks.is_empty() && !stored.owes_callbacks());
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_failed_at_once_is_424_in_both_forms() {
    let (gateway, _dir) = Gateway::start().await;
    let reply = gateway.post("/nexus/s/fails", &[], "").await;
    assert_eq!(reply.status.as_u16(), 424);
    assert_eq!(reply.header("nexus-operation-state"), Some("failed"));
    assert_eq!(reply.header("nexus-link"), None);
    let body = reply.json();
    assert_eq!(body["message"], "no such scene");
    assert_eq!(body["metadata"], json!({"type": "nexus.OperationError"}));
    assert_eq!(body["details"], json!({"state": "failed", "code": "NOT_FOUND"}));
    assert_eq!(body["cause"]["details"]["code"], "NOT_FOUND");
    gateway.stop().await;
}

#[tokio::test]
async fn every_field_of_a_start_reaches_the_operation() {
    let (gateway, _dir) = Gateway::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let reply = gateway
        .post(
            "/nexus/s/run?key=abc&callback=https%3A%2F%2Ftaken.example%2Fcb%3Fa%3D%252C",
            &[
                ("content-type", "text/plain; charset=utf-8"),
                ("nexus-request-id", "req-42"),
                ("nexus-callback-token", "a b;c=d"),
                ("nexus-callback-x-more", "1"),
                ("nexus-callback-host", "evil"),
                ("nexus-link", "<temporal:///a?b=c>; type=\"x.Y\""),
                ("nexus-link", "<http://h/a,b>; type=z"),
                ("operation-timeout", "1h0m0s"),
                ("request-timeout", "10s"),
                ("traceparent", trace),
                ("tracestate", "a=1"),
                ("authorization", "Basic secret"),
                ("X-Tenant", "acme"),
                ("X-Tenant", "second"),
            ],
            "input",
        )
        .await;
    let stored = gateway.stored(&reply.token()).await;
    assert_eq!(
        (&*stored.input.media_type, &*stored.input.bytes),
        ("text/plain; charset=utf-8", &b"input"[..])
    );
    assert_eq!(stored.origin.request_id.as_deref(), Some("req-42"));
    let [callback] = &*stored.callbacks else { panic!("{:?}", stored.callbacks) };
    assert_eq!(&*callback.url, "https://taken.example/cb?a=%2C");
    let mut sent: Vec<_> = callback.headers.iter().map(|h| (&*h.name, &*h.value)).collect();
    sent.sort_unstable();
    assert_eq!(sent, [("token", &b"a b;c=d"[..]), ("x-more", b"1")]);
    let links: Vec<_> = stored.links_in.iter().map(|link| (&*link.url, &*link.kind)).collect();
    assert_eq!(links, [("temporal:///a?b=c", "x.Y"), ("http://h/a,b", "z")]);
    let timeout = stored.deadline.unwrap().since(stored.times.accepted);
    // It counts from the arrival, a little before the acceptance.
    assert!((Duration::from_mins(59)..=Duration::from_hours(1)).contains(&timeout));
    let kept = |name: &str| {
        let found = stored.headers.iter().find(|header| &*header.name == name);
        found.map(|header| String::from_utf8(header.value.to_vec()).unwrap())
    };
    assert_eq!(kept("x-tenant").as_deref(), Some("acme"));
    assert_eq!(kept("authorization"), None);
    let kept_trace = stored.trace.as_ref().unwrap();
    assert_eq!((&*kept_trace.parent, &*kept_trace.state), (trace, "a=1"));
    gateway.stop().await;
}

#[tokio::test]
async fn names_are_any_text_and_endpoints_are_parents() {
    let (gateway, _dir) = Gateway::start().await;
    let reply = gateway.post("/nexus/accept%2Fesc/esc%20v1%25", &[], "x").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"x"[..]));
    let token = gateway.post("/nexus/endpoints/e-1/services/s/run", &[], "").await.token();
    let stored = gateway.stored(&token).await;
    assert_eq!(stored.parent.as_str(), "endpoints/e-1");
    let cancel = "/nexus/endpoints/e-1/services/s/run/cancel";
    let reply = gateway.post(cancel, &[("nexus-operation-token", &token)], "").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (202, &b""[..]));
    gateway.stop().await;
}

#[tokio::test]
async fn links_that_the_work_gave_come_with_a_repeat() {
    let (gateway, _dir) = Gateway::start().await;
    let id = [("nexus-request-id", "1")];
    let token = gateway.run(&id).await;
    let caller = opgate_bus::Caller::anonymous();
    let mut stored = gateway.stored(&token).await;
    while stored.links_out.is_empty() {
        let newer = opgate_bus::Until::Newer(stored.version);
        let wait = gateway.bus.wait(&caller, stored.id, newer, Duration::from_secs(30));
        stored = wait.await.unwrap();
    }
    let reply = gateway.post("/nexus/s/run", &id, "").await;
    let links: Vec<_> =
        reply.headers.get_all("nexus-link").iter().map(|link| link.to_str().unwrap()).collect();
    let own = format!("<opgate:///operations/{}>; type=\"opgate.v1.Operation\"", stored.id);
    assert_eq!(links, ["<http://h/a%2Cb>; type=\"test.Link\"", &own]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_chunked_body_is_a_body() {
    let (gateway, _dir) = Gateway::start().await;
    let reply = send(
        gateway.address,
        "POST",
        "/nexus/s/echo",
        &[("transfer-encoding", "chunked"), ("content-type", "application/octet-stream")],
        b"\0\xff",
    );
    let reply = reply.await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"\0\xff"[..]));
    gateway.stop().await;
}
