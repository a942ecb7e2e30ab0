//! Lists.

use std::collections::BTreeSet;

use opgate_core::limits::{NAME_BYTES, PAYLOAD_BYTES};
use tonic::Code;

use super::client::{Client, List, Listed, Operation, list, refused, scripted};
use super::gateway::{ECHO, Gateway};

/// Every page from the first on.
async fn walk(client: &Client, mut request: List) -> Vec<Listed> {
    let mut pages = Vec::new();
    loop {
        let page: Listed = client.operations("ListOperations", request.clone()).await.unwrap();
        request.page_token = page.next_page_token.clone();
        pages.push(page);
        if request.page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_walk_shows_everything_once_in_its_scope() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let mut expected = BTreeSet::new();
    for parent in ["projects/p", "projects/p/locations/l", "projects/pq", "", "projects/p"] {
        let name = client.make(parent, "nothing ").await.name;
        if name.starts_with("projects/p/") {
            expected.insert(name);
        }
    }
    for name in ["projects/p", "projects/p/operations", "projects/p/"] {
        let pages = walk(&client, List { page_size: 2, ..list(name) }).await;
        assert!(pages.iter().all(|page| page.operations.len() <= 2));
        let names: Vec<_> =
            pages.iter().flat_map(|page| &page.operations).map(|one| one.name.clone()).collect();
        assert_eq!(names.len(), 3, "{name}");
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    for (name, count) in [("", 5), ("operations", 5), ("projects/q", 0)] {
        let pages = walk(&client, list(name)).await;
        assert_eq!(pages.iter().map(|page| page.operations.len()).sum::<usize>(), count, "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn odd_lists_are_refused() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    client.make("", "nothing ").await;
    client.make("", "nothing ").await;
    let first: Listed =
        client.operations("ListOperations", List { page_size: 1, ..list("") }).await.unwrap();
    let token = first.next_page_token;
    assert!(!token.is_empty());
    for (request, code) in [
        (List { filter: "done=maybe".to_owned(), ..list("") }, Code::InvalidArgument),
        (List { filter: "done=true AND (".to_owned(), ..list("") }, Code::InvalidArgument),
        (
            List { filter: "done=true".to_owned(), page_token: token.clone(), ..list("") },
            Code::InvalidArgument,
        ),
        (List { page_size: -1, ..list("") }, Code::InvalidArgument),
        (List { page_token: "nonsense".to_owned(), ..list("") }, Code::InvalidArgument),
        (List { page_token: token.clone(), ..list("projects/p") }, Code::InvalidArgument),
        (list(&"x".repeat(2000)), Code::InvalidArgument),
    ] {
        let answer = client.operations::<_, Listed>("ListOperations", request.clone()).await;
        assert_eq!(refused(answer), code, "{request:?}");
    }
    let large = List { page_size: i32::MAX, page_token: token, ..list("") };
    let rest: Listed = client.operations("ListOperations", large).await.unwrap();
    assert_eq!(rest.operations.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_filter_lets_through_what_matches() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let done = client.make("projects/p", "json {\"x\":1}").await.name;
    let failed = client.make("projects/p", "fail no such disk").await.name;
    let running = client.make("projects/p", "hold").await.name;
    for (filter, expected) in [
        ("done = true", vec![&failed, &done]),
        ("-done = true", vec![&running]),
        ("error.code = NOT_FOUND error.message:disk", vec![&failed]),
        ("done = false OR error:*", vec![&running, &failed]),
        ("response.@type:HttpBody", vec![&done]),
        ("response.contentType = application/json AND done = true", vec![&done]),
        ("metadata.@type:*", vec![]),
        (&format!("name = {done}"), vec![&done]),
    ] {
        let request = List { filter: filter.to_owned(), page_size: 1, ..list("projects/p") };
        let pages = walk(&client, request).await;
        let names: Vec<_> =
            pages.iter().flat_map(|page| &page.operations).map(|one| &one.name).collect();
        assert_eq!(names, expected, "{filter}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn partial_success_may_be_asked_for_and_everything_can_be_reached() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    client.make("", "nothing ").await;
    let request = List { return_partial_success: true, ..list("") };
    let listed: Listed = client.operations("ListOperations", request).await.unwrap();
    assert_eq!((listed.operations.len(), listed.unreachable), (1, Vec::new()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_is_no_larger_than_a_client_takes() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    for _ in 0..5 {
        client.make("", "zeros 1500000").await;
    }
    // tonic's client refuses a message above 4 MiB, as all do.
    let pages = walk(&client, list("")).await;
    let sizes: Vec<_> = pages.iter().map(|page| page.operations.len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let names: BTreeSet<_> =
        pages.iter().flat_map(|page| &page.operations).map(|one| &one.name).collect();
    assert_eq!(names.len(), 5);
    gateway.stop().await;
}

#[tokio::test]
async fn whatever_was_started_can_be_read_by_a_client_that_takes_4_mib() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let parent = "p".repeat(NAME_BYTES);
    let mut names = BTreeSet::new();
    for script in ["growing 700000", "growing 800000", "growing 4128768", "zeros 4128768"] {
        assert_eq!(PAYLOAD_BYTES, 4_128_768, "the largest there is");
        // Through a door with a declared type, and through one without.
        let request = scripted(prost_types::Struct::default(), &parent, script);
        let echoed = client.call::<_, Operation>(ECHO, request).await.unwrap().into_inner();
        let made = client.make(&parent, script).await;
        for started in [echoed, made] {
            assert_eq!(client.get(&started.name).await.unwrap(), started);
            names.insert(started.name);
        }
    }
    let pages = walk(&client, list(&parent)).await;
    let walked: BTreeSet<_> =
        pages.iter().flat_map(|page| &page.operations).map(|one| one.name.clone()).collect();
    assert_eq!(walked, names);
    gateway.stop().await;
}
