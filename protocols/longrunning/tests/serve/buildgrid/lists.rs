//! Lists of an instance.

use tonic::Code;

use super::{id, start};
use crate::client::{Client, List, Listed, Operation, list, named, refused};
use crate::rest::{ask, names as names_over_rest};

async fn page(client: &Client, request: List) -> Listed {
    client.operations("ListOperations", request).await.unwrap()
}

/// Every page of a list, two operations each.
async fn walk(client: &Client, name: &str, filter: &str) -> Vec<Operation> {
    let filter = filter.to_owned();
    let mut request = List { page_size: 2, filter, ..list(name) };
    let mut walked = Vec::new();
    loop {
        let page = page(client, request.clone()).await;
        assert!(page.operations.len() <= 2);
        walked.extend(page.operations);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return walked;
        }
    }
}

fn names(operations: &[Operation]) -> Vec<&str> {
    operations.iter().map(|operation| &*operation.name).collect()
}

#[tokio::test]
async fn a_list_shows_its_instance_alone() {
    let (gateway, client) = start().await;
    let mut made = Vec::new();
    for parent in ["main", "", "a/b", "main/x", "mainly", "main"] {
        made.push(client.make(parent, "").await.name);
    }
    let [first, empty, slashed, beneath, beside, last] = &*made else { panic!() };
    assert_eq!(names(&walk(&client, "main", "").await), [last, first]);
    assert_eq!(names(&walk(&client, "", "").await), [empty]);
    assert_eq!(names(&walk(&client, "a/b", "").await), [slashed]);
    assert_eq!(names(&walk(&client, "nowhere", "").await), [""; 0]);
    // Google's list of the collection has what lies beneath it too.
    assert_eq!(names(&walk(&client, "main/operations", "").await), [last, beneath, first]);
    assert_eq!(names(&walk(&client, "mainly", "").await), [beside]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_ended_is_shown_when_asked_for() {
    let (gateway, client) = start().await;
    let running = client.make("main", "").await.name;
    let mut ended = Vec::new();
    for _ in 0..5 {
        ended.insert(0, client.make("main", "nothing ").await.name);
    }
    assert_eq!(names(&walk(&client, "main", "").await), [&*running]);
    let mut all: Vec<&str> = ended.iter().map(|name| &**name).collect();
    assert_eq!(names(&walk(&client, "main", "stage=COMPLETED").await), all);
    all.push(&running);
    assert_eq!(names(&walk(&client, "main", "queued_time>1970-01-01").await), all);
    let one = format!("name={}", id(&ended[2]));
    assert_eq!(names(&walk(&client, "main", &one).await), [&*ended[2]]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_sorted_list_is_walked_in_its_order_while_others_come_and_go() {
    let (gateway, client) = start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(client.make("main", "nothing ").await.name);
    }
    let oldest_first = "sort_order=queued_time(asc)&sort_order=name";
    assert_eq!(names(&walk(&client, "main", oldest_first).await), made);
    let mut newest_first = made.clone();
    newest_first.reverse();
    let filter = "stage=COMPLETED&sort_order=queued_time(desc)&sort_order=name(desc)";
    assert_eq!(names(&walk(&client, "main", filter).await), newest_first);

    let request = List { page_size: 2, filter: oldest_first.to_owned(), ..list("main") };
    let first = page(&client, request.clone()).await;
    assert_eq!(names(&first.operations), made[..2]);
    // The last one shown goes, another comes: neither the third nor the fourth is missed.
    let _: () = client.operations("DeleteOperation", named(&made[1])).await.unwrap();
    client.make("main", "nothing ").await;
    let next = List { page_token: first.next_page_token, ..request.clone() };
    let second = page(&client, next.clone()).await;
    assert_eq!(names(&second.operations), made[2..4]);

    let other = List { filter: "sort_order=name".to_owned(), ..next.clone() };
    let elsewhere = List { name: "a/b".to_owned(), ..next.clone() };
    let altered = List { page_token: "nonsense".to_owned(), ..next };
    for request in [other, elsewhere, altered] {
        let answer = client.operations::<_, Listed>("ListOperations", request).await;
        assert_eq!(refused(answer), Code::InvalidArgument);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn odd_lists_are_refused() {
    let (gateway, client) = start().await;
    for _ in 0..2 {
        client.make("main", "").await;
    }
    let first = page(&client, List { page_size: 1, ..list("main") }).await;
    assert!(!first.next_page_token.is_empty());
    for request in [
        List { filter: "colour=red".to_owned(), ..list("main") },
        List { filter: "stage=LATE".to_owned(), ..list("") },
        List { page_size: -1, ..list("main") },
        List { page_token: "2026-01-01|uuid".to_owned(), ..list("main") },
        List { page_token: first.next_page_token.clone(), ..list("a/b") },
        // The same parent in Google's list, and a filter in its language.
        List { page_token: first.next_page_token.clone(), ..list("main/operations") },
        List { filter: "done=true".to_owned(), ..list("main") },
    ] {
        let answer = client.operations::<_, Listed>("ListOperations", request.clone()).await;
        assert_eq!(refused(answer), Code::InvalidArgument, "{request:?}");
    }
    // A page size above the largest is taken for the largest.
    let large = List { page_size: i32::MAX, page_token: first.next_page_token, ..list("main") };
    assert_eq!(page(&client, large).await.operations.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn over_rest_an_instance_is_listed_the_same() {
    let (gateway, client) = start().await;
    let mut made = Vec::new();
    for parent in ["main", "", "a/b", "main/x", "main"] {
        made.push(client.make(parent, "").await.name);
    }
    let ended = client.make("main", "nothing ").await.name;
    let [first, empty, slashed, beneath, last] = &*made else { panic!() };
    for (target, expected) in [
        ("main/operations", &[last, first][..]),
        ("main/operations?prettyPrint=false", &[last, first]),
        ("main/operations?filter=stage%3DCOMPLETED", &[&ended]),
        ("main/operations?filter=sort_order%3Dqueued_time", &[first, last, &ended]),
        ("a/b/operations", &[slashed]),
        ("operations", &[empty]),
        // What over gRPC is the name `main/operations`.
        ("main/operations/operations", &[&ended, last, beneath, first]),
    ] {
        let answer = ask(&gateway, "GET", &format!("/v1/{target}")).await;
        assert!(names_over_rest(&answer).iter().eq(expected.iter().copied()), "{target}");
    }
    let (mut walked, mut token) = (Vec::new(), String::new());
    loop {
        let order = "filter=sort_order%3Dqueued_time&pageSize=2&pageToken=";
        let target = format!("/v1/main/operations?{order}{token}");
        let page = ask(&gateway, "GET", &target).await;
        walked.extend(names_over_rest(&page));
        match page.json().get("nextPageToken") {
            Some(next) => token = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert!(walked.iter().eq([first, last, &ended]), "{walked:?}");
    let odd = ask(&gateway, "GET", "/v1/main/operations?filter=done%3Dtrue").await;
    assert_eq!(odd.status, 400);
    gateway.stop().await;
}

#[tokio::test]
async fn a_sorted_list_of_large_operations_shows_each_once() {
    let (gateway, client) = start().await;
    let mut made = Vec::new();
    for size in [1_400_000, 1_400_000, 1_400_000, 4_100_000, 10] {
        made.push(client.make("main", &format!("zeros {size}")).await.name);
    }
    let filter = "sort_order=queued_time".to_owned();
    let mut request = List { filter, ..list("main") };
    let mut walked = Vec::new();
    loop {
        let page = page(&client, request.clone()).await;
        let bytes = prost::Message::encoded_len(&page);
        assert!(bytes <= 4 << 20 || page.operations.len() == 1, "{bytes}");
        walked.extend(page.operations);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names(&walked), made);
    gateway.stop().await;
}
