//! Lists of work requests.

use std::collections::BTreeSet;

use opgate_bus::core::{Face, Outcome, Parent, Payload};
use opgate_bus::{Caller, Start};
use opgate_oci::Settings;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Gateway, settings};

const A: &str = "ocid1.compartment.oc1..a";
const TENANCY: &str = "ocid1.tenancy.oc1..t";

/// The resources of the listed work requests, over all pages.
async fn walk(gateway: &Gateway, path: &str) -> Vec<String> {
    let (mut all, mut page) = (Vec::new(), String::new());
    for _ in 0..100 {
        let reply = gateway.get(&format!("{path}{page}")).await;
        let body = reply.object();
        let items = if body.is_array() { &body } else { &body["items"] };
        for item in items.as_array().unwrap() {
            all.push(item["resources"][0]["identifier"].as_str().unwrap().to_owned());
        }
        let Some(token) = reply.header("opc-next-page") else { return all };
        assert!(!token.is_empty() && token.len() <= 512, "{token}");
        page = format!("&page={token}");
    }
    panic!("no end of {path}");
}

/// Five in one compartment, one in another, newest last: the first has ended.
async fn five_and_one(gateway: &Gateway) {
    for (route, id) in [
        ("delete-compartment", "1"),
        ("delete-tag", "2"),
        ("cluster", "3"),
        ("pool", "4"),
        ("cluster", "5"),
    ] {
        let running = gateway.run(route, A, &json!({"id": id})).await;
        if id == "1" {
            gateway.finish(running.id, Outcome::Succeeded(None)).await;
        }
    }
    gateway.run("delete-tag", "ocid1.compartment.oc1..b", &json!({"id": "6"})).await;
}

