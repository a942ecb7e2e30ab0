//! Errors and logs of a work request.

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply};

async fn with_log(gateway: &Gateway) -> String {
    let entry = |number: usize| json!({"message": format!("m{number}"), "error": number % 2 == 1, "code": "C"});
    let log: Vec<Value> = (0..5).map(entry).collect();
    let running = gateway.run("cluster", "ocid1.compartment.oc1..a", &json!({"log": log})).await;
    gateway.oci.name(&running)
}

fn messages(entries: &Value) -> Vec<&str> {
    entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap()).collect()
}

/// What all pages have together.
async fn walk(gateway: &Gateway, path: &str) -> Vec<String> {
    let (mut all, mut page) = (Vec::new(), String::new());
    loop {
        let reply: Reply = gateway.get(&format!("{path}{page}")).await;
        let body = reply.object();
        let entries = if body.is_array() { &body } else { &body["items"] };
        all.extend(messages(entries).into_iter().map(str::to_owned));
        let Some(token) = reply.header("opc-next-page") else { return all };
        assert!(!token.is_empty() && token.len() <= 512, "{token}");
        page = format!("&page={token}");
    }
}

#[tokio::test]
async fn they_are_lists_and_collections_where_the_dialect_has_them() {
    let (gateway, _dir) = Gateway::start().await;
    let id = with_log(&gateway).await;
    let compartment = "compartmentId=ocid1.compartment.oc1..a";
    for (path, query) in [
        ("/20160918/workRequests", ""),
        ("/20160918/taggingWorkRequests", ""),
        ("/iaas/20160918/workRequests", "?sortOrder=ASC"),
        ("/oke/20180222/workRequests", &*format!("?{compartment}")),
    ] {
        let logs = gateway.get(&format!("{path}/{id}/logs{query}")).await.object();
        assert_eq!(messages(&logs), ["m0", "m1", "m2", "m3", "m4"], "{path}");
        let errors = gateway.get(&format!("{path}/{id}/errors{query}")).await.object();
        assert_eq!(messages(&errors), ["m1", "m3"], "{path}");
        assert_eq!(errors[0]["code"], "C");
        assert!(errors[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    }
    let logs = gateway.get(&format!("/20260325/workRequests/{id}/logs")).await.object();
    assert_eq!(messages(&logs["items"]), ["m4", "m3", "m2", "m1", "m0"]);
    for word in ["timestamp", "timeAccepted", "timeCreated"] {
        let path = format!("/20260325/workRequests/{id}/logs?sortBy={word}");
        let logs = gateway.get(&path).await.object();
        assert_eq!(messages(&logs["items"]), ["m4", "m3", "m2", "m1", "m0"], "{word}");
    }
    let errors = gateway.get(&format!("/20260325/workRequests/{id}/errors?sortOrder=asc")).await;
    assert_eq!(messages(&errors.object()["items"]), ["m1", "m3"]);
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_any_size_have_every_entry_once() {
    let (gateway, _dir) = Gateway::start().await;
    let id = with_log(&gateway).await;
    for limit in 1..=6 {
        let path = format!("/20260325/workRequests/{id}/logs?limit={limit}&sortBy=timestamp");
        assert_eq!(walk(&gateway, &path).await, ["m4", "m3", "m2", "m1", "m0"], "{limit}");
        let path = format!("/20160918/workRequests/{id}/errors?limit={limit}");
        assert_eq!(walk(&gateway, &path).await, ["m1", "m3"], "{limit}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named() {
    let (gateway, _dir) = Gateway::start().await;
    let id = with_log(&gateway).await;
    let modern = format!("/20260325/workRequests/{id}/logs");
    let oke = format!("/oke/20180222/workRequests/{id}/errors");
    let token = gateway.get(&format!("{modern}?limit=1")).await;
    let token = token.header("opc-next-page").unwrap().to_owned();
    let other = with_log(&gateway).await;
    for (path, status, code, about) in [
        (format!("{modern}?limit=0"), 400, "InvalidParameter", "limit: "),
        (format!("{modern}?sortBy=message"), 400, "InvalidParameter", "sortBy: "),
        (format!("{modern}?sortOrder=x"), 400, "InvalidParameter", "sortOrder: "),
        (format!("{modern}?page=x"), 400, "InvalidParameter", "page: "),
        (format!("{modern}?sortOrder=ASC&page={token}"), 400, "InvalidParameter", "page: "),
        (
            format!("/20260325/workRequests/{other}/logs?page={token}"),
            400,
            "InvalidParameter",
            "page: ",
        ),
        (oke.clone(), 400, "MissingParameter", "compartmentId: "),
        (format!("{oke}?compartmentId=elsewhere"), 404, "NotAuthorizedOrNotFound", ""),
        ("/20260325/workRequests/x/logs".to_owned(), 404, "NotAuthorizedOrNotFound", ""),
    ] {
        let (said_status, said, message) = gateway.get(&path).await.refusal();
        assert_eq!((said_status, &*said), (status, code), "{path}");
        assert!(message.starts_with(about), "{path}: {message}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_lies_at_the_root_is_told_whichever_compartment_is_named() {
    let (gateway, _dir) = Gateway::start().await;
    let running = gateway.run("cluster", "", &json!({"id": "x"})).await;
    let id = gateway.oci.name(&running);
    for compartment in ["ocid1.compartment.oc1..of-the-cluster", "ocid1.tenancy.oc1..t"] {
        let path = format!("/oke/20180222/workRequests/{id}/logs?compartmentId={compartment}");
        assert_eq!(gateway.get(&path).await.status.as_u16(), 200, "{compartment}");
    }
    gateway.stop().await;
}
