//! Starts with a request id that was used before.

use std::collections::HashSet;
use std::sync::Arc;

use opgate_nexus::Settings;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, succeeded};

const ID: [(&str, &str); 1] = [("nexus-request-id", "req-1")];

#[tokio::test]
async fn a_repeat_is_the_same_operation_as_it_is_now() {
    let (gateway, _dir) = Gateway::start().await;
    let path = "/nexus/s/run?callback=https%3A%2F%2Ftaken.example%2Fcb";
    let token = gateway.post(path, &ID, "in").await.token();
    assert_eq!(gateway.post(path, &ID, "in").await.token(), token);
    let ended = gateway.finish(&token, succeeded("7")).await;
    let reply = gateway.post(path, &ID, "in").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"7"[..]));
    assert_eq!(reply.header("nexus-operation-token"), Some(&*token));
    // Nothing was started, and the one completion is owed all the same.
    assert_eq!(gateway.operations().await.len(), 1);
    let stored = gateway.stored(&token).await;
    assert_eq!((stored.version, stored.callbacks.len()), (ended.version, 1));
    assert!(stored.owes_callbacks());
    gateway.stop().await;
}

#[tokio::test]
async fn of_many_at_once_one_starts() {
    let (gateway, _dir) = Gateway::start().await;
    let gateway = Arc::new(gateway);
    let mut starts = JoinSet::new();
    for _ in 0..16 {
        let gateway = Arc::clone(&gateway);
        starts.spawn(async move { gateway.run(&ID).await });
    }
    let tokens: HashSet<String> = starts.join_all().await.into_iter().collect();
    assert_eq!((tokens.len(), gateway.operations().await.len()), (1, 1));
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn a_restart_changes_neither_the_operation_nor_its_token() {
    let dir = TempDir::new().unwrap();
    let first = Gateway::over(dir.path(), Settings::default()).await;
    let token = first.run(&ID).await;
    first.stop().await;
    let second = Gateway::over(dir.path(), Settings::default()).await;
    assert_eq!(second.run(&ID).await, token);
    let info = second.get("/nexus/s/run", &[("nexus-operation-token", &token)]).await;
    assert_eq!(info.json()["state"], "running");
    second.stop().await;
}

#[tokio::test]
async fn an_id_is_of_one_operation_of_one_service_behind_one_endpoint() {
    let (gateway, _dir) = Gateway::start().await;
    let mut tokens = HashSet::new();
    for path in ["/nexus/s/run", "/nexus/s/other", "/nexus/endpoints/e/services/s/run"] {
        tokens.insert(gateway.post(path, &ID, "").await.token());
    }
    assert_eq!(tokens.len(), 3);
    // Without an id there is no repeat.
    tokens.insert(gateway.run(&[]).await);
    tokens.insert(gateway.run(&[]).await);
    assert_eq!(tokens.len(), 5);
    gateway.stop().await;
}

#[tokio::test]
async fn another_body_or_callback_under_a_used_id_is_a_conflict() {
    let (gateway, _dir) = Gateway::start().await;
    let token = gateway.post("/nexus/s/run", &ID, "in").await.token();
    for (path, body) in [
        ("/nexus/s/run", "other"),
        ("/nexus/s/run?callback=https%3A%2F%2Ftaken.example%2Fcb", "in"),
    ] {
        let reply = gateway.post(path, &ID, body).await;
        let (status, kind, retry, _) = reply.handler_error();
        assert_eq!((status, &*kind, retry), (409, "CONFLICT", false));
    }
    assert_eq!(gateway.post("/nexus/s/run", &ID, "in").await.token(), token);
    assert_eq!(gateway.operations().await.len(), 1);
    gateway.stop().await;
}