#[tokio::test]
async fn a_compartment_lists_its_own_and_a_tenancy_everything() {
    let (gateway, _dir) = Gateway::start().await;
    five_and_one(&gateway).await;
    for (path, expected) in [
        (format!("/20160918/workRequests?compartmentId={A}"), "5 4 3 2 1"),
        (format!("/20160918/taggingWorkRequests?compartmentId={A}"), "2"),
        (format!("/20160918/iamWorkRequests?compartmentId={A}"), ""),
        (format!("/20160918/workRequests?compartmentId={TENANCY}"), "6 5 4 3 2 1"),
        (format!("/oke/20180222/workRequests?compartmentId={A}"), "5 4 3 2 1"),
        (format!("/20260325/workRequests?compartmentId={A}"), "5 4 3 2 1"),
        ("/20260325/workRequests?limit=100".to_owned(), "6 5 4 3 2 1"),
        ("/20160918/workRequests?compartmentId=ocid1.compartment.oc1..c".to_owned(), ""),
        ("/20170115/loadBalancers/3/workRequests?limit=1".to_owned(), ""),
    ] {
        if path.starts_with("/20170115") {
            let body = gateway.get(&path).await.object();
            assert_eq!(body[0]["loadBalancerId"], "3", "{body}");
            continue;
        }
        assert_eq!(walk(&gateway, &path).await.join(" "), expected, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_summary_has_the_fields_of_its_dialect() {
    let (gateway, _dir) = Gateway::start().await;
    gateway.run("cluster", A, &json!({"id": "1", "percent": 10})).await;
    for (path, missing) in [
        ("/20160918", &["logs"][..]),
        ("/iaas/20160918", &["errors", "logs", "resources"]),
        ("/oke/20180222", &["errors", "logs", "percentComplete"]),
        ("/20260325", &["errors", "logs"]),
    ] {
        let list = gateway.get(&format!("{path}/workRequests?compartmentId={A}")).await;
        assert_eq!(list.header("opc-next-page"), None);
        let body = list.object();
        let item = if path == "/20260325" { &body["items"][0] } else { &body[0] };
        for field in ["resources", "percentComplete", "errors", "logs"] {
            assert_eq!(item.get(field).is_none(), missing.contains(&field), "{path} {field}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_any_size_have_every_work_request_once() {
    let (gateway, _dir) = Gateway::start().await;
    five_and_one(&gateway).await;
    for limit in 1..=6 {
        for (query, expected) in [
            ("", "5 4 3 2 1"),
            ("&sortBy=TIME_ACCEPTED&sortOrder=DESC", "5 4 3 2 1"),
            ("&sortBy=TIME_ACCEPTED&sortOrder=ASC", "1 2 3 4 5"),
            ("&sortOrder=asc", "1 2 3 4 5"),
            ("&sortBy=TIME_FINISHED&sortOrder=ASC", "1 2 3 4 5"),
            ("&sortBy=TIME_FINISHED&sortOrder=DESC", "5 4 3 2 1"),
            ("&sortBy=OPERATION_TYPE&sortOrder=ASC", "3 5 1 2 4"),
            ("&sortBy=STATUS&sortOrder=DESC", "1 5 4 3 2"),
            ("&sortBy=OPERATION_TYPE&sortOrder=ASC&resourceType=CLUSTER", "3 5"),
        ] {
            let path = format!("/oke/20180222/workRequests?compartmentId={A}&limit={limit}{query}");
            assert_eq!(walk(&gateway, &path).await.join(" "), expected, "{path}");
        }
        let path = format!("/20260325/workRequests?compartmentId={A}&limit={limit}");
        assert_eq!(walk(&gateway, &path).await.join(" "), "5 4 3 2 1");
        let path = format!("{path}&sortBy=timeAccepted&sortOrder=ASC");
        assert_eq!(walk(&gateway, &path).await.join(" "), "1 2 3 4 5");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn filters_let_through_what_they_name() {
    let (gateway, _dir) = Gateway::start().await;
    five_and_one(&gateway).await;
    let third = gateway.operations().await;
    let third = third.iter().find(|found| *found.resources[0].identifier == *"3").unwrap();
    let third = gateway.oci.name(third);
    for (path, expected) in [
        (format!("/20160918/workRequests?compartmentId={A}&resourceIdentifier=2"), "2"),
        (format!("/20160918/workRequests?compartmentId={A}&resourceId=3"), "3"),
        (format!("/20160918/workRequests?compartmentId={A}&resourceId=6"), ""),
        (format!("/oke/20180222/workRequests?compartmentId={A}&clusterId=3"), "3"),
        (format!("/oke/20180222/workRequests?compartmentId={A}&resourceType=NODEPOOL"), "4"),
        (format!("/oke/20180222/workRequests?compartmentId={A}&status=SUCCEEDED"), "1"),
        (
            format!(
                "/oke/20180222/workRequests?compartmentId={A}&status=SUCCEEDED&status=IN_PROGRESS&resourceType=CLUSTER"
            ),
            "5 3",
        ),
        (format!("/20260325/workRequests?compartmentId={A}&status=IN_PROGRESS&limit=2"), "5 4 3 2"),
        (format!("/20260325/workRequests?compartmentId={A}&status=NEEDS_ATTENTION"), ""),
        (format!("/20260325/workRequests?compartmentId={A}&workRequestId={third}"), "3"),
        (format!("/20260325/workRequests?workRequestId={third}&status=FAILED"), ""),
        (format!("/20260325/workRequests?compartmentId=b&workRequestId={third}"), ""),
        ("/20260325/workRequests?workRequestId=x".to_owned(), ""),
    ] {
        assert_eq!(walk(&gateway, &path).await.join(" "), expected, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_service_lists_the_kinds_it_shows_and_reads_all() {
    let dir = TempDir::new().unwrap();
    let mut settings: Settings = settings();
    settings.services[0].shows = Some(BTreeSet::from(["identity".to_owned()]));
    let gateway = Gateway::over(dir.path(), settings).await;
    five_and_one(&gateway).await;
    let path = format!("/20160918/workRequests?compartmentId={A}");
    assert_eq!(walk(&gateway, &path).await, ["2", "1"]);
    let newest = gateway.oci.name(&gateway.operations().await[1]);
    let object = gateway.get(&format!("/20160918/workRequests/{newest}")).await.object();
    assert_eq!(object["operationType"], "CLUSTER_DELETE");
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_has_a_bound_in_bytes() {
    let (gateway, _dir) = Gateway::start().await;
    let entry = json!({"error": true, "message": "x".repeat(4000)});
    let log: Vec<Value> = vec![entry; 250];
    for id in 0..6 {
        gateway.run("cluster", A, &json!({"id": id.to_string(), "log": log})).await;
    }
    let path = format!("/20160918/workRequests?compartmentId={A}&limit=1000");
    let first = gateway.get(&path).await;
    assert!(first.body.len() <= 4 * 1024 * 1024, "{}", first.body.len());
    assert!(first.object().as_array().unwrap().len() < 6);
    assert_eq!(walk(&gateway, &path).await.join(" "), "5 4 3 2 1 0");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_too_much_to_sort_is_not_sorted_in_part() {
    let (gateway, _dir) = Gateway::start().await;
    let start = |_| {
        let mut start = Start::new(Face::Native, "test", "cluster", Payload::json("{}"));
        start.parent = Parent::new(A).unwrap();
        let bus = gateway.bus.clone();
        tokio::spawn(async move { bus.start(&Caller::anonymous(), start).await })
    };
    for started in (0..=10_000).map(start).collect::<Vec<_>>() {
        started.await.unwrap().unwrap();
    }
    let path = format!("/oke/20180222/workRequests?compartmentId={A}&limit=1");
    let (status, code, message) = gateway.get(&format!("{path}&sortBy=ID")).await.refusal();
    assert_eq!((status, &*code), (400, "InvalidParameter"));
    assert!(message.starts_with("sortBy: ") && message.contains("10000"), "{message}");
    // What is stored so needs no sorting, and what is left by a filter may be sorted.
    assert_eq!(gateway.get(&path).await.object().as_array().unwrap().len(), 1);
    let none = gateway.get(&format!("{path}&sortBy=ID&status=FAILED")).await;
    assert_eq!(none.object(), json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named() {
    let (gateway, _dir) = Gateway::start().await;
    five_and_one(&gateway).await;
    let (identity, oke, modern) =
        ("/20160918/workRequests", "/oke/20180222/workRequests", "/20260325/workRequests");
    let page = gateway.get(&format!("{identity}?compartmentId={A}&limit=1")).await;
    let token = page.header("opc-next-page").unwrap().to_owned();
    let sorted = format!("{oke}?compartmentId={A}&limit=1&sortBy=ID");
    let sorted = gateway.get(&sorted).await.header("opc-next-page").unwrap().to_owned();
    for (path, code, about) in [
        (identity.to_owned(), "MissingParameter", "compartmentId: "),
        (format!("{identity}?compartmentId="), "MissingParameter", "compartmentId: "),
        (format!("{oke}?limit=1"), "MissingParameter", "compartmentId: "),
        (
            format!("{identity}?compartmentId=a&compartmentId=b"),
            "InvalidParameter",
            "compartmentId: ",
        ),
        (format!("{identity}?compartmentId=a%0Ab"), "InvalidParameter", "compartmentId: "),
        (format!("{identity}?compartmentId={A}&limit=1001"), "InvalidParameter", "limit: "),
        (format!("{identity}?compartmentId={A}&page=x"), "InvalidParameter", "page: "),
        (format!("{identity}?compartmentId=b&page={token}"), "InvalidParameter", "page: "),
        (
            format!("{identity}?compartmentId={A}&resourceId=1&page={token}"),
            "InvalidParameter",
            "page: ",
        ),
        (format!("{oke}?compartmentId={A}&page={token}"), "InvalidParameter", "page: "),
        (format!("{oke}?compartmentId={A}&page={sorted}"), "InvalidParameter", "page: "),
        (format!("{oke}?compartmentId={A}&status=RUNNING"), "InvalidParameter", "status: "),
        (format!("{oke}?compartmentId={A}&status=WAITING"), "InvalidParameter", "status: "),
        (format!("{oke}?compartmentId={A}&resourceType=X"), "InvalidParameter", "resourceType: "),
        (format!("{oke}?compartmentId={A}&sortBy=NAME"), "InvalidParameter", "sortBy: "),
        (format!("{modern}?sortBy=TIME"), "InvalidParameter", "sortBy: "),
        (format!("{modern}?sortOrder=up"), "InvalidParameter", "sortOrder: "),
        (format!("{modern}?status=%ff"), "InvalidParameter", "status: "),
    ] {
        let (status, said, message) = gateway.get(&path).await.refusal();
        assert_eq!((status, &*said), (400, code), "{path}");
        assert!(message.starts_with(about), "{path}: {message}");
    }
    gateway.stop().await;
}
