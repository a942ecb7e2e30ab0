//! Starts that are sent again.

use std::collections::HashSet;
use std::sync::Arc;

use opgate_bus::Caller;
use opgate_bus::core::Outcome;
use opgate_oci::Oci;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, send, settings};
use crate::starts::accepted;

const TYPE: (&str, &str) = ("content-type", "application/json");
const TOKEN: [(&str, &str); 2] = [TYPE, ("opc-retry-token", "3a86618c712c1746d6ff20ddb0bd05")];
const MOVE: &str = "/20160918/compartments/c/actions/moveCompartment";
const BODY: &[u8] = br#"{"targetCompartmentId": "t"}"#;
const DELETE: &str = "/20160918/compartments/c";

async fn moved(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    accepted(&send(gateway.address, "POST", MOVE, headers, BODY).await)
}

async fn deleted(gateway: &Gateway, path: &str) -> String {
    accepted(&gateway.send("DELETE", path, &[]).await)
}

async fn end(gateway: &Gateway, ocid: &str) {
    gateway.finish(Oci::read(ocid).unwrap(), Outcome::Succeeded(None)).await;
}

#[tokio::test]
async fn a_token_stands_for_one_operation_also_after_its_end() {
    let (gateway, _dir) = Gateway::start().await;
    let first = moved(&gateway, &TOKEN).await;
    assert_eq!(moved(&gateway, &TOKEN).await, first);
    end(&gateway, &first).await;
    assert_eq!(moved(&gateway, &TOKEN).await, first);
    assert_eq!(gateway.operations().await.len(), 1);
    // Another token, and none, are other operations.
    let second = moved(&gateway, &[TYPE, ("opc-retry-token", "other")]).await;
    let third = moved(&gateway, &[TYPE]).await;
    let fourth = moved(&gateway, &[TYPE]).await;
    assert_eq!(HashSet::from([first, second, third, fourth]).len(), 4);
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_is_refused_for_any_other_request() {
    let (gateway, _dir) = Gateway::start().await;
    let first = moved(&gateway, &TOKEN).await;
    for (method, path, body) in [
        ("POST", MOVE, &br#"{"targetCompartmentId": "u"}"#[..]),
        ("POST", "/20160918/compartments/c/actions/moveCompartment?a=b", BODY),
        ("POST", "/20160918/compartments/d/actions/moveCompartment", BODY),
        ("POST", "/oke/20180222/clusters", br#"{"compartmentId": "t"}"#),
        ("DELETE", DELETE, b""),
    ] {
        let reply = send(gateway.address, method, path, &TOKEN, body).await;
        let (status, code, message) = reply.refusal();
        assert_eq!((status, &*code), (409, "InvalidatedRetryToken"), "{method} {path}");
        assert!(message.starts_with("opc-retry-token: "), "{message}");
        assert_eq!(reply.header("opc-work-request-id"), None);
    }
    // However the same request is spelled, it is the same.
    let path = "//20160918/compartments/%63/actions/moveCompartment";
    let reply = send(gateway.address, "POST", path, &TOKEN, BODY).await;
    assert_eq!(accepted(&reply), first);
    assert_eq!(gateway.operations().await.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_of_a_work_request_that_is_gone_is_refused() {
    let (gateway, _dir) = Gateway::start().await;
    let first = moved(&gateway, &TOKEN).await;
    let id = Oci::read(&first).unwrap();
    gateway.bus.remove(&Caller::anonymous(), id).await.unwrap();
    assert_eq!(gateway.get(&format!("/20160918/workRequests/{first}")).await.status, 404);
    let reply = send(gateway.address, "POST", MOVE, &TOKEN, BODY).await;
    let (status, code, message) = reply.refusal();
    assert_eq!((status, &*code), (409, "InvalidatedRetryToken"));
    assert!(message.starts_with("opc-retry-token: "), "{message}");
    assert_eq!(reply.header("opc-work-request-id"), None);
    assert!(gateway.operations().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn of_64_at_once_with_one_token_one_starts() {
    let (gateway, _dir) = Gateway::start().await;
    let gateway = Arc::new(gateway);
    let mut starts = JoinSet::new();
    for _ in 0..64 {
        let gateway = Arc::clone(&gateway);
        starts.spawn(async move { moved(&gateway, &TOKEN).await });
    }
    let ocids: HashSet<String> = starts.join_all().await.into_iter().collect();
    assert_eq!((ocids.len(), gateway.operations().await.len()), (1, 1));
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn a_delete_is_the_same_while_it_runs_and_a_new_one_after_its_end() {
    let (gateway, _dir) = Gateway::start().await;
    let first = deleted(&gateway, DELETE).await;
    for same in [DELETE, "//20160918/compartments/c", "/20160918/compartments/%63?a=b"] {
        assert_eq!(deleted(&gateway, same).await, first, "{same}");
    }
    let other = deleted(&gateway, "/20160918/compartments/d").await;
    assert_ne!(other, first);
    end(&gateway, &first).await;
    let second = deleted(&gateway, DELETE).await;
    assert_ne!(second, first);
    assert_eq!(deleted(&gateway, DELETE).await, second);
    assert_eq!(gateway.operations().await.len(), 3);
    gateway.stop().await;
}

#[tokio::test]
async fn of_64_deletes_of_one_thing_at_once_one_starts() {
    let (gateway, _dir) = Gateway::start().await;
    let gateway = Arc::new(gateway);
    let mut starts = JoinSet::new();
    for _ in 0..64 {
        let gateway = Arc::clone(&gateway);
        starts.spawn(async move { deleted(&gateway, DELETE).await });
    }
    let ocids: HashSet<String> = starts.join_all().await.into_iter().collect();
    assert_eq!((ocids.len(), gateway.operations().await.len()), (1, 1));
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn a_restart_changes_neither() {
    let dir = TempDir::new().unwrap();
    let first = Gateway::over(dir.path(), settings()).await;
    let (by_token, by_target) = (moved(&first, &TOKEN).await, deleted(&first, DELETE).await);
    first.stop().await;
    let second = Gateway::over(dir.path(), settings()).await;
    assert_eq!(moved(&second, &TOKEN).await, by_token);
    assert_eq!(deleted(&second, DELETE).await, by_target);
    end(&second, &by_target).await;
    second.stop().await;
    let third = Gateway::over(dir.path(), settings()).await;
    assert_eq!(moved(&third, &TOKEN).await, by_token);
    assert_ne!(deleted(&third, DELETE).await, by_target);
    third.stop().await;
}
